//! One group of events, from facts to commit.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::opening::{self, Wanted};
use super::super::outcome::{Outcome, SubmitError};
use super::facts::{self, Facts, Need};
use super::prepare::{Preparation, Prepared, prepare};
use super::{Sources, locked, optimistic};
use crate::env::Env;
use crate::storage::usage::commit;
use crate::storage::{Database, StoreError, Tx};
use crate::tenancy::Actor;

/// How often a group starts again before its callers are told to come back.
const ATTEMPTS: u32 = 12;

/// What the deployment decides about recording.
#[derive(Debug, Clone, Copy)]
pub struct GroupSettings {
    /// How long after its period's end an event is accepted.
    pub late_window: SignedDuration,
}

/// Records groups of events.
#[derive(Debug, Clone)]
pub struct Recorder {
    pub(super) db: Database,
    pub(super) env: Env,
    settings: GroupSettings,
    /// Months that were seen to have a partition: a hint that saves a call, the insert finds out anyway.
    months: Arc<Mutex<HashSet<i64>>>,
}

/// One event of a group with who sent it.
pub(super) type Member<'a> = (&'a Actor, &'a NewEvent);

/// How a try ended.
enum Tried {
    Done(Vec<Outcome>),
    /// Nothing was written; the same again.
    Again,
    /// Nothing was written; decide under locks.
    NeedsLocks,
}

impl Recorder {
    /// A recorder over this database.
    pub fn new(db: Database, env: Env, settings: GroupSettings) -> Self {
        Self { db, env, settings, months: Arc::default() }
    }

    /// Records events of one caller at once, without the queue; for imports and tests.
    pub async fn record(&self, actor: Actor, events: &[NewEvent]) -> Vec<Result<Outcome, SubmitError>> {
        let group: Vec<Member<'_>> = events.iter().map(|event| (&actor, event)).collect();
        self.run(&group).await
    }

