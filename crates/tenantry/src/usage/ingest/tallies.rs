//! Counters that are no sums, while a group is decided under their locks: read once, kept event by event, written with
//! the group. What a figure becomes is the domain's (`tally`); a sum never comes here.

mod ended;
mod slots;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::try_join_all;
use jiff::Timestamp;
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use tenantry_domain::metric::{Aggregation, NoValue};
use tenantry_domain::tally::{Tally, Use};
use uuid::Uuid;

use super::facts::Facts;
use super::locked::PeriodSegments;
use super::prepare::Prepared;
use super::spend::Spend;
use crate::storage::usage::aggregated::{self, CounterKey, PartColumns};
use crate::storage::usage::facts::CounterRow;
use crate::storage::{StoreError, Tx};
use crate::tenancy::audit::hex;

/// Bytes of the longest part that is kept as it is.
const PART_BYTES: usize = 128;

/// The part of a counter's figure that an event counts in, as it is stored; empty where the figure has none.
pub(super) fn part_of(counter: &CounterRow, at: Timestamp, metadata: &serde_json::Value) -> Result<String, NoValue> {
    // What cannot be read is said by `Tallies::load`.
    let Ok(Some(aggregation)) = counter.tallied() else { return Ok(String::new()) };
    let part = aggregation.part(at, metadata)?.unwrap_or_default();
    Ok(if part.len() <= PART_BYTES { part } else { format!("sha256:{}", hex(&Sha256::digest(part.as_bytes()))) })
}

/// What an event does to the figure of its counter. Negative where it falls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Growth {
    /// What segments that have ended add more, by their position: where what they cost is judged, and the event lies in
    /// one of them.
    pub(super) ended: Vec<(usize, Decimal)>,
    /// What the current segment adds more.
    pub(super) current: Decimal,
}

impl Growth {
    /// What the figure of the period grows by.
    pub(super) fn total(&self) -> Decimal {
        self.ended.iter().map(|(_, grown)| *grown).sum::<Decimal>() + self.current
    }

    /// Whether some segment adds more than before.
    pub(super) fn is_growth(&self) -> bool {
        self.current > Decimal::ZERO || self.ended.iter().any(|(_, grown)| *grown > Decimal::ZERO)
    }
}

/// A counter that is no sum.
struct Counted {
    aggregation: Aggregation,
    /// Of the whole period.
    tally: Tally,
    /// Of what lies before the end of each segment that has ended; where it is needed.
    ended: Vec<(Timestamp, Tally)>,
}

impl Counted {
    fn change(&mut self, event: &Prepared, order: u128, is_added: bool) -> Growth {
        let one = counted(event, order);
        let mut reached = Decimal::ZERO;
        let mut ended = Vec::with_capacity(self.ended.len());
        for (position, (end, tally)) in self.ended.iter_mut().enumerate() {
            let grown = if event.occurred_at < *end { change(tally, &one, is_added) } else { Decimal::ZERO };
            ended.push((position, grown - reached));
            reached = grown;
        }
        Growth { ended, current: change(&mut self.tally, &one, is_added) - reached }
    }
}

fn change(tally: &mut Tally, one: &Use<'_>, is_added: bool) -> Decimal {
    let before = tally.value();
    if is_added {
        tally.add(one);
    } else {
        tally.take_back(one);
    }
    tally.value() - before
}

/// The tallies of the counters of a group, by their place among the facts.
pub(super) struct Tallies {
    by_counter: BTreeMap<usize, Counted>,
    /// Ids of the group's events, by position. Where the latest event counts, each gets one above those of its instant:
    /// what was recorded later can be told from the rows.
    ids: Vec<Uuid>,
    /// The highest id at an instant, of counters where the latest event counts.
    last_ids: HashMap<(usize, Timestamp), Uuid>,
}

impl Tallies {
    /// Reads what is needed of the locked counters among these events' that are no sums. Where spend is watched, late
    /// events also need the figures at the ends of segments, which are priced by other plans.
    pub(super) async fn load(
        tx: &Tx,
        prepared: &[Prepared],
        ids: &[Uuid],
        facts: &Facts,
        (segments, spend): (&PeriodSegments, &Spend),
    ) -> Result<Self, StoreError> {
        let mut wanted: BTreeMap<usize, Aggregation> = BTreeMap::new();
        for index in prepared.iter().map(|event| event.counter).collect::<BTreeSet<_>>() {
            if let Some(aggregation) = facts.counters[index].tallied()? {
                wanted.insert(index, aggregation);
            }
        }
        let mut ids = ids.to_vec();
        if wanted.is_empty() {
            return Ok(Self { by_counter: BTreeMap::new(), ids, last_ids: HashMap::new() });
        }
        ids.sort_unstable();
        let last_ids = last_ids(tx, &wanted, prepared, facts).await?;
        let taken_back = taken_back(prepared);
        let mut by_counter = ranked(tx, &wanted, facts, &taken_back).await?;
        by_counter.extend(valued(tx, &wanted, prepared, facts).await?);
        by_counter.extend(slots::read(tx, &wanted, prepared, facts).await?);
        let mut ended = ended::read(tx, (&wanted, prepared, facts), &taken_back, (segments, spend)).await?;
        let counted = |(index, tally)| {
            let (aggregation, ended) = (wanted.remove(&index)?, ended.remove(&index).unwrap_or_default());
            Some((index, Counted { aggregation, tally, ended }))
        };
        let by_counter = by_counter.into_iter().filter_map(counted).collect();
        Ok(Self { by_counter, ids, last_ids })
    }

