//! The fast way: insert first, counters last, and let the counters' guard judge.
//!
//! Keys are claimed, all that nobody had; then events, counters, rollups and the commit go out in one round trip. The
//! counter update holds the limit, the bounds and the segment against what the group was prepared with; where one
//! counter disagrees, the transaction fails and the group is decided under locks instead (`locked.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::limit::Standing;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::outcome::Outcome;
use super::claims::{Claimed, Keys};
use super::columns;
use super::facts::Facts;
use super::further;
use super::prepare::{Claim, Prepared};
use super::{answer, same_content};
use crate::storage::usage::commit::{self, CounterAfter, Last};
use crate::storage::usage::facts::CounterRow;
use crate::storage::{StoreError, Tx};

/// What became of a try.
pub(super) enum Tried {
    /// Written and committed; outcomes by position in the group.
    Done(Vec<(usize, Outcome)>),
    /// A limit or a threshold is near, a bound moved, an event is late in its segment: decide under locks.
    NeedsLocks,
}

/// Events that have to be decided under locks.
#[derive(Default)]
pub(super) struct NeedingLocks {
    /// Their positions.
    pub(super) positions: BTreeSet<usize>,
    /// How many of them need nothing but their counter, since its limit is near.
    pub(super) near: usize,
}

/// The events that have to be decided under locks, as far as the facts tell: what the counters' guard would refuse. Of a
/// counter whose limit is near, or that would pass a threshold of which somebody is told, all.
pub(super) fn needing_locks(prepared: &[Prepared], group: &[&NewEvent], facts: &Facts) -> NeedingLocks {
    let mut sums: HashMap<usize, Decimal> = HashMap::new();
    let mut needing = NeedingLocks::default();
    for event in prepared {
        let counter = &facts.counters[event.counter];
        let is_usage = matches!(group[event.index].content, Content::Usage { .. });
        let is_late = counter.closed || event.occurred_at < counter.segment_start;
        if !is_usage || is_late || event.claim != Claim::Any || counter.aggregation != "sum" {
            needing.positions.insert(event.index);
        } else {
            *sums.entry(event.counter).or_default() += event.amount;
        }
    }
    let is_near = |(counter, sum): &(usize, Decimal)| is_near(&facts.counters[*counter], *sum);
    let near: HashSet<usize> = sums.into_iter().filter(is_near).map(|(counter, _)| counter).collect();
    if !near.is_empty() {
        let others = needing.positions.len();
        let of_near = prepared.iter().filter(|event| near.contains(&event.counter));
        needing.positions.extend(of_near.map(|event| event.index));
        needing.near = needing.positions.len() - others;
    }
    needing
}

/// Whether so much more could be above a limit, no longer exact, or news.
fn is_near(counter: &CounterRow, sum: Decimal) -> bool {
    let after = counter.total + sum;
    let most = [counter.hard_limit, counter.sure_limit].into_iter().flatten().min();
    let most = most.unwrap_or_else(|| Quantity::TOTAL_CEILING.as_decimal()).min(Quantity::TOTAL_CEILING.as_decimal());
    let standing = Standing {
        total: Quantity::from_decimal(after),
        included: counter.included.map(Quantity::from_decimal),
        limit: counter.hard_limit.map(Quantity::from_decimal),
        held: Quantity::from_decimal(counter.held),
    };
    after + counter.held > most || standing.passed_since(Quantity::from_decimal(counter.total)).next().is_some()
}

/// Claims the keys of these events.
pub(super) async fn claim(
    tx: &Tx,
    prepared: &[Prepared],
    group: &[&NewEvent],
    facts: &Facts,
) -> Result<Claimed, StoreError> {
    let keys = Keys::of(prepared.iter().map(|event| event.index), group);
    let firsts: Vec<&Prepared> = keys.firsts.iter().filter_map(|position| at(prepared, *position)).collect();
    let known = commit::claim_keys(tx, &columns::keys(&firsts, group, facts)).await?;
    Ok(Claimed::new(keys, known, group))
}

