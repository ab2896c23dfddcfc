//! Changing the plan or the anchor inside a period: segments, and moving events past a new boundary.

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::facts::{CounterRow, column};
use super::open::SegmentRow;
use super::{retention, rollups};
use crate::query;
use crate::storage::{StoreError, Tx};

query! {
    service LOCK_COUNTERS_FROM = "
        select tenant_id, metric, period_start, period_end, segment_sequence, segment_start, closed, historic,
               in_plan, included, hard_limit, total, aggregation, held, sure_limit, rollups_version, folded_until,
               dimensions, dimensions_since
        from tenantry.usage_counters
        where tenant_id = $1 and period_end > $2
        order by tenant_id, metric, period_start
        for update";
    service SEGMENTS_OF = "
        select s.tenant_id, s.period_start, s.sequence, s.started_at, s.plan_id, s.plan_version,
               s.limits_plan_id, s.limits_plan_version
        from unnest($1::uuid[], $2::timestamptz[]) as wanted (tenant_id, period_start)
        join tenantry.usage_segments s on s.tenant_id = wanted.tenant_id and s.period_start = wanted.period_start
        order by s.tenant_id, s.period_start, s.sequence";
    service SEGMENT_AMOUNTS_OF = "
        select a.tenant_id, a.metric, a.period_start, a.sequence, a.amount
        from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as wanted (tenant_id, metric, period_start)
        join tenantry.usage_segment_amounts a on a.tenant_id = wanted.tenant_id and a.metric = wanted.metric
            and a.period_start = wanted.period_start
        order by a.tenant_id, a.metric, a.period_start, a.sequence";
    service USED_BETWEEN = "
        select metric, sum(amount), count(*) from tenantry.tenant_usage
        where tenant_id = $1 and metric = any ($2) and period_start = $3 and occurred_at >= $4
          and occurred_at < coalesce($5, 'infinity'::timestamptz)
        group by metric";
    service EVENTS_FROM = "
        select metric, count(*) from tenantry.tenant_usage
        where tenant_id = $1 and metric = any ($2) and period_start = $3 and occurred_at >= $4
        group by metric";
    service SET_COUNTER_TERMS = "
        update tenantry.usage_counters
        set segment_sequence = $4, segment_start = $5, in_plan = $6, included = $7, hard_limit = $8,
            sure_limit = $9,
            -- Refusals are counted under one limit, so that the first under another is told.
            refused_count = case when hard_limit is distinct from $8 then 0 else refused_count end
        where tenant_id = $1 and metric = $2 and period_start = $3";
    service SET_SEGMENT_PLAN = "
        update tenantry.usage_segments
        set plan_id = $4, plan_version = $5, limits_plan_id = $6, limits_plan_version = $7
        where tenant_id = $1 and period_start = $2 and sequence = $3";
    service PULL_SEGMENT = "
        update tenantry.usage_segments set started_at = $4
        where tenant_id = $1 and period_start = $2 and sequence = $3 and started_at > $4";
    service SET_PERIOD_BOUNDS = "
        update tenantry.usage_periods set period_end = $3, anchor = $4
        where tenant_id = $1 and period_start = $2 and period_start < $3";
    service SET_COUNTER_BOUNDS = "
        update tenantry.usage_counters set period_end = $3 where tenant_id = $1 and period_start = $2";
    service MOVE_EVENTS = "
        update tenantry.tenant_usage set period_start = $4, period_end = $5
        where tenant_id = $1 and metric = $2 and period_start = $3 and occurred_at >= $4";
    service MOVE_TOTAL = "
        update tenantry.usage_counters set total = total + $4, event_count = event_count + $5
        where tenant_id = $1 and metric = $2 and period_start = $3";
    service DROP_ROLLUPS = "
        delete from tenantry.usage_rollups
        where tenant_id = $1 and metric = $2 and period_start = $3 and hour >= $4";
    service REBUILD_ROLLUPS = "
        insert into tenantry.usage_rollups (tenant_id, metric, period_start, hour, user_id, amount, event_count)
        select tenant_id, metric, period_start, date_trunc('hour', occurred_at, 'UTC'),
               coalesce(user_id, '00000000-0000-0000-0000-000000000000'), sum(amount), count(*)
        from tenantry.tenant_usage
        where tenant_id = $1 and metric = $2 and period_start = any ($3) and occurred_at >= $4
        group by 1, 2, 3, 4, 5";
    service SET_SUBSCRIPTION_PLAN = "
        update tenantry.tenant_subscriptions
        set plan_id = $3, plan_version = $4, billing_interval = $5, status = $6, updated_at = $7
        where tenant_id = $1 and id = $2";
    service SET_SUBSCRIPTION_ANCHOR = "
        update tenantry.tenant_subscriptions
        set anchor = $3, current_period_start = $4, current_period_end = $5, updated_at = $6
        where tenant_id = $1 and id = $2";
}

