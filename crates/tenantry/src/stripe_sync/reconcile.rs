//! Whether Stripe and the database tell the same story: every customer, its subscription and its open invoices
//! compared, differences told, and mended where that is asked for.

use tenantry_stripe::invoices::{self as stripe_invoices, Invoice, InvoiceStatus};
use uuid::Uuid;

use super::error::SyncError;
use super::plans::KnownPrices;
use super::sync::Lease;
use super::{Stripe, apply, invoices, overage, state};
use crate::storage::stripe::customers::{self, CustomerRow};
use crate::storage::stripe::invoices::{self as rows, MirroredInvoice};

/// Customers that are listed at once.
const PAGE: i64 = 200;
/// Statuses of invoices that can still change.
const OPEN: [&str; 2] = ["draft", "open"];

/// Something that the two tell differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its customer at Stripe.
    pub customer_id: String,
    /// What is different, and what the database would become.
    pub what: String,
    /// It was mended.
    pub is_fixed: bool,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Customers that were compared.
    pub customers: usize,
    /// What is different; empty is good.
    pub differences: Vec<Difference>,
    /// Customers that could not be compared, with the reason.
    pub failures: Vec<(String, String)>,
}

/// Compares every customer, or the one of a tenant. With `fix` the database becomes what Stripe says.
pub async fn reconcile(stripe: &Stripe, only: Option<Uuid>, fix: bool) -> Result<Comparison, SyncError> {
    let mut comparison = Comparison::default();
    let mut after: Option<String> = None;
    loop {
        let tx = stripe.db.read_as_service("list_customers", &[]).await?;
        let page = customers::page(&tx, after.as_deref(), PAGE).await?;
        tx.rollback().await?;
        let Some(last) = page.last() else { return Ok(comparison) };
        after = Some(last.customer_id.clone());
        for customer in page.iter().filter(|customer| only.is_none_or(|tenant| tenant == customer.tenant_id)) {
            comparison.customers += 1;
            match compare(stripe, customer, fix).await {
                Ok(found) => comparison.differences.extend(found),
                Err(error) => comparison.failures.push((customer.customer_id.clone(), error.to_string())),
            }
        }
    }
}

async fn compare(stripe: &Stripe, customer: &CustomerRow, fix: bool) -> Result<Vec<Difference>, SyncError> {
    let lease = Lease::take(stripe, customer.tenant_id, &customer.customer_id).await?;
    let read_at = stripe.env.clock.now();
    let compared = compare_leased(stripe, &lease, fix).await;
    lease.release(stripe, compared.as_ref().ok().filter(|_| fix).map(|_| read_at)).await?;
    compared
}

async fn compare_leased(stripe: &Stripe, lease: &Lease, fix: bool) -> Result<Vec<Difference>, SyncError> {
    let difference = |what: String, is_fixed: bool| Difference {
        tenant_id: lease.tenant_id,
        customer_id: lease.customer_id.clone(),
        what,
        is_fixed,
    };
    let names = KnownPrices::read(&stripe.db).await?;
    let read = state::read(&stripe.client, &names, &lease.customer_id).await?;
    let applied =
        if fix { apply::apply(stripe, lease, &read).await? } else { apply::preview(stripe, lease, &read).await? };
    let mut found: Vec<Difference> = applied.changes.into_iter().map(|what| difference(what, fix)).collect();
    if read.is_deleted {
        found.push(difference("the customer is deleted at Stripe".to_owned(), fix));
        return Ok(found);
    }
    for surplus in applied.surplus {
        let what = format!("the customer pays for a second subscription, {surplus}: cancel it at Stripe");
        found.push(difference(what, false));
    }
    for doubt in overage::doubts(stripe, lease.tenant_id).await? {
        found.push(difference(doubt, false));
    }
    for (what, invoice) in invoices_that_differ(stripe, lease).await? {
        match &invoice {
            _ if !fix => {}
            Unlike::Stale(invoice) => invoices::mirror(stripe, lease, invoice).await?,
            Unlike::Gone(id) => invoices::forget(stripe, lease, id).await?,
        }
        found.push(difference(what, fix));
    }
    Ok(found)
}

/// What becomes of a mirrored invoice.
enum Unlike {
    /// As Stripe has it.
    Stale(Box<Invoice>),
    /// Stripe has none of this id.
    Gone(String),
}

/// Open invoices of either side that the other has differently, or not.
async fn invoices_that_differ(stripe: &Stripe, lease: &Lease) -> Result<Vec<(String, Unlike)>, SyncError> {
    let list = stripe_invoices::List {
        customer: Some(&lease.customer_id),
        limit: Some(100),
        ..stripe_invoices::List::default()
    };
    let there = stripe.client.all(&list).await?;
    let tx = stripe.db.read_as_service("mirrored_invoices", &[lease.tenant_id]).await?;
    let here = rows::mirrored(&tx, lease.tenant_id).await?;
    tx.rollback().await?;
    let mut found = Vec::new();
    for known in &here {
        if OPEN.contains(&known.status.as_str()) && there.iter().all(|invoice| invoice.id != known.stripe_id) {
            let what = format!("invoice {} is {} here and gone at Stripe", known.stripe_id, known.status);
            found.push((what, Unlike::Gone(known.stripe_id.clone())));
        }
    }
    for invoice in there {
        let known = here.iter().find(|known| known.stripe_id == invoice.id);
        let is_open = matches!(invoice.status, Some(InvoiceStatus::Draft | InvoiceStatus::Open));
        match known {
            None if is_open => {
                found.push((format!("invoice {} is not mirrored", invoice.id), Unlike::Stale(Box::new(invoice))));
            }
            Some(known) if !is_same(known, &invoice) => {
                let status = invoice.status.as_ref().map_or("draft", |status| status.as_str());
                let what = format!(
                    "invoice {} is {} over {} with {} to pay, not {} over {} with {}",
                    invoice.id,
                    status,
                    invoice.total,
                    invoice.amount_remaining,
                    known.status,
                    known.total,
                    known.amount_remaining
                );
                found.push((what, Unlike::Stale(Box::new(invoice))));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn is_same(known: &MirroredInvoice, invoice: &Invoice) -> bool {
    let status = invoice.status.as_ref().map_or("draft", |status| status.as_str());
    // What is settled on both sides is not looked at again.
    let is_settled = !OPEN.contains(&known.status.as_str()) && !OPEN.contains(&status);
    (known.status == status && known.total == invoice.total && known.amount_remaining == invoice.amount_remaining)
        || (is_settled && known.status == status)
}
