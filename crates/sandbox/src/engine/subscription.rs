//! What payments and cancellations do to a subscription.

use super::invoice::{NewInvoice, draft};
use super::lines::metered_lines;
use super::payment::{Payment, pay};
use super::period::Calendar;
use super::update::credits;
use super::work::Work;
use super::{finalize, lines};
use crate::fault::Fault;
use crate::model::{Invoice, InvoiceItem, InvoiceStatus, Recurring, Status, Subscription};

/// A paid invoice opens what waited for it.
pub(super) fn after_payment(work: &mut Work, invoice: &str) -> Result<(), Fault> {
    let Some(id) = work.invoice(invoice)?.subscription else { return Ok(()) };
    let subscription = work.subscription(&id)?;
    if subscription.pending_update.as_ref().is_some_and(|pending| pending.invoice == invoice) {
        return apply_pending(work, &subscription);
    }
    let latest = subscription.latest_invoice.as_deref() == Some(invoice);
    if latest && matches!(subscription.status, Status::Incomplete | Status::PastDue | Status::Unpaid) {
        let now = work.now;
        work.change_subscription(&id, |subscription| {
            let trial = subscription.trial_end.is_some_and(|end| end > now);
            subscription.status = if trial { Status::Trialing } else { Status::Active };
        })?;
    }
    Ok(())
}

fn apply_pending(work: &mut Work, subscription: &Subscription) -> Result<(), Fault> {
    let Some(pending) = subscription.pending_update.clone() else { return Ok(()) };
    work.change_subscription(&subscription.id, |subscription| {
        subscription.items = pending.items;
        subscription.billing_cycle_anchor = pending.billing_cycle_anchor.unwrap_or(subscription.billing_cycle_anchor);
        subscription.trial_end = pending.trial_end.or(subscription.trial_end);
        subscription.pending_update = None;
    })?;
    work.emit_subscription("customer.subscription.pending_update_applied", &subscription.id)
}

/// A pending change that nobody paid for in time is dropped, and its invoice voided.
pub(super) fn expire_pending(work: &mut Work, id: &str) -> Result<(), Fault> {
    let Some(pending) = work.subscription(id)?.pending_update else { return Ok(()) };
    if work.invoice(&pending.invoice)?.status == InvoiceStatus::Open {
        finalize::void(work, &pending.invoice)?;
    }
    work.change_subscription(id, |subscription| subscription.pending_update = None)?;
    work.emit_subscription("customer.subscription.pending_update_expired", id)
}

/// The first invoice was not paid within 23 hours.
pub(super) fn expire_incomplete(work: &mut Work, id: &str) -> Result<(), Fault> {
    let now = work.now;
    if let Some(invoice) = work.subscription(id)?.latest_invoice
        && work.invoice(&invoice)?.status == InvoiceStatus::Open
    {
        finalize::void(work, &invoice)?;
    }
    work.change_subscription(id, |subscription| {
        subscription.status = Status::IncompleteExpired;
        subscription.ended_at = Some(now);
        subscription.canceled_at = Some(now);
    })
}

/// Why and how a subscription ends at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel {
    /// Gives credit for the time that is left.
    pub(crate) prorate: bool,
    /// Bills what is pending.
    pub(crate) invoice_now: bool,
    pub(crate) reason: Option<&'static str>,
    pub(crate) comment: Option<String>,
    pub(crate) feedback: Option<String>,
}

/// Ends a subscription now.
pub(crate) fn cancel_now(work: &mut Work, id: &str, cancel: Cancel) -> Result<(), Fault> {
    let subscription = work.subscription(id)?;
    if cancel.prorate && matches!(subscription.status, Status::Active | Status::PastDue) {
        let at = work.now;
        for credit in credits(work, &subscription, &subscription.items, at)? {
            credit.make(work);
        }
    }
    if cancel.invoice_now {
        final_invoice(work, &subscription)?;
    } else if !cancel.prorate {
        drop_pending_prorations(work, id);
    }
    stop_collection(work, id)?;
    let now = work.now;
    work.state.subscriptions.edit(id, |subscription| {
        subscription.status = Status::Canceled;
        subscription.canceled_at = subscription.canceled_at.or(Some(now));
        subscription.ended_at = Some(now);
        subscription.cancel_reason = cancel.reason.map(str::to_owned).or(subscription.cancel_reason.take());
        subscription.cancel_comment = cancel.comment.or(subscription.cancel_comment.take());
        subscription.cancel_feedback = cancel.feedback.or(subscription.cancel_feedback.take());
        subscription.pending_update = None;
    });
    if let Some(schedule) = work.subscription(id)?.schedule {
        super::schedule::subscription_ended(work, &schedule)?;
        work.state.subscriptions.edit(id, |subscription| subscription.schedule = None);
    }
    work.emit_subscription("customer.subscription.deleted", id)
}

