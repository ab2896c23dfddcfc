//! Another plan: up at once, down with the next period.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_domain::period::period_containing;
use tenantry_stripe::schedules::{
    CreateFromSubscription, EndBehavior, PhaseItemParameters, PhaseParameters, Release, Schedule, Update as Reschedule,
};
use tenantry_stripe::shared::{PaymentBehavior, ProrationBehavior};
use tenantry_stripe::subscriptions::{
    ItemParameters, Retrieve, Subscription, SubscriptionItem, SubscriptionStatus, Update,
};
use tenantry_stripe::{StripeError, schedules};
use uuid::Uuid;

use super::{Operation, StepError, Trouble, confirm, key, link, price, seats, told};
use crate::storage::stripe::prices::PriceRow;
use crate::storage::stripe::subscriptions::LinkRow;
use crate::storage::subscriptions;
use crate::stripe_sync::catalog::metered::{INTERVAL, metric_of};
use crate::stripe_sync::state::{CHANGED_AT, CHANGED_TO, metered_items};
use crate::stripe_sync::{Stripe, UpgradeCharge, metered, sync};

pub(super) async fn upgrade(
    stripe: &Stripe,
    operation: &Operation,
    plan: (&str, &str),
    proration_date: Timestamp,
) -> Result<Value, StepError> {
    let (price, link) = (price(stripe, plan).await?, link(stripe, operation.tenant_id).await?);
    let found = subscription(stripe, &link).await?;
    if charges(&found, &link, &price) {
        // An earlier try got as far as here, and its answer was lost.
        sync::sync_tenant(stripe, operation.tenant_id).await?;
        return Ok(done(plan, changed(&found).unwrap_or(proration_date)));
    }
    confirm::settle_waiting(stripe, operation, &found, &price.price_id).await?;
    let to_come = if found.schedule.is_some() { to_come(stripe, operation.tenant_id).await? } else { None };
    release(stripe, operation, &found).await?;
    // Another price sets the quantity to 1 unless it is sent along.
    let quantity = seats::needed(stripe, operation.tenant_id, plan.0).await?;
    let metered = metered_items(&found);
    let removed = metered::removed_by(&metered, &price.interval);
    let change = Change { subscription: &found.id, item: &link.item_id, price: &price.price_id, quantity, removed };
    let prorations = match stripe.settings.upgrade_charge {
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
        ..change.request(prorations.clone(), at)
    };
    // What may differ from one try to the next is in the key.
    let key = key(operation, &format!("update-{}-{quantity}-{}", price.price_id, at.as_second()))?;
    match stripe.client.post(&update, &key).await {
        Ok(_) => {}
        Err(StripeError::Card(refusal)) if confirm::is_wanted(&refusal) => {
            confirm::ask(stripe, operation, change.request(prorations, at)).await?;
        }
        Err(error) => {
            if let (StripeError::Card(_), Some((plan, interval))) = (&error, &to_come) {
                // What was to come still does: only the upgrade is declined.
                downgrade(stripe, operation, (plan, interval)).await?;
            }
            return Err(error.into());
        }
    }
    sync::sync_tenant(stripe, operation.tenant_id).await?;
    Ok(done(plan, at))
}

/// Plan and interval of a change that waits for the next period.
async fn to_come(stripe: &Stripe, tenant: Uuid) -> Result<Option<(String, String)>, StepError> {
    let tx = stripe.db.read_as_service("change_to_come", &[tenant]).await?;
    let current = subscriptions::current(&tx, tenant).await?;
    tx.rollback().await?;
    Ok(current.and_then(|current| current.pending).map(|(plan, interval, _)| (plan, interval)))
}

fn done(plan: (&str, &str), at: Timestamp) -> Value {
    json!({ "planId": plan.0, "billingInterval": plan.1, "effectiveAt": at.to_string() })
}

/// Whether the subscription has this price already.
fn charges(found: &Subscription, link: &LinkRow, price: &PriceRow) -> bool {
    found.items.data.iter().any(|item| item.id == link.item_id && item.price.id == price.price_id)
}

/// When we changed it last, as we noted there.
fn changed(found: &Subscription) -> Option<Timestamp> {
    Timestamp::from_second(found.metadata.get(CHANGED_AT)?.parse().ok()?).ok()
}

