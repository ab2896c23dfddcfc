//! What Stripe says of one customer, read in one go and translated: pure, but for the calls in [`read`].

use jiff::Timestamp;
use tenantry_stripe::invoices::{self, Invoice, InvoiceStatus};
use tenantry_stripe::subscriptions::{self, StatusFilter, Subscription, SubscriptionItem, SubscriptionStatus};
use tenantry_stripe::{Client, Expandable, StripeError, customers};

use super::catalog::metered::metric_of;
use super::plans::PriceNames;

/// Statuses from the one that counts most down, for a customer with more than one subscription.
const PREFERENCE: &[SubscriptionStatus] = &[
    SubscriptionStatus::Active,
    SubscriptionStatus::Trialing,
    SubscriptionStatus::PastDue,
    SubscriptionStatus::Unpaid,
    SubscriptionStatus::Paused,
];

/// A plan and how often it is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanChoice {
    /// The plan.
    pub plan_id: String,
    /// `month` or `year`.
    pub interval: String,
}

/// A change of plan to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingChange {
    /// What it changes to.
    pub to: PlanChoice,
    /// When.
    pub at: Timestamp,
}

/// An item of a subscription that charges the overage of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeteredItem {
    /// Stripe's id.
    pub id: String,
    /// Stripe's id of its price.
    pub price_id: String,
    /// The metric.
    pub metric: String,
}

/// A subscription at Stripe, as far as a tenant is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Stripe's id.
    pub id: String,
    /// Stripe's id of the item that stands for the plan.
    pub item_id: String,
    /// Stripe's id of its price.
    pub price_id: String,
    /// Stripe's id of the schedule that will change it.
    pub schedule_id: Option<String>,
    /// Its status, an open set.
    pub status: SubscriptionStatus,
    /// The plan, by its price.
    pub plan: PlanChoice,
    /// Seats.
    pub quantity: i32,
    /// The items beside it that charge overage by a meter.
    pub metered: Vec<MeteredItem>,
    /// Where usage periods are counted from: of a trial its start, else Stripe's anchor.
    pub anchor: Timestamp,
    /// Billing period.
    pub period: (Timestamp, Timestamp),
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// It ends with its period.
    pub cancel_at_period_end: bool,
    /// When it ends, where that is decided.
    pub cancel_at: Option<Timestamp>,
    /// First instant after the trial.
    pub trial_end: Option<Timestamp>,
    /// A change of plan to come.
    pub pending: Option<PendingChange>,
    /// When we last changed its price, and to which one.
    pub changed: Option<(Timestamp, String)>,
    /// It has something to pay with.
    pub has_payment_method: bool,
    /// Stripe's id of what it is paid with, where that is its own and not the customer's.
    pub payment_method: Option<String>,
    /// When the oldest invoice of it that is still to be paid was asked for, while a payment is overdue: the same
    /// instant whenever it is looked at.
    pub overdue_since: Option<Timestamp>,
}

impl SubscriptionState {
    /// It never began, or waits for its first payment: it gives nothing yet.
    pub fn has_begun(&self) -> bool {
        !matches!(self.status, SubscriptionStatus::Incomplete | SubscriptionStatus::IncompleteExpired)
    }
}

/// What a subscription at Stripe is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It stands for a plan.
    Plan(Box<SubscriptionState>),
    /// None of its prices is ours.
    Foreign(String),
}

/// Everything that Stripe says of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CustomerState {
    /// The customer is gone.
    pub is_deleted: bool,
    /// Its subscriptions that stand for plans, over or not.
    pub subscriptions: Vec<SubscriptionState>,
    /// Ids of subscriptions without a price of ours.
    pub foreign: Vec<String>,
}

impl CustomerState {
    /// The subscription that counts. One that is linked already stays while it lives, so that a second one never
    /// pushes it aside.
    pub fn in_force(&self, linked: Option<&str>) -> Option<&SubscriptionState> {
        let mut living = self.subscriptions.iter().filter(|found| !found.status.is_terminal() && found.has_begun());
        if let Some(found) = living.clone().find(|found| Some(found.id.as_str()) == linked) {
            return Some(found);
        }
        let weight = |found: &SubscriptionState| {
            PREFERENCE.iter().position(|status| *status == found.status).unwrap_or(PREFERENCE.len())
        };
        // Of equals the newest; the list of Stripe begins with it.
        let first = living.next()?;
        Some(living.fold(first, |best, found| if weight(found) < weight(best) { found } else { best }))
    }

    /// A subscription by Stripe's id.
    pub fn find(&self, id: &str) -> Option<&SubscriptionState> {
        self.subscriptions.iter().find(|found| found.id == id)
    }

    /// Living subscriptions beside the one in force: somebody pays twice.
    pub fn surplus(&self, in_force: Option<&str>) -> Vec<&str> {
        let living = self.subscriptions.iter().filter(|found| !found.status.is_terminal() && found.has_begun());
        living.map(|found| found.id.as_str()).filter(|id| Some(*id) != in_force).collect()
    }
}

