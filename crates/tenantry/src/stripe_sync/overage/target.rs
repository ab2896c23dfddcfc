//! Where charges go.

use tenantry_stripe::invoices::{self, BillingReason, Invoice, InvoiceStatus};
use tenantry_stripe::subscriptions::SubscriptionStatus;

use super::{OpenCharge, SyncError, items};
use crate::stripe_sync::plans::KnownPrices;
use crate::stripe_sync::state::CustomerState;
use crate::stripe_sync::{Stripe, state};

/// Where charges go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The open draft of a subscription's renewal.
    Draft {
        /// The invoice.
        id: String,
    },
    /// The customer's next invoice, of whatever subscription: one that ended by then would keep an item of its own.
    Next,
    /// An invoice of their own, still to be made: none will come by itself.
    Own,
    /// An invoice of their own.
    Invoice {
        /// The invoice.
        id: String,
    },
    /// Nobody can pay.
    Nobody,
}

impl Target {
    /// As stored.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Draft { .. } => "draft",
            Self::Next => "next",
            Self::Own | Self::Invoice { .. } | Self::Nobody => "own",
        }
    }

    /// Where a charge goes that cannot go here any more, and the idempotency key for that.
    pub(super) fn instead(&self, charge: &OpenCharge) -> (Self, String) {
        match self {
            Self::Invoice { id } => (self.clone(), format!("{}-{id}", items::key(charge))),
            _ => (Self::Next, format!("{}-next", items::key(charge))),
        }
    }
}

/// A customer as it stands at Stripe now.
pub(super) async fn customer(stripe: &Stripe, customer: &str) -> Result<CustomerState, SyncError> {
    let names = KnownPrices::read(&stripe.db).await?;
    Ok(state::read(&stripe.client, &names, customer).await?)
}

/// Whether nothing will be billed by itself any more, to a customer that can be billed.
pub(super) fn is_over(customer: &CustomerState) -> bool {
    // Whoever paid once can pay the rest of it; a customer that never did cannot.
    !customer.is_deleted
        && customer.in_force(None).is_none()
        && customer.subscriptions.iter().any(|ended| ended.has_payment_method)
}

/// Chooses for a customer.
pub(super) async fn choose(stripe: &Stripe, customer: &CustomerState) -> Result<Target, SyncError> {
    if is_over(customer) {
        return Ok(Target::Own);
    }
    let Some(found) = customer.in_force(None).filter(|_| !customer.is_deleted) else { return Ok(Target::Nobody) };
    let waits_for_money = matches!(found.status, SubscriptionStatus::Unpaid | SubscriptionStatus::Paused);
    if !found.has_payment_method || waits_for_money {
        return Ok(Target::Nobody);
    }
    let drafts = invoices::List {
        subscription: Some(&found.id),
        status: Some(InvoiceStatus::Draft),
        limit: Some(10),
        ..invoices::List::default()
    };
    let drafts = stripe.client.get(&drafts).await?;
    // While nobody paid, Stripe made drafts that it leaves lying.
    let is_renewal =
        |draft: &Invoice| draft.auto_advance && draft.billing_reason == Some(BillingReason::SubscriptionCycle);
    let renewal = drafts.data.into_iter().find(is_renewal);
    Ok(match renewal {
        Some(draft) => Target::Draft { id: draft.id },
        // It ends without another invoice.
        None if found.cancel_at.is_some() => Target::Own,
        None => Target::Next,
    })
}
