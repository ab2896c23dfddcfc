//! Figures at the ends of segments, for late events under a spend cap: an event of an ended segment can move what each
//! later one adds, and each is priced by a plan of its own. Read from the events, since nothing else knows them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use tenantry_domain::metric::Aggregation;
use tenantry_domain::tally::Tally;

use super::super::facts::Facts;
use super::super::locked::PeriodSegments;
use super::super::prepare::Prepared;
use super::super::spend::Spend;
use super::key_of;
use crate::storage::usage::aggregated;
use crate::storage::usage::facts::CounterRow;
use crate::storage::{StoreError, Tx};

/// The tallies at the end of each ended segment, in order, of the counters whose spend is watched and in which some event
/// lies before the current segment. What is made of the last event alone is priced by the last segment alone.
pub(super) async fn read(
    tx: &Tx,
    (wanted, prepared, facts): (&BTreeMap<usize, Aggregation>, &[Prepared], &Facts),
    taken_back: &HashMap<usize, i64>,
    (segments, spend): (&PeriodSegments, &Spend),
) -> Result<BTreeMap<usize, Vec<(Timestamp, Tally)>>, StoreError> {
    let mut found = BTreeMap::new();
    for (index, aggregation) in wanted {
        let counter = &facts.counters[*index];
        let own = || prepared.iter().filter(|event| event.counter == *index);
        let is_late = own().any(|event| event.occurred_at < counter.segment_start);
        if *aggregation == Aggregation::Last || !is_late || !spend.watches(counter) {
            continue;
        }
        let parts: BTreeSet<&str> = own().map(|event| event.part.as_str()).collect();
        let parts: Vec<&str> = parts.into_iter().collect();
        let all = segments.get(&(counter.tenant_id, counter.period_start)).map(Vec::as_slice).unwrap_or_default();
        let most = taken_back.get(index).copied().unwrap_or_default() + 1;
        let mut tallies = Vec::with_capacity(all.len());
        for next in all.iter().skip(1) {
            let until = next.started_at.min(counter.period_end);
            tallies.push((until, tally(tx, (counter, aggregation), until, (most, &parts)).await?));
        }
        found.insert(*index, tallies);
    }
    Ok(found)
}

/// The tally of a counter's events before an instant: the largest `most` of them, or what these parts can ask for.
async fn tally(
    tx: &Tx,
    (counter, aggregation): (&CounterRow, &Aggregation),
    until: Timestamp,
    (most, parts): (i64, &[&str]),
) -> Result<Tally, StoreError> {
    let key = key_of(counter);
    if let Aggregation::Unique { field } = aggregation {
        let place = (counter.tenant_id, counter.metric.as_str());
        let span = (counter.period_start, until);
        let count = aggregated::figure(tx, aggregation, place, span, (None, 0)).await?;
        let known = aggregated::values_until(tx, key, until, (field, parts)).await?;
        return Ok(Tally::distinct(u64::try_from(count.trunc()).unwrap_or(0), known));
    }
    if let Some(width) = aggregation.slot_seconds() {
        let free = aggregation.free_slots((counter.period_start, counter.period_end));
        let sums = aggregated::slots_until(tx, key, until, width).await?;
        return Ok(Tally::slots(usize::try_from(free).unwrap_or(0), sums));
    }
    Ok(Tally::greatest(aggregated::greatest(tx, key, until, most).await?))
}
