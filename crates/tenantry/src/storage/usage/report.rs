//! What was used, for readers: sums by day, hour, user and value, and counters. Never all events.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
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
    /// than 31 days. An hour or day that holds the boundary of two periods has a row in each: a row begins where its
    /// part does. Where days are folded the span is taken from the midnight next to its begin to the one next to its
    /// end, in days; hours are added where that is too little, and taken away where it is too much. Where these are
    /// most of the days of the period, they are its total less the other days. Of metrics that are no sums the amounts
    /// may come to more than any total: cut where a decimal ends.
    both USED = "
        with spans as materialized (
            select c.tenant_id, c.metric, c.period_start, c.folded_until, days.first_day,
                   greatest(days.first_day, least(
                       date_trunc('day', c.folded_until, 'UTC'),
                       case when c.period_end > $3
                            then date_trunc('day', $3::timestamptz + interval '12 hours', 'UTC') end)) as end_day
            from tenantry.usage_counters c
            cross join lateral (
                select date_trunc('day', case when c.period_start >= $2 then c.period_start
                                              else $2::timestamptz + interval '11:59:59.999999' end, 'UTC') as first_day
            ) days
            where c.tenant_id = $1 and c.period_start < $3 and c.period_start >= $2::timestamptz - interval '744 hours'
              and c.period_end > $2 and ($4::text is null or c.metric = $4)
        ), chosen as materialized (
            select s.*, end_day > first_day
                   and (end_day - first_day) * 2
                       > date_trunc('day', folded_until, 'UTC') - date_trunc('day', period_start, 'UTC') as is_most
            from spans s
        )
        select metric, user_id, least(sum(amount), 79000000000000000000), sum(event_count)::bigint
        from (
            select r.metric, r.user_id, r.amount, r.event_count
            from chosen s join tenantry.usage_user_totals r using (tenant_id, metric, period_start)
            where s.is_most and ($5::uuid is null or r.user_id = $5)
            union all
            select r.metric, r.user_id, -r.amount, -r.event_count
            from chosen s join tenantry.usage_day_rollups r using (tenant_id, metric, period_start)
            where s.is_most and ($5::uuid is null or r.user_id = $5) and r.day < s.first_day
            union all
            select r.metric, r.user_id, -r.amount, -r.event_count
            from chosen s join tenantry.usage_day_rollups r using (tenant_id, metric, period_start)
            where s.is_most and ($5::uuid is null or r.user_id = $5) and r.day >= s.end_day
            union all
            select r.metric, r.user_id, r.amount, r.event_count
            from chosen s join tenantry.usage_day_rollups r using (tenant_id, metric, period_start)
            where not s.is_most and ($5::uuid is null or r.user_id = $5)
              and r.day >= s.first_day and r.day < s.end_day
            union all
            select r.metric, r.user_id, r.amount, r.event_count
            from chosen s join tenantry.usage_rollups r using (tenant_id, metric, period_start)
            where ($5::uuid is null or r.user_id = $5)
              and r.hour > $2::timestamptz - interval '1 hour' and r.hour < least($3, s.first_day)
              and greatest(r.hour, r.period_start) >= $2
            union all
            select r.metric, r.user_id, r.amount, r.event_count
            from chosen s join tenantry.usage_rollups r using (tenant_id, metric, period_start)
            where ($5::uuid is null or r.user_id = $5)
              and r.hour > $2::timestamptz - interval '1 hour' and r.hour < $3 and r.hour >= s.end_day
              and greatest(r.hour, r.period_start) >= $2
            union all
            select r.metric, r.user_id, -r.amount, -r.event_count
            from chosen s join tenantry.usage_rollups r using (tenant_id, metric, period_start)
            where ($5::uuid is null or r.user_id = $5)
              and r.hour >= s.first_day and r.hour < least($2, s.end_day)
              and greatest(r.hour, r.period_start) < $2
            union all
            select r.metric, r.user_id, -r.amount, -r.event_count
            from chosen s join tenantry.usage_rollups r using (tenant_id, metric, period_start)
            where ($5::uuid is null or r.user_id = $5)
              and r.hour >= greatest($3, s.first_day) and r.hour < s.end_day
        ) used
        group by metric, user_id
        having sum(event_count) <> 0";
    /// The same by metric and the instant that each sum begins at: of a day or of an hour. Of one user.
    both USED_BY_SPAN = "
        with spans as materialized (
            select c.tenant_id, c.metric, c.period_start, c.folded_until, days.first_day,
                   greatest(days.first_day, least(
                       date_trunc('day', c.folded_until, 'UTC'),
                       case when c.period_end > $3
                            then date_trunc('day', $3::timestamptz + interval '12 hours', 'UTC') end)) as end_day
            from tenantry.usage_counters c
            cross join lateral (
                select date_trunc('day', case when c.period_start >= $2 then c.period_start
                                              else $2::timestamptz + interval '11:59:59.999999' end, 'UTC') as first_day
            ) days
            where c.tenant_id = $1 and c.period_start < $3 and c.period_start >= $2::timestamptz - interval '744 hours'
              and c.period_end > $2 and ($4::text is null or c.metric = $4)
        )
        select metric, at, least(sum(amount), 79000000000000000000), sum(event_count)::bigint
        from (
            select r.metric, r.day as at, r.amount, r.event_count
            from spans s join tenantry.usage_day_rollups r using (tenant_id, metric, period_start)
            where r.user_id = $5 and r.day >= s.first_day and r.day < s.end_day
            union all
            select r.metric, r.hour, r.amount, r.event_count
            from spans s join tenantry.usage_rollups r using (tenant_id, metric, period_start)
            where r.user_id = $5
              and r.hour > $2::timestamptz - interval '1 hour' and r.hour < least($3, s.first_day)
              and greatest(r.hour, r.period_start) >= $2
            union all
            select r.metric, r.hour, r.amount, r.event_count
            from spans s join tenantry.usage_rollups r using (tenant_id, metric, period_start)
            where r.user_id = $5
              and r.hour > $2::timestamptz - interval '1 hour' and r.hour < $3 and r.hour >= s.end_day
              and greatest(r.hour, r.period_start) >= $2
            union all
            select r.metric, r.hour, -r.amount, -r.event_count
            from spans s join tenantry.usage_rollups r using (tenant_id, metric, period_start)
            where r.user_id = $5 and r.hour >= s.first_day and r.hour < least($2, s.end_day)
              and greatest(r.hour, r.period_start) < $2
            union all
            select r.metric, r.hour, -r.amount, -r.event_count
            from spans s join tenantry.usage_rollups r using (tenant_id, metric, period_start)
            where r.user_id = $5 and r.hour >= greatest($3, s.first_day) and r.hour < s.end_day
        ) used
        group by metric, at";
    /// The same of all users: totals of hours as far as they are folded, then the hours themselves.
    both ALL_BY_SPAN = "
        with spans as materialized (
            select c.tenant_id, c.metric, c.period_start, c.folded_until, days.first_day,
                   greatest(days.first_day, least(
                       date_trunc('day', c.folded_until, 'UTC'),
                       case when c.period_end > $3
                            then date_trunc('day', $3::timestamptz + interval '12 hours', 'UTC') end)) as end_day
            from tenantry.usage_counters c
            cross join lateral (
                select date_trunc('day', case when c.period_start >= $2 then c.period_start
                                              else $2::timestamptz + interval '11:59:59.999999' end, 'UTC') as first_day
            ) days
            where c.tenant_id = $1 and c.period_start < $3 and c.period_start >= $2::timestamptz - interval '744 hours'
              and c.period_end > $2 and ($4::text is null or c.metric = $4)
        )
        select r.metric, r.hour, least(r.amount, 79000000000000000000), r.event_count
        from spans s
        join tenantry.usage_hour_totals r on r.tenant_id = s.tenant_id and r.metric = s.metric
            and r.period_start = s.period_start
            and r.hour > $2::timestamptz - interval '1 hour' and r.hour < $3 and greatest(r.hour, r.period_start) >= $2
        union all
        select r.metric, r.hour, least(sum(r.amount), 79000000000000000000), sum(r.event_count)::bigint
        from spans s
        join tenantry.usage_rollups r on r.tenant_id = s.tenant_id and r.metric = s.metric
            and r.period_start = s.period_start
            and r.hour > $2::timestamptz - interval '1 hour' and r.hour < $3 and r.hour >= s.folded_until
            and greatest(r.hour, r.period_start) >= $2
        group by r.metric, r.hour";
    /// As USED by metric and value of the dimension $5, of counters that have it.
    both USED_BY_VALUE = "
        with spans as materialized (
            select c.tenant_id, c.metric, c.period_start, c.folded_until, days.first_day,
                   greatest(days.first_day, least(
                       date_trunc('day', c.folded_until, 'UTC'),
                       case when c.period_end > $3
                            then date_trunc('day', $3::timestamptz + interval '12 hours', 'UTC') end)) as end_day
            from tenantry.usage_counters c
            cross join lateral (
                select date_trunc('day', case when c.period_start >= $2 then c.period_start
                                              else $2::timestamptz + interval '11:59:59.999999' end, 'UTC') as first_day
            ) days
            where c.tenant_id = $1 and c.period_start < $3 and c.period_start >= $2::timestamptz - interval '744 hours'
              and c.period_end > $2 and ($4::text is null or c.metric = $4)
              and $5::text = any (c.dimensions)
              -- One that is not declared any more is going, counter by counter.
              and exists (select from tenantry.usage_dimensions d where d.metric = c.metric and $5 = any (d.names))
        )
        select metric, value, least(sum(amount), 79000000000000000000), sum(event_count)::bigint
        from (
            select r.metric, r.value, r.amount, r.event_count
            from spans s join tenantry.usage_dimension_day_rollups r using (tenant_id, metric, period_start)
            where r.dimension = $5 and r.day >= s.first_day and r.day < s.end_day
            union all
            select r.metric, r.value, r.amount, r.event_count
            from spans s join tenantry.usage_dimension_rollups r using (tenant_id, metric, period_start)
            where r.dimension = $5
              and r.hour > $2::timestamptz - interval '1 hour' and r.hour < least($3, s.first_day)
              and greatest(r.hour, r.period_start) >= $2
            union all
            select r.metric, r.value, r.amount, r.event_count
            from spans s join tenantry.usage_dimension_rollups r using (tenant_id, metric, period_start)
            where r.dimension = $5
              and r.hour > $2::timestamptz - interval '1 hour' and r.hour < $3 and r.hour >= s.end_day
              and greatest(r.hour, r.period_start) >= $2
            union all
            select r.metric, r.value, -r.amount, -r.event_count
            from spans s join tenantry.usage_dimension_rollups r using (tenant_id, metric, period_start)
            where r.dimension = $5 and r.hour >= s.first_day and r.hour < least($2, s.end_day)
              and greatest(r.hour, r.period_start) < $2
            union all
            select r.metric, r.value, -r.amount, -r.event_count
            from spans s join tenantry.usage_dimension_rollups r using (tenant_id, metric, period_start)
            where r.dimension = $5 and r.hour >= greatest($3, s.first_day) and r.hour < s.end_day
        ) used
        group by metric, value
        having sum(event_count) <> 0";
    /// The metrics that the dimension $5 is declared for, each with the instant from which on all that was used in the
    /// span is summed by it; null where that is all of it.
    both DECLARED = "
        select d.metric, (
            select max(case when $5 = any (c.dimensions) then c.dimensions_since else '2101-01-01T00:00:00Z' end)
            from tenantry.usage_counters c
            where c.tenant_id = $1 and c.metric = d.metric and c.event_count > 0
              and c.period_start < $3 and c.period_start >= $2::timestamptz - interval '744 hours' and c.period_end > $2
              and ($5 = any (c.dimensions) and c.dimensions_since <= greatest(c.period_start, $2)) is not true
        )
        from tenantry.usage_dimensions d
        where $5::text = any (d.names) and ($4::text is null or d.metric = $4)
        order by d.metric";
    /// What is summed is found by keys, whatever the planner makes of the numbers of rows, and never sorted: a sort of
    /// many rows by name and user costs more than all the rest.
    both PLAN = "
        select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
               set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
               set_config('enable_sort', 'off', true)";
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
               in_plan, included, hard_limit, total, aggregation, held, sure_limit, rollups_version, folded_until,
               dimensions, dimensions_since
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

