//! Closing periods and the charges that come of it.

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::facts::{CounterRow, PeriodRow, column};
use crate::query;
use crate::storage::{StoreError, Tx};

/// A charge to be written.
#[derive(Debug, Clone)]
pub struct NewCharge {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The metric.
    pub metric: String,
    /// First instant of the period it is for.
    pub period_start: Timestamp,
    /// 0 for the closing, then one more for each adjustment.
    pub sequence: i32,
    /// Its id.
    pub id: Uuid,
    /// Quantity above included.
    pub overage: Decimal,
    /// Minor units of the currency.
    pub amount_minor: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// What the price was computed from.
    pub inputs: serde_json::Value,
}

/// What was charged so far for one counter.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChargedSoFar {
    /// Minor units.
    pub amount_minor: i64,
    /// Sequence of the next charge.
    pub next_sequence: i32,
}

query! {
    service LOCK_PERIOD = "
        select tenant_id, period_start, period_end, anchor, historic, state
        from tenantry.usage_periods where tenant_id = $1 and period_start = $2
        for update";
    service ENDED_PERIODS = "
        select period_start from tenantry.usage_periods
        where tenant_id = $1 and state <> 'closed' and not historic and period_end <= $2
        order by period_start";
    service LOCK_PERIOD_COUNTERS = "
        select tenant_id, metric, period_start, period_end, segment_sequence, segment_start, closed, historic,
               in_plan, included, hard_limit, total, aggregation, held, sure_limit, rollups_version, folded_until,
               dimensions, dimensions_since
        from tenantry.usage_counters
        where tenant_id = $1 and period_start = $2
        order by tenant_id, metric, period_start
        for update";
    service CLOSE_PERIOD = "
        update tenantry.usage_periods set state = 'closed', closed_at = $3
        where tenant_id = $1 and period_start = $2 and state <> 'closed'";
    service CLOSE_COUNTERS = "
        update tenantry.usage_counters set closed = true where tenant_id = $1 and period_start = $2";
    service CHARGED = "
        select coalesce(sum(charge_amount_cents), 0)::bigint, coalesce(max(sequence) + 1, 0)
        from tenantry.overage_charges
        where tenant_id = $1 and metric = $2 and billing_period_start = $3";
    service INSERT_CHARGE = "
        insert into tenantry.overage_charges
            (tenant_id, metric, billing_period_start, sequence, id, tenant_type, overage_amount,
             charge_amount_cents, currency, inputs, created_at)
        select $1, $2, $3, $4, $5, t.type, $6, $7, $8, $9, $10 from tenantry.tenants t where t.id = $1";
    service MOVE_SUBSCRIPTION_PERIOD = "
        update tenantry.tenant_subscriptions
        set current_period_start = coalesce($3, current_period_start),
            current_period_end = coalesce($4, current_period_end), plan_version = $5, updated_at = $6
        where tenant_id = $1 and id = $2";
}

/// Locks a period.
pub async fn lock_period(tx: &Tx, tenant: Uuid, start: Timestamp) -> Result<Option<PeriodRow>, StoreError> {
    tx.opt(&LOCK_PERIOD, &[&tenant, &start]).await?.as_ref().map(PeriodRow::from_row).transpose()
}

/// First instants of the periods that have ended and are not closed, in order.
pub async fn ended_periods(tx: &Tx, tenant: Uuid, now: Timestamp) -> Result<Vec<Timestamp>, StoreError> {
    tx.rows(&ENDED_PERIODS, &[&tenant, &now]).await?.iter().map(|row| row.try_get(0).map_err(column)).collect()
}

/// Locks the counters of a period, in key order.
pub async fn lock_period_counters(
    tx: &Tx,
    tenant: Uuid,
    period_start: Timestamp,
) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&LOCK_PERIOD_COUNTERS, &[&tenant, &period_start]).await?.iter().map(CounterRow::from_row).collect()
}

/// Marks a period and its counters closed.
pub async fn close(tx: &Tx, tenant: Uuid, period_start: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&CLOSE_PERIOD, &[&tenant, &period_start, &now]).await?;
    tx.execute(&CLOSE_COUNTERS, &[&tenant, &period_start]).await?;
    Ok(())
}

/// What was charged for this counter; read under its lock.
pub async fn charged(
    tx: &Tx,
    (tenant, metric, period_start): (Uuid, &str, Timestamp),
) -> Result<ChargedSoFar, StoreError> {
    let row = tx.one(&CHARGED, &[&tenant, &metric, &period_start]).await?;
    Ok(ChargedSoFar { amount_minor: row.try_get(0).map_err(column)?, next_sequence: row.try_get(1).map_err(column)? })
}

/// Writes a charge.
pub async fn insert(tx: &Tx, charge: &NewCharge, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(
        &INSERT_CHARGE,
        &[
            &charge.tenant_id,
            &charge.metric,
            &charge.period_start,
            &charge.sequence,
            &charge.id,
            &charge.overage,
            &charge.amount_minor,
            &charge.currency,
            &charge.inputs,
            &now,
        ],
    )
    .await
}

/// Moves a subscription on to the usage period that has begun: to its plan version, and where they are given to its
/// bounds.
pub async fn move_subscription_period(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    bounds: Option<(Timestamp, Timestamp)>,
    plan_version: i32,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (start, end) = bounds.unzip();
    tx.exactly_one(&MOVE_SUBSCRIPTION_PERIOD, &[&tenant, &id, &start, &end, &plan_version, &now]).await
}
