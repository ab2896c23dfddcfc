//! What was recorded and charged, for whoever reckons it again: charges, counters with what they were charged, periods
//! with the plan that they began under.

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::facts::{CounterRow, column};
use crate::query;
use crate::storage::{StoreError, Tx};

/// A charge as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ChargeRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// The metric.
    pub metric: String,
    /// First instant of the period that it is for.
    pub period_start: Timestamp,
    /// First instant after that period.
    pub period_end: Timestamp,
    /// 0 for the closing of the period, then one more for each adjustment.
    pub sequence: i32,
    /// `unbilled`, or `billed` once it is on an invoice.
    pub state: String,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Minor units; negative gives back.
    pub amount_minor: i64,
    /// Quantity above included at that moment.
    pub overage: Decimal,
    /// What the price was computed from.
    pub inputs: serde_json::Value,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A counter with what it was charged.
#[derive(Debug, Clone)]
pub struct ChargedCounter {
    /// The counter.
    pub counter: CounterRow,
    /// Minor units of all its charges.
    pub charged_minor: i64,
}

/// A period with the plan that it began under, and how the tenant pays for plans now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunPeriod {
    /// The tenant.
    pub tenant_id: Uuid,
    /// First instant of the period.
    pub start: Timestamp,
    /// The plan that prices its first segment.
    pub plan_id: String,
    /// And the version of it.
    pub plan_version: i32,
    /// `month` or `year`.
    pub billing_interval: String,
    /// Seats that are paid for.
    pub quantity: i32,
}

query! {
    both CHARGES = "
        select o.tenant_id, o.id, o.metric, o.billing_period_start, c.period_end, o.sequence, o.state, o.currency,
               o.charge_amount_cents, o.overage_amount, o.inputs, o.created_at
        from tenantry.overage_charges o
        join tenantry.usage_counters c on c.tenant_id = o.tenant_id and c.metric = o.metric
            and c.period_start = o.billing_period_start
        where o.tenant_id = any ($1)
          and o.billing_period_start >= coalesce($2, '-infinity'::timestamptz)
          and o.billing_period_start < coalesce($3, 'infinity'::timestamptz)
          and ($4::timestamptz is null or (o.created_at, o.id) < ($4, $5::uuid))
        order by o.created_at desc, o.id desc limit $6";
    both CHARGE = "
        select o.tenant_id, o.id, o.metric, o.billing_period_start, c.period_end, o.sequence, o.state, o.currency,
               o.charge_amount_cents, o.overage_amount, o.inputs, o.created_at
        from tenantry.overage_charges o
        join tenantry.usage_counters c on c.tenant_id = o.tenant_id and c.metric = o.metric
            and c.period_start = o.billing_period_start
        where o.tenant_id = any ($1) and o.id = $2";
    both CHARGES_SINCE = "
        select count(*) filter (where sequence > $4), coalesce(sum(charge_amount_cents), 0)::bigint
        from tenantry.overage_charges
        where tenant_id = $1 and metric = $2 and billing_period_start = $3";
    service COUNTERS = "
        select c.tenant_id, c.metric, c.period_start, c.period_end, c.segment_sequence, c.segment_start, c.closed,
               c.historic, c.in_plan, c.included, c.hard_limit, c.total, c.aggregation, c.held, c.sure_limit,
               coalesce(o.charged, 0)::bigint as charged
        from tenantry.usage_counters c
        left join (
            select tenant_id, metric, billing_period_start, sum(charge_amount_cents) as charged
            from tenantry.overage_charges where tenant_id = any ($1)
            group by tenant_id, metric, billing_period_start
        ) o on o.tenant_id = c.tenant_id and o.metric = c.metric and o.billing_period_start = c.period_start
        where c.tenant_id = any ($1) and not c.historic
          and c.period_start >= coalesce($2, '-infinity'::timestamptz)
          and c.period_start < coalesce($3, 'infinity'::timestamptz)
        order by c.tenant_id, c.period_start, c.metric";
    service BEGUN_PERIODS = "
        select p.tenant_id, p.period_start, s.plan_id, s.plan_version, b.billing_interval, b.quantity
        from tenantry.usage_periods p
        join tenantry.usage_segments s on s.tenant_id = p.tenant_id and s.period_start = p.period_start
            and s.sequence = 0
        join tenantry.tenant_subscriptions b on b.tenant_id = p.tenant_id and b.ended_at is null
        where p.tenant_id = any ($1) and not p.historic and p.period_start >= $2 and p.period_start < $3
        order by p.tenant_id, p.period_start";
}