/// The event of this position; `prepared` is in order of positions.
fn at(prepared: &[Prepared], position: usize) -> Option<&Prepared> {
    let place = prepared.binary_search_by_key(&position, |event| event.index).ok()?;
    prepared.get(place)
}

/// Writes a group whose keys are claimed, and commits it.
pub(super) async fn write(
    tx: Tx,
    prepared: &[Prepared],
    group: &[&NewEvent],
    ids: &[Uuid],
    (facts, claimed): (&Facts, &Claimed),
    now: Timestamp,
) -> Result<Tried, StoreError> {
    let new: Vec<&Prepared> = claimed.won().filter_map(|position| at(prepared, position)).collect();
    let sums = columns::sums(&new);
    let after = if new.is_empty() {
        tx.commit().await?;
        Vec::new()
    } else {
        let last = Last {
            events: columns::events(&new, group, ids, facts),
            counters: columns::counters(&sums, &BTreeMap::new(), facts),
            rollups: columns::rollups(&new, facts),
            further: further::sums(&new, facts),
        };
        let committed = commit::write_last(tx, &last, Quantity::TOTAL_CEILING.as_decimal(), now).await;
        match committed {
            Err(error) if commit::is_refused_by_guard(&error) => return Ok(Tried::NeedsLocks),
            committed => committed?,
        }
    };
    let added = Added { sums, after: by_counter(&after, facts) };
    Ok(Tried::Done(outcomes(&new, claimed, prepared, &added, group, facts)))
}

/// What a group added, by the counter's place among the facts.
struct Added<'a> {
    sums: BTreeMap<usize, (Decimal, i64)>,
    /// Counters that something was added to, as they are now.
    after: HashMap<usize, &'a CounterAfter>,
}

fn by_counter<'a>(after: &'a [CounterAfter], facts: &Facts) -> HashMap<usize, &'a CounterAfter> {
    let by_key: HashMap<(Uuid, &str, Timestamp), &CounterAfter> =
        after.iter().map(|after| ((after.key.0, after.key.1.as_str(), after.key.2), after)).collect();
    let found = |(index, counter): (usize, &CounterRow)| {
        let after = by_key.get(&(counter.tenant_id, counter.metric.as_str(), counter.period_start))?;
        Some((index, *after))
    };
    facts.counters.iter().enumerate().filter_map(found).collect()
}

/// Outcomes in order of arrival, with running totals: the counters after the group, walked up from before it.
fn outcomes(
    new: &[&Prepared],
    claimed: &Claimed,
    prepared: &[Prepared],
    added: &Added<'_>,
    group: &[&NewEvent],
    facts: &Facts,
) -> Vec<(usize, Outcome)> {
    let accepted: HashSet<usize> = new.iter().map(|event| event.index).collect();
    let mut standing: HashMap<usize, (Decimal, Option<&CounterAfter>)> = HashMap::new();
    for (index, counter) in facts.counters.iter().enumerate() {
        let found = added.after.get(&index).copied();
        let before = match found {
            Some(after) => after.total - added.sums.get(&index).map_or(Decimal::ZERO, |sum| sum.0),
            None => counter.total,
        };
        standing.insert(index, (before, found));
    }
    prepared
        .iter()
        .map(|event| {
            let raw = group[event.index];
            let counter = &facts.counters[event.counter];
            let entry = standing.entry(event.counter).or_insert((counter.total, None));
            if accepted.contains(&event.index) {
                entry.0 += event.amount;
                return (event.index, Outcome::Accepted(answer(counter, entry.0, entry.1)));
            }
            let reply = answer(counter, entry.0, entry.1);
            let same = match claimed.known(event.index) {
                Some(known) => same_content(event, raw, known.content_hash, known.occurred_at, known.timestamp_given),
                None => at(prepared, claimed.first(event.index)).is_some_and(|first| {
                    let given = group[first.index].timestamp.is_some();
                    same_content(event, raw, first.content_hash, first.occurred_at, given)
                }),
            };
            (event.index, if same { Outcome::Duplicate(reply) } else { Outcome::Conflict(reply) })
        })
        .collect()
}