    /// The ids that the group's events are written under, by position.
    pub(super) fn ids(&self) -> &[Uuid] {
        &self.ids
    }

    /// The id of an event that was counted here.
    pub(super) fn id_of(&self, index: usize) -> Option<Uuid> {
        self.ids.get(index).copied()
    }

    /// Whether an event would bring the figure of its counter above the limit, and whether the figure would stay exact;
    /// none where it is a sum. A plan that does not name the metric takes nothing.
    pub(super) fn judge(&self, event: &Prepared, counter: &CounterRow) -> Option<(bool, bool)> {
        let tally = &self.by_counter.get(&event.counter)?.tally;
        let one = counted(event, 0);
        let is_over = !counter.in_plan || counter.hard_limit.is_some_and(|limit| !tally.admits(&one, limit));
        Some((is_over, tally.is_exact_with(&one)))
    }

    /// Counts an event, or takes back what a correction names, and says what that does; none where it is a sum.
    pub(super) fn count(&mut self, event: &Prepared) -> Option<Growth> {
        let counted = self.by_counter.get_mut(&event.counter)?;
        if event.amount.is_sign_negative() {
            return Some(counted.change(event, event.original.map_or(0, |id| id.as_u128()), false));
        }
        let id = self.ids.get_mut(event.index)?;
        if counted.aggregation == Aggregation::Last {
            let last = self.last_ids.entry((event.counter, event.occurred_at)).or_default();
            *id = Uuid::from_u128(id.as_u128().max(last.as_u128().saturating_add(1)));
            *last = *id;
        }
        Some(counted.change(event, id.as_u128(), true))
    }

    /// Undoes what [`Self::count`] did last, of an event that is not accepted after all.
    pub(super) fn undo(&mut self, event: &Prepared) {
        let is_taken_back = event.amount.is_sign_negative();
        let id = if is_taken_back { event.original } else { self.id_of(event.index) };
        if let Some(counted) = self.by_counter.get_mut(&event.counter) {
            counted.change(event, id.map_or(0, |id| id.as_u128()), is_taken_back);
        }
    }

    /// Puts the change of each figure in the place of the sum of what was accepted.
    pub(super) fn settle(&self, sums: &mut BTreeMap<usize, (Decimal, i64)>, facts: &Facts) {
        for (index, counted) in &self.by_counter {
            if let Some(sum) = sums.get_mut(index) {
                sum.0 = counted.tally.value() - facts.counters[*index].total;
            }
        }
    }

    /// Whether a counter is no sum.
    pub(super) fn has(&self, counter: usize) -> bool {
        self.by_counter.contains_key(&counter)
    }

    /// Writes the parts that accepted events changed.
    pub(super) async fn write(&self, tx: &Tx, accepted: &[&Prepared], facts: &Facts) -> Result<(), StoreError> {
        let mut changes: BTreeMap<(usize, &str), (Decimal, i64)> = BTreeMap::new();
        for event in accepted.iter().filter(|event| self.has(event.counter) && !event.part.is_empty()) {
            let change = changes.entry((event.counter, &event.part)).or_default();
            change.0 += event.amount;
            change.1 += if event.amount.is_sign_negative() { -1 } else { 1 };
        }
        let mut columns = PartColumns::default();
        for ((index, part), (amount, count)) in changes {
            let counter = &facts.counters[index];
            columns.tenant_id.push(counter.tenant_id);
            columns.metric.push(counter.metric.clone());
            columns.period_start.push(counter.period_start);
            columns.part.push(part.to_owned());
            columns.amount.push(amount);
            columns.event_count.push(count);
        }
        aggregated::add_parts(tx, &columns).await
    }
}

fn counted(event: &Prepared, order: u128) -> Use<'_> {
    Use { amount: event.amount.abs(), at: event.occurred_at, order, part: &event.part }
}

