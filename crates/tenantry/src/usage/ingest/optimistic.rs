//! The fast way: insert first, counters last, and let the counters' guard judge.
//!
//! Keys are claimed by an insert that skips those that exist; then events, counters and rollups go out in one
//! round trip. The counter update holds the limit, the bounds and the segment against what the group was
//! prepared with; where one counter disagrees, everything is rolled back and the group is decided under
//! locks instead (`locked.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::quantity::Quantity;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::super::event::NewEvent;
use super::super::outcome::Outcome;
use super::columns;
use super::facts::Facts;
use super::notices::{self, Change};
use super::prepare::{Claim, Prepared};
use super::{Sources, answer, same_content};
use crate::storage::usage::commit::{self, CounterAfter, KnownKey};
use crate::storage::usage::facts::CounterRow;
use crate::storage::{StoreError, Tx};

/// What became of a try.
pub(super) enum Tried {
    /// Written; outcomes by position in the group. Not committed yet.
    Done(Vec<(usize, Outcome)>),
    /// A limit is near, a bound moved, an event is late in its segment: decide under locks.
    NeedsLocks,
}

/// Whether the group can go the fast way as far as its facts tell.
pub(super) fn is_possible(prepared: &[Prepared], group: &[&NewEvent], facts: &Facts) -> bool {
    let mut sums: HashMap<usize, Decimal> = HashMap::new();
    for event in prepared {
        let counter = &facts.counters[event.counter];
        let is_usage = matches!(group[event.index].content, super::super::event::Content::Usage { .. });
        if counter.closed || !is_usage || event.claim != Claim::Any || event.occurred_at < counter.segment_start {
            return false;
        }
        if counter.aggregation != "sum" {
            return false;
        }
        if let Some(limit) = counter.hard_limit.into_iter().chain(counter.sure_limit).min() {
            let sum = sums.entry(event.counter).or_default();
            *sum += event.amount;
            if counter.total + counter.held + *sum > limit {
                return false;
            }
        }
    }
    true
}

/// Writes a group in an open transaction.
pub(super) async fn write(
    tx: &Tx,
    prepared: &[Prepared],
    group: &[&NewEvent],
    ids: &[Uuid],
    facts: &Facts,
    sources: &Sources<'_>,
) -> Result<Tried, StoreError> {
    let (firsts, repeats) = split_repeats(prepared, group);
    let claimed = {
        let columns = columns::events(&firsts, group, ids, facts);
        commit::insert_keys(tx, &columns).await?
    };
    let (new, known) = if claimed.len() == firsts.len() {
        (firsts, HashMap::new())
    } else {
        separate(tx, firsts, &claimed, group).await?
    };
    let sums = columns::sums(&new);
    let after = if new.is_empty() {
        Vec::new()
    } else {
        let events = columns::events(&new, group, ids, facts);
        let counters = columns::counters(&sums, &BTreeMap::new(), facts);
        let rollups = columns::rollups(&new, facts);
        commit::prepare_fast(tx).await?;
        let (inserted, guarded, rolled_up) = tokio::join!(
            commit::insert_events(tx, &events, sources.now),
            commit::add_guarded(tx, &counters, Quantity::TOTAL_CEILING.as_decimal()),
            commit::add_rollups(tx, &rollups),
        );
        let after = first_cause(inserted, guarded, rolled_up)?;
        if after.len() < counters.tenant_id.len() {
            return Ok(Tried::NeedsLocks);
        }
        after
    };
    let added = Added { sums, after: by_counter(&after, facts) };
    tell(tx, &added, facts, sources).await?;
    Ok(Tried::Done(outcomes(&new, &repeats, prepared, &known, &added, group, facts)))
}

