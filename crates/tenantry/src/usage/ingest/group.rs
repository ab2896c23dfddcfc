//! One group of events, from facts to commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::opening::{self, Wanted};
use super::super::outcome::{Invalid, Outcome, SubmitError};
use super::facts::{self, Facts, Need};
use super::prepare::{Preparation, Prepared, prepare, prepare_in_group, unknown_key};
use super::{Sources, locked, optimistic, repeats, spend};
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
    /// Nothing was written; these must be made first.
    Missing(Missing),
    /// Nothing was written; decide under locks.
    NeedsLocks,
}

/// What a group needs and was not there. It is made in transactions of their own, after the group's: one that held
/// its connection while it waits for a second could wait for ever.
#[derive(Default)]
struct Missing {
    counters: Vec<Wanted>,
    /// (number of the month, an instant in it).
    months: Vec<(i64, Timestamp)>,
}

/// A group after its events were held against the facts.
#[derive(Default)]
struct Sorted {
    /// By position in the group; none where the event is still to be decided.
    outcomes: Vec<Option<Outcome>>,
    ready: Vec<Prepared>,
    too_old: Vec<(usize, Invalid)>,
    missing: Vec<Wanted>,
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

    /// Records a group; one answer for each event, in order. Where the database refuses the group for a reason that
    /// should have been caught before, it is halved until the culprit alone gets the error.
    pub(super) async fn run(&self, group: &[Member<'_>]) -> Vec<Result<Outcome, SubmitError>> {
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
                Ok(Tried::Again | Tried::Missing(_)) => {}
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
            Ok(Tried::Done(outcomes)) => {
                tx.commit().await?;
                Ok(Tried::Done(outcomes))
            }
            other => {
                tx.rollback().await?;
                if let Ok(Tried::Missing(missing)) = &other {
                    self.make(missing).await?;
                }
                other
            }
        }
    }

    /// Decides and writes.
    async fn decide(&self, tx: &Tx, group: &[Member<'_>], under_locks: bool) -> Result<Tried, StoreError> {
        let now = self.env.clock.now();
        let needs: Vec<Need<'_>> = group.iter().map(|(actor, event)| Need::of(actor, event)).collect();
        let mut facts = facts::read(tx, &needs, now).await?;
        let Sorted { mut outcomes, mut ready, too_old, missing } = self.prepare_all(group, &facts);
        let months = self.unknown_months(&ready);
        if !missing.is_empty() || !months.is_empty() {
            return Ok(Tried::Missing(Missing { counters: missing, months }));
        }
        if !too_old.is_empty() {
            repeats::find(tx, too_old, group, &mut ready, &mut outcomes, &mut facts).await?;
        }
        if !ready.is_empty() {
            let events: Vec<&NewEvent> = group.iter().map(|(_, event)| *event).collect();
            let ids: Vec<Uuid> = group.iter().map(|_| self.env.ids.uuid_v7(now)).collect();
            let sources = Sources { env: &self.env, now };
            let mut written = if under_locks || !optimistic::is_possible(&ready, &events, &facts) {
                match locked::write(tx, ready, &events, &ids, &mut facts, &sources).await? {
                    locked::Tried::Done(written) => written,
                    locked::Tried::Changed => return Ok(Tried::Again),
                }
            } else {
                match optimistic::write(tx, &ready, &events, &ids, &facts, &sources).await? {
                    optimistic::Tried::Done(written) => written,
                    optimistic::Tried::NeedsLocks => return Ok(Tried::NeedsLocks),
                }
            };
            for (index, outcome) in &mut written {
                spend::hide_money(outcome, group[*index], &facts);
            }
            for (index, outcome) in written {
                outcomes[index] = Some(outcome);
            }
        }
        let outcomes: Option<Vec<Outcome>> = outcomes.into_iter().collect();
        outcomes
            .map(Tried::Done)
            .ok_or_else(|| StoreError::corrupt("group of events", "an event was left without an outcome"))
    }

    fn prepare_all(&self, group: &[Member<'_>], facts: &Facts) -> Sorted {
        let mut sorted =
            Sorted { outcomes: vec![None; group.len()], ready: Vec::with_capacity(group.len()), ..Sorted::default() };
        let mut missing = BTreeSet::new();
        let mut earlier = Earlier::default();
        for (index, (actor, event)) in group.iter().enumerate() {
            match prepare(index, actor, event, facts, self.settings.late_window) {
                Preparation::Done(outcome) => sorted.outcomes[index] = Some(outcome),
                Preparation::Ready(prepared) => sorted.ready.push(prepared),
                Preparation::TooOld(invalid) => sorted.too_old.push((index, invalid)),
                Preparation::NeedsCounter(metric, at) => {
                    missing.insert(Wanted { tenant_id: event.tenant_id, metric, at });
                }
                Preparation::NeedsOriginal(role) => match earlier.find(event, group, &sorted.ready) {
                    Some(original) => {
                        let prepared = prepare_in_group(index, event, &sorted.ready[original], facts, role);
                        sorted.ready.push(prepared);
                    }
                    None => sorted.outcomes[index] = Some(unknown_key()),
                },
            }
        }
        sorted.missing = missing.into_iter().collect();
        sorted
    }

    async fn make(&self, missing: &Missing) -> Result<(), StoreError> {
        for &(month, at) in &missing.months {
            let tx = self.db.begin("ensure_usage_month", &[]).await?;
            commit::ensure_month(&tx, at).await?;
            tx.commit().await?;
            self.months.lock().unwrap_or_else(PoisonError::into_inner).insert(month);
        }
        opening::open(&self.db, &self.env, &missing.counters).await
    }

    /// The months that these events fall in and that were not seen to have a partition.
    fn unknown_months(&self, ready: &[Prepared]) -> Vec<(i64, Timestamp)> {
        let months = self.months.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown: BTreeMap<i64, Timestamp> = ready
            .iter()
            .map(|event| (month_number(event.occurred_at), event.occurred_at))
            .filter(|(month, _)| !months.contains(month))
            .collect();
        unknown.into_iter().collect()
    }

    fn forget_months(&self) {
        self.months.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The events of a group by key, as far as they are ready; looked at only where a correction asks.
#[derive(Default)]
struct Earlier<'a> {
    seen: usize,
    by_key: HashMap<(Uuid, &'a str), usize>,
}

impl<'a> Earlier<'a> {
    /// Position among the ready events of the last one whose key this correction names.
    fn find(&mut self, event: &NewEvent, group: &[Member<'a>], ready: &[Prepared]) -> Option<usize> {
        let Content::Reversal { reverses } = &event.content else { return None };
        for (position, prepared) in ready.iter().enumerate().skip(self.seen) {
            let (_, raw) = group[prepared.index];
            self.by_key.insert((raw.tenant_id, raw.key.as_str()), position);
        }
        self.seen = ready.len();
        self.by_key.get(&(event.tenant_id, reverses.as_str())).copied()
    }
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
