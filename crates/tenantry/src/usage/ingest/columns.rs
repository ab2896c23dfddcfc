//! From decided events to the columns that are written, sorted as the database locks them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::facts::Facts;
use super::prepare::Prepared;
use crate::storage::usage::commit::{CounterColumns, EventColumns, KeyColumns, RollupColumns};

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
    let mut sums: BTreeMap<RollupKey<'_>, (Decimal, i64)> = BTreeMap::new();
    for prepared in decided {
        let counter = &facts.counters[prepared.counter];
        let row = sums
            .entry((
                counter.tenant_id,
                counter.metric.as_str(),
                counter.period_start,
                hour_of(prepared.occurred_at),
                prepared.user_id.unwrap_or(Uuid::nil()),
            ))
            .or_default();
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

/// The UTC hour that contains an instant.
pub(super) fn hour_of(at: Timestamp) -> Timestamp {
    let seconds = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    Timestamp::from_second(seconds.div_euclid(3600) * 3600).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::hour_of;

    #[test]
    fn hours_are_whole_also_before_1970() {
        for (at, hour) in [
            ("2026-11-24T10:59:59.999999Z", "2026-11-24T10:00:00Z"),
            ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:00:00Z"),
        ] {
            assert_eq!(hour_of(at.parse().unwrap()), hour.parse().unwrap(), "{at}");
        }
    }
}