/// Locks every counter of a tenant whose period ends after `after`, in key order.
pub async fn lock_counters_from(tx: &Tx, tenant: Uuid, after: Timestamp) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&LOCK_COUNTERS_FROM, &[&tenant, &after]).await?.iter().map(CounterRow::from_row).collect()
}

/// All segments of these periods, in order.
pub async fn segments_of(tx: &Tx, tenants: &[Uuid], periods: &[Timestamp]) -> Result<Vec<SegmentRow>, StoreError> {
    tx.rows(&SEGMENTS_OF, &[&tenants, &periods]).await?.iter().map(SegmentRow::from_row).collect()
}

/// What ended segments used: ((tenant, metric, period), sequence, amount).
pub async fn segment_amounts_of(
    tx: &Tx,
    tenants: &[Uuid],
    metrics: &[&str],
    periods: &[Timestamp],
) -> Result<Vec<((Uuid, String, Timestamp), i32, Decimal)>, StoreError> {
    tx.rows(&SEGMENT_AMOUNTS_OF, &[&tenants, &metrics, &periods])
        .await?
        .iter()
        .map(|row| {
            Ok((
                (row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?),
                row.try_get(3).map_err(column)?,
                row.try_get(4).map_err(column)?,
            ))
        })
        .collect()
}

/// Used in this period from an instant on, up to another or to its end, per metric: sum and number of events. Fails
/// where events have left of which that cannot be told.
pub async fn used_between(
    tx: &Tx,
    (tenant, period_start): (Uuid, Timestamp),
    metrics: &[&str],
    since: Timestamp,
    until: Option<Timestamp>,
) -> Result<Vec<(String, Decimal, i64)>, StoreError> {
    all_are_here(tx, (tenant, period_start), metrics, since).await?;
    tx.rows(&USED_BETWEEN, &[&tenant, &metrics, &period_start, &since, &until])
        .await?
        .iter()
        .map(|row| {
            Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?))
        })
        .collect()
}

/// Fails where events of a period from an instant on have left.
pub async fn all_are_here(
    tx: &Tx,
    (tenant, period_start): (Uuid, Timestamp),
    metrics: &[&str],
    since: Timestamp,
) -> Result<(), StoreError> {
    if retention::have_left(tx, (tenant, period_start), metrics, since).await? {
        let detail = format!("events of the period from {period_start} were archived: nothing changes at {since}");
        return Err(StoreError::corrupt("usage", detail));
    }
    Ok(())
}

/// How many events this period has from an instant on, per metric; none of a metric without any. Fails where events
/// have left of which that cannot be told.
pub async fn events_from(
    tx: &Tx,
    (tenant, period_start): (Uuid, Timestamp),
    metrics: &[&str],
    since: Timestamp,
) -> Result<Vec<(String, i64)>, StoreError> {
    all_are_here(tx, (tenant, period_start), metrics, since).await?;
    tx.rows(&EVENTS_FROM, &[&tenant, &metrics, &period_start, &since])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?)))
        .collect()
}

/// Puts a counter under the terms of a segment.
pub async fn set_counter_terms(tx: &Tx, counter: &CounterRow) -> Result<(), StoreError> {
    tx.exactly_one(
        &SET_COUNTER_TERMS,
        &[
            &counter.tenant_id,
            &counter.metric,
            &counter.period_start,
            &counter.segment_sequence,
            &counter.segment_start,
            &counter.in_plan,
            &counter.included,
            &counter.hard_limit,
            &counter.sure_limit,
        ],
    )
    .await
}

