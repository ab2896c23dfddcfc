//! Stripe's invoices, mirrored: what was asked for, what was paid, where it can be seen.

use serde_json::{Value, json};
use tenantry_stripe::invoice_lines::{self, InvoiceLine};
use tenantry_stripe::invoices::Invoice;
use tenantry_stripe::shared::AutomaticTaxStatus;

use super::Stripe;
use super::error::SyncError;
use super::sync::Lease;
use super::tell;
use crate::notices::{self, Notice};
use crate::storage::stripe::customers;
use crate::storage::stripe::invoices::{self as rows, InvoiceRow};
use crate::write_tx;

/// Writes an invoice as it was read under a lease that still holds, and tells who pays it what is due to be told.
pub async fn mirror(stripe: &Stripe, lease: &Lease, invoice: &Invoice) -> Result<(), SyncError> {
    let now = stripe.env.clock.now();
    let tenant = lease.tenant_id;
    let row = InvoiceRow { lines: lines(&all_lines(stripe, invoice).await?), ..translate(stripe, invoice) };
    write_tx!(stripe.db, "mirror_invoice", &[tenant], |tx| {
        if !customers::hold_lease(tx, &lease.customer_id, lease.token, now).await? {
            return Err(SyncError::LeaseLost);
        }
        rows::upsert(tx, tenant, &invoice.id, &row, now).await?;
        if needs_location(invoice) {
            let notice = Notice::new(invoice.id.clone(), tell::tax_location_missing(invoice)?);
            notices::raise(tx, &stripe.env, now, tenant, &notice).await?;
        }
        if row.status == "paid" && invoice.amount_paid > 0 {
            let notice = Notice::new(invoice.id.clone(), tell::payment_succeeded(invoice)?);
            notices::raise(tx, &stripe.env, now, tenant, &notice).await?;
        }
        Ok(())
    })
}

/// Writes that an invoice is gone at Stripe, under a lease that still holds. Only drafts can be deleted there.
pub async fn forget(stripe: &Stripe, lease: &Lease, id: &str) -> Result<(), SyncError> {
    let now = stripe.env.clock.now();
    write_tx!(stripe.db, "void_deleted_invoice", &[lease.tenant_id], |tx| {
        if !customers::hold_lease(tx, &lease.customer_id, lease.token, now).await? {
            return Err(SyncError::LeaseLost);
        }
        Ok(rows::void(tx, lease.tenant_id, id, now).await?)
    })
}

/// Whether tax cannot be computed until the customer says where it is.
fn needs_location(invoice: &Invoice) -> bool {
    invoice.automatic_tax.as_ref().is_some_and(|tax| tax.status == Some(AutomaticTaxStatus::RequiresLocationInputs))
}

fn translate(stripe: &Stripe, invoice: &Invoice) -> InvoiceRow {
    let now = stripe.env.clock.now();
    let created_at = invoice.created.unwrap_or(now);
    let transitions = invoice.status_transitions.as_ref();
    let number = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok()).unwrap_or(0);
    InvoiceRow {
        id: stripe.env.ids.uuid_v7(created_at),
        number: invoice.number.clone(),
        status: invoice.status.as_ref().map_or("draft", |status| status.as_str()).to_owned(),
        billing_reason: invoice.billing_reason.as_ref().map(|reason| reason.as_str().to_owned()),
        currency: invoice.currency.clone(),
        subtotal: invoice.subtotal,
        tax: invoice.total_taxes.iter().map(|tax| tax.amount).sum(),
        total: invoice.total,
        amount_due: invoice.amount_due,
        amount_paid: invoice.amount_paid,
        amount_remaining: invoice.amount_remaining,
        period_start: invoice.period_start.unwrap_or(created_at),
        period_end: invoice.period_end.unwrap_or(created_at),
        lines: Value::Null,
        taxes: invoice
            .total_taxes
            .iter()
            .map(|tax| json!({ "amount": tax.amount, "behavior": tax.tax_behavior }))
            .collect(),
        customer_address: invoice.customer_address.as_ref().map(|address| address.raw.clone()),
        customer_tax_ids: invoice
            .customer_tax_ids
            .iter()
            .map(|id| json!({ "type": id.kind, "value": id.value }))
            .collect(),
        automatic_tax_status: invoice
            .automatic_tax
            .as_ref()
            .and_then(|tax| tax.status.as_ref())
            .map(|status| status.as_str().to_owned()),
        hosted_invoice_url: invoice.hosted_invoice_url.clone(),
        invoice_pdf: invoice.invoice_pdf.clone(),
        attempt_count: number(invoice.attempt_count),
        next_payment_attempt: invoice.next_payment_attempt,
        created_at,
        finalized_at: transitions.and_then(|at| at.finalized_at),
        paid_at: transitions.and_then(|at| at.paid_at),
    }
}

/// An invoice itself has its first lines only.
async fn all_lines(stripe: &Stripe, invoice: &Invoice) -> Result<Vec<InvoiceLine>, SyncError> {
    if !invoice.lines.has_more {
        return Ok(invoice.lines.data.clone());
    }
    let all = invoice_lines::List { invoice: &invoice.id, limit: Some(100), ..invoice_lines::List::default() };
    Ok(stripe.client.all(&all).await?)
}

/// The lines as the interface shows them: amounts in minor units, times as RFC 3339.
fn lines(lines: &[InvoiceLine]) -> Value {
    lines
        .iter()
        .map(|line| {
            let times = line.times();
            json!({
                "description": line.description,
                "amount": line.amount,
                "quantity": line.quantity,
                "proration": line.is_proration(),
                "periodStart": times.map(|times| times.0.to_string()),
                "periodEnd": times.map(|times| times.1.to_string()),
            })
        })
        .collect()
}
