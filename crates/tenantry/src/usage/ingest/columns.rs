//! From decided events to the columns that are written, sorted as the database locks them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::facts::Facts;
use super::prepare::Prepared;
use crate::storage::usage::commit::{CounterColumns, EventColumns, KeyColumns, RollupColumns};
use crate::usage::hours::hour_of;

/// The key columns of these events, which must be sorted by (tenant, key).
pub(super) fn keys<'a>(decided: &[&Prepared], group: &[&'a NewEvent], facts: &'a Facts) -> KeyColumns<'a> {
    let mut columns = KeyColumns::default();
    for prepared in decided {
        let event = group[prepared.index];
        columns.tenant_id.push(event.tenant_id);
        columns.key.push(&event.key);
        columns.content_hash.push(prepared.content_hash);
        columns.occurred_at.push(prepared.occurred_at);
        columns.timestamp_given.push(event.timestamp.is_some());
        columns.metric.push(&facts.counters[prepared.counter].metric);
    }
    columns
}

/// Everything else of these events.
pub(super) fn events<'a>(
    decided: &[&'a Prepared],
    group: &[&'a NewEvent],
    ids: &[Uuid],
    facts: &'a Facts,
) -> EventColumns<'a> {
    let mut columns = EventColumns::default();
    for prepared in decided {
        let event = group[prepared.index];
        let counter = &facts.counters[prepared.counter];
        columns.tenant_id.push(event.tenant_id);
        columns.key.push(&event.key);
        columns.occurred_at.push(prepared.occurred_at);
        columns.id.push(ids[prepared.index]);
        columns.user_id.push(prepared.user_id);
        columns.metric.push(&counter.metric);
        columns.amount.push(prepared.amount);
        columns.period_start.push(counter.period_start);
        columns.period_end.push(counter.period_end);
        let (kind, reverses) = match &event.content {
            Content::Usage { .. } => ("usage", None),
            Content::Reversal { reverses } => ("reversal", Some(reverses.as_str())),
        };
        columns.kind.push(kind);
        columns.reverses.push(reverses);
        columns.metadata.push(&prepared.metadata);
    }
    columns
}

/// Sums of amounts and events by counter, with the refusals; counters in key order.
pub(super) fn counters<'a>(
    sums: &BTreeMap<usize, (Decimal, i64)>,
    refused: &BTreeMap<usize, i64>,
    facts: &'a Facts,
) -> CounterColumns<'a> {
    let mut touched: Vec<usize> = sums.keys().chain(refused.keys()).copied().collect();
    touched.sort_unstable_by(|a, b| key(facts, *a).cmp(&key(facts, *b)));
    touched.dedup();
    let mut columns = CounterColumns::default();
    for index in touched {
        let counter = &facts.counters[index];
        let (amount, count) = sums.get(&index).copied().unwrap_or_default();
        columns.tenant_id.push(counter.tenant_id);
        columns.metric.push(&counter.metric);
        columns.period_start.push(counter.period_start);
        columns.period_end.push(counter.period_end);
        columns.segment_sequence.push(counter.segment_sequence);
        columns.rollups_version.push(counter.rolled_up.version);
        columns.amount.push(amount);
        columns.event_count.push(count);
        columns.refused_count.push(refused.get(&index).copied().unwrap_or_default());
    }
    columns
}

fn key(facts: &Facts, index: usize) -> (Uuid, &str, Timestamp) {
    let counter = &facts.counters[index];
    (counter.tenant_id, counter.metric.as_str(), counter.period_start)
}

/// Sums by counter of these events.
pub(super) fn sums(decided: &[&Prepared]) -> BTreeMap<usize, (Decimal, i64)> {
    let mut sums: BTreeMap<usize, (Decimal, i64)> = BTreeMap::new();
    for prepared in decided {
        let sum = sums.entry(prepared.counter).or_default();
        sum.0 += prepared.amount;
        sum.1 += 1;
    }
    sums
}

/// Tenant, metric, first instant of the period, UTC hour, user.
type RollupKey<'a> = (Uuid, &'a str, Timestamp, Timestamp, Uuid);

/// Sums by counter, UTC hour and user.
pub(super) fn rollups<'a>(decided: &[&Prepared], facts: &'a Facts) -> RollupColumns<'a> {
    rollups_by(decided.iter().copied(), facts, |event| (hour_of(event.occurred_at), user_of(event)))
}

/// Who used it; nil for nobody.
pub(super) fn user_of(event: &Prepared) -> Uuid {
    event.user_id.unwrap_or(Uuid::nil())
}

/// Sums by counter, span and user, as told of each event; a span is named by its first instant.
pub(super) fn rollups_by<'a, 'p>(
    decided: impl Iterator<Item = &'p Prepared>,
    facts: &'a Facts,
    place_of: impl Fn(&Prepared) -> (Timestamp, Uuid),
) -> RollupColumns<'a> {
    let mut sums: BTreeMap<RollupKey<'_>, (Decimal, i64)> = BTreeMap::new();
    for prepared in decided {
        let counter = &facts.counters[prepared.counter];
        let (span, user) = place_of(prepared);
        let row =
            sums.entry((counter.tenant_id, counter.metric.as_str(), counter.period_start, span, user)).or_default();
        row.0 += prepared.amount;
        row.1 += 1;
    }
    let mut columns = RollupColumns::default();
    for ((tenant, metric, period_start, hour, user), (amount, count)) in sums {
        columns.tenant_id.push(tenant);
        columns.metric.push(metric);
        columns.period_start.push(period_start);
        columns.hour.push(hour);
        columns.user_id.push(user);
        columns.amount.push(amount);
        columns.event_count.push(count);
    }
    columns
}