fn key_of(counter: &CounterRow) -> CounterKey<'_> {
    (counter.tenant_id, &counter.metric, counter.period_start)
}

type Loaded = BTreeMap<usize, Tally>;

/// How many corrections each counter has among these events; none of a counter without any.
fn taken_back(prepared: &[Prepared]) -> HashMap<usize, i64> {
    let mut counts = HashMap::new();
    for event in prepared.iter().filter(|event| event.amount.is_sign_negative()) {
        *counts.entry(event.counter).or_default() += 1;
    }
    counts
}

/// Largest and latest amounts: as many as can be taken back of the counter, and one more.
async fn ranked(
    tx: &Tx,
    wanted: &BTreeMap<usize, Aggregation>,
    facts: &Facts,
    taken_back: &HashMap<usize, i64>,
) -> Result<Loaded, StoreError> {
    let reads = wanted.iter().map(async |(index, aggregation)| {
        let counter = &facts.counters[*index];
        let limit = taken_back.get(index).copied().unwrap_or_default() + 1;
        let tally = match aggregation {
            // Where nothing is taken back, the largest is the total.
            Aggregation::Max if limit == 1 => Tally::greatest(Some(counter.total).filter(|total| !total.is_zero())),
            Aggregation::Max => {
                Tally::greatest(aggregated::greatest(tx, key_of(counter), counter.period_end, limit).await?)
            }
            Aggregation::Last => {
                let latest = aggregated::latest(tx, key_of(counter), counter.period_end, limit).await?;
                Tally::latest(latest.into_iter().map(|(at, id, amount)| ((at, id.as_u128()), amount)))
            }
            _ => return Ok::<_, StoreError>(None),
        };
        Ok(Some((*index, tally)))
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// The highest ids at the instants of these events, of counters where the latest event counts.
async fn last_ids(
    tx: &Tx,
    wanted: &BTreeMap<usize, Aggregation>,
    prepared: &[Prepared],
    facts: &Facts,
) -> Result<HashMap<(usize, Timestamp), Uuid>, StoreError> {
    let reads = wanted.iter().filter(|(_, aggregation)| **aggregation == Aggregation::Last).map(async |(index, _)| {
        let counter = &facts.counters[*index];
        let own = prepared.iter().filter(|event| event.counter == *index).map(|event| event.occurred_at);
        let instants: Vec<Timestamp> = own.collect::<BTreeSet<_>>().into_iter().collect();
        let found = aggregated::last_ids(tx, (counter.tenant_id, &counter.metric), &instants).await?;
        Ok::<_, StoreError>(found.into_iter().map(|(at, id)| ((*index, at), id)).collect::<Vec<_>>())
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// Numbers of distinct values, with those that the events name.
async fn valued(
    tx: &Tx,
    wanted: &BTreeMap<usize, Aggregation>,
    prepared: &[Prepared],
    facts: &Facts,
) -> Result<Loaded, StoreError> {
    let is_valued = |index: &usize| matches!(wanted.get(index), Some(Aggregation::Unique { .. }));
    let named: BTreeSet<(usize, &str)> = prepared
        .iter()
        .filter(|event| is_valued(&event.counter))
        .map(|event| (event.counter, event.part.as_str()))
        .collect();
    if named.is_empty() {
        return Ok(Loaded::new());
    }
    let keys: Vec<CounterKey<'_>> = named.iter().map(|(index, _)| key_of(&facts.counters[*index])).collect();
    let parts: Vec<&str> = named.iter().map(|(_, part)| *part).collect();
    let places = places(wanted, facts);
    let mut known: HashMap<usize, Vec<(String, i64)>> = HashMap::new();
    for (row, events) in aggregated::standing(tx, &keys, &parts).await? {
        if let Some(index) = places.get(&(row.key.0, Cow::Borrowed(row.key.1.as_str()), row.key.2)) {
            known.entry(*index).or_default().push((row.part, events));
        }
    }
    let tally = |index: usize| {
        let count = u64::try_from(facts.counters[index].total.trunc()).unwrap_or(0);
        (index, Tally::distinct(count, known.remove(&index).unwrap_or_default()))
    };
    Ok(wanted.keys().copied().filter(is_valued).map(tally).collect())
}

/// Where each wanted counter is among the facts.
fn places<'a>(
    wanted: &BTreeMap<usize, Aggregation>,
    facts: &'a Facts,
) -> HashMap<(Uuid, Cow<'a, str>, Timestamp), usize> {
    let place = |index: &usize| {
        let (tenant, metric, start) = key_of(&facts.counters[*index]);
        ((tenant, Cow::Borrowed(metric), start), *index)
    };
    wanted.keys().map(place).collect()
}
