//! The careful way: counters locked first, every event decided in order of arrival under those locks.
//!
//! Used where a limit is near, an event is late in its segment or period, or a correction takes usage back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::outcome::{Invalid, Outcome, Refusal};
use super::super::{charges, holds, recount};
use super::facts::Facts;
use super::notices::{self, Change};
use super::prepare::{Claim, Prepared, reversal_of_reversal, unknown_key};
use super::spend::{self, CounterKey, Spend};
use super::tallies::Tallies;
use super::{Sources, answer, same_content};
use super::{columns, further};
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::open::SegmentRow;
use crate::storage::usage::{commit, rollups, segments};
use crate::storage::{StoreError, Tx};

/// A group on the fast way claims keys before counters, this way does the reverse. Where both meet on one key,
/// this one steps back after this long instead of waiting for the deadlock detector (1 s).
const KEY_LOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// What became of a try.
pub(super) enum Tried {
    /// Written; outcomes by position in the group. Not committed yet.
    Done(Vec<(usize, Outcome)>),
    /// The facts changed before the locks were had: start again.
    Changed,
}

/// Locks, decides and writes a group in an open transaction.
pub(super) async fn write(
    tx: &Tx,
    mut prepared: Vec<Prepared>,
    group: &[&NewEvent],
    ids: &[Uuid],
    facts: &mut Facts,
    sources: &Sources<'_>,
) -> Result<Tried, StoreError> {
    let watchable = spend::periods_of(&prepared, facts);
    let beside = spend::counters_beside(tx, &watchable).await?;
    if !lock(tx, &mut prepared, group, facts, (beside, sources.now)).await? {
        return Ok(Tried::Changed);
    }
    let watchable = spend::periods_of(&prepared, facts);
    let Some(spend) = Spend::read(tx, &watchable, facts, sources.now).await? else { return Ok(Tried::Changed) };
    let segments = segments_of_late(tx, &prepared, facts).await?;
    let keeps_originals = prepared.iter().any(|event| event.claim == Claim::InGroup);
    let tallies = Tallies::load(tx, &prepared, ids, facts, (&segments, &spend)).await?;
    let mut decision = Decision::new(known_keys(tx, &prepared, group).await?, keeps_originals, (tallies, spend));
    for event in &mut prepared {
        if !decision.decide(event, group[event.index], facts) {
            return Ok(Tried::Changed);
        }
    }
    let mut accepted: Vec<&Prepared> =
        prepared.iter().filter(|event| decision.accepted.contains(&event.index)).collect();
    accepted.sort_unstable_by(|a, b| {
        let (a, b) = (group[a.index], group[b.index]);
        (a.tenant_id, a.key.as_str()).cmp(&(b.tenant_id, b.key.as_str()))
    });
    if !accepted.is_empty() {
        let events = columns::events(&accepted, group, decision.tallies.ids(), facts);
        commit::set_lock_timeout(tx, KEY_LOCK_TIMEOUT).await?;
        if !commit::claim_keys(tx, &columns::keys(&accepted, group, facts)).await?.is_empty() {
            return Ok(Tried::Changed);
        }
        commit::set_lock_timeout(tx, Duration::ZERO).await?;
        if !mark_reversed(tx, &accepted, group).await? {
            return Ok(Tried::Changed);
        }
        commit::insert_events(tx, &events, sources.now).await?;
        commit::add_rollups(tx, &columns::rollups(&accepted, facts)).await?;
        rollups::add(tx, &further::sums(&accepted, facts)).await?;
        let late = late_amounts(&accepted, &decision.tallies, facts, &segments);
        commit::add_segment_amounts(tx, &late).await?;
        decision.tallies.write(tx, &accepted, facts).await?;
        recount::segments(tx, &late_figures(&accepted, facts)).await?;
    }
    let mut sums = columns::sums(&accepted);
    decision.tallies.settle(&mut sums, facts);
    write_counters(tx, &sums, &decision.refused, facts, sources).await?;
    decision.spend.tell(tx, sources).await?;
    adjust_closed(tx, &sums, facts, sources).await?;
    Ok(Tried::Done(decision.outcomes))
}

/// Adds sums and refusals to locked counters, and tells of what they give cause to.
pub(super) async fn write_counters(
    tx: &Tx,
    sums: &BTreeMap<usize, (Decimal, i64)>,
    refused: &BTreeMap<usize, i64>,
    facts: &Facts,
    sources: &Sources<'_>,
) -> Result<(), StoreError> {
    let changes = columns::counters(sums, refused, facts);
    if changes.tenant_id.is_empty() {
        return Ok(());
    }
    let refused_before = commit::add_locked(tx, &changes).await?;
    tell(tx, sums, (refused, refused_before), facts, sources).await
}

