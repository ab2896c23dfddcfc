//! One group of events, from facts to commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::opening::{self, Wanted};
use super::super::outcome::{Invalid, Outcome, SubmitError};
use super::claims::{Claimed, Keys};
use super::facts::{self, Facts, Need};
use super::lane::{Answered, Care, Figures, Left, leave, whole};
use super::prepare::{Preparation, Prepared, prepare, prepare_in_group, unknown_key};
use super::{Sources, locked, optimistic, repeats, spend};
use crate::begin_with;
use crate::env::Env;
use crate::storage::usage::commit;
use crate::storage::{Database, StoreError, Tx};
use crate::tenancy::Actor;

/// How often a group starts again before its callers are told to come back.
pub(super) const ATTEMPTS: u32 = 12;

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
    pub(super) settings: GroupSettings,
    /// Months that were seen to have a partition: a hint that saves a call, the insert finds out anyway.
    months: Arc<Mutex<HashSet<i64>>>,
    /// Groups that go without an early claim, because one was in vain: a hint that saves work, it decides nothing.
    patience: Arc<AtomicU32>,
    pub(super) figures: Figures,
}

/// How long a group of the fast lane waits for counters that it wants to decide under locks: longer than others need
/// to commit.
const COUNTER_LOCK_TIMEOUT: Duration = Duration::from_millis(50);

/// Groups that claim their keys after the facts once an early claim was in vain.
const PATIENCE: u32 = 16;

/// How a group is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Keys are claimed in the round trip that reads the facts.
    Early,
    /// Keys are claimed when the facts are known.
    InOrder,
    /// Counters first: everything is decided under their locks.
    UnderLocks,
}

/// One event of a group with who sent it.
pub(super) type Member<'a> = (&'a Actor, &'a NewEvent);

/// How a try ended.
pub(super) enum Tried {
    /// An event without an outcome is left for the careful lane.
    Done(Vec<Option<Outcome>>),
    /// Nothing was written; the same again.
    Again,
    /// Nothing was written; these must be made first.
    Missing(Missing),
    /// Nothing was written; decide under locks.
    NeedsLocks,
    /// Keys were claimed that must not be: the same again, in order.
    TooEarly,
}

/// What is to become of a transaction.
enum Judged {
    /// The fast way can write and commit it.
    Plain(Box<Plain>),
    /// Everything is written.
    Written(Vec<Option<Outcome>>, Left),
    /// Nothing of it stays.
    Undo(Tried),
}

/// A group that the fast way can write.
struct Plain {
    outcomes: Vec<Option<Outcome>>,
    left: Left,
    ready: Vec<Prepared>,
    facts: Facts,
    claimed: Claimed,
}

/// What a group needs and was not there. It is made in transactions of their own, after the group's: one that held
/// its connection while it waits for a second could wait for ever.
#[derive(Default)]
pub(super) struct Missing {
    pub(super) counters: Vec<Wanted>,
    /// (number of the month, an instant in it).
    pub(super) months: Vec<(i64, Timestamp)>,
}

/// A group that is tried, and when.
struct About<'a> {
    group: &'a [Member<'a>],
    events: &'a [&'a NewEvent],
    /// Digests of the events.
    hashes: &'a [Uuid],
    care: Care<'a>,
    now: Timestamp,
}

/// A group after its events were held against the facts.
#[derive(Default)]
pub(super) struct Sorted {
    /// By position in the group; none where the event is still to be decided.
    pub(super) outcomes: Vec<Option<Outcome>>,
    pub(super) ready: Vec<Prepared>,
    pub(super) repeats_only: Vec<(usize, Invalid)>,
    pub(super) missing: Vec<Wanted>,
}

impl Recorder {
    /// A recorder over this database.
    pub fn new(db: Database, env: Env, settings: GroupSettings) -> Self {
        Self { db, env, settings, months: Arc::default(), patience: Arc::default(), figures: Figures::default() }
    }

    /// Records events of one caller at once, without the queue; for imports and tests.
    pub async fn record(&self, actor: Actor, events: &[NewEvent]) -> Vec<Result<Outcome, SubmitError>> {
        let group: Vec<Member<'_>> = events.iter().map(|event| (&actor, event)).collect();
        self.run(&group, Care::Here)
            .await
            .into_iter()
            .map(|answer| answer.unwrap_or(Err(SubmitError::Internal)))
            .collect()
    }