/// A subscription's item as it is to be.
struct Change<'a> {
    subscription: &'a str,
    item: &'a str,
    price: &'a str,
    quantity: u64,
    /// Items that cannot stay beside it.
    removed: Vec<ItemParameters<'a>>,
}

impl<'a> Change<'a> {
    fn request(&self, charge: ProrationBehavior, at: Timestamp) -> Update<'a> {
        let changed = ItemParameters {
            id: Some(self.item),
            price: Some(self.price),
            quantity: Some(self.quantity),
            ..ItemParameters::default()
        };
        Update {
            id: self.subscription,
            items: std::iter::once(changed).chain(self.removed.iter().cloned()).collect(),
            proration_behavior: Some(charge),
            proration_date: Some(at),
            ..Update::default()
        }
    }
}

/// An item as it is paid for now.
fn kept(item: &SubscriptionItem) -> PhaseItemParameters<'_> {
    PhaseItemParameters {
        price: Some(&item.price.id),
        quantity: item.quantity.and_then(|quantity| u64::try_from(quantity).ok()),
        ..PhaseItemParameters::default()
    }
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
    let request = Retrieve { id: &link.stripe_id, expand: vec!["schedule", "latest_invoice"] };
    Ok(stripe.client.get(&request).await?)
}

/// Takes back a change to come: a subscription under a schedule cannot be changed itself.
pub(super) async fn release(stripe: &Stripe, operation: &Operation, found: &Subscription) -> Result<(), StepError> {
    let Some(schedule) = &found.schedule else { return Ok(()) };
    let request = Release { id: schedule.id(), preserve_cancel_date: None, expand: Vec::new() };
    stripe.client.post(&request, &key(operation, "release")?).await?;
    Ok(())
}

pub(super) async fn downgrade(stripe: &Stripe, operation: &Operation, plan: (&str, &str)) -> Result<Value, StepError> {
    let (price, link) = (price(stripe, plan).await?, link(stripe, operation.tenant_id).await?);
    let found = subscription(stripe, &link).await?;
    let schedule = if let Some(schedule) = &found.schedule {
        stripe.client.get(&schedules::Retrieve { id: schedule.id(), expand: Vec::new() }).await?
    } else {
        let request = CreateFromSubscription { from_subscription: &found.id, expand: Vec::new() };
        stripe.client.post(&request, &key(operation, "schedule")?).await?
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
    let seats = seats::needed(stripe, operation.tenant_id, &price.plan_id).await?;
    let end = found.period_of(item).map_or(phase.0.end, |period| period.1);
    let months = if price.interval == "year" { 12 } else { 1 };
    let after = (0..months).fold(end, |at, _| period_containing(end, at).end);
    // Phases that are sent replace all there is: what else is bought, and the trial, have to be among it.
    let others = || found.items.data.iter().filter(|other| other.id != item.id).map(kept);
    // Metered items are by the month; by the month they follow once the renewal's draft is final.
    let goes = |other: &&SubscriptionItem| price.interval != INTERVAL && metric_of(&other.price).is_some();
    let others_then = found.items.data.iter().filter(|other| other.id != item.id && !goes(other)).map(kept);
    let next =
        PhaseItemParameters { price: Some(&price.price_id), quantity: Some(seats), ..PhaseItemParameters::default() };
    let trial_end = found.trial_end.filter(|_| found.status == SubscriptionStatus::Trialing);
    let request = Reschedule {
        id: &schedule.id,
        phases: vec![
            PhaseParameters {
                items: std::iter::once(kept(item)).chain(others()).collect(),
                start_date: Some(phase.0.start.into()),
                end_date: Some(end.into()),
                trial_end: trial_end.map(Into::into),
                ..PhaseParameters::default()
            },
            PhaseParameters {
                items: std::iter::once(next).chain(others_then).collect(),
                start_date: Some(end.into()),
                end_date: Some(after.into()),
                proration_behavior: Some(ProrationBehavior::None),
                ..PhaseParameters::default()
            },
        ],
        end_behavior: Some(EndBehavior::Release),
        ..Reschedule::default()
    };
    let step = format!("phases-{}-{seats}-{}", price.price_id, end.as_second());
    stripe.client.post(&request, &key(operation, &step)?).await?;
    Ok(end)
}
