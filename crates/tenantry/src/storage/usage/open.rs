//! Opening periods, segments and counters, under the lock of the current subscription.

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::facts::{PeriodRow, column};
use crate::query;
use crate::storage::{StoreError, Tx};

/// The current subscription of a tenant, locked.
#[derive(Debug, Clone)]
pub struct SubscriptionRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The subscription.
    pub id: Uuid,
    /// Its plan.
    pub plan_id: String,
    /// Version of the plan that the current period runs under.
    pub plan_version: i32,
    /// Usage periods are months from here.
    pub anchor: Timestamp,
    /// The next period runs under the default plan.
    pub cancel_at_period_end: bool,
    /// Its status gives the limits of its plan, rather than those of the default plan.
    pub has_full_access: bool,
    /// Stripe states its billing period.
    pub is_at_stripe: bool,
}

/// A version of a plan.
#[derive(Debug, Clone)]
pub struct PlanVersionRow {
    /// The plan.
    pub plan_id: String,
    /// Its version.
    pub version: i32,
    /// The plan as the catalog file gave it.
    pub definition: serde_json::Value,
    /// The one that new tenants get.
    pub is_default: bool,
}

/// A segment: part of a period under one plan version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// First instant of the period.
    pub period_start: Timestamp,
    /// Position in the period, from 0.
    pub sequence: i32,
    /// First instant of the segment.
    pub started_at: Timestamp,
    /// Prices come from this plan.
    pub plan_id: String,
    /// And this version of it.
    pub plan_version: i32,
    /// Limits come from this plan.
    pub limits_plan_id: String,
    /// And this version of it.
    pub limits_plan_version: i32,
}

/// A counter to be made.
#[derive(Debug, Clone)]
pub struct NewCounter {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The metric.
    pub metric: String,
    /// Its period.
    pub period: PeriodRow,
    /// The current segment of that period.
    pub segment_sequence: i32,
    /// Its first instant.
    pub segment_start: Timestamp,
    /// Whether the plan names the metric.
    pub in_plan: bool,
    /// Included quantity; none is unlimited.
    pub included: Option<Decimal>,
    /// The limit.
    pub hard_limit: Option<Decimal>,
    /// Up to this total nobody watches what it costs.
    pub sure_limit: Option<Decimal>,
    /// What the total is of the events, as its text.
    pub aggregation: String,
}

query! {
    service LOCK_SUBSCRIPTIONS = "
        select tenant_id, id, plan_id, plan_version, anchor, cancel_at_period_end, access = 'full',
               provider is not null
        from tenantry.tenant_subscriptions
        where tenant_id = any ($1) and ended_at is null
        order by tenant_id
        for update";
    both NEAREST_PERIODS = "
        select p.tenant_id, p.period_start, p.period_end, p.anchor, p.historic, p.state
        from unnest($1::uuid[], $2::timestamptz[]) as wanted (tenant_id, at)
        cross join lateral (
            (select * from tenantry.usage_periods b
             where b.tenant_id = wanted.tenant_id and b.period_start <= wanted.at
             order by b.period_start desc limit 1)
            union all
            (select * from tenantry.usage_periods a
             where a.tenant_id = wanted.tenant_id and a.period_start > wanted.at
             order by a.period_start limit 1)
        ) p";
    service PERIODS_FROM = "
        select tenant_id, period_start, period_end, anchor, historic, state
        from tenantry.usage_periods where tenant_id = $1 and period_end > $2
        order by period_start";
    service INSERT_PERIODS = "
        insert into tenantry.usage_periods (tenant_id, period_start, period_end, anchor, historic)
        select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::boolean[])";
    service INSERT_SEGMENTS = "
        insert into tenantry.usage_segments
            (tenant_id, period_start, sequence, started_at, plan_id, plan_version, limits_plan_id, limits_plan_version)
        select * from unnest(
            $1::uuid[], $2::timestamptz[], $3::int[], $4::timestamptz[], $5::text[], $6::int[], $7::text[], $8::int[])";
    service INSERT_COUNTERS = "
        insert into tenantry.usage_counters
            (tenant_id, metric, period_start, period_end, segment_sequence, segment_start, closed, historic, in_plan,
             included, hard_limit, sure_limit, aggregation, dimensions, dimensions_since)
        select wanted.*, d.names, case when d.names is not null then '2000-01-01T00:00:00Z'::timestamptz end
        from unnest(
            $1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::int[], $6::timestamptz[],
            $7::boolean[], $8::boolean[], $9::boolean[], $10::numeric[], $11::numeric[], $12::numeric[], $13::text[])
            as wanted (tenant_id, metric)
        left join tenantry.usage_dimensions d on d.metric = wanted.metric and d.names <> '{}'
        on conflict do nothing";
    service SHARE_CATALOG = "select pg_advisory_xact_lock_shared(hashtext('tenantry.catalog'))";
    service LAST_SEGMENTS = "
        select distinct on (s.tenant_id, s.period_start)
            s.tenant_id, s.period_start, s.sequence, s.started_at, s.plan_id, s.plan_version,
            s.limits_plan_id, s.limits_plan_version
        from unnest($1::uuid[], $2::timestamptz[]) as wanted (tenant_id, period_start)
        join tenantry.usage_segments s on s.tenant_id = wanted.tenant_id and s.period_start = wanted.period_start
        order by s.tenant_id, s.period_start, s.sequence desc";
    both CURRENT_PLANS = "
        select plan_id, version, definition, is_default from tenantry.plan_versions where current";
    both PLAN_VERSIONS = "
        select v.plan_id, v.version, v.definition, v.is_default
        from unnest($1::text[], $2::int[]) as wanted (plan_id, version)
        join tenantry.plan_versions v on v.plan_id = wanted.plan_id and v.version = wanted.version";
    service INSERT_CLOSE_JOBS = "
        insert into tenantry.jobs (tenant_id, id, kind, dedupe_key, payload, run_at, created_at)
        select tenant_id, id, 'close_period', dedupe_key, jsonb_build_object('periodStart', period_start), run_at, $6
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
            as wanted (tenant_id, id, dedupe_key, period_start, run_at)
        on conflict (tenant_id, kind, dedupe_key) do nothing";
    service MOVE_CLOSE_JOB = "
        update tenantry.jobs set run_at = $3
        where tenant_id = $1 and kind = 'close_period' and dedupe_key = $2 and finished_at is null";
}

