//! Rows of `overage_charges` on their way to an invoice, and of `stripe_invoice_items`, which stand for them there.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// A charge that no invoice item stands for yet.
#[derive(Debug, Clone)]
pub struct OpenCharge {
    /// Its id.
    pub id: Uuid,
    /// The metric.
    pub metric: String,
    /// First instant of the usage period that it is for.
    pub period_start: Timestamp,
    /// First instant after that period.
    pub period_end: Timestamp,
    /// 0 for the closing of the period, more for adjustments.
    pub sequence: i32,
    /// Quantity above included.
    pub overage: Decimal,
    /// The same of the charge before it, for the same metric and period; 0 of the first.
    pub overage_before: Decimal,
    /// Minor units of the currency; negative gives back.
    pub amount_minor: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// `unbilled` or `carried`.
    pub state: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// What it was computed from.
    pub inputs: serde_json::Value,
}

query! {
    service OPEN = "
        select c.id, c.metric, c.billing_period_start, p.period_end, c.sequence, c.overage_amount,
               c.charge_amount_cents, c.currency, c.state, c.created_at, c.inputs, coalesce(b.overage_amount, 0)
        from tenantry.overage_charges c
        join tenantry.usage_periods p on p.tenant_id = c.tenant_id and p.period_start = c.billing_period_start
        left join tenantry.overage_charges b on b.tenant_id = c.tenant_id and b.metric = c.metric
            and b.billing_period_start = c.billing_period_start and b.sequence = c.sequence - 1
        where c.tenant_id = $1 and c.state <> 'billed'
        order by c.billing_period_start, c.metric, c.sequence";
    service CARRY = "
        update tenantry.overage_charges set state = 'carried'
        where tenant_id = $1 and id = any ($2) and state = 'unbilled'";
    service BILL = "
        update tenantry.overage_charges set state = 'billed', billed_at = $3
        where tenant_id = $1 and id = $2 and state <> 'billed'";
    service INSERT_ITEM = "
        insert into tenantry.stripe_invoice_items (tenant_id, charge_id, invoice_item_id, target, created_at)
        values ($1, $2, $3, $4, $5)";
}

/// The charges of a tenant that are on no invoice, the oldest first.
pub async fn open(tx: &Tx, tenant: Uuid) -> Result<Vec<OpenCharge>, StoreError> {
    tx.rows(&OPEN, &[&tenant]).await?.iter().map(from_row).collect()
}

/// Notes that charges wait for a subscription that can pay them; how many did not wait before.
pub async fn carry(tx: &Tx, tenant: Uuid, charges: &[Uuid]) -> Result<u64, StoreError> {
    tx.execute(&CARRY, &[&tenant, &charges]).await
}

/// Notes the invoice item that stands for a charge. Exactly once: a second one fails.
pub async fn bill(
    tx: &Tx,
    tenant: Uuid,
    charge: Uuid,
    (item, target): (&str, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.exactly_one(&BILL, &[&tenant, &charge, &now]).await?;
    tx.exactly_one(&INSERT_ITEM, &[&tenant, &charge, &item, &target, &now]).await
}

fn from_row(row: &Row) -> Result<OpenCharge, StoreError> {
    Ok(OpenCharge {
        id: row.col(0)?,
        metric: row.col(1)?,
        period_start: row.col(2)?,
        period_end: row.col(3)?,
        sequence: row.col(4)?,
        overage: row.col(5)?,
        amount_minor: row.col(6)?,
        currency: row.col(7)?,
        state: row.col(8)?,
        created_at: row.col(9)?,
        inputs: row.col(10)?,
        overage_before: row.col(11)?,
    })
}
