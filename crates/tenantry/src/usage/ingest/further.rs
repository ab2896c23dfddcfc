//! Sums that most events are not in: of days that are folded, and by what events say of themselves.
//!
//! Which sums an event is in says its counter's row. The careful way reads the row under its lock. The fast way goes by
//! what it read before, and looks under the lock whether that still holds.

use jiff::Timestamp;
use uuid::Uuid;

use super::super::hours::{day_of, hour_of};
use super::columns;
use super::facts::Facts;
use super::prepare::Prepared;
use crate::storage::usage::rollups::{DimensionColumns, FurtherSums};

/// What these events add.
pub(super) fn sums(decided: &[&Prepared], facts: &Facts) -> FurtherSums {
    let rolled_up = |event: &Prepared| &facts.counters[event.counter].rolled_up;
    let folded = |event: &&Prepared| rolled_up(event).is_folded(event.occurred_at);
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
        let rolled_up = rolled_up(event);
        for name in rolled_up.dimensions_at(event.occurred_at) {
            push(&mut sums.dimensions, event, name, facts, hour_of);
            if rolled_up.is_folded(event.occurred_at) {
                push(&mut sums.dimension_days, event, name, facts, day_of);
            }
        }
    }
    sums
}

fn push(
    columns: &mut DimensionColumns,
    event: &Prepared,
    name: &str,
    facts: &Facts,
    span_of: impl Fn(Timestamp) -> Timestamp,
) {
    let counter = &facts.counters[event.counter];
    // A correction counts under the values of what it takes back.
    let metadata = event.of_original.as_ref().unwrap_or(&event.metadata);
    columns.tenant_id.push(counter.tenant_id);
    columns.metric.push(counter.metric.clone());
    columns.period_start.push(counter.period_start);
    columns.dimension.push(name.to_owned());
    columns.span.push(span_of(event.occurred_at));
    columns.value.push(metadata.get(name).cloned().unwrap_or_default());
    columns.amount.push(event.amount);
}