/// What is still to be billed when a subscription ends: usage that was counted, items that are pending.
pub(super) fn final_invoice(work: &mut Work, subscription: &Subscription) -> Result<(), Fault> {
    let lines = metered_lines(work, subscription)?;
    let waits = |item: &InvoiceItem| item.invoice.is_none() && item.subscription.as_ref() == Some(&subscription.id);
    if lines.iter().all(|line| line.amount == 0) && !work.state.invoice_items.iter().any(waits) {
        return Ok(());
    }
    let new = NewInvoice {
        lines,
        period: (subscription.period_start(), work.now),
        ..NewInvoice::of(subscription, "subscription_cycle", work.now)
    };
    let invoice = draft(work, new)?;
    work.state.subscriptions.edit(&subscription.id, |subscription| subscription.latest_invoice = Some(invoice.clone()));
    finalize_and_pay(work, &invoice)
}

/// Finalizes a draft and charges it, leaving a subscription's status alone when that fails.
fn finalize_and_pay(work: &mut Work, invoice: &str) -> Result<(), Fault> {
    match finalize::finalize(work, invoice) {
        Err(fault) if fault.keep => return Ok(()),
        other => other?,
    }
    let open: Invoice = work.invoice(invoice)?;
    if open.status == InvoiceStatus::Open && !open.sends_bill {
        pay(work, invoice, &Payment { spare_status: true, ..Payment::default() })?;
    }
    Ok(())
}

fn drop_pending_prorations(work: &mut Work, id: &str) {
    let pending =
        |item: &&InvoiceItem| item.invoice.is_none() && item.proration && item.subscription.as_deref() == Some(id);
    let items: Vec<InvoiceItem> = work.state.invoice_items.iter().filter(pending).cloned().collect();
    for item in items {
        work.state.invoice_items.remove(&item.id);
        let shown = work.invoice_item_json(&item);
        work.emit("invoiceitem.deleted", shown);
    }
}

/// Invoices of an ended subscription are not collected any more.
fn stop_collection(work: &mut Work, id: &str) -> Result<(), Fault> {
    let open = |invoice: &&Invoice| {
        invoice.subscription.as_deref() == Some(id)
            && matches!(invoice.status, InvoiceStatus::Draft | InvoiceStatus::Open)
            && invoice.auto_advance
    };
    let invoices: Vec<String> = work.state.invoices.iter().filter(open).map(|invoice| invoice.id.clone()).collect();
    for invoice in invoices {
        work.change_invoice(&invoice, |invoice| {
            invoice.auto_advance = false;
            invoice.next_payment_attempt = None;
            invoice.automatically_finalizes_at = None;
        })?;
    }
    Ok(())
}

/// Resumes a paused subscription: a new period begins now and is billed.
pub(crate) fn resume(work: &mut Work, id: &str) -> Result<(), Fault> {
    let subscription = work.subscription(id)?;
    if subscription.status != Status::Paused {
        let message =
            format!("Only paused subscriptions can be resumed. The status of {id} is {}.", subscription.status.word());
        return Err(Fault::invalid(message));
    }
    let before = work.subscription_json(&subscription);
    begin_period(work, id)?;
    work.state.subscriptions.edit(id, |subscription| subscription.status = Status::Active);
    let subscription = work.subscription(id)?;
    let lines = lines::period_lines(work, &subscription, false)?;
    let new = NewInvoice { lines, ..NewInvoice::of(&subscription, "subscription_update", work.now) };
    let invoice = draft(work, new)?;
    work.state.subscriptions.edit(id, |subscription| subscription.latest_invoice = Some(invoice.clone()));
    finalize::finalize(work, &invoice)?;
    if work.invoice(&invoice)?.status == InvoiceStatus::Open {
        pay(work, &invoice, &Payment::default())?;
    }
    let after = work.subscription_json(&work.subscription(id)?);
    work.emit_change("customer.subscription.updated", &before, after);
    work.emit_subscription("customer.subscription.resumed", id)
}

/// Starts the billing cycle anew at this moment.
pub(super) fn begin_period(work: &mut Work, id: &str) -> Result<(), Fault> {
    let now = work.now;
    let subscription = work.subscription(id)?;
    let end = Calendar::new(now, &recurring(work, &subscription)?).first_end();
    work.state.subscriptions.edit(id, |subscription| {
        subscription.billing_cycle_anchor = now;
        for item in &mut subscription.items {
            item.period_start = now;
            item.period_end = end;
        }
    });
    Ok(())
}

/// The interval that a subscription's items share.
pub(super) fn recurring(work: &Work, subscription: &Subscription) -> Result<Recurring, Fault> {
    let none = || Fault::invalid(format!("Subscription {} has no item with a recurring price.", subscription.id));
    let first = subscription.items.first().ok_or_else(none)?;
    work.price(&first.price)?.recurring.clone().ok_or_else(none)
}
