//! Rows of `invoices`: Stripe's invoices as the sync last read them.

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::query;
use crate::storage::members::After;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// An invoice. Amounts are minor units of the currency.
#[derive(Debug, Clone, PartialEq)]
pub struct InvoiceRow {
    /// Our id.
    pub id: Uuid,
    /// Number as the customer knows it; none while it is a draft.
    pub number: Option<String>,
    /// `draft`, `open`, `paid`, `void`, `uncollectible`.
    pub status: String,
    /// Why it was made, as Stripe names it.
    pub billing_reason: Option<String>,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Before tax.
    pub subtotal: i64,
    /// All taxes.
    pub tax: i64,
    /// With tax.
    pub total: i64,
    /// What is to be paid.
    pub amount_due: i64,
    /// What was paid.
    pub amount_paid: i64,
    /// What is left.
    pub amount_remaining: i64,
    /// First instant that it bills.
    pub period_start: Timestamp,
    /// First instant that it does not.
    pub period_end: Timestamp,
    /// A list of lines: description, amount, quantity, period, proration.
    pub lines: Value,
    /// A list of taxes: amount, inclusive.
    pub taxes: Value,
    /// Address of the customer as it was.
    pub customer_address: Option<Value>,
    /// Tax ids of the customer as they were.
    pub customer_tax_ids: Value,
    /// `complete`, `requires_location_inputs`, `failed`; none where tax is not computed.
    pub automatic_tax_status: Option<String>,
    /// Page where it can be seen and paid.
    pub hosted_invoice_url: Option<String>,
    /// As a PDF.
    pub invoice_pdf: Option<String>,
    /// Tries to collect it.
    pub attempt_count: i32,
    /// When the next try is.
    pub next_payment_attempt: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it became final.
    pub finalized_at: Option<Timestamp>,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
}

query! {
    service UPSERT = "
        insert into tenantry.invoices
            (tenant_id, id, stripe_invoice_id, number, status, billing_reason, currency, subtotal, tax, total, amount_due,
             amount_paid, amount_remaining, period_start, period_end, lines, taxes, customer_address, customer_tax_ids,
             automatic_tax_status, hosted_invoice_url, invoice_pdf, attempt_count, next_payment_attempt, created_at,
             finalized_at, paid_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                $23, $24, $25, $26, $27, $28)
        on conflict (tenant_id, stripe_invoice_id) do update set
            number = excluded.number, status = excluded.status, billing_reason = excluded.billing_reason,
            currency = excluded.currency, subtotal = excluded.subtotal, tax = excluded.tax, total = excluded.total,
            amount_due = excluded.amount_due, amount_paid = excluded.amount_paid,
            amount_remaining = excluded.amount_remaining, period_start = excluded.period_start,
            period_end = excluded.period_end, lines = excluded.lines, taxes = excluded.taxes,
            customer_address = excluded.customer_address, customer_tax_ids = excluded.customer_tax_ids,
            automatic_tax_status = excluded.automatic_tax_status, hosted_invoice_url = excluded.hosted_invoice_url,
            invoice_pdf = excluded.invoice_pdf, attempt_count = excluded.attempt_count,
            next_payment_attempt = excluded.next_payment_attempt, finalized_at = excluded.finalized_at,
            paid_at = excluded.paid_at, updated_at = excluded.updated_at";
    both LIST = "
        select id, number, status, billing_reason, currency, subtotal, tax, total, amount_due, amount_paid,
               amount_remaining, period_start, period_end, lines, taxes, customer_address, customer_tax_ids,
               automatic_tax_status, hosted_invoice_url, invoice_pdf, attempt_count, next_payment_attempt, created_at,
               finalized_at, paid_at
        from tenantry.invoices
        where tenant_id = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
        order by created_at desc, id desc
        limit $4";
    service VOID = "
        update tenantry.invoices set status = 'void', amount_due = 0, amount_remaining = 0, updated_at = $3
        where tenant_id = $1 and stripe_invoice_id = $2 and status in ('draft', 'open')";
    service MIRRORED = "
        select stripe_invoice_id, status, total, amount_remaining from tenantry.invoices
        where tenant_id = $1 order by stripe_invoice_id";
}

