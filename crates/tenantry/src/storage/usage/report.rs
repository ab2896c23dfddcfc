//! What was used, for readers: sums by hour and user, and counters. Never all events.

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::facts::{CounterRow, column};
use crate::query;
use crate::storage::{StoreError, Tx};

/// What one user used of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedRow {
    /// The metric.
    pub metric: String,
    /// The user; nil where events named none.
    pub user_id: Uuid,
    /// Sum of amounts.
    pub amount: Decimal,
    /// Number of events, corrections included.
    pub event_count: i64,
}

query! {
    /// Through the counters of the periods that touch the span, so that only their rows are read. No period is longer
    /// than 31 days. An hour that holds the boundary of two periods has a row in each: a row begins where its part of
    /// the hour does. Of metrics that are no sums the amounts may come to more than any total: cut where a decimal ends.
    both USED = "
        select r.metric, r.user_id, least(sum(r.amount), 79000000000000000000), sum(r.event_count)::bigint
        from tenantry.usage_counters c
        join tenantry.usage_rollups r on r.tenant_id = c.tenant_id and r.metric = c.metric
            and r.period_start = c.period_start
            and r.hour < $3 and r.hour > $2::timestamptz - interval '1 hour' and greatest(r.hour, r.period_start) >= $2
        where c.tenant_id = $1 and c.period_start < $3 and c.period_start >= $2::timestamptz - interval '744 hours'
          and c.period_end > $2 and ($4::text is null or c.metric = $4)
          and ($5::uuid is null or r.user_id = $5)
        group by r.metric, r.user_id
        order by r.metric, r.user_id";
    /// The latest counter of each metric among those that [`USED`] looks at.
    both COUNTED = "
        select distinct on (c.metric) c.metric, c.aggregation, c.period_start, c.period_end, c.total
        from tenantry.usage_counters c
        where c.tenant_id = $1 and c.period_start < $3 and c.period_start >= $2::timestamptz - interval '744 hours'
          and c.period_end > $2 and ($4::text is null or c.metric = $4)
        order by c.metric, c.period_start desc";
    both LEFT_OF = "
        select max(date_trunc('month', month + interval '40 days', 'UTC')) from tenantry.usage_archives
        where tenant_id = $1 and metric = $2 and month < $4 and date_trunc('month', month + interval '40 days', 'UTC') > $3
          and event_count > 0";
    both IS_BOUND = "
        select exists (select from tenantry.usage_periods
                       where tenant_id = $1 and (period_start = $2 or period_end = $2))";
    both COUNTERS_OF = "
        select tenant_id, metric, period_start, period_end, segment_sequence, segment_start, closed, historic,
               in_plan, included, hard_limit, total, aggregation, held, sure_limit
        from tenantry.usage_counters where tenant_id = $1 and period_start = $2
        order by metric";
    both SEGMENTS = "
        select tenant_id, period_start, sequence, started_at, plan_id, plan_version,
               limits_plan_id, limits_plan_version
        from tenantry.usage_segments where tenant_id = $1 and period_start = $2 order by sequence";
    both ENDED_AMOUNTS = "
        select metric, sequence, amount from tenantry.usage_segment_amounts
        where tenant_id = $1 and period_start = $2";
}

/// The end of the last month (UTC) that touches `[from, to)` and of which events of a metric have left; none where all
/// are there.
pub async fn left_of(
    tx: &Tx,
    (tenant, metric): (Uuid, &str),
    (from, to): (Timestamp, Timestamp),
) -> Result<Option<Timestamp>, StoreError> {
    tx.one(&LEFT_OF, &[&tenant, &metric, &from, &to]).await?.try_get(0).map_err(column)
}

/// Sums per metric and user of `[from, to)`; both must be whole hours or bounds of periods. `only` leaves out other
/// users.
pub async fn used(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    (from, to): (Timestamp, Timestamp),
    metric: Option<&str>,
) -> Result<Vec<UsedRow>, StoreError> {
    tx.rows(&USED, &[&tenant, &from, &to, &metric, &only])
        .await?
        .iter()
        .map(|row| {
            Ok(UsedRow {
                metric: row.try_get(0).map_err(column)?,
                user_id: row.try_get(1).map_err(column)?,
                amount: row.try_get(2).map_err(column)?,
                event_count: row.try_get(3).map_err(column)?,
            })
        })
        .collect()
}

/// A counter, as far as it tells how a metric is counted.
#[derive(Debug, Clone)]
pub struct CountedRow {
    /// The metric.
    pub metric: String,
    /// What the total is of the events, as text.
    pub aggregation: String,
    /// Bounds of its period.
    pub period: (Timestamp, Timestamp),
    /// Its total.
    pub total: Decimal,
}

/// The latest counter of each metric, or of one, whose period touches `[from, to)`.
pub async fn counted(
    tx: &Tx,
    tenant: Uuid,
    (from, to): (Timestamp, Timestamp),
    metric: Option<&str>,
) -> Result<Vec<CountedRow>, StoreError> {
    tx.rows(&COUNTED, &[&tenant, &from, &to, &metric])
        .await?
        .iter()
        .map(|row| {
            Ok(CountedRow {
                metric: row.try_get(0).map_err(column)?,
                aggregation: row.try_get(1).map_err(column)?,
                period: (row.try_get(2).map_err(column)?, row.try_get(3).map_err(column)?),
                total: row.try_get(4).map_err(column)?,
            })
        })
        .collect()
}

/// Whether a period of the tenant begins or ends at this instant.
pub async fn is_bound(tx: &Tx, tenant: Uuid, at: Timestamp) -> Result<bool, StoreError> {
    tx.one(&IS_BOUND, &[&tenant, &at]).await?.try_get(0).map_err(column)
}

/// The counters of a period, by metric.
pub async fn counters_of(tx: &Tx, tenant: Uuid, period_start: Timestamp) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&COUNTERS_OF, &[&tenant, &period_start]).await?.iter().map(CounterRow::from_row).collect()
}

/// The segments of a period, in order.
pub async fn segments(
    tx: &Tx,
    tenant: Uuid,
    period_start: Timestamp,
) -> Result<Vec<super::open::SegmentRow>, StoreError> {
    tx.rows(&SEGMENTS, &[&tenant, &period_start]).await?.iter().map(super::open::SegmentRow::from_row).collect()
}

/// What ended segments of a period used: (metric, sequence, amount).
pub async fn ended_amounts(
    tx: &Tx,
    tenant: Uuid,
    period_start: Timestamp,
) -> Result<Vec<(String, i32, Decimal)>, StoreError> {
    tx.rows(&ENDED_AMOUNTS, &[&tenant, &period_start])
        .await?
        .iter()
        .map(|row| {
            Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?))
        })
        .collect()
}