/// Locks the counters of these events, takes expired holds out of them and reads them again; false where an event's
/// counter is no longer its own. `beside` are locked with them.
pub(super) async fn lock(
    tx: &Tx,
    prepared: &mut [Prepared],
    group: &[&NewEvent],
    facts: &mut Facts,
    (beside, now): (Vec<CounterKey>, Timestamp),
) -> Result<bool, StoreError> {
    let wanted: BTreeSet<CounterKey> = prepared
        .iter()
        .map(|event| {
            let counter = &facts.counters[event.counter];
            (counter.tenant_id, counter.metric.clone(), counter.period_start)
        })
        .chain(beside)
        .collect();
    let tenants: Vec<Uuid> = wanted.iter().map(|key| key.0).collect();
    let metrics: Vec<&str> = wanted.iter().map(|key| key.1.as_str()).collect();
    let starts: Vec<Timestamp> = wanted.iter().map(|key| key.2).collect();
    let mut locked = commit::lock_counters(tx, &tenants, &metrics, &starts).await?;
    holds::expire(tx, &mut locked, now).await?;
    let prepared_for: Vec<(String, String)> = prepared
        .iter()
        .map(|event| &facts.counters[event.counter])
        .map(|counter| (counter.metric.clone(), counter.aggregation.clone()))
        .collect();
    facts.put_counters(locked);
    for (event, (metric, aggregation)) in prepared.iter_mut().zip(prepared_for) {
        match facts.counter_at(group[event.index].tenant_id, &metric, event.place()) {
            Some(counter) if facts.counters[counter].aggregation == aggregation => event.counter = counter,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

pub(super) type PeriodSegments = HashMap<(Uuid, Timestamp), Vec<SegmentRow>>;

/// The segments of the periods in which some event lies before the current segment.
async fn segments_of_late(tx: &Tx, prepared: &[Prepared], facts: &Facts) -> Result<PeriodSegments, StoreError> {
    let late: BTreeSet<(Uuid, Timestamp)> = prepared
        .iter()
        .filter(|event| event.occurred_at < facts.counters[event.counter].segment_start)
        .map(|event| (facts.counters[event.counter].tenant_id, facts.counters[event.counter].period_start))
        .collect();
    let mut by_period = PeriodSegments::new();
    if !late.is_empty() {
        let (tenants, starts): (Vec<Uuid>, Vec<Timestamp>) = late.into_iter().unzip();
        for segment in segments::segments_of(tx, &tenants, &starts).await? {
            by_period.entry((segment.tenant_id, segment.period_start)).or_default().push(segment);
        }
    }
    Ok(by_period)
}

/// The counters that are no sums in which some event lies before the current segment.
fn late_figures(accepted: &[&Prepared], facts: &Facts) -> Vec<CounterRow> {
    let late: BTreeSet<usize> = accepted
        .iter()
        .filter(|event| event.occurred_at < facts.counters[event.counter].segment_start)
        .map(|event| event.counter)
        .collect();
    late.into_iter().map(|index| facts.counters[index].clone()).filter(|row| row.aggregation != "sum").collect()
}

/// What events before the current segment add to the segments that have ended, of sums.
fn late_amounts(
    accepted: &[&Prepared],
    tallies: &Tallies,
    facts: &Facts,
    segments: &PeriodSegments,
) -> Vec<((Uuid, String, Timestamp), i32, Decimal)> {
    let mut sums: BTreeMap<((Uuid, String, Timestamp), i32), Decimal> = BTreeMap::new();
    for event in accepted {
        let counter = &facts.counters[event.counter];
        if event.occurred_at >= counter.segment_start || tallies.has(event.counter) {
            continue;
        }
        let sequence = segments
            .get(&(counter.tenant_id, counter.period_start))
            .and_then(|segments| segments.iter().rev().find(|segment| segment.started_at <= event.occurred_at))
            .map_or(0, |segment| segment.sequence);
        let key = (counter.tenant_id, counter.metric.clone(), counter.period_start);
        *sums.entry((key, sequence)).or_default() += event.amount;
    }
    sums.into_iter().map(|((key, sequence), amount)| (key, sequence, amount)).collect()
}

async fn known_keys(tx: &Tx, prepared: &[Prepared], group: &[&NewEvent]) -> Result<KnownKeys, StoreError> {
    let tenants: Vec<Uuid> = prepared.iter().map(|event| group[event.index].tenant_id).collect();
    let keys: Vec<&str> = prepared.iter().map(|event| group[event.index].key.as_str()).collect();
    Ok(commit::known_keys(tx, &tenants, &keys)
        .await?
        .into_iter()
        .map(|known| ((known.tenant_id, known.key), (known.content_hash, known.occurred_at, known.timestamp_given)))
        .collect())
}

async fn mark_reversed(tx: &Tx, accepted: &[&Prepared], group: &[&NewEvent]) -> Result<bool, StoreError> {
    let reversals: Vec<(Uuid, String, String)> = accepted
        .iter()
        .filter_map(|event| match &group[event.index].content {
            Content::Reversal { reverses } => {
                Some((group[event.index].tenant_id, reverses.clone(), group[event.index].key.clone()))
            }
            Content::Usage { .. } => None,
        })
        .collect();
    if reversals.is_empty() { Ok(true) } else { commit::mark_reversed(tx, &reversals).await }
}

/// How many events had been refused at each counter, by its key.
type RefusedBefore = Vec<((Uuid, String, Timestamp), i64)>;

/// Tells of limits that came near or were reached, and of first refusals.
async fn tell(
    tx: &Tx,
    sums: &BTreeMap<usize, (Decimal, i64)>,
    (refused, refused_before): (&BTreeMap<usize, i64>, RefusedBefore),
    facts: &Facts,
    sources: &Sources<'_>,
) -> Result<(), StoreError> {
    let never_refused: BTreeSet<(Uuid, String, Timestamp)> =
        refused_before.into_iter().filter(|(_, before)| *before == 0).map(|(key, _)| key).collect();
    let touched: BTreeSet<usize> = sums.keys().chain(refused.keys()).copied().collect();
    let changes = touched.into_iter().map(|index| {
        let counter = &facts.counters[index];
        let key = (counter.tenant_id, counter.metric.clone(), counter.period_start);
        Change {
            counter,
            included: counter.included,
            hard_limit: counter.hard_limit,
            before: counter.total,
            after: counter.total + sums.get(&index).map_or(Decimal::ZERO, |sum| sum.0),
            is_first_refusal: refused.contains_key(&index) && never_refused.contains(&key),
        }
    });
    notices::tell(tx, sources, changes).await
}

/// A closed period that changed is charged or credited in the same transaction; also where its total is what it was,
/// since its events may lie in segments of different prices.
async fn adjust_closed(
    tx: &Tx,
    sums: &BTreeMap<usize, (Decimal, i64)>,
    facts: &Facts,
    sources: &Sources<'_>,
) -> Result<(), StoreError> {
    let changed: Vec<CounterRow> = sums.keys().map(|index| facts.counters[*index].clone()).collect();
    charges::adjust_closed(tx, &changed, sources.env, sources.now).await
}

/// (digest, timestamp, whether it was given) by (tenant, key).
type KnownKeys = HashMap<(Uuid, String), (Uuid, Timestamp, bool)>;

/// Decides events one after the other against running totals.
struct Decision {
    known: KnownKeys,
    /// The counters that are no sums.
    tallies: Tallies,
    /// Whether some correction takes back an event of the group.
    keeps_originals: bool,
    added: HashMap<usize, Decimal>,
    reversed: BTreeSet<(Uuid, String)>,
    accepted: BTreeSet<usize>,
    /// What corrections in the group may take back: accepted events by key, and whether they are usage.
    here: HashMap<(Uuid, String), (Prepared, bool)>,
    refused: BTreeMap<usize, i64>,
    spend: Spend,
    outcomes: Vec<(usize, Outcome)>,
}

/// What a correction names.
enum Original<'a> {
    /// An event that was accepted before it in the group.
    Here(&'a Prepared),
    /// One that another group committed after the facts were read.
    Elsewhere,
    /// Nothing that can be taken back.
    None(Outcome),
}

impl Decision {
    fn new(known: KnownKeys, keeps_originals: bool, (tallies, spend): (Tallies, Spend)) -> Self {
        Self {
            known,
            tallies,
            keeps_originals,
            added: HashMap::new(),
            reversed: BTreeSet::new(),
            accepted: BTreeSet::new(),
            here: HashMap::new(),
            refused: BTreeMap::new(),
            spend,
            outcomes: Vec::new(),
        }
    }

    /// Decides one event; false where the facts do not fit what is known under the locks.
    fn decide(&mut self, event: &mut Prepared, raw: &NewEvent, facts: &Facts) -> bool {
        if let (Claim::InGroup, Content::Reversal { reverses }) = (&event.claim, &raw.content) {
            match self.original(raw.tenant_id, reverses) {
                Original::Here(original) => {
                    let taken = original.taken_back();
                    event.original = self.tallies.id_of(taken.index);
                    (event.counter, event.amount, event.part) = (taken.counter, taken.amount, taken.part);
                    (event.occurred_at, event.user_id) = (taken.occurred_at, taken.user_id);
                    event.of_original = Some(taken.metadata);
                }
                Original::Elsewhere => return false,
                Original::None(outcome) => {
                    self.outcomes.push((event.index, outcome));
                    return true;
                }
            }
        }
        let outcome = self.outcome(event, raw, facts);
        self.outcomes.push((event.index, outcome));
        true
    }

    /// What a correction of an event of the group takes back.
    fn original(&self, tenant: Uuid, reverses: &str) -> Original<'_> {
        let key = (tenant, reverses.to_owned());
        match self.here.get(&key) {
            Some((original, true)) => Original::Here(original),
            Some((_, false)) => Original::None(reversal_of_reversal()),
            None if self.known.contains_key(&key) => Original::Elsewhere,
            None => Original::None(unknown_key()),
        }
    }

    fn outcome(&mut self, event: &Prepared, raw: &NewEvent, facts: &Facts) -> Outcome {
        let counter = &facts.counters[event.counter];
        let total = counter.total + self.added.get(&event.counter).copied().unwrap_or_default();
        let key = (raw.tenant_id, raw.key.clone());
        if let Some((hash, at, given)) = self.known.get(&key) {
            let reply = answer(counter, total, None);
            return if same_content(event, raw, *hash, *at, *given) {
                Outcome::Duplicate(reply)
            } else {
                Outcome::Conflict(reply)
            };
        }
        if let Claim::RepeatOnly(_, invalid) = &event.claim {
            return Outcome::Invalid(invalid.clone());
        }
        if let Content::Reversal { reverses } = &raw.content {
            let taken = facts.original(raw.tenant_id, reverses).is_some_and(|original| original.reversed_by.is_some());
            if taken || self.reversed.contains(&(raw.tenant_id, reverses.clone())) {
                return Outcome::Invalid(Invalid::new(
                    "already_reversed",
                    "reverses",
                    "that event was taken back by another correction",
                ));
            }
        } else if let Some(refused) = self.refuse(event, counter, total) {
            return refused;
        }
        let growth = self.tallies.count(event);
        match self.spend.weigh(event, counter, growth.as_ref()) {
            Ok(Some(weighed)) => self.spend.take(counter, &weighed),
            Ok(None) => {}
            Err(cap) => {
                self.tallies.undo(event);
                let answer = answer(counter, total, None);
                return Outcome::Refused(Refusal::SpendCapExceeded(Some(cap)), answer);
            }
        }
        if let Content::Reversal { reverses } = &raw.content {
            self.reversed.insert((raw.tenant_id, reverses.clone()));
        }
        let added = growth.map_or(event.amount, |growth| growth.total());
        *self.added.entry(event.counter).or_default() += added;
        if self.keeps_originals {
            let is_usage = matches!(raw.content, Content::Usage { .. });
            self.here.insert(key.clone(), (event.clone(), is_usage));
        }
        self.known.insert(key, (event.content_hash, event.occurred_at, raw.timestamp.is_some()));
        self.accepted.insert(event.index);
        Outcome::Accepted(answer(counter, total + added, None))
    }

    fn refuse(&mut self, event: &Prepared, counter: &CounterRow, total: Decimal) -> Option<Outcome> {
        let refused = match self.tallies.judge(event, counter) {
            Some(judged) => verdict(judged, counter, total),
            None => judge(event, counter, total),
        }?;
        if matches!(refused, Outcome::Refused(..)) {
            *self.refused.entry(event.counter).or_default() += 1;
        }
        Some(refused)
    }
}

/// Why usage on top of a locked counter's total, a sum, and of what it holds, is not accepted, if it is not.
pub(super) fn judge(event: &Prepared, counter: &CounterRow, total: Decimal) -> Option<Outcome> {
    if event.is_reserved() {
        return None;
    }
    let after = total + counter.held + event.amount;
    let is_over = counter.hard_limit.is_some_and(|limit| after > limit);
    verdict((is_over, after <= Quantity::TOTAL_CEILING.as_decimal()), counter, total)
}

/// The answer where usage would be above the limit, or no longer exact.
fn verdict((is_over, is_exact): (bool, bool), counter: &CounterRow, total: Decimal) -> Option<Outcome> {
    if is_over {
        let reason = if counter.in_plan { Refusal::UsageLimitExceeded } else { Refusal::MetricNotInPlan };
        return Some(Outcome::Refused(reason, answer(counter, total, None)));
    }
    (!is_exact).then(|| {
        Outcome::Invalid(Invalid::new(
            "total_too_large",
            "amount",
            "the total of a period is at most 10,000,000,000,000,000,000",
        ))
    })
}
