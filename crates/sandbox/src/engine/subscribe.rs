//! New subscriptions.

use super::finalize::finalize;
use super::invoice::{NewInvoice, draft};
use super::lines::period_lines;
use super::payment::{Charge, Payment, charge_fault, pay};
use super::period::Calendar;
use super::proration::remaining;
use super::work::Work;
use crate::fault::Fault;
use crate::model::{BillingMode, InvoiceStatus, Item, Metadata, MissingMethod, Status, Subscription, Time};

/// A subscription to be made.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as in Stripe's parameters")]
#[derive(Debug, Clone)]
pub(crate) struct NewSubscription {
    pub(crate) customer: String,
    /// Price, quantity, metadata.
    pub(crate) items: Vec<(String, Option<i64>, Metadata)>,
    pub(crate) trial_end: Option<Time>,
    pub(crate) anchor: Option<Time>,
    pub(crate) prorate: bool,
    pub(crate) metadata: Metadata,
    pub(crate) description: Option<String>,
    pub(crate) billing_mode: BillingMode,
    pub(crate) missing_payment_method: MissingMethod,
    pub(crate) default_payment_method: Option<String>,
    pub(crate) behaviour: Behaviour,
    pub(crate) automatic_tax: bool,
    pub(crate) sends_bill: bool,
    pub(crate) days_until_due: Option<i64>,
    pub(crate) cancel_at: Option<Time>,
    pub(crate) cancel_at_period_end: bool,
    pub(crate) payment_settings: serde_json::Value,
    /// The card's holder is there and has confirmed.
    pub(crate) confirmed: bool,
}

/// What to do when the first payment, or that of a change, does not succeed.
#[expect(clippy::enum_variant_names, reason = "these are Stripe's words")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    AllowIncomplete,
    DefaultIncomplete,
    ErrorIfIncomplete,
    PendingIfIncomplete,
}

impl Behaviour {
    pub(crate) const WORDS: &[&str] =
        &["allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"];

    pub(crate) fn of(word: Option<&str>) -> Self {
        match word {
            Some("default_incomplete") => Self::DefaultIncomplete,
            Some("error_if_incomplete") => Self::ErrorIfIncomplete,
            Some("pending_if_incomplete") => Self::PendingIfIncomplete,
            _ => Self::AllowIncomplete,
        }
    }
}

/// One currency and one interval for all items, and every price recurring.
pub(super) fn check_items(work: &Work, items: &[Item], currency: &str) -> Result<(), Fault> {
    let mut interval = None;
    for (position, item) in items.iter().enumerate() {
        let param = format!("items[{position}][price]");
        let price = Work::named(&work.state.prices, &item.price, &param)?;
        let Some(recurring) = &price.recurring else {
            let message = format!(
                "The price specified is set to `type=one_time` but this field only accepts prices \
                                   with `type=recurring`: {}",
                price.id
            );
            return Err(Fault::invalid(message).param(param));
        };
        let of_this = (recurring.interval.clone(), recurring.interval_count);
        if *interval.get_or_insert_with(|| of_this.clone()) != of_this || price.currency != currency {
            let message = "Currency and interval fields must match across all prices on this subscription.";
            return Err(Fault::invalid(message).param(param));
        }
    }
    Ok(())
}

/// Makes a subscription, bills its first period, and charges it.
pub(crate) fn subscribe(work: &mut Work, new: &NewSubscription) -> Result<String, Fault> {
    let id = work.long_id("sub_");
    let subscription = assemble(work, &id, new)?;
    work.state.subscriptions.put(subscription.clone());
    let owner = work.state.customers.get(&subscription.customer);
    if owner.is_some_and(|customer| customer.currency.is_none()) {
        let currency = subscription.currency.clone();
        work.state.customers.edit(&subscription.customer, |customer| customer.currency = Some(currency));
    }
    let trial = subscription.status == Status::Trialing;
    let lines = first_lines(work, &subscription, new)?;
    let first = NewInvoice { lines, ..NewInvoice::of(&subscription, "subscription_create", work.now) };
    let invoice = draft(work, first)?;
    work.state.subscriptions.edit(&id, |subscription| subscription.latest_invoice = Some(invoice.clone()));
    work.emit_subscription("customer.subscription.created", &id)?;
    if trial && subscription.trial_end.is_some_and(|end| end - work.now <= 3 * 86_400) {
        work.state.subscriptions.edit(&id, |subscription| subscription.trial_warned = true);
        work.emit_subscription("customer.subscription.trial_will_end", &id)?;
    }
    if new.sends_bill {
        // Sent by e-mail after an hour, as a draft until then.
        let due = work.now + 3600;
        work.change_invoice(&invoice, |invoice| invoice.automatically_finalizes_at = Some(due))?;
        work.change_subscription(&id, |subscription| {
            subscription.status = if trial { Status::Trialing } else { Status::Active };
        })?;
        return Ok(id);
    }
    finalize(work, &invoice).map_err(|mut fault| {
        fault.keep = false;
        fault
    })?;
    first_payment(work, &invoice, new)?;
    Ok(id)
}

