//! Another plan: up at once, down with the next period.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_domain::period::period_containing;
use tenantry_stripe::schedules::{
    CreateFromSubscription, EndBehavior, PhaseItemParameters, PhaseParameters, Release, Schedule, Update as Reschedule,
};
use tenantry_stripe::shared::{PaymentBehavior, ProrationBehavior};
use tenantry_stripe::subscriptions::{ItemParameters, Retrieve, Subscription, Update};
use tenantry_stripe::{Expandable, StripeError, schedules};

use super::{Operation, StepError, Trouble, key, link, price, told};
use crate::storage::stripe::prices::PriceRow;
use crate::storage::stripe::subscriptions::LinkRow;
use crate::stripe_sync::state::{CHANGED_AT, CHANGED_TO};
use crate::stripe_sync::{Stripe, UpgradeCharge, sync};

/// Refusals of a card that wants its holder to confirm.
const CONFIRM: &[&str] = &["authentication_required", "subscription_payment_intent_requires_action"];

pub(super) async fn upgrade(
    stripe: &Stripe,
    operation: &Operation,
    plan: (&str, &str),
    proration_date: Timestamp,
) -> Result<Value, StepError> {
    let (price, link) = (price(stripe, plan).await?, link(stripe, operation.tenant_id).await?);
    let found = subscription(stripe, &link).await?;
    release(stripe, operation, &found).await?;
    let change = Change::of(&link, &found, &price);
    let charge = match stripe.settings.upgrade_charge {
        UpgradeCharge::Now => ProrationBehavior::AlwaysInvoice,
        UpgradeCharge::NextInvoice => ProrationBehavior::CreateProrations,
    };
    let at = clamp(&found, &link, proration_date);
    let update = Update {
        payment_behavior: Some(PaymentBehavior::ErrorIfIncomplete),
        metadata: [
            (CHANGED_AT.to_owned(), at.as_second().to_string()),
            (CHANGED_TO.to_owned(), price.price_id.clone()),
        ]
        .into(),
        ..change.request(charge.clone(), at)
    };
    match stripe.client.post(&update, &key(operation, "update")).await {
        Ok(_) => {}
        Err(StripeError::Card(refusal)) if refusal.code.as_deref().is_some_and(|code| CONFIRM.contains(&code)) => {
            return Err(confirm(stripe, operation, &change, charge, at).await?);
        }
        Err(error) => return Err(error.into()),
    }
    sync::sync_tenant(stripe, operation.tenant_id).await?;
    Ok(json!({ "planId": plan.0, "billingInterval": plan.1, "effectiveAt": at.to_string() }))
}

/// The card wants its holder: the change waits at Stripe for the payment, and takes effect with it.
async fn confirm(
    stripe: &Stripe,
    operation: &Operation,
    change: &Change<'_>,
    charge: ProrationBehavior,
    at: Timestamp,
) -> Result<StepError, StepError> {
    let update = Update {
        payment_behavior: Some(PaymentBehavior::PendingIfIncomplete),
        expand: vec!["latest_invoice"],
        ..change.request(charge, at)
    };
    let pending = stripe.client.post(&update, &key(operation, "confirm")).await?;
    let invoice = pending.latest_invoice.as_ref().and_then(Expandable::object);
    let url = invoice.and_then(|invoice| invoice.hosted_invoice_url.clone());
    let mut trouble = Trouble::new(
        "authentication_required",
        "the bank wants the card's holder to confirm the payment; the plan changes once that is done",
    );
    trouble.figures = json!({ "url": url });
    Ok(StepError::Refused(trouble))
}

/// A subscription's item as it is to be.
struct Change<'a> {
    subscription: &'a str,
    item: &'a str,
    price: &'a str,
    quantity: u64,
}

impl<'a> Change<'a> {
    fn of(link: &'a LinkRow, found: &'a Subscription, price: &'a PriceRow) -> Self {
        Self { subscription: &found.id, item: &link.item_id, price: &price.price_id, quantity: quantity(found, link) }
    }

    fn request(&self, charge: ProrationBehavior, at: Timestamp) -> Update<'a> {
        Update {
            id: self.subscription,
            items: vec![ItemParameters {
                id: Some(self.item),
                price: Some(self.price),
                quantity: Some(self.quantity),
                ..ItemParameters::default()
            }],
            proration_behavior: Some(charge),
            proration_date: Some(at),
            ..Update::default()
        }
    }
}

