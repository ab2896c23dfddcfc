//! Cards whose holder has to confirm a payment: the change waits at Stripe, and takes effect once it is paid.

use serde_json::json;
use tenantry_stripe::invoices::{InvoiceStatus, Void};
use tenantry_stripe::shared::PaymentBehavior;
use tenantry_stripe::subscriptions::{Subscription, Update};
use tenantry_stripe::{Expandable, Refusal};

use super::{Operation, StepError, Trouble, key};
use crate::stripe_sync::Stripe;

/// Refusals of a card that wants its holder to confirm.
const CODES: &[&str] = &["authentication_required", "subscription_payment_intent_requires_action"];

pub(super) fn is_wanted(refusal: &Refusal) -> bool {
    refusal.code.as_deref().is_some_and(|code| CODES.contains(&code))
}

/// Leaves the change at Stripe until it is paid, and refuses with what who asked is told. Where the payment goes
/// through this time, the change is made.
pub(super) async fn ask(stripe: &Stripe, operation: &Operation, change: Update<'_>) -> Result<(), StepError> {
    let update = Update {
        payment_behavior: Some(PaymentBehavior::PendingIfIncomplete),
        expand: vec!["latest_invoice"],
        ..change
    };
    let pending = stripe.client.post(&update, &key(operation, "confirm")?).await?;
    if pending.pending_update.is_none() {
        return Ok(());
    }
    Err(StepError::Refused(wanted(&pending)))
}

/// Looks at a change that waits for its payment since before: the one that is asked for now waits on, with the same
/// page; any other is dropped, or two pages could be paid.
pub(super) async fn settle_waiting(
    stripe: &Stripe,
    operation: &Operation,
    found: &Subscription,
    price: &str,
) -> Result<(), StepError> {
    let Some(waiting) = &found.pending_update else { return Ok(()) };
    let invoice = found.latest_invoice.as_ref().and_then(Expandable::object);
    let open = invoice.filter(|invoice| invoice.status == Some(InvoiceStatus::Open));
    if open.is_some() && waiting.subscription_items.iter().any(|item| item.price.id == price) {
        return Err(StepError::Refused(wanted(found)));
    }
    if let Some(open) = open {
        let request = Void { id: &open.id, expand: Vec::new() };
        stripe.client.post(&request, &key(operation, "void")?).await?;
    }
    Ok(())
}

fn wanted(subscription: &Subscription) -> Trouble {
    let invoice = subscription.latest_invoice.as_ref().and_then(Expandable::object);
    let mut trouble = Trouble::new(
        "authentication_required",
        "the bank wants the card's holder to confirm the payment; the plan changes once that is done",
    );
    trouble.figures = json!({ "url": invoice.and_then(|invoice| invoice.hosted_invoice_url.clone()) });
    trouble
}
