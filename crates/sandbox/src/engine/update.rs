//! Changes of a subscription: items, prorations, a new billing cycle.

use super::finalize::finalize;
use super::invoice::{NewInvoice, draft};
use super::items::NewItem;
use super::lines::{day, period_lines};
use super::payment::{Charge, Payment, charge_fault, pay};
use super::price::amount;
use super::proration::remaining;
use super::subscribe::{Behaviour, check_items};
use super::subscription::{begin_period, recurring};
use super::work::Work;
use crate::fault::Fault;
use crate::model::{Credited, Invoice, InvoiceStatus, Item, Metadata, PendingUpdate, Status, Subscription, Time};

/// How long a pending change waits for its payment.
const PENDING: i64 = 23 * 3600;

/// A change of what is billed.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) items: Vec<ItemChange>,
    pub(crate) prorate: Prorate,
    pub(crate) proration_date: Option<Time>,
    pub(crate) behaviour: Behaviour,
    pub(crate) anchor_now: bool,
    pub(crate) trial_end: Option<TrialEnd>,
}

/// When a trial is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrialEnd {
    Now,
    At(Time),
}

/// A change of one item. Without an id it adds one.
#[derive(Debug, Clone, Default)]
pub(crate) struct ItemChange {
    pub(crate) id: Option<String>,
    pub(crate) price: Option<String>,
    pub(crate) quantity: Option<i64>,
    pub(crate) deleted: bool,
    pub(crate) metadata: Option<Metadata>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prorate {
    None,
    Create,
    AlwaysInvoice,
}

/// Changes a subscription and emits what differs. `plain` changes what has nothing to do with money.
pub(crate) fn update(
    work: &mut Work,
    id: &str,
    change: &Change,
    plain: impl FnOnce(&mut Subscription),
) -> Result<(), Fault> {
    let before = work.subscription(id)?;
    let shown = work.subscription_json(&before);
    let mut changed = before.clone();
    plain(&mut changed);
    work.state.subscriptions.put(changed);
    bill(work, &before, change)?;
    let after = work.subscription_json(&work.subscription(id)?);
    work.emit_change("customer.subscription.updated", &shown, after);
    Ok(())
}

fn bill(work: &mut Work, before: &Subscription, change: &Change) -> Result<(), Fault> {
    let items = changed_items(work, before, &change.items)?;
    let resets = new_cycle(work, before, &items, change)?;
    let at = change.proration_date.unwrap_or(work.now);
    let free_now = before.status == Status::Trialing || before.status == Status::Paused;
    if !free_now && !(before.period_start()..=before.period_end()).contains(&at) {
        let message = "Cannot specify `proration_date` outside of the current billing period.";
        return Err(Fault::invalid(message).param("proration_date"));
    }
    let prorates = change.prorate != Prorate::None && !free_now && before.status != Status::Incomplete;
    let mut prorations = Vec::new();
    if prorates {
        let gone: Vec<Item> = before.items.iter().filter(|item| resets || !same_cost(item, &items)).cloned().collect();
        prorations.extend(credits(work, before, &gone, at)?);
        if !resets {
            let new: Vec<Item> = items.iter().filter(|item| !same_cost(item, &before.items)).cloned().collect();
            prorations.extend(debits(work, before, &new, at)?);
        }
    }
    let any_proration = !prorations.is_empty();
    for proration in prorations {
        proration.make(work);
    }
    work.state.subscriptions.edit(&before.id, |subscription| subscription.items.clone_from(&items));
    if let Some(TrialEnd::At(end)) = change.trial_end {
        set_trial(work, &before.id, end);
        return Ok(());
    }
    if resets {
        begin_period(work, &before.id)?;
        invoice_now(work, before, change, true)
    } else if any_proration && change.prorate == Prorate::AlwaysInvoice {
        invoice_now(work, before, change, false)
    } else {
        Ok(())
    }
}

/// The items after a change. A new price sets the quantity to 1 unless one is sent.
pub(super) fn changed_items(
    work: &mut Work,
    before: &Subscription,
    changes: &[ItemChange],
) -> Result<Vec<Item>, Fault> {
    let mut items = before.items.clone();
    for (position, change) in changes.iter().enumerate() {
        if let Some(price) = &change.price {
            Work::named(&work.state.prices, price, &format!("items[{position}][price]"))?;
        }
        let Some(id) = &change.id else {
            items.push(new_item(work, before, change, position)?);
            continue;
        };
        let Some(place) = items.iter().position(|item| item.id == *id) else {
            let param = format!("items[{position}][id]");
            return Err(Fault::missing_param("subscription item", id, &param));
        };
        if change.deleted {
            items.remove(place);
            continue;
        }
        let metered = |work: &Work, price: &str| work.price(price).map(crate::model::Price::metered);
        if let Some(item) = items.get_mut(place) {
            let other = change.price.as_ref().is_some_and(|price| *price != item.price);
            if let Some(price) = &change.price {
                item.price.clone_from(price);
            }
            let default = if other { Some(1) } else { item.quantity };
            item.quantity = if metered(work, &item.price)? { None } else { change.quantity.or(default) };
            item.metadata = change.metadata.clone().unwrap_or_else(|| std::mem::take(&mut item.metadata));
        }
    }
    if items.is_empty() {
        let message = "A subscription must have at least one active plan. Cancel the subscription instead.";
        return Err(Fault::invalid(message).param("items"));
    }
    check_items(work, &items, &before.currency)?;
    Ok(items)
}

fn new_item(work: &mut Work, before: &Subscription, change: &ItemChange, position: usize) -> Result<Item, Fault> {
    let Some(price) = change.price.clone() else {
        let name = format!("items[{position}][price]");
        return Err(Fault::invalid(format!("Missing required param: {name}.")).code("parameter_missing").param(name));
    };
    if before.items.iter().any(|item| item.price == price) {
        let message = format!(
            "Cannot add multiple subscription items with the same plan: {price}. To change the quantity of an item, \
             send its id."
        );
        return Err(Fault::invalid(message).param(format!("items[{position}][price]")));
    }
    let metered = work.price(&price)?.metered();
    Ok(Item {
        id: work.id("si_", 14),
        created: work.now,
        price,
        quantity: (!metered).then(|| change.quantity.unwrap_or(1)),
        metadata: change.metadata.clone().unwrap_or_default(),
        period_start: before.period_start(),
        period_end: before.period_end(),
    })
}

/// Whether the change begins a new billing cycle at this moment.
fn new_cycle(work: &Work, before: &Subscription, items: &[Item], change: &Change) -> Result<bool, Fault> {
    let old = recurring(work, before)?;
    let mut after = before.clone();
    items.clone_into(&mut after.items);
    let new = recurring(work, &after)?;
    let other_interval = (&old.interval, old.interval_count) != (&new.interval, new.interval_count);
    let ends_trial = before.status == Status::Trialing && change.trial_end == Some(TrialEnd::Now);
    let in_trial = before.status == Status::Trialing && !ends_trial;
    Ok(!in_trial && (other_interval || change.anchor_now || ends_trial))
}

fn set_trial(work: &mut Work, id: &str, end: Time) {
    let now = work.now;
    work.state.subscriptions.edit(id, |subscription| {
        subscription.trial_start = subscription.trial_start.or(Some(now));
        subscription.trial_end = Some(end);
        subscription.trial_warned = false;
        subscription.status = Status::Trialing;
        subscription.billing_cycle_anchor = end;
        for item in &mut subscription.items {
            item.period_end = end;
        }
    });
}

fn same_cost(item: &Item, among: &[Item]) -> bool {
    among.iter().any(|other| other.id == item.id && other.price == item.price && other.quantity == item.quantity)
}

/// Credits for the time that is left of items that are paid in advance.
pub(super) fn credits(
    work: &Work,
    subscription: &Subscription,
    items: &[Item],
    at: Time,
) -> Result<Vec<NewItem>, Fault> {
    prorations(work, subscription, items, at, -1)
}

fn debits(work: &Work, subscription: &Subscription, items: &[Item], at: Time) -> Result<Vec<NewItem>, Fault> {
    prorations(work, subscription, items, at, 1)
}

fn prorations(
    work: &Work,
    subscription: &Subscription,
    items: &[Item],
    at: Time,
    sign: i64,
) -> Result<Vec<NewItem>, Fault> {
    let mut prorations = Vec::new();
    for item in items {
        let price = work.price(&item.price)?;
        if price.metered() {
            continue;
        }
        let quantity = item.quantity.unwrap_or(1);
        let part = remaining(amount(price, quantity), item.period_start, item.period_end, at);
        let product = work.product_name(price);
        let named = if quantity == 1 { product } else { format!("{quantity} × {product}") };
        let kind = if sign < 0 { "Unused" } else { "Remaining" };
        prorations.push(NewItem {
            customer: subscription.customer.clone(),
            subscription: Some(subscription.id.clone()),
            subscription_item: Some(item.id.clone()),
            amount: sign * part,
            unit_amount: None,
            quantity,
            currency: subscription.currency.clone(),
            description: Some(format!("{kind} time on {named} after {}", day(at))),
            period: (at, item.period_end),
            metadata: Metadata::new(),
            proration: true,
            credited: (sign < 0).then(|| credited(work, subscription, item)).flatten(),
            price: Some(item.price.clone()),
        });
    }
    Ok(prorations)
}

/// The latest invoice that billed an item as it is, and its line there.
fn credited(work: &Work, subscription: &Subscription, item: &Item) -> Option<Credited> {
    let billed = |invoice: &&Invoice| invoice.subscription.as_ref() == Some(&subscription.id);
    for invoice in work.state.invoices.iter().rev().filter(billed) {
        let line = invoice.lines.iter().find(|line| {
            line.parent.subscription_item.as_ref() == Some(&item.id)
                && line.price.as_ref() == Some(&item.price)
                && line.credited.is_none()
        });
        if let Some(line) = line {
            return Some(Credited { invoice: invoice.id.clone(), lines: vec![line.id.clone()] });
        }
    }
    None
}

/// Bills a change at once, and decides what becomes of it when that is not paid.
fn invoice_now(work: &mut Work, before: &Subscription, change: &Change, new_cycle: bool) -> Result<(), Fault> {
    let id = &before.id;
    if change.trial_end == Some(TrialEnd::Now) {
        let now = work.now;
        work.state.subscriptions.edit(id, |subscription| {
            subscription.trial_end = subscription.trial_end.map(|_| now);
            subscription.status = Status::Active;
        });
    }
    let subscription = work.subscription(id)?;
    let lines = if new_cycle { period_lines(work, &subscription, false)? } else { Vec::new() };
    let period = (before.period_start(), work.now);
    let new = NewInvoice { lines, period, ..NewInvoice::of(&subscription, "subscription_update", work.now) };
    let invoice = draft(work, new)?;
    work.state.subscriptions.edit(id, |subscription| subscription.latest_invoice = Some(invoice.clone()));
    match finalize(work, &invoice) {
        Err(fault) if fault.keep && change.behaviour != Behaviour::ErrorIfIncomplete => return Ok(()),
        Err(mut fault) => {
            fault.keep = false;
            return Err(fault);
        }
        Ok(()) => {}
    }
    let open = work.invoice(&invoice)?;
    if open.status != InvoiceStatus::Open || open.sends_bill {
        return Ok(());
    }
    if change.behaviour == Behaviour::DefaultIncomplete {
        work.state.subscriptions.edit(id, |subscription| subscription.status = Status::PastDue);
        return Ok(());
    }
    let spare_status = change.behaviour != Behaviour::AllowIncomplete;
    let outcome = pay(work, &invoice, &Payment { spare_status, ..Payment::default() })?;
    match (outcome, change.behaviour) {
        (Charge::Paid, _) => Ok(()),
        (_, Behaviour::ErrorIfIncomplete) => {
            Err(charge_fault(work, &work.invoice(&invoice)?, outcome, "subscription_payment_intent_requires_action"))
        }
        (_, Behaviour::PendingIfIncomplete) => hold(work, before, &invoice, new_cycle),
        _ => Ok(()),
    }
}

/// Puts a change aside until its invoice is paid.
fn hold(work: &mut Work, before: &Subscription, invoice: &str, new_cycle: bool) -> Result<(), Fault> {
    let changed = work.subscription(&before.id)?;
    let pending = PendingUpdate {
        expires_at: work.now + PENDING,
        invoice: invoice.to_owned(),
        items: changed.items.clone(),
        billing_cycle_anchor: new_cycle.then_some(changed.billing_cycle_anchor),
        trial_end: None,
    };
    let mut held = before.clone();
    held.latest_invoice = Some(invoice.to_owned());
    held.pending_update = Some(pending);
    work.state.subscriptions.put(held);
    Ok(())
}
