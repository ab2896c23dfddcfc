//! What a group of events gives cause to tell: a limit that comes near or is reached, a first refusal.
//!
//! Found by comparing what the counters' updates gave back anyway; only where there is something to tell is a
//! statement added, in the transaction of the events. Counters are held by then, so no two groups find the same.

use rust_decimal::Decimal;
use tenantry_domain::limit::{Standing, Threshold};
use tenantry_domain::quantity::Quantity;

use super::Sources;
use crate::notices::data::{LimitRefused, LimitThreshold, Span};
use crate::notices::{Notice, raise};
use crate::storage::usage::facts::CounterRow;
use crate::storage::{StoreError, Tx};

/// A counter that a group changed.
pub(super) struct Change<'a> {
    /// The counter, as it was read before.
    pub(super) counter: &'a CounterRow,
    /// Included quantity in force; none is unlimited.
    pub(super) included: Option<Decimal>,
    /// The limit in force.
    pub(super) hard_limit: Option<Decimal>,
    /// Total before the group.
    pub(super) before: Decimal,
    /// Total after it.
    pub(super) after: Decimal,
    /// An event was refused, and none before it under this limit in this period.
    pub(super) is_first_refusal: bool,
}

/// Raises what these changes give cause to. What lies in periods that are over is history: nobody is told.
pub(super) async fn tell(
    tx: &Tx,
    sources: &Sources<'_>,
    changes: impl Iterator<Item = Change<'_>>,
) -> Result<(), StoreError> {
    for change in changes {
        let counter = change.counter;
        if counter.period_end <= sources.now {
            continue;
        }
        let standing = Standing {
            total: Quantity::from_decimal(change.after),
            included: change.included.map(Quantity::from_decimal),
            limit: change.hard_limit.map(Quantity::from_decimal),
            held: Quantity::from_decimal(counter.held),
        };
        for threshold in standing.passed_since(Quantity::from_decimal(change.before)) {
            if let Some(notice) = passed(counter, &standing, threshold) {
                raise(tx, sources.env, sources.now, counter.tenant_id, &notice).await?;
            }
        }
        if change.is_first_refusal {
            raise(tx, sources.env, sources.now, counter.tenant_id, &refused(counter, &standing)).await?;
        }
    }
    Ok(())
}

fn passed(counter: &CounterRow, standing: &Standing, threshold: Threshold) -> Option<Notice> {
    let percent = threshold.percent();
    let limit = standing.allowance()?;
    let data = LimitThreshold {
        metric: counter.metric.clone(),
        percent,
        total: standing.total,
        limit,
        allow_overages: standing.limit.is_none(),
        period: period(counter),
    };
    Some(Notice::new(format!("{}:{percent}:{}:{limit}", counter.metric, counter.period_start), data))
}

fn refused(counter: &CounterRow, standing: &Standing) -> Notice {
    let limit = standing.limit.unwrap_or_default();
    let data = LimitRefused { metric: counter.metric.clone(), total: standing.total, limit, period: period(counter) };
    Notice::new(format!("{}:{}:{limit}", counter.metric, counter.period_start), data)
}

fn period(counter: &CounterRow) -> Span {
    Span { start: counter.period_start, end: counter.period_end }
}