/// The instants between which periods begin; none is no bound.
pub type Starts = (Option<Timestamp>, Option<Timestamp>);

/// A page of the charges of these tenants, the newest first, after the one of `after`.
pub async fn charges(
    tx: &Tx,
    tenants: &[Uuid],
    (from, to): Starts,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<ChargeRow>, StoreError> {
    let (at, id) = after.unzip();
    tx.rows(&CHARGES, &[&tenants, &from, &to, &at, &id, &limit]).await?.iter().map(ChargeRow::from_row).collect()
}

/// A charge of one of these tenants.
pub async fn charge(tx: &Tx, tenants: &[Uuid], id: Uuid) -> Result<Option<ChargeRow>, StoreError> {
    tx.opt(&CHARGE, &[&tenants, &id]).await?.as_ref().map(ChargeRow::from_row).transpose()
}

/// How many charges of a charge's counter came after it, and what all of them add up to.
pub async fn since(tx: &Tx, charge: &ChargeRow) -> Result<(i64, i64), StoreError> {
    let key = (charge.tenant_id, &charge.metric, charge.period_start);
    let row = tx.one(&CHARGES_SINCE, &[&key.0, &key.1, &key.2, &charge.sequence]).await?;
    Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?))
}

/// The counters of these tenants in periods that begin between two instants, with what they were charged. Without those
/// of before a tenant was here.
pub async fn counters(tx: &Tx, tenants: &[Uuid], (from, to): Starts) -> Result<Vec<ChargedCounter>, StoreError> {
    let rows = tx.rows(&COUNTERS, &[&tenants, &from, &to]).await?;
    rows.iter()
        .map(|row| {
            let charged_minor = row.try_get("charged").map_err(column)?;
            Ok(ChargedCounter { counter: CounterRow::from_row(row)?, charged_minor })
        })
        .collect()
}

/// The periods of these tenants that begin in `[from, to)`, in order.
pub async fn begun_periods(
    tx: &Tx,
    tenants: &[Uuid],
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<BegunPeriod>, StoreError> {
    let rows = tx.rows(&BEGUN_PERIODS, &[&tenants, &from, &to]).await?;
    rows.iter()
        .map(|row| {
            Ok(BegunPeriod {
                tenant_id: row.try_get(0).map_err(column)?,
                start: row.try_get(1).map_err(column)?,
                plan_id: row.try_get(2).map_err(column)?,
                plan_version: row.try_get(3).map_err(column)?,
                billing_interval: row.try_get(4).map_err(column)?,
                quantity: row.try_get(5).map_err(column)?,
            })
        })
        .collect()
}

impl ChargeRow {
    fn from_row(row: &tokio_postgres::Row) -> Result<Self, StoreError> {
        Ok(Self {
            tenant_id: row.try_get(0).map_err(column)?,
            id: row.try_get(1).map_err(column)?,
            metric: row.try_get(2).map_err(column)?,
            period_start: row.try_get(3).map_err(column)?,
            period_end: row.try_get(4).map_err(column)?,
            sequence: row.try_get(5).map_err(column)?,
            state: row.try_get(6).map_err(column)?,
            currency: row.try_get(7).map_err(column)?,
            amount_minor: row.try_get(8).map_err(column)?,
            overage: row.try_get(9).map_err(column)?,
            inputs: row.try_get(10).map_err(column)?,
            created_at: row.try_get(11).map_err(column)?,
        })
    }
}
