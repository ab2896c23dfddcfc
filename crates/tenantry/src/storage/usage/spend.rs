//! What tenants let their usage cost, and what must be read to judge by it.

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::facts::CounterRow;
use crate::query;
use crate::storage::row::Column as _;
use crate::storage::tenants::LockedTenant;
use crate::storage::{StoreError, Tx};

/// A spend cap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// The metric; none is all metrics together.
    pub metric: Option<String>,
    /// Minor units of the catalog's currency.
    pub amount_minor: i64,
    /// When it was set.
    pub created_at: Timestamp,
    /// When its amount was last changed.
    pub updated_at: Timestamp,
}

/// A spend alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// The metric; none is all metrics together.
    pub metric: Option<String>,
    /// Minor units of the catalog's currency; more than 0.
    pub amount_minor: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

query! {
    both CAPS = "
        select tenant_id, id, metric, amount_minor, created_at, updated_at
        from tenantry.spend_caps where tenant_id = any ($1)
        order by tenant_id, metric nulls first";
    both ALERTS = "
        select tenant_id, id, metric, amount_minor, created_at
        from tenantry.spend_alerts where tenant_id = any ($1)
        order by tenant_id, metric nulls first, amount_minor";
    service SET_CAP = "
        insert into tenantry.spend_caps (tenant_id, id, metric, amount_minor, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $5)
        on conflict (tenant_id, metric) do update
        set amount_minor = excluded.amount_minor, updated_at = excluded.updated_at
        returning tenant_id, id, metric, amount_minor, created_at, updated_at";
    service REMOVE_CAP = "
        delete from tenantry.spend_caps where tenant_id = $1 and metric is not distinct from $2";
    service INSERT_ALERT = "
        insert into tenantry.spend_alerts (tenant_id, id, metric, amount_minor, created_at)
        values ($1, $2, $3, $4, $5)";
    service REMOVE_ALERT = "delete from tenantry.spend_alerts where tenant_id = $1 and id = $2";
    /// Closed ones too: events that come late are judged by the caps that hold when they come.
    service LOCK_COUNTERS = "
        select tenant_id, metric, period_start, period_end, segment_sequence, segment_start, closed, historic,
               in_plan, included, hard_limit, total, aggregation, held, sure_limit
        from tenantry.usage_counters where tenant_id = $1 and not historic
        order by tenant_id, metric, period_start
        for update";
    service COUNTERS_OF_PERIODS = "
        select c.tenant_id, c.metric, c.period_start, c.period_end, c.segment_sequence, c.segment_start,
               c.closed, c.historic, c.in_plan, c.included, c.hard_limit, c.total,
               c.aggregation, c.held, c.sure_limit
        from unnest($1::uuid[], $2::timestamptz[]) as wanted (tenant_id, period_start)
        join tenantry.usage_counters c on c.tenant_id = wanted.tenant_id and c.period_start = wanted.period_start
        order by c.tenant_id, c.metric, c.period_start";
    service AMOUNTS_OF_PERIODS = "
        select a.tenant_id, a.metric, a.period_start, a.sequence, a.amount
        from unnest($1::uuid[], $2::timestamptz[]) as wanted (tenant_id, period_start)
        join tenantry.usage_segment_amounts a on a.tenant_id = wanted.tenant_id and a.period_start = wanted.period_start";
    service SET_SURE_LIMITS = "
        update tenantry.usage_counters c set sure_limit = bound.sure_limit
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::numeric[])
            as bound (tenant_id, metric, period_start, sure_limit)
        where c.tenant_id = bound.tenant_id and c.metric = bound.metric and c.period_start = bound.period_start";
    service OPEN_COUNTERS = "
        select tenant_id, metric, period_start, period_end, segment_sequence, segment_start, closed, historic,
               in_plan, included, hard_limit, total, aggregation, held, sure_limit
        from tenantry.usage_counters where tenant_id = any ($1) and not closed and not historic
        order by tenant_id, metric, period_start";
}

fn cap(row: &tokio_postgres::Row) -> Result<CapRow, StoreError> {
    Ok(CapRow {
        tenant_id: row.col(0)?,
        id: row.col(1)?,
        metric: row.col(2)?,
        amount_minor: row.col(3)?,
        created_at: row.col(4)?,
        updated_at: row.col(5)?,
    })
}