/// Puts an existing segment under another plan.
pub async fn set_segment_plan(tx: &Tx, segment: &SegmentRow) -> Result<(), StoreError> {
    tx.exactly_one(
        &SET_SEGMENT_PLAN,
        &[
            &segment.tenant_id,
            &segment.period_start,
            &segment.sequence,
            &segment.plan_id,
            &segment.plan_version,
            &segment.limits_plan_id,
            &segment.limits_plan_version,
        ],
    )
    .await
}

/// Lets a segment begin earlier.
pub async fn pull_segment(tx: &Tx, segment: &SegmentRow, started_at: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&PULL_SEGMENT, &[&segment.tenant_id, &segment.period_start, &segment.sequence, &started_at]).await
}

/// Writes end and anchor of a period, and the end of its counters. Events keep the end that they were recorded with.
pub async fn set_period_bounds(
    tx: &Tx,
    (tenant, period_start): (Uuid, Timestamp),
    end: Timestamp,
    anchor: Timestamp,
) -> Result<(), StoreError> {
    tx.exactly_one(&SET_PERIOD_BOUNDS, &[&tenant, &period_start, &end, &anchor]).await?;
    tx.execute(&SET_COUNTER_BOUNDS, &[&tenant, &period_start, &end]).await?;
    Ok(())
}

/// Moves one metric's events at or after the start of the new period into it, with totals and rollups. Both
/// counters must exist and be locked. `moved` is what [`used_between`] said; of a total that is no sum 0 is moved, and it
/// is computed anew.
pub async fn move_events(
    tx: &Tx,
    from: (Uuid, &str, Timestamp),
    to: (Timestamp, Timestamp),
    moved: (Decimal, i64),
) -> Result<(), StoreError> {
    let (tenant, metric, old_start) = from;
    let (new_start, new_end) = to;
    let rows = tx.execute(&MOVE_EVENTS, &[&tenant, &metric, &old_start, &new_start, &new_end]).await?;
    if i64::try_from(rows).ok() != Some(moved.1) {
        return Err(StoreError::RowCount { query: MOVE_EVENTS.name, rows });
    }
    tx.exactly_one(&MOVE_TOTAL, &[&tenant, &metric, &old_start, &-moved.0, &-moved.1]).await?;
    tx.exactly_one(&MOVE_TOTAL, &[&tenant, &metric, &new_start, &moved.0, &moved.1]).await?;
    // The hour that contains the boundary is split, so it is rebuilt on both sides.
    let hour = new_start.as_second().div_euclid(3600) * 3600;
    let hour = Timestamp::from_second(hour).map_err(|error| StoreError::corrupt("hour", error))?;
    for start in [old_start, new_start] {
        tx.execute(&DROP_ROLLUPS, &[&tenant, &metric, &start, &hour]).await?;
    }
    let both = [old_start, new_start];
    tx.execute(&REBUILD_ROLLUPS, &[&tenant, &metric, &both.as_slice(), &hour]).await?;
    rollups::after_move(tx, (tenant, metric), &both, hour).await
}

/// What a subscription is after a plan change.
#[derive(Debug)]
pub struct SubscriptionPlan<'a> {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The subscription.
    pub id: Uuid,
    /// The plan.
    pub plan_id: &'a str,
    /// Its version.
    pub plan_version: i32,
    /// `month` or `year`.
    pub billing_interval: &'a str,
    /// As Stripe names it.
    pub status: &'a str,
}

/// Writes the plan of a locked subscription.
pub async fn set_subscription_plan(tx: &Tx, plan: &SubscriptionPlan<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(
        &SET_SUBSCRIPTION_PLAN,
        &[&plan.tenant_id, &plan.id, &plan.plan_id, &plan.plan_version, &plan.billing_interval, &plan.status, &now],
    )
    .await
}

/// Writes the anchor and the current period of a locked subscription.
pub async fn set_subscription_anchor(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    anchor: Timestamp,
    (start, end): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.exactly_one(&SET_SUBSCRIPTION_ANCHOR, &[&tenant, &id, &anchor, &start, &end, &now]).await
}