/// Lets the sums of this transaction be planned as they must be. Of transactions that only report.
pub async fn plan(tx: &Tx) -> Result<(), StoreError> {
    tx.one(&PLAN, &[]).await?;
    Ok(())
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

/// Sums per metric and user of `[from, to)`, in no order; both must be whole hours or bounds of periods. `only` leaves
/// out other users.
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

/// What was used of one metric, by something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumRow<K> {
    /// The metric.
    pub metric: String,
    /// By what.
    pub key: K,
    /// Sum of amounts.
    pub amount: Decimal,
    /// Number of events, corrections included.
    pub event_count: i64,
}

impl<K: for<'a> FromSql<'a>> SumRow<K> {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            metric: row.try_get(0).map_err(column)?,
            key: row.try_get(1).map_err(column)?,
            amount: row.try_get(2).map_err(column)?,
            event_count: row.try_get(3).map_err(column)?,
        })
    }
}

/// Sums as [`used`] has them, by the instants that they begin at, of days and of hours; some are there to be taken away
/// from others of their day.
pub async fn used_by_span(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    (from, to): (Timestamp, Timestamp),
    metric: Option<&str>,
) -> Result<Vec<SumRow<Timestamp>>, StoreError> {
    let rows = match only {
        Some(user) => tx.rows(&USED_BY_SPAN, &[&tenant, &from, &to, &metric, &user]).await?,
        None => tx.rows(&ALL_BY_SPAN, &[&tenant, &from, &to, &metric]).await?,
    };
    rows.iter().map(SumRow::from_row).collect()
}

/// Sums by the values of a dimension, of the counters that have it; an empty value stands for none.
pub async fn used_by_value(
    tx: &Tx,
    tenant: Uuid,
    (from, to): (Timestamp, Timestamp),
    metric: Option<&str>,
    dimension: &str,
) -> Result<Vec<SumRow<String>>, StoreError> {
    tx.rows(&USED_BY_VALUE, &[&tenant, &from, &to, &metric, &dimension]).await?.iter().map(SumRow::from_row).collect()
}

/// The metrics that a dimension is declared for, each with the instant from which on what the tenant used in the span
/// is summed by it; none where that is all of it.
pub async fn declared(
    tx: &Tx,
    tenant: Uuid,
    (from, to): (Timestamp, Timestamp),
    metric: Option<&str>,
    dimension: &str,
) -> Result<Vec<(String, Option<Timestamp>)>, StoreError> {
    tx.rows(&DECLARED, &[&tenant, &from, &to, &metric, &dimension])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?)))
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