/// Another price sets the quantity to 1 unless it is sent along.
fn quantity(found: &Subscription, link: &LinkRow) -> u64 {
    let item = found.items.data.iter().find(|item| item.id == link.item_id);
    item.and_then(|item| item.quantity).and_then(|quantity| u64::try_from(quantity).ok()).unwrap_or(1).max(1)
}

/// Prorations count from an instant of the running period.
fn clamp(found: &Subscription, link: &LinkRow, at: Timestamp) -> Timestamp {
    let item = found.items.data.iter().find(|item| item.id == link.item_id);
    match item.and_then(|item| found.period_of(item)) {
        Some((start, end)) => at.clamp(start, end),
        None => at,
    }
}

pub(super) async fn subscription(stripe: &Stripe, link: &LinkRow) -> Result<Subscription, StepError> {
    let request = Retrieve { id: &link.stripe_id, expand: vec!["schedule"] };
    Ok(stripe.client.get(&request).await?)
}

/// Takes back a change to come: a subscription under a schedule cannot be changed itself.
pub(super) async fn release(stripe: &Stripe, operation: &Operation, found: &Subscription) -> Result<(), StepError> {
    let Some(schedule) = &found.schedule else { return Ok(()) };
    let request = Release { id: schedule.id(), preserve_cancel_date: None, expand: Vec::new() };
    stripe.client.post(&request, &key(operation, "release")).await?;
    Ok(())
}

pub(super) async fn downgrade(stripe: &Stripe, operation: &Operation, plan: (&str, &str)) -> Result<Value, StepError> {
    let (price, link) = (price(stripe, plan).await?, link(stripe, operation.tenant_id).await?);
    let found = subscription(stripe, &link).await?;
    let schedule = match &found.schedule {
        Some(schedule) => stripe.client.get(&schedules::Retrieve { id: schedule.id(), expand: Vec::new() }).await?,
        None => {
            let request = CreateFromSubscription { from_subscription: &found.id, expand: Vec::new() };
            stripe.client.post(&request, &key(operation, "schedule")).await?
        }
    };
    let at = reschedule(stripe, operation, &schedule, (&found, &link), &price).await?;
    sync::sync_tenant(stripe, operation.tenant_id).await?;
    Ok(json!({ "planId": plan.0, "billingInterval": plan.1, "effectiveAt": told(Some(at)) }))
}

/// What runs now runs to its end; the next period has the new price, and then the schedule lets go.
async fn reschedule(
    stripe: &Stripe,
    operation: &Operation,
    schedule: &Schedule,
    (found, link): (&Subscription, &LinkRow),
    price: &PriceRow,
) -> Result<Timestamp, StepError> {
    let item = found.items.data.iter().find(|item| item.id == link.item_id);
    let (Some(item), Some(phase)) = (item, schedule.current_phase.as_ref()) else {
        return Err(StepError::Refused(Trouble::new("conflict", "the subscription does not run right now")));
    };
    let quantity = quantity(found, link);
    let end = found.period_of(item).map_or(phase.0.end, |period| period.1);
    let months = if price.interval == "year" { 12 } else { 1 };
    let after = (0..months).fold(end, |at, _| period_containing(end, at).end);
    let present =
        PhaseItemParameters { price: Some(&item.price.id), quantity: Some(quantity), ..PhaseItemParameters::default() };
    let next = PhaseItemParameters {
        price: Some(&price.price_id),
        quantity: Some(quantity),
        ..PhaseItemParameters::default()
    };
    let request = Reschedule {
        id: &schedule.id,
        phases: vec![
            PhaseParameters {
                items: vec![present],
                start_date: Some(phase.0.start.into()),
                end_date: Some(end.into()),
                ..PhaseParameters::default()
            },
            PhaseParameters {
                items: vec![next],
                start_date: Some(end.into()),
                end_date: Some(after.into()),
                proration_behavior: Some(ProrationBehavior::None),
                ..PhaseParameters::default()
            },
        ],
        end_behavior: Some(EndBehavior::Release),
        ..Reschedule::default()
    };
    stripe.client.post(&request, &key(operation, "phases")).await?;
    Ok(end)
}
