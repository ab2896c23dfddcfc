//! Sums that most events are not in: of days that are folded, and by what events say of themselves.
//!
//! Which sums an event is in says its counter's row. The careful way reads the row under its lock. The fast way goes by
//! what it read before, and the counter's guard asks under the lock whether that still holds: whatever changes it, changes
//! the row's `rollups_version`.

use jiff::Timestamp;
use uuid::Uuid;

use super::super::hours::{day_of, hour_of};
use super::columns;
use super::facts::Facts;
use super::prepare::Prepared;
use crate::storage::usage::rollups::{DimensionColumns, FurtherSums};

/// The value of a member that is not there.
static NOTHING: serde_json::Value = serde_json::Value::Null;

/// What these events add.
pub(super) fn sums<'a>(decided: &[&'a Prepared], facts: &'a Facts) -> FurtherSums<'a> {
    let folded = |event: &&Prepared| facts.counters[event.counter].rolled_up.is_folded(event.occurred_at);
    let mut sums = FurtherSums {
        days: columns::rollups_by(decided.iter().copied().filter(folded), facts, |event| {
            (day_of(event.occurred_at), columns::user_of(event))
        }),
        users: columns::rollups_by(decided.iter().copied().filter(folded), facts, |event| {
            (facts.counters[event.counter].period_start, columns::user_of(event))
        }),
        totals: columns::rollups_by(decided.iter().copied().filter(folded), facts, |event| {
            (hour_of(event.occurred_at), Uuid::nil())
        }),
        ..FurtherSums::default()
    };
    for event in decided {
        let rolled_up = &facts.counters[event.counter].rolled_up;
        for name in rolled_up.dimensions_at(event.occurred_at) {
            push(&mut sums.dimensions, event, name, facts, hour_of);
            if rolled_up.is_folded(event.occurred_at) {
                push(&mut sums.dimension_days, event, name, facts, day_of);
            }
        }
    }
    sums
}

fn push<'a>(
    columns: &mut DimensionColumns<'a>,
    event: &'a Prepared,
    name: &'a str,
    facts: &'a Facts,
    span_of: impl Fn(Timestamp) -> Timestamp,
) {
    let counter = &facts.counters[event.counter];
    // A correction counts under the values of what it takes back.
    let metadata = event.of_original.as_ref().unwrap_or(&event.metadata);
    columns.tenant_id.push(counter.tenant_id);
    columns.metric.push(&counter.metric);
    columns.period_start.push(counter.period_start);
    columns.dimension.push(name);
    columns.span.push(span_of(event.occurred_at));
    columns.value.push(metadata.get(name).unwrap_or(&NOTHING));
    columns.amount.push(event.amount);
}