/// What the counters' update gave, or what went wrong. Where one statement fails those behind it fail too, for no more
/// than that, and their errors may arrive before its own: it alone says whether to try again.
fn first_cause(
    inserted: Result<(), StoreError>,
    guarded: Result<Vec<CounterAfter>, StoreError>,
    rolled_up: Result<(), StoreError>,
) -> Result<Vec<CounterAfter>, StoreError> {
    let (after, guard) = match guarded {
        Ok(after) => (after, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut failed: Vec<StoreError> = [inserted.err(), guard, rolled_up.err()].into_iter().flatten().collect();
    let cause = failed.iter().position(|error| error.state() != Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    match (cause, failed.pop()) {
        (_, None) => Ok(after),
        (Some(cause), Some(last)) if cause < failed.len() => Err(std::mem::replace(&mut failed[cause], last)),
        (_, Some(last)) => Err(last),
    }
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

/// Tells of limits that came near or were reached.
async fn tell(tx: &Tx, added: &Added<'_>, facts: &Facts, sources: &Sources<'_>) -> Result<(), StoreError> {
    let changes = added.sums.iter().filter_map(|(index, (sum, _))| {
        let after = added.after.get(index)?;
        Some(Change {
            counter: &facts.counters[*index],
            included: after.included,
            hard_limit: after.hard_limit,
            before: after.total - sum,
            after: after.total,
            is_first_refusal: false,
        })
    });
    notices::tell(tx, sources, changes).await
}

/// The first event of each key in order of arrival, sorted by (tenant, key); and those that repeat a key.
fn split_repeats<'a>(
    prepared: &'a [Prepared],
    group: &[&NewEvent],
) -> (Vec<&'a Prepared>, Vec<(&'a Prepared, &'a Prepared)>) {
    let mut seen: HashMap<(Uuid, &str), &Prepared> = HashMap::with_capacity(prepared.len());
    let mut firsts = Vec::with_capacity(prepared.len());
    let mut repeats = Vec::new();
    for event in prepared {
        let raw = group[event.index];
        if let Some(first) = seen.get(&(raw.tenant_id, raw.key.as_str())) {
            repeats.push((event, *first));
        } else {
            seen.insert((raw.tenant_id, raw.key.as_str()), event);
            firsts.push(event);
        }
    }
    firsts.sort_unstable_by(|a, b| {
        let (a, b) = (group[a.index], group[b.index]);
        (a.tenant_id, a.key.as_str()).cmp(&(b.tenant_id, b.key.as_str()))
    });
    (firsts, repeats)
}

type KnownKeys = HashMap<(Uuid, String), KnownKey>;

/// Parts the events whose keys were claimed from those whose keys were known.
async fn separate<'a>(
    tx: &Tx,
    firsts: Vec<&'a Prepared>,
    claimed: &[(Uuid, String)],
    group: &[&NewEvent],
) -> Result<(Vec<&'a Prepared>, KnownKeys), StoreError> {
    let claimed: HashSet<(Uuid, &str)> = claimed.iter().map(|(tenant, key)| (*tenant, key.as_str())).collect();
    let (new, old): (Vec<_>, Vec<_>) = firsts.into_iter().partition(|event| {
        let raw = group[event.index];
        claimed.contains(&(raw.tenant_id, raw.key.as_str()))
    });
    let tenants: Vec<Uuid> = old.iter().map(|event| group[event.index].tenant_id).collect();
    let keys: Vec<&str> = old.iter().map(|event| group[event.index].key.as_str()).collect();
    let known = commit::known_keys(tx, &tenants, &keys).await?;
    Ok((new, known.into_iter().map(|key| ((key.tenant_id, key.key.clone()), key)).collect()))
}

/// Outcomes in order of arrival, with running totals: the counters after the group, walked up from before it.
fn outcomes(
    new: &[&Prepared],
    repeats: &[(&Prepared, &Prepared)],
    prepared: &[Prepared],
    known: &KnownKeys,
    added: &Added<'_>,
    group: &[&NewEvent],
    facts: &Facts,
) -> Vec<(usize, Outcome)> {
    let accepted: HashSet<usize> = new.iter().map(|event| event.index).collect();
    let first_of: HashMap<usize, &Prepared> = repeats.iter().map(|(event, first)| (event.index, *first)).collect();
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
            let same = match (known.get(&(raw.tenant_id, raw.key.clone())), first_of.get(&event.index)) {
                (Some(known), _) => {
                    same_content(event, raw, known.content_hash, known.occurred_at, known.timestamp_given)
                }
                (None, Some(first)) => same_content(
                    event,
                    raw,
                    first.content_hash,
                    first.occurred_at,
                    group[first.index].timestamp.is_some(),
                ),
                (None, None) => false,
            };
            (event.index, if same { Outcome::Duplicate(reply) } else { Outcome::Conflict(reply) })
        })
        .collect()
}
