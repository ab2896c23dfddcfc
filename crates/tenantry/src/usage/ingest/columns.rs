//! From decided events to the columns that are written, sorted as the database locks them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::facts::Facts;
use super::prepare::Prepared;
use crate::storage::usage::commit::{CounterColumns, EventColumns, RollupColumns};
use crate::usage::hours::hour_of;

/// The key columns and everything else of these events, which must be sorted by (tenant, key).
pub(super) fn events(decided: &[&Prepared], group: &[&NewEvent], ids: &[Uuid], facts: &Facts) -> EventColumns {
    let mut columns = EventColumns::default();
    for prepared in decided {
        let event = group[prepared.index];
        let counter = &facts.counters[prepared.counter];
        columns.tenant_id.push(event.tenant_id);
        columns.key.push(event.key.clone());
        columns.content_hash.push(prepared.content_hash);
        columns.occurred_at.push(prepared.occurred_at);
        columns.timestamp_given.push(event.timestamp.is_some());
        columns.id.push(ids[prepared.index]);
        columns.user_id.push(prepared.user_id);
        columns.metric.push(counter.metric.clone());
        columns.amount.push(prepared.amount);
        columns.period_start.push(counter.period_start);
        columns.period_end.push(counter.period_end);
        let (kind, reverses) = match &event.content {
            Content::Usage { .. } => ("usage", None),
            Content::Reversal { reverses } => ("reversal", Some(reverses.clone())),
        };
        columns.kind.push(kind);
        columns.reverses.push(reverses);
        columns.metadata.push(prepared.metadata.clone());
    }
    columns
}

/// Sums of amounts and events by counter, with the refusals; counters in key order.
pub(super) fn counters(
    sums: &BTreeMap<usize, (Decimal, i64)>,
    refused: &BTreeMap<usize, i64>,
    facts: &Facts,
) -> CounterColumns {
    let mut touched: Vec<usize> = sums.keys().chain(refused.keys()).copied().collect();
    touched.sort_unstable_by(|a, b| key(facts, *a).cmp(&key(facts, *b)));
    touched.dedup();
    let mut columns = CounterColumns::default();
    for index in touched {
        let counter = &facts.counters[index];
        let (amount, count) = sums.get(&index).copied().unwrap_or_default();
        columns.tenant_id.push(counter.tenant_id);
        columns.metric.push(counter.metric.clone());
        columns.period_start.push(counter.period_start);
        columns.period_end.push(counter.period_end);
        columns.segment_sequence.push(counter.segment_sequence);
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
pub(super) fn rollups(decided: &[&Prepared], facts: &Facts) -> RollupColumns {
    rollups_by(decided.iter().copied(), facts, |event| (hour_of(event.occurred_at), user_of(event)))
}

/// Who used it; nil for nobody.
pub(super) fn user_of(event: &Prepared) -> Uuid {
    event.user_id.unwrap_or(Uuid::nil())
}

/// Sums by counter, span and user, as told of each event; a span is named by its first instant.
pub(super) fn rollups_by<'a>(
    decided: impl Iterator<Item = &'a Prepared>,
    facts: &Facts,
    place_of: impl Fn(&Prepared) -> (Timestamp, Uuid),
) -> RollupColumns {
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
        columns.metric.push(metric.to_owned());
        columns.period_start.push(period_start);
        columns.hour.push(hour);
        columns.user_id.push(user);
        columns.amount.push(amount);
        columns.event_count.push(count);
    }
    columns
}