    /// Records a group; one answer for each event, in order. Where the database refuses the group for a reason that
    /// should have been caught before, it is halved until the culprit alone gets the error; a half leaves nothing.
    pub(super) async fn run(&self, group: &[Member<'_>], care: Care<'_>) -> Vec<Answered> {
        let mut answers = Vec::with_capacity(group.len());
        let mut pending = vec![(group, care)];
        while let Some((part, care)) = pending.pop() {
            match self.run_once(part, care).await {
                Ok(outcomes) => answers.extend(outcomes.into_iter().map(|outcome| outcome.map(Ok))),
                Err(error) if error.is_unavailable() || error.is_retryable() => {
                    tracing::warn!(%error, events = part.len(), "usage could not be recorded; callers are told to come back");
                    answers.extend(part.iter().map(|_| Some(Err(SubmitError::Unavailable))));
                }
                Err(error) if part.len() == 1 => {
                    tracing::error!(%error, "the database refused an event");
                    answers.push(Some(Err(SubmitError::Internal)));
                }
                Err(error) => {
                    tracing::warn!(%error, events = part.len(), "the database refused a group of events; halving it");
                    let (first, second) = part.split_at(part.len() / 2);
                    pending.push((second, Care::Here));
                    pending.push((first, Care::Here));
                }
            }
        }
        answers
    }

    async fn run_once(&self, group: &[Member<'_>], care: Care<'_>) -> Result<Vec<Option<Outcome>>, StoreError> {
        let events: Vec<&NewEvent> = group.iter().map(|(_, event)| *event).collect();
        let hashes: Vec<Uuid> = events.iter().map(|event| event.content_hash()).collect();
        let mut way = if matches!(care, Care::First) { Way::InOrder } else { self.first_way() };
        let mut was_refused = false;
        for attempt in 0..ATTEMPTS {
            match Box::pin(self.attempt((group, care), (&events, &hashes), way)).await {
                Ok(Tried::Done(outcomes)) => return Ok(outcomes),
                Ok(Tried::Again | Tried::Missing(_)) => {}
                // What the counters' guard saw, the facts mostly show now: then only those that it is about are left.
                Ok(Tried::NeedsLocks) if matches!(care, Care::Elsewhere(_)) => {
                    if was_refused {
                        return Ok(vec![None; group.len()]);
                    }
                    was_refused = true;
                    way = self.instead_of(way, Way::InOrder);
                }
                Ok(Tried::NeedsLocks) => way = self.instead_of(way, Way::UnderLocks),
                Ok(Tried::TooEarly) => way = self.instead_of(way, Way::InOrder),
                // Somebody holds a counter for long: whoever does not need it is not to wait.
                Err(error) if matches!(care, Care::Elsewhere(_)) && is_lock_timeout(&error) => {
                    return Ok(vec![None; group.len()]);
                }
                Err(error) => self.step_back(error, attempt).await?,
            }
            metrics::counter!("tenantry_ingest_group_retries_total").increment(1);
        }
        Err(StoreError::Unavailable(format!("a group of usage events found no calm moment in {ATTEMPTS} tries")))
    }

    /// After a try that failed: gives the error back where another try would end the same way, else waits for it.
    pub(super) async fn step_back(&self, error: StoreError, attempt: u32) -> Result<(), StoreError> {
        if commit::is_claimed_meanwhile(&error) {
            return Ok(());
        }
        if is_missing_month(&error) {
            self.forget_months();
            return Ok(());
        }
        if !error.is_retryable() && !is_lock_timeout(&error) {
            return Err(error);
        }
        // Different callers step back by different times, so that they do not meet again.
        let [jitter] = self.env.ids.bytes::<1>();
        let wait = u64::from(attempt) * 3 + u64::from(jitter) / 16;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Ok(())
    }

    fn first_way(&self) -> Way {
        let waits = self.patience.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if waits.is_ok() { Way::InOrder } else { Way::Early }
    }

    /// The next way of a group for which this one was wrong.
    fn instead_of(&self, way: Way, next: Way) -> Way {
        if way == Way::Early {
            self.patience.store(PATIENCE, Ordering::Relaxed);
        }
        next
    }

    async fn attempt(
        &self,
        (group, care): (&[Member<'_>], Care<'_>),
        (events, hashes): (&[&NewEvent], &[Uuid]),
        way: Way,
    ) -> Result<Tried, StoreError> {
        let tenants: Vec<Uuid> =
            events.iter().map(|event| event.tenant_id).collect::<BTreeSet<_>>().into_iter().collect();
        let now = self.env.clock.now();
        let needs: Vec<Need<'_>> = group.iter().map(|(actor, event)| Need::of(actor, event)).collect();
        let keys = (way == Way::Early).then(|| Keys::of(0..events.len(), events));
        let early = keys.and_then(|keys| keys.columns(events, hashes).map(|columns| (keys, columns)));
        let (tx, read) = begin_with!(self.db, "record_usage", &tenants, |tx| async {
            tokio::try_join!(biased; facts::read(tx, &needs, now), async {
                let Some((keys, columns)) = early else { return Ok(None) };
                Ok(Some(Claimed::new(keys, commit::claim_keys(tx, &columns).await?, events)))
            })
        })?;
        let about = About { group, events, hashes, care, now };
        let judged = match read {
            Ok((facts, claimed)) => self.judge(&tx, &about, (facts, claimed), way).await,
            Err(error) => Err(error),
        };
        match judged {
            Ok(Judged::Plain(plain)) => {
                let Plain { mut outcomes, left, ready, facts, claimed } = *plain;
                let ids = self.ids_for(events, now);
                match optimistic::write(tx, &ready, events, &ids, (&facts, &claimed), now).await? {
                    optimistic::Tried::Done(written) => {
                        fill(&mut outcomes, written);
                        whole(outcomes, &left).map(Tried::Done)
                    }
                    optimistic::Tried::NeedsLocks => Ok(Tried::NeedsLocks),
                }
            }
            Ok(Judged::Written(outcomes, left)) => {
                let outcomes = whole(outcomes, &left)?;
                tx.commit().await?;
                Ok(Tried::Done(outcomes))
            }
            Ok(Judged::Undo(tried)) => {
                tx.rollback().await?;
                if let Tried::Missing(missing) = &tried {
                    self.make(missing).await?;
                }
                Ok(tried)
            }
            Err(error) => {
                tx.rollback().await?;
                Err(error)
            }
        }
    }

    /// Decides a group under its counters' locks and writes it, but does not commit.
    pub(super) async fn decide_under_locks(&self, tx: &Tx, group: &[Member<'_>]) -> Result<Tried, StoreError> {
        let events: Vec<&NewEvent> = group.iter().map(|(_, event)| *event).collect();
        let hashes: Vec<Uuid> = events.iter().map(|event| event.content_hash()).collect();
        let now = self.env.clock.now();
        let needs: Vec<Need<'_>> = group.iter().map(|(actor, event)| Need::of(actor, event)).collect();
        let facts = facts::read(tx, &needs, now).await?;
        let about = About { group, events: &events, hashes: &hashes, care: Care::Here, now };
        match self.judge(tx, &about, (facts, None), Way::UnderLocks).await? {
            Judged::Written(outcomes, left) => whole(outcomes, &left).map(Tried::Done),
            Judged::Undo(tried) => Ok(tried),
            Judged::Plain(_) => Err(StoreError::corrupt("group of events", "the fast way was taken under locks")),
        }
    }

    fn ids_for(&self, events: &[&NewEvent], now: Timestamp) -> Vec<Uuid> {
        events.iter().map(|_| self.env.ids.uuid_v7(now)).collect()
    }

    /// Decides which way a group goes, and goes it where that is the careful one.
    async fn judge(
        &self,
        tx: &Tx,
        about: &About<'_>,
        (mut facts, claimed): (Facts, Option<Claimed>),
        way: Way,
    ) -> Result<Judged, StoreError> {
        let About { group, events, hashes, care, now } = *about;
        let Sorted { mut outcomes, mut ready, repeats_only, missing } = self.prepare_all(group, hashes, &facts);
        let months = self.unknown_months(&ready);
        if !missing.is_empty() || !months.is_empty() {
            return Ok(Judged::Undo(Tried::Missing(Missing { counters: missing, months })));
        }
        if claimed.is_some() && ready.len() < events.len() {
            return Ok(Judged::Undo(Tried::TooEarly));
        }
        if !repeats_only.is_empty() {
            repeats::find(tx, repeats_only, group, &mut ready, &mut outcomes, &mut facts).await?;
        }
        let mut left = Left::new();
        let mut is_plain = way != Way::UnderLocks;
        if is_plain {
            let needing = optimistic::needing_locks(&ready, events, &facts);
            if !needing.positions.is_empty() && claimed.is_some() {
                return Ok(Judged::Undo(Tried::TooEarly));
            }
            match care {
                // Where a limit is near for all of them, to decide it here is the faster.
                Care::Elsewhere(requests) if needing.near < ready.len() => {
                    self.figures.note(ready.iter().map(|event| &facts.counters[event.counter]));
                    left = leave(requests, &needing.positions, &mut outcomes, &mut ready);
                }
                _ => is_plain = needing.positions.is_empty(),
            }
        }
        if ready.is_empty() {
            return Ok(Judged::Written(outcomes, left));
        }
        if is_plain {
            let claimed = match claimed {
                Some(claimed) => claimed,
                None => optimistic::claim(tx, &ready, events, &facts).await?,
            };
            return Ok(Judged::Plain(Box::new(Plain { outcomes, left, ready, facts, claimed })));
        }
        match care {
            Care::Elsewhere(_) => commit::set_lock_timeout(tx, COUNTER_LOCK_TIMEOUT).await?,
            Care::First => self.figures.forget(ready.iter().map(|event| &facts.counters[event.counter])),
            Care::Here => {}
        }
        let ids = self.ids_for(events, now);
        let sources = Sources { env: &self.env, now };
        match locked::write(tx, ready, events, &ids, &mut facts, &sources).await? {
            locked::Tried::Done(mut written) => {
                for (index, outcome) in &mut written {
                    spend::hide_money(outcome, group[*index], &facts);
                }
                fill(&mut outcomes, written);
                Ok(Judged::Written(outcomes, left))
            }
            locked::Tried::Changed => Ok(Judged::Undo(Tried::Again)),
        }
    }

    pub(super) fn prepare_all(&self, group: &[Member<'_>], hashes: &[Uuid], facts: &Facts) -> Sorted {
        let mut sorted =
            Sorted { outcomes: vec![None; group.len()], ready: Vec::with_capacity(group.len()), ..Sorted::default() };
        let mut missing = BTreeSet::new();
        let mut earlier = Earlier::default();
        for (index, (actor, event)) in group.iter().enumerate() {
            match prepare((index, hashes[index]), actor, event, facts, self.settings.late_window) {
                Preparation::Done(outcome) => sorted.outcomes[index] = Some(outcome),
                Preparation::Ready(prepared) => sorted.ready.push(prepared),
                Preparation::RepeatOnly(invalid) => sorted.repeats_only.push((index, invalid)),
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

    pub(super) async fn make(&self, missing: &Missing) -> Result<(), StoreError> {
        for &(month, at) in &missing.months {
            let tx = self.db.begin("ensure_usage_month", &[]).await?;
            commit::ensure_month(&tx, at).await?;
            tx.commit().await?;
            self.months.lock().unwrap_or_else(PoisonError::into_inner).insert(month);
        }
        opening::open(&self.db, &self.env, &missing.counters).await
    }

    /// The months that these events fall in and that were not seen to have a partition.
    pub(super) fn unknown_months(&self, ready: &[Prepared]) -> Vec<(i64, Timestamp)> {
        let months = self.months.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown: BTreeMap<i64, Timestamp> = ready
            .iter()
            .map(|event| (month_number(event.occurred_at), event.occurred_at))
            .filter(|(month, _)| !months.contains(month))
            .collect();
        unknown.into_iter().collect()
    }

    pub(super) fn forget_months(&self) {
        self.months.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn fill(outcomes: &mut [Option<Outcome>], written: Vec<(usize, Outcome)>) {
    for (index, outcome) in written {
        outcomes[index] = Some(outcome);
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
pub(super) fn is_missing_month(error: &StoreError) -> bool {
    error.state() == Some(&SqlState::CHECK_VIOLATION) && error.constraint().is_none()
}

pub(super) fn is_lock_timeout(error: &StoreError) -> bool {
    error.state() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}
