//! Computing counters that are no sums anew from their events: where segments or bounds of a period moved, and where an
//! event came or went in a segment that has ended. A sum moves by what is moved; a figure has to be looked at again.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::metric::Aggregation;
use uuid::Uuid;

use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::{aggregated, commit, segments};
use crate::storage::{StoreError, Tx};

/// Computes parts, totals and segments of those of these counters that are no sums. They must be locked; they are read
/// again, with the bounds that they have by now.
pub(super) async fn whole(tx: &Tx, counters: &[CounterRow]) -> Result<(), StoreError> {
    for (counter, aggregation) in tallied(tx, counters).await? {
        let key = (counter.tenant_id, counter.metric.as_str(), counter.period_start);
        aggregated::rebuild_parts(tx, &aggregation, key, counter.period_end).await?;
        let total = figure(tx, &counter, &aggregation, counter.period_end).await?;
        aggregated::set_total(tx, key, total).await?;
        ended_segments(tx, &counter, &aggregation).await?;
    }
    Ok(())
}

/// Computes what the ended segments of those of these locked counters added that are no sums.
pub(super) async fn segments(tx: &Tx, counters: &[CounterRow]) -> Result<(), StoreError> {
    for (counter, aggregation) in tallied(tx, counters).await? {
        ended_segments(tx, &counter, &aggregation).await?;
    }
    Ok(())
}

async fn tallied(tx: &Tx, counters: &[CounterRow]) -> Result<Vec<(CounterRow, Aggregation)>, StoreError> {
    let mut found: Vec<&CounterRow> = counters.iter().filter(|counter| counter.aggregation != "sum").collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    found.sort_unstable_by_key(|counter| (counter.tenant_id, &counter.metric, counter.period_start));
    let tenants: Vec<Uuid> = found.iter().map(|counter| counter.tenant_id).collect();
    let metrics: Vec<&str> = found.iter().map(|counter| counter.metric.as_str()).collect();
    let starts: Vec<Timestamp> = found.iter().map(|counter| counter.period_start).collect();
    let mut tallied = Vec::with_capacity(found.len());
    for counter in commit::lock_counters(tx, &tenants, &metrics, &starts).await? {
        if let Some(aggregation) = counter.tallied()? {
            // A month stays while a counter of it is no sum; were it gone all the same, nothing here would be right.
            let period = (counter.tenant_id, counter.period_start);
            segments::all_are_here(tx, period, &[counter.metric.as_str()], counter.period_start).await?;
            tallied.push((counter, aggregation));
        }
    }
    Ok(tallied)
}

/// What a segment that has ended added is the figure at its end less the figure at its start: with more events a figure
/// never falls. Only the last amount can: there the whole of it is priced by the last segment, and none has an amount.
async fn ended_segments(tx: &Tx, counter: &CounterRow, aggregation: &Aggregation) -> Result<(), StoreError> {
    if *aggregation == Aggregation::Last {
        return Ok(());
    }
    let all = segments::segments_of(tx, &[counter.tenant_id], &[counter.period_start]).await?;
    let mut ended = Vec::with_capacity(all.len());
    let mut reached = Decimal::ZERO;
    for pair in all.windows(2) {
        let figure = figure(tx, counter, aggregation, pair[1].started_at).await?;
        ended.push((pair[0].sequence, figure - reached));
        reached = figure;
    }
    let key = (counter.tenant_id, counter.metric.as_str(), counter.period_start);
    aggregated::set_segment_amounts(tx, key, &ended).await
}

/// The figure of a counter from the events before an instant. The slots that are free are those of the whole period.
async fn figure(
    tx: &Tx,
    counter: &CounterRow,
    aggregation: &Aggregation,
    until: Timestamp,
) -> Result<Decimal, StoreError> {
    let place = (counter.tenant_id, counter.metric.as_str());
    let free = aggregation.free_slots((counter.period_start, counter.period_end));
    let span = (counter.period_start, until.min(counter.period_end));
    aggregated::figure(tx, aggregation, place, span, (None, free)).await
}