/// Writes an invoice as Stripe has it now.
pub async fn upsert(
    tx: &Tx,
    tenant: Uuid,
    stripe_id: &str,
    invoice: &InvoiceRow,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.exactly_one(
        &UPSERT,
        &[
            &tenant,
            &invoice.id,
            &stripe_id,
            &invoice.number,
            &invoice.status,
            &invoice.billing_reason,
            &invoice.currency,
            &invoice.subtotal,
            &invoice.tax,
            &invoice.total,
            &invoice.amount_due,
            &invoice.amount_paid,
            &invoice.amount_remaining,
            &invoice.period_start,
            &invoice.period_end,
            &invoice.lines,
            &invoice.taxes,
            &invoice.customer_address,
            &invoice.customer_tax_ids,
            &invoice.automatic_tax_status,
            &invoice.hosted_invoice_url,
            &invoice.invoice_pdf,
            &invoice.attempt_count,
            &invoice.next_payment_attempt,
            &invoice.created_at,
            &invoice.finalized_at,
            &invoice.paid_at,
            &now,
        ],
    )
    .await
}

/// An invoice is gone at Stripe: nothing is to be paid for it.
pub async fn void(tx: &Tx, tenant: Uuid, stripe_id: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(&VOID, &[&tenant, &stripe_id, &now]).await?;
    Ok(())
}

/// A page of a tenant's invoices, newest first.
pub async fn list(tx: &Tx, tenant: Uuid, after: Option<After>, limit: i64) -> Result<Vec<InvoiceRow>, StoreError> {
    let (time, id) = after.unzip();
    tx.rows(&LIST, &[&tenant, &time, &id, &limit]).await?.iter().map(from_row).collect()
}

/// An invoice as a comparison with Stripe needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredInvoice {
    /// Stripe's id.
    pub stripe_id: String,
    /// Its status.
    pub status: String,
    /// Minor units.
    pub total: i64,
    /// Minor units.
    pub amount_remaining: i64,
}

/// All invoices of a tenant, for a comparison.
pub async fn mirrored(tx: &Tx, tenant: Uuid) -> Result<Vec<MirroredInvoice>, StoreError> {
    tx.rows(&MIRRORED, &[&tenant])
        .await?
        .iter()
        .map(|row| {
            Ok(MirroredInvoice {
                stripe_id: row.col(0)?,
                status: row.col(1)?,
                total: row.col(2)?,
                amount_remaining: row.col(3)?,
            })
        })
        .collect()
}

fn from_row(row: &Row) -> Result<InvoiceRow, StoreError> {
    Ok(InvoiceRow {
        id: row.col(0)?,
        number: row.col(1)?,
        status: row.col(2)?,
        billing_reason: row.col(3)?,
        currency: row.col(4)?,
        subtotal: row.col(5)?,
        tax: row.col(6)?,
        total: row.col(7)?,
        amount_due: row.col(8)?,
        amount_paid: row.col(9)?,
        amount_remaining: row.col(10)?,
        period_start: row.col(11)?,
        period_end: row.col(12)?,
        lines: row.col(13)?,
        taxes: row.col(14)?,
        customer_address: row.col(15)?,
        customer_tax_ids: row.col(16)?,
        automatic_tax_status: row.col(17)?,
        hosted_invoice_url: row.col(18)?,
        invoice_pdf: row.col(19)?,
        attempt_count: row.col(20)?,
        next_payment_attempt: row.col(21)?,
        created_at: row.col(22)?,
        finalized_at: row.col(23)?,
        paid_at: row.col(24)?,
    })
}