/// Locks the current subscriptions of these tenants, in key order. Whoever makes or moves a period,
/// a segment or a counter's limits holds this lock.
pub async fn lock_subscriptions(tx: &Tx, tenants: &[Uuid]) -> Result<Vec<SubscriptionRow>, StoreError> {
    tx.rows(&LOCK_SUBSCRIPTIONS, &[&tenants])
        .await?
        .iter()
        .map(|row| {
            Ok(SubscriptionRow {
                tenant_id: row.try_get(0).map_err(column)?,
                id: row.try_get(1).map_err(column)?,
                plan_id: row.try_get(2).map_err(column)?,
                plan_version: row.try_get(3).map_err(column)?,
                anchor: row.try_get(4).map_err(column)?,
                cancel_at_period_end: row.try_get(5).map_err(column)?,
                has_full_access: row.try_get(6).map_err(column)?,
                is_at_stripe: row.try_get(7).map_err(column)?,
            })
        })
        .collect()
}

/// For each (tenant, instant): the period that begins at or before it and the one that begins after it.
pub async fn nearest_periods(tx: &Tx, tenants: &[Uuid], at: &[Timestamp]) -> Result<Vec<PeriodRow>, StoreError> {
    tx.rows(&NEAREST_PERIODS, &[&tenants, &at]).await?.iter().map(PeriodRow::from_row).collect()
}

/// The opened periods of a tenant that end after an instant, in order.
pub async fn periods_from(tx: &Tx, tenant: Uuid, after: Timestamp) -> Result<Vec<PeriodRow>, StoreError> {
    tx.rows(&PERIODS_FROM, &[&tenant, &after]).await?.iter().map(PeriodRow::from_row).collect()
}

/// Writes new periods. They must not overlap; the lock of the subscription sees to that.
pub async fn insert_periods(tx: &Tx, periods: &[PeriodRow]) -> Result<(), StoreError> {
    let tenants: Vec<Uuid> = periods.iter().map(|period| period.tenant_id).collect();
    let starts: Vec<Timestamp> = periods.iter().map(|period| period.start).collect();
    let ends: Vec<Timestamp> = periods.iter().map(|period| period.end).collect();
    let anchors: Vec<Timestamp> = periods.iter().map(|period| period.anchor).collect();
    let historic: Vec<bool> = periods.iter().map(|period| period.historic).collect();
    tx.execute(&INSERT_PERIODS, &[&tenants, &starts, &ends, &anchors, &historic]).await?;
    Ok(())
}

/// Writes new segments.
pub async fn insert_segments(tx: &Tx, segments: &[SegmentRow]) -> Result<(), StoreError> {
    let tenants: Vec<Uuid> = segments.iter().map(|segment| segment.tenant_id).collect();
    let periods: Vec<Timestamp> = segments.iter().map(|segment| segment.period_start).collect();
    let sequences: Vec<i32> = segments.iter().map(|segment| segment.sequence).collect();
    let starts: Vec<Timestamp> = segments.iter().map(|segment| segment.started_at).collect();
    let plans: Vec<&str> = segments.iter().map(|segment| segment.plan_id.as_str()).collect();
    let versions: Vec<i32> = segments.iter().map(|segment| segment.plan_version).collect();
    let limits: Vec<&str> = segments.iter().map(|segment| segment.limits_plan_id.as_str()).collect();
    let limit_versions: Vec<i32> = segments.iter().map(|segment| segment.limits_plan_version).collect();
    tx.execute(
        &INSERT_SEGMENTS,
        &[&tenants, &periods, &sequences, &starts, &plans, &versions, &limits, &limit_versions],
    )
    .await?;
    Ok(())
}