/// Reads everything about a customer from Stripe. No transaction may be open.
pub async fn read(client: &Client, names: &impl PriceNames, customer: &str) -> Result<CustomerState, StripeError> {
    let found = match client.get(&customers::Retrieve { id: customer, expand: Vec::new() }).await {
        Ok(found) => found,
        Err(error) if error.is_missing() => return Ok(CustomerState { is_deleted: true, ..CustomerState::default() }),
        Err(error) => return Err(error),
    };
    if found.deleted {
        return Ok(CustomerState { is_deleted: true, ..CustomerState::default() });
    }
    let customer_pays = found.invoice_settings.is_some_and(|settings| settings.default_payment_method.is_some())
        || found.default_source.is_some();
    let list = subscriptions::List {
        customer: Some(customer),
        status: Some(StatusFilter::All),
        limit: Some(100),
        expand: vec!["data.schedule"],
        ..subscriptions::List::default()
    };
    let mut state = CustomerState::default();
    for subscription in client.all(&list).await? {
        match translate(&subscription, names, customer_pays) {
            Seen::Plan(mut seen) => {
                if seen.status == SubscriptionStatus::PastDue {
                    seen.overdue_since = overdue_since(client, &seen.id).await?;
                }
                state.subscriptions.push(*seen);
            }
            Seen::Foreign(id) => state.foreign.push(id),
        }
    }
    Ok(state)
}

async fn overdue_since(client: &Client, subscription: &str) -> Result<Option<Timestamp>, StripeError> {
    let list = invoices::List {
        subscription: Some(subscription),
        status: Some(InvoiceStatus::Open),
        limit: Some(100),
        ..invoices::List::default()
    };
    let asked_at = |invoice: &Invoice| invoice.status_transitions.as_ref()?.finalized_at;
    Ok(client.all::<Invoice, _>(&list).await?.iter().filter_map(asked_at).min())
}

/// What a subscription is to us.
pub fn translate(subscription: &Subscription, names: &impl PriceNames, customer_pays: bool) -> Seen {
    let item = subscription.items.data.iter().find_map(|item| names.plan_of(&item.price).map(|plan| (item, plan)));
    match item.and_then(|(item, plan)| state(subscription, item, plan, names, customer_pays)) {
        Some(state) => Seen::Plan(Box::new(state)),
        None => Seen::Foreign(subscription.id.clone()),
    }
}

fn state(
    subscription: &Subscription,
    item: &SubscriptionItem,
    plan: PlanChoice,
    names: &impl PriceNames,
    customer_pays: bool,
) -> Option<SubscriptionState> {
    let period = subscription.period_of(item)?;
    let is_trial = subscription.status == SubscriptionStatus::Trialing;
    let anchor = if is_trial {
        subscription.trial_start.unwrap_or(period.0)
    } else {
        subscription.billing_cycle_anchor.unwrap_or(period.0)
    };
    // In flexible mode a pending cancel may show as an instant only.
    let cancel_at = if subscription.status.is_terminal() {
        None
    } else {
        subscription.cancel_at.or(subscription.cancel_at_period_end.then_some(period.1))
    };
    Some(SubscriptionState {
        id: subscription.id.clone(),
        item_id: item.id.clone(),
        price_id: item.price.id.clone(),
        schedule_id: subscription.schedule.as_ref().map(|schedule| schedule.id().to_owned()),
        status: subscription.status.clone(),
        quantity: item.quantity.and_then(|quantity| i32::try_from(quantity).ok()).unwrap_or(1).max(1),
        metered: metered_items(subscription),
        anchor,
        period,
        started_at: subscription.start_date.or(subscription.created).unwrap_or(period.0),
        ended_at: subscription.ended_at.or(subscription.canceled_at).filter(|_| subscription.status.is_terminal()),
        cancel_at_period_end: cancel_at.is_some_and(|at| at <= period.1),
        cancel_at,
        trial_end: subscription.trial_end,
        pending: pending(subscription, &plan, names),
        changed: changed(subscription),
        has_payment_method: subscription.default_payment_method.is_some()
            || subscription.default_source.is_some()
            || customer_pays,
        payment_method: subscription.default_payment_method.as_ref().map(|method| method.id().to_owned()),
        overdue_since: None,
        plan,
    })
}

/// The items of a subscription that charge overage by a meter of ours.
pub fn metered_items(subscription: &Subscription) -> Vec<MeteredItem> {
    let metered = subscription.items.data.iter().filter_map(|item| {
        let metric = metric_of(&item.price)?.to_owned();
        Some(MeteredItem { id: item.id.clone(), price_id: item.price.id.clone(), metric })
    });
    metered.collect()
}

/// Names of the notes that an upgrade leaves on the subscription.
pub const CHANGED_AT: &str = "tenantry_changed_at";
/// The price that it was changed to.
pub const CHANGED_TO: &str = "tenantry_changed_to";

fn changed(subscription: &Subscription) -> Option<(Timestamp, String)> {
    let seconds = subscription.metadata.get(CHANGED_AT)?.parse().ok()?;
    Some((Timestamp::from_second(seconds).ok()?, subscription.metadata.get(CHANGED_TO)?.clone()))
}

/// The first phase of its schedule that begins later and has another plan.
fn pending(subscription: &Subscription, now_on: &PlanChoice, names: &impl PriceNames) -> Option<PendingChange> {
    let schedule = subscription.schedule.as_ref().and_then(Expandable::object)?;
    let begun = schedule.current_phase.as_ref()?.0.start;
    schedule.phases.iter().filter(|phase| phase.start_date > begun).find_map(|phase| {
        let to = phase.items.iter().find_map(|item| match &item.price {
            Expandable::Object(price) => names.plan_of(price),
            Expandable::Id(id) => names.plan_of_id(id),
        })?;
        (to != *now_on).then_some(PendingChange { to, at: phase.start_date })
    })
}
