//! Invoices of their own, for charges and items that no renewal will bill.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_stripe::invoices::{self, InvoiceStatus, PendingItems};
use tenantry_stripe::shared::AutomaticTaxParameters;
use tenantry_stripe::{IdempotencyKey, StripeError, invoice_items};

use super::items::CHARGE;
use super::target::{self, Target};
use super::{Lease, OpenCharge, SyncError, put};
use crate::stripe_sync::Stripe;
use crate::stripe_sync::state::CustomerState;

/// Invoices that are made at most for one charge: each was finalized before the charge was on it.
const TRIES: usize = 10;

/// Bills charges on an invoice of their own, one for each currency.
pub(super) async fn bill(
    stripe: &Stripe,
    lease: &Lease,
    customer: &CustomerState,
    open: &[OpenCharge],
) -> Result<(), SyncError> {
    let currencies: BTreeSet<&str> = open.iter().map(|charge| charge.currency.as_str()).collect();
    for currency in currencies {
        let charges: Vec<&OpenCharge> = open.iter().filter(|charge| charge.currency == currency).collect();
        let Some(first) = charges.first() else { continue };
        let request = request(stripe, lease, customer, currency, PendingItems::Exclude);
        let invoice = draft(stripe, &request, &first.id.to_string()).await?;
        let target = Target::Invoice { id: invoice.clone() };
        for charge in charges {
            put(stripe, lease, charge, &target).await?;
        }
        finalize(stripe, &invoice).await?;
    }
    Ok(())
}

/// Bills what waits for the next invoice of a customer whose last subscription ended without one.
pub(super) async fn collect_stranded(stripe: &Stripe, lease: &Lease) -> Result<(), SyncError> {
    let pending = invoice_items::List {
        customer: Some(&lease.customer_id),
        pending: Some(true),
        limit: Some(100),
        ..invoice_items::List::default()
    };
    // By currency: the oldest, which comes last.
    let mut waiting: BTreeMap<String, String> = BTreeMap::new();
    for item in stripe.client.all(&pending).await? {
        if item.metadata.contains_key(CHARGE) {
            waiting.insert(item.currency, item.id);
        }
    }
    if waiting.is_empty() {
        return Ok(());
    }
    let customer = target::customer(stripe, &lease.customer_id).await?;
    if !target::is_over(&customer) {
        return Ok(());
    }
    for (currency, oldest) in waiting {
        let request = request(stripe, lease, &customer, &currency, PendingItems::Include);
        let invoice = stripe.client.post(&request, &IdempotencyKey::new(format!("overage-{oldest}-pending"))?).await?;
        finalize(stripe, &invoice.id).await?;
    }
    Ok(())
}

/// An invoice that items can be put on. An earlier try may have made one that is final by now: then another one.
async fn draft(stripe: &Stripe, request: &invoices::Create<'_>, first: &str) -> Result<String, SyncError> {
    let mut name = format!("overage-{first}-invoice");
    for _ in 0..TRIES {
        let made = stripe.client.post(request, &IdempotencyKey::new(name.as_str())?).await?;
        // The answer may be that of the earlier try.
        match stripe.client.get(&invoices::Retrieve { id: &made.id, expand: Vec::new() }).await {
            Ok(found) if found.status == Some(InvoiceStatus::Draft) && !found.deleted => return Ok(made.id),
            Ok(_) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
        name = format!("overage-{first}-{}", made.id);
    }
    Err(SyncError::Confused(format!("every invoice that is made for the charge {first} is final at once")))
}

/// Stripe makes it final by itself within about an hour, should this process die before it does.
///
/// It is paid with what the last subscription was paid with: checkout leaves the card there, not with the customer.
fn request<'a>(
    stripe: &Stripe,
    lease: &'a Lease,
    customer: &'a CustomerState,
    currency: &'a str,
    pending: PendingItems,
) -> invoices::Create<'a> {
    invoices::Create {
        default_payment_method: customer.subscriptions.iter().find_map(|last| last.payment_method.as_deref()),
        customer: &lease.customer_id,
        auto_advance: Some(true),
        pending_invoice_items_behavior: Some(pending),
        currency: Some(currency),
        automatic_tax: stripe.settings.automatic_tax.then_some(AutomaticTaxParameters { enabled: true }),
        metadata: [("tenant_id".to_owned(), lease.tenant_id.to_string())].into(),
        ..invoices::Create::default()
    }
}

async fn finalize(stripe: &Stripe, invoice: &str) -> Result<(), SyncError> {
    let finalize = invoices::Finalize { id: invoice, auto_advance: Some(true), expand: Vec::new() };
    match stripe.client.post(&finalize, &IdempotencyKey::new(format!("overage-{invoice}-final"))?).await {
        Ok(_) => Ok(()),
        // Final already; or its tax cannot be computed, which an event of its own tells.
        Err(StripeError::InvalidRequest(refusal)) => {
            tracing::warn!(invoice, %refusal, "an invoice of overage is not finalized");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