fn alert(row: &tokio_postgres::Row) -> Result<AlertRow, StoreError> {
    Ok(AlertRow {
        tenant_id: row.col(0)?,
        id: row.col(1)?,
        metric: row.col(2)?,
        amount_minor: row.col(3)?,
        created_at: row.col(4)?,
    })
}

/// The caps of these tenants; of each the one over all metrics first.
pub async fn caps(tx: &Tx, tenants: &[Uuid]) -> Result<Vec<CapRow>, StoreError> {
    tx.rows(&CAPS, &[&tenants]).await?.iter().map(cap).collect()
}

/// The alerts of these tenants; of each those over all metrics first, then by amount.
pub async fn alerts(tx: &Tx, tenants: &[Uuid]) -> Result<Vec<AlertRow>, StoreError> {
    tx.rows(&ALERTS, &[&tenants]).await?.iter().map(alert).collect()
}

/// Sets a cap; one that is there gets the amount and keeps its id.
pub async fn set_cap(
    tx: &Tx,
    tenant: &LockedTenant,
    (id, metric): (Uuid, Option<&str>),
    amount_minor: i64,
    now: Timestamp,
) -> Result<CapRow, StoreError> {
    cap(&tx.one(&SET_CAP, &[&tenant.id(), &id, &metric, &amount_minor, &now]).await?)
}

/// Takes a cap away.
pub async fn remove_cap(tx: &Tx, tenant: &LockedTenant, metric: Option<&str>) -> Result<(), StoreError> {
    tx.exactly_one(&REMOVE_CAP, &[&tenant.id(), &metric]).await
}

/// Adds an alert.
pub async fn insert_alert(tx: &Tx, tenant: &LockedTenant, alert: &AlertRow) -> Result<(), StoreError> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&tenant.id(), &alert.id, &alert.metric, &alert.amount_minor, &alert.created_at];
    tx.exactly_one(&INSERT_ALERT, &params).await
}

/// Takes an alert away.
pub async fn remove_alert(tx: &Tx, tenant: &LockedTenant, id: Uuid) -> Result<(), StoreError> {
    tx.exactly_one(&REMOVE_ALERT, &[&tenant.id(), &id]).await
}

/// Locks every counter of a tenant but those from before it was here, in key order.
pub async fn lock_counters(tx: &Tx, tenant: &LockedTenant) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&LOCK_COUNTERS, &[&tenant.id()]).await?.iter().map(CounterRow::from_row).collect()
}

/// All counters of these periods.
pub async fn counters_of_periods(
    tx: &Tx,
    tenants: &[Uuid],
    periods: &[Timestamp],
) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&COUNTERS_OF_PERIODS, &[&tenants, &periods]).await?.iter().map(CounterRow::from_row).collect()
}

/// What the ended segments of these periods used: ((tenant, metric, period), sequence, amount).
pub async fn amounts_of_periods(
    tx: &Tx,
    tenants: &[Uuid],
    periods: &[Timestamp],
) -> Result<Vec<((Uuid, String, Timestamp), i32, Decimal)>, StoreError> {
    tx.rows(&AMOUNTS_OF_PERIODS, &[&tenants, &periods])
        .await?
        .iter()
        .map(|row| Ok(((row.col(0)?, row.col(1)?, row.col(2)?), row.col(3)?, row.col(4)?)))
        .collect()
}

/// Writes the bounds of locked counters as these rows have them.
pub async fn set_sure_limits(tx: &Tx, counters: &[CounterRow]) -> Result<(), StoreError> {
    let tenants: Vec<Uuid> = counters.iter().map(|counter| counter.tenant_id).collect();
    let metrics: Vec<&str> = counters.iter().map(|counter| counter.metric.as_str()).collect();
    let starts: Vec<Timestamp> = counters.iter().map(|counter| counter.period_start).collect();
    let bounds: Vec<Option<Decimal>> = counters.iter().map(|counter| counter.sure_limit).collect();
    let rows = tx.execute(&SET_SURE_LIMITS, &[&tenants, &metrics, &starts, &bounds]).await?;
    if rows == counters.len() as u64 { Ok(()) } else { Err(StoreError::RowCount { query: SET_SURE_LIMITS.name, rows }) }
}

/// The counters of these tenants whose periods are open, but those from before the tenants were here.
pub async fn open_counters(tx: &Tx, tenants: &[Uuid]) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&OPEN_COUNTERS, &[&tenants]).await?.iter().map(CounterRow::from_row).collect()
}