fn first_payment(work: &mut Work, invoice: &str, new: &NewSubscription) -> Result<(), Fault> {
    let open = work.invoice(invoice)?;
    if open.status != InvoiceStatus::Open || new.behaviour == Behaviour::DefaultIncomplete {
        return Ok(());
    }
    let charge = pay(work, invoice, &Payment { confirmed: new.confirmed, ..Payment::default() })?;
    if charge != Charge::Paid && new.behaviour == Behaviour::ErrorIfIncomplete || charge == Charge::NoMethod {
        let code = "subscription_payment_intent_requires_action";
        return Err(charge_fault(work, &work.invoice(invoice)?, charge, code));
    }
    Ok(())
}

fn assemble(work: &mut Work, id: &str, new: &NewSubscription) -> Result<Subscription, Fault> {
    let none = || Fault::invalid("Missing required param: items.").code("parameter_missing").param("items");
    let first = new.items.first().ok_or_else(none)?;
    let price = Work::named(&work.state.prices, &first.0, "items[0][price]")?.clone();
    let recurring = price.recurring.clone();
    let now = work.now;
    let trial = new.trial_end.filter(|end| *end > now);
    let anchor = trial.or(new.anchor).unwrap_or(now);
    let end = match (&recurring, trial) {
        (_, Some(end)) => end,
        (Some(recurring), None) => Calendar::new(anchor, recurring).end_after(now),
        (None, None) => now,
    };
    let mut items = Vec::new();
    for (position, (price, quantity, metadata)) in new.items.iter().enumerate() {
        let found = Work::named(&work.state.prices, price, &format!("items[{position}][price]"))?;
        if !found.active {
            let message = format!("The price specified is inactive. This field only accepts active prices: {price}");
            return Err(Fault::invalid(message).param(format!("items[{position}][price]")));
        }
        let metered = found.metered();
        items.push(Item {
            id: work.id("si_", 14),
            created: now,
            price: price.clone(),
            quantity: (!metered).then(|| quantity.unwrap_or(1)),
            metadata: metadata.clone(),
            period_start: now,
            period_end: end,
        });
    }
    check_items(work, &items, &price.currency)?;
    Ok(Subscription {
        id: id.to_owned(),
        created: now,
        customer: new.customer.clone(),
        currency: price.currency,
        status: if trial.is_some() { Status::Trialing } else { Status::Incomplete },
        items,
        metadata: new.metadata.clone(),
        billing_mode: new.billing_mode,
        billing_cycle_anchor: anchor,
        start_date: now,
        cancel_at: new.cancel_at.or(new.cancel_at_period_end.then_some(end)),
        cancel_at_period_end: new.cancel_at_period_end,
        canceled_at: (new.cancel_at.is_some() || new.cancel_at_period_end).then_some(now),
        ended_at: None,
        cancel_reason: None,
        cancel_comment: None,
        cancel_feedback: None,
        trial_start: trial.map(|_| now),
        trial_end: trial,
        trial_warned: false,
        missing_payment_method: new.missing_payment_method,
        default_payment_method: new.default_payment_method.clone(),
        sends_bill: new.sends_bill,
        days_until_due: new.days_until_due,
        latest_invoice: None,
        schedule: None,
        pending_update: None,
        automatic_tax: new.automatic_tax,
        description: new.description.clone(),
        payment_settings: new.payment_settings.clone(),
        upcoming_sent: None,
    })
}

/// The first period: whole, or the part until a later anchor.
fn first_lines(
    work: &mut Work,
    subscription: &Subscription,
    new: &NewSubscription,
) -> Result<Vec<crate::model::Line>, Fault> {
    let trial = subscription.status == Status::Trialing;
    let mut lines = period_lines(work, subscription, trial)?;
    let stub = !trial && subscription.billing_cycle_anchor > work.now;
    if stub && !new.prorate {
        return Ok(Vec::new());
    }
    if stub && let Some(item) = subscription.items.first() {
        let recurring = super::subscription::recurring(work, subscription)?;
        let calendar = Calendar::new(subscription.billing_cycle_anchor, &recurring);
        let start = calendar.start_at(work.now);
        for line in &mut lines {
            line.amount = remaining(line.amount, start, item.period_end, work.now);
            line.unit_amount = None;
            line.proration = true;
        }
    }
    Ok(lines)
}
