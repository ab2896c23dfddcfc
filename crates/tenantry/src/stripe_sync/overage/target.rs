//! Where charges go.

use tenantry_stripe::invoices::{self, BillingReason, InvoiceStatus};
use tenantry_stripe::subscriptions::SubscriptionStatus;

use crate::stripe_sync::error::SyncError;
use crate::stripe_sync::plans::KnownPrices;
use crate::stripe_sync::{Stripe, state};

/// Where charges go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The open draft of a subscription's renewal.
    Draft {
        /// The invoice.
        id: String,
        /// The subscription, whose next invoice is the next best.
        subscription: String,
    },
    /// The next invoice of a subscription.
    Next {
        /// The subscription.
        subscription: String,
    },
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
            Self::Next { .. } => "next",
            Self::Own | Self::Invoice { .. } | Self::Nobody => "own",
        }
    }

    /// Where a charge goes for which a draft came too late.
    pub(super) fn next(&self) -> Self {
        match self {
            Self::Draft { subscription, .. } => Self::Next { subscription: subscription.clone() },
            other => other.clone(),
        }
    }
}

/// Chooses for a customer as it stands at Stripe now.
pub(super) async fn choose(stripe: &Stripe, customer: &str) -> Result<Target, SyncError> {
    let names = KnownPrices::read(&stripe.db).await?;
    let read = state::read(&stripe.client, &names, customer).await?;
    if read.is_deleted {
        return Ok(Target::Nobody);
    }
    let Some(found) = read.in_force(None) else {
        // Whoever paid once can pay the rest of it; a customer that never did cannot.
        let can_pay = read.subscriptions.iter().any(|ended| ended.has_payment_method);
        return Ok(if can_pay { Target::Own } else { Target::Nobody });
    };
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
    let renewal = drafts.data.into_iter().find(|draft| draft.billing_reason == Some(BillingReason::SubscriptionCycle));
    Ok(match renewal {
        Some(draft) => Target::Draft { id: draft.id, subscription: found.id.clone() },
        // It ends without another invoice.
        None if found.cancel_at.is_some() => Target::Own,
        None => Target::Next { subscription: found.id.clone() },
    })
}
