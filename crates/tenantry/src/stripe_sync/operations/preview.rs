//! The invoice that a change of plan would make: the exact lines, without making the change.

use jiff::Timestamp;
use tenantry_stripe::invoices::{CreatePreview, Invoice, SubscriptionDetailsParameters};
use tenantry_stripe::shared::ProrationBehavior;
use tenantry_stripe::subscriptions::ItemParameters;
use uuid::Uuid;

use super::change::subscription;
use super::{Outcome, StepError, link, price, seats};
use crate::stripe_sync::catalog::metered::INTERVAL;
use crate::stripe_sync::error::SyncError;
use crate::stripe_sync::state::metered_items;
use crate::stripe_sync::{Stripe, UpgradeCharge, metered};

/// A preview, or why there is none.
pub enum Previewed {
    /// The invoice.
    Invoice(Box<Invoice>),
    /// It is refused.
    Refused(Outcome),
}

/// Previews an upgrade as it would be charged if it were made with this `proration_date`.
pub async fn preview(
    stripe: &Stripe,
    tenant: Uuid,
    plan: (&str, &str),
    proration_date: Timestamp,
) -> Result<Previewed, SyncError> {
    match ask(stripe, tenant, plan, proration_date).await {
        Ok(invoice) => Ok(Previewed::Invoice(Box::new(invoice))),
        Err(StepError::Refused(trouble)) => Ok(Previewed::Refused(Outcome::Refused(trouble))),
        Err(StepError::Later(error)) => Err(error),
    }
}

async fn ask(
    stripe: &Stripe,
    tenant: Uuid,
    plan: (&str, &str),
    proration_date: Timestamp,
) -> Result<Invoice, StepError> {
    let (price, link) = (price(stripe, plan).await?, link(stripe, tenant).await?);
    let quantity = seats::needed(stripe, tenant, plan.0).await?;
    let charge = match stripe.settings.upgrade_charge {
        UpgradeCharge::Now => ProrationBehavior::AlwaysInvoice,
        UpgradeCharge::NextInvoice => ProrationBehavior::CreateProrations,
    };
    let metered =
        if price.interval == INTERVAL { Vec::new() } else { metered_items(&subscription(stripe, &link).await?) };
    let changed = ItemParameters {
        id: Some(&link.item_id),
        price: Some(&price.price_id),
        quantity: Some(quantity),
        ..ItemParameters::default()
    };
    let request = CreatePreview {
        customer: Some(&link.customer_id),
        subscription: Some(&link.stripe_id),
        subscription_details: Some(SubscriptionDetailsParameters {
            items: std::iter::once(changed).chain(metered::removed_by(&metered, &price.interval)).collect(),
            proration_behavior: Some(charge),
            proration_date: Some(proration_date),
            ..SubscriptionDetailsParameters::default()
        }),
        ..CreatePreview::default()
    };
    let key = stripe.fresh_key("preview")?;
    Ok(stripe.client.post(&request, &key).await?)
}