    /// Records a group; one answer for each event, in order.
    ///
    /// A correction of an event that is in the same group must find it committed, so the group is cut there.
    pub(super) async fn run(&self, group: &[Member<'_>]) -> Vec<Result<Outcome, SubmitError>> {
        let mut answers = Vec::with_capacity(group.len());
        let mut rest = group;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cut_before_dependent(rest));
            answers.extend(self.run_halving(now).await);
            rest = later;
        }
        answers
    }

    /// Records events that do not depend on each other. Where the database refuses the group for a reason that
    /// should have been caught before, it is halved until the culprit alone gets the error.
    async fn run_halving(&self, group: &[Member<'_>]) -> Vec<Result<Outcome, SubmitError>> {
        let mut answers = Vec::with_capacity(group.len());
        let mut pending = vec![group];
        while let Some(part) = pending.pop() {
            match self.run_once(part).await {
                Ok(outcomes) => answers.extend(outcomes.into_iter().map(Ok)),
                Err(error) if error.is_unavailable() || error.is_retryable() => {
                    tracing::warn!(%error, events = part.len(), "usage could not be recorded; callers are told to come back");
                    answers.extend(part.iter().map(|_| Err(SubmitError::Unavailable)));
                }
                Err(error) if part.len() == 1 => {
                    tracing::error!(%error, "the database refused an event");
                    answers.push(Err(SubmitError::Internal));
                }
                Err(error) => {
                    tracing::warn!(%error, events = part.len(), "the database refused a group of events; halving it");
                    let (first, second) = part.split_at(part.len() / 2);
                    pending.push(second);
                    pending.push(first);
                }
            }
        }
        answers
    }

    async fn run_once(&self, group: &[Member<'_>]) -> Result<Vec<Outcome>, StoreError> {
        let mut under_locks = false;
        for attempt in 0..ATTEMPTS {
            match self.attempt(group, under_locks).await {
                Ok(Tried::Done(outcomes)) => return Ok(outcomes),
                Ok(Tried::Again) => {}
                Ok(Tried::NeedsLocks) => under_locks = true,
                Err(error) if is_missing_month(&error) => self.forget_months(),
                Err(error) if error.is_retryable() || is_lock_timeout(&error) => {
                    // Different callers step back by different times, so that they do not meet again.
                    let [jitter] = self.env.ids.bytes::<1>();
                    let wait = u64::from(attempt) * 3 + u64::from(jitter) / 16;
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                Err(error) => return Err(error),
            }
            metrics::counter!("tenantry_ingest_group_retries_total").increment(1);
        }
        Err(StoreError::Unavailable(format!("a group of usage events found no calm moment in {ATTEMPTS} tries")))
    }

    async fn attempt(&self, group: &[Member<'_>], under_locks: bool) -> Result<Tried, StoreError> {
        let tenants: Vec<Uuid> =
            group.iter().map(|(_, event)| event.tenant_id).collect::<BTreeSet<_>>().into_iter().collect();
        let tx = self.db.begin("record_usage", &tenants).await?;
        match self.decide(&tx, group, under_locks).await {
            Ok((Tried::Done(outcomes), _)) => {
                tx.commit().await?;
                Ok(Tried::Done(outcomes))
            }
            Ok((other, missing)) => {
                tx.rollback().await?;
                if !missing.is_empty() {
                    opening::open(&self.db, &self.env, &missing).await?;
                }
                Ok(other)
            }
            Err(error) => {
                tx.rollback().await?;
                Err(error)
            }
        }
    }

    /// Decides and writes; what comes beside `Again` are the counters that must be made first.
    async fn decide(
        &self,
        tx: &Tx,
        group: &[Member<'_>],
        under_locks: bool,
    ) -> Result<(Tried, Vec<Wanted>), StoreError> {
        let now = self.env.clock.now();
        let needs: Vec<Need<'_>> = group.iter().map(|(actor, event)| Need::of(actor, event)).collect();
        let mut facts = facts::read(tx, &needs).await?;
        let (mut outcomes, ready, missing) = self.prepare_all(group, &facts);
        if !missing.is_empty() {
            return Ok((Tried::Again, missing));
        }
        if !ready.is_empty() {
            self.ensure_months(&ready).await?;
            let events: Vec<&NewEvent> = group.iter().map(|(_, event)| *event).collect();
            let ids: Vec<Uuid> = group.iter().map(|_| self.env.ids.uuid_v7(now)).collect();
            let sources = Sources { env: &self.env, now };
            let written = if under_locks || !optimistic::is_possible(&ready, &events, &facts) {
                match locked::write(tx, ready, &events, &ids, &mut facts, &sources).await? {
                    locked::Tried::Done(written) => written,
                    locked::Tried::Changed => return Ok((Tried::Again, Vec::new())),
                }
            } else {
                match optimistic::write(tx, &ready, &events, &ids, &facts, &sources).await? {
                    optimistic::Tried::Done(written) => written,
                    optimistic::Tried::NeedsLocks => return Ok((Tried::NeedsLocks, Vec::new())),
                }
            };
            for (index, outcome) in written {
                outcomes[index] = Some(outcome);
            }
        }
        let outcomes: Option<Vec<Outcome>> = outcomes.into_iter().collect();
        outcomes
            .map(|outcomes| (Tried::Done(outcomes), Vec::new()))
            .ok_or_else(|| StoreError::corrupt("group of events", "an event was left without an outcome"))
    }

    fn prepare_all(&self, group: &[Member<'_>], facts: &Facts) -> (Vec<Option<Outcome>>, Vec<Prepared>, Vec<Wanted>) {
        let mut outcomes = vec![None; group.len()];
        let mut ready = Vec::with_capacity(group.len());
        let mut missing = BTreeSet::new();
        for (index, (actor, event)) in group.iter().enumerate() {
            match prepare(index, actor, event, facts, self.settings.late_window) {
                Preparation::Done(outcome) => outcomes[index] = Some(outcome),
                Preparation::Ready(prepared) => ready.push(prepared),
                Preparation::NeedsCounter(metric, at) => {
                    missing.insert(Wanted { tenant_id: event.tenant_id, metric, at });
                }
            }
        }
        (outcomes, ready, missing.into_iter().collect())
    }

    /// Makes the months that these events fall in, in a transaction of its own.
    async fn ensure_months(&self, ready: &[Prepared]) -> Result<(), StoreError> {
        let unknown: BTreeSet<(i64, Timestamp)> = {
            let months = self.months.lock().unwrap_or_else(PoisonError::into_inner);
            ready
                .iter()
                .map(|event| (month_number(event.occurred_at), event.occurred_at))
                .filter(|(month, _)| !months.contains(month))
                .collect()
        };
        let mut last = None;
        for (month, at) in unknown {
            if last == Some(month) {
                continue;
            }
            let tx = self.db.begin("ensure_usage_month", &[]).await?;
            commit::ensure_month(&tx, at).await?;
            tx.commit().await?;
            self.months.lock().unwrap_or_else(PoisonError::into_inner).insert(month);
            last = Some(month);
        }
        Ok(())
    }

    fn forget_months(&self) {
        self.months.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// How many events come before the first correction of an event in the same group.
fn cut_before_dependent(group: &[Member<'_>]) -> usize {
    let mut keys = HashSet::new();
    for (position, (_, event)) in group.iter().enumerate() {
        if let Content::Reversal { reverses } = &event.content
            && keys.contains(&(event.tenant_id, reverses.as_str()))
        {
            return position;
        }
        keys.insert((event.tenant_id, event.key.as_str()));
    }
    group.len()
}

/// Months since year 0, in UTC.
fn month_number(at: Timestamp) -> i64 {
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    i64::from(date.year()) * 12 + i64::from(date.month())
}

/// No partition for a row's month: the only check violation that names no constraint.
fn is_missing_month(error: &StoreError) -> bool {
    error.state() == Some(&SqlState::CHECK_VIOLATION) && error.constraint().is_none()
}

fn is_lock_timeout(error: &StoreError) -> bool {
    error.state() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}