/// Writes counters at 0; those that exist stay as they are. They have the dimensions of the catalog, which is not
/// changed until the transaction is over.
pub async fn insert_counters(tx: &Tx, counters: &[NewCounter]) -> Result<(), StoreError> {
    tx.one(&SHARE_CATALOG, &[]).await?;
    let tenants: Vec<Uuid> = counters.iter().map(|counter| counter.tenant_id).collect();
    let metrics: Vec<&str> = counters.iter().map(|counter| counter.metric.as_str()).collect();
    let starts: Vec<Timestamp> = counters.iter().map(|counter| counter.period.start).collect();
    let ends: Vec<Timestamp> = counters.iter().map(|counter| counter.period.end).collect();
    let sequences: Vec<i32> = counters.iter().map(|counter| counter.segment_sequence).collect();
    let segment_starts: Vec<Timestamp> = counters.iter().map(|counter| counter.segment_start).collect();
    let closed: Vec<bool> = counters.iter().map(|counter| counter.period.closed).collect();
    let historic: Vec<bool> = counters.iter().map(|counter| counter.period.historic).collect();
    let in_plan: Vec<bool> = counters.iter().map(|counter| counter.in_plan).collect();
    let included: Vec<Option<Decimal>> = counters.iter().map(|counter| counter.included).collect();
    let limits: Vec<Option<Decimal>> = counters.iter().map(|counter| counter.hard_limit).collect();
    let sure: Vec<Option<Decimal>> = counters.iter().map(|counter| counter.sure_limit).collect();
    let aggregations: Vec<&str> = counters.iter().map(|counter| counter.aggregation.as_str()).collect();
    tx.execute(
        &INSERT_COUNTERS,
        &[
            &tenants,
            &metrics,
            &starts,
            &ends,
            &sequences,
            &segment_starts,
            &closed,
            &historic,
            &in_plan,
            &included,
            &limits,
            &sure,
            &aggregations,
        ],
    )
    .await?;
    Ok(())
}

/// The current segment of each of these periods.
pub async fn last_segments(tx: &Tx, tenants: &[Uuid], periods: &[Timestamp]) -> Result<Vec<SegmentRow>, StoreError> {
    tx.rows(&LAST_SEGMENTS, &[&tenants, &periods]).await?.iter().map(SegmentRow::from_row).collect()
}

impl SegmentRow {
    pub(super) fn from_row(row: &tokio_postgres::Row) -> Result<Self, StoreError> {
        Ok(Self {
            tenant_id: row.try_get("tenant_id").map_err(column)?,
            period_start: row.try_get("period_start").map_err(column)?,
            sequence: row.try_get("sequence").map_err(column)?,
            started_at: row.try_get("started_at").map_err(column)?,
            plan_id: row.try_get("plan_id").map_err(column)?,
            plan_version: row.try_get("plan_version").map_err(column)?,
            limits_plan_id: row.try_get("limits_plan_id").map_err(column)?,
            limits_plan_version: row.try_get("limits_plan_version").map_err(column)?,
        })
    }
}

impl PlanVersionRow {
    pub(super) fn from_row(row: &tokio_postgres::Row) -> Result<Self, StoreError> {
        Ok(Self {
            plan_id: row.try_get(0).map_err(column)?,
            version: row.try_get(1).map_err(column)?,
            definition: row.try_get(2).map_err(column)?,
            is_default: row.try_get(3).map_err(column)?,
        })
    }
}

/// The versions that new periods begin with.
pub async fn current_plans(tx: &Tx) -> Result<Vec<PlanVersionRow>, StoreError> {
    tx.rows(&CURRENT_PLANS, &[]).await?.iter().map(PlanVersionRow::from_row).collect()
}

/// These versions.
pub async fn plan_versions(tx: &Tx, plans: &[&str], versions: &[i32]) -> Result<Vec<PlanVersionRow>, StoreError> {
    tx.rows(&PLAN_VERSIONS, &[&plans, &versions]).await?.iter().map(PlanVersionRow::from_row).collect()
}

/// Asks for the closing of these periods: (tenant, job id, first instant of the period, when).
pub async fn insert_close_jobs(
    tx: &Tx,
    jobs: &[(Uuid, Uuid, Timestamp, Timestamp)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let tenants: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.1).collect();
    let starts: Vec<String> = jobs.iter().map(|job| job.2.to_string()).collect();
    let run_at: Vec<Timestamp> = jobs.iter().map(|job| job.3).collect();
    tx.execute(&INSERT_CLOSE_JOBS, &[&tenants, &ids, &starts, &starts, &run_at, &now]).await?;
    Ok(())
}

/// Moves the closing of a period, when its end moved.
pub async fn move_close_job(
    tx: &Tx,
    tenant: Uuid,
    period_start: Timestamp,
    run_at: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&MOVE_CLOSE_JOB, &[&tenant, &period_start.to_string(), &run_at]).await?;
    Ok(())
}
