//! The end of a period, and payments that fail.

use super::finalize::finalize;
use super::invoice::{NewInvoice, draft};
use super::lines::{metered_lines, period_lines};
use super::payment::{Payment, default_method, pay};
use super::period::Calendar;
use super::state::DunningEnd;
use super::subscription::{Cancel, cancel_now, final_invoice, recurring};
use super::work::Work;
use crate::fault::Fault;
use crate::model::{InvoiceStatus, MissingMethod, Status, Subscription};

/// Days from an attempt to the next one.
const RETRY_DAYS: [i64; 3] = [3, 5, 7];
/// How long a draft can be changed before it is finalized on its own.
const DRAFT: i64 = 3600;

/// Ends the period of a subscription that goes on, and drafts the invoice of the next one.
pub(super) fn renew(work: &mut Work, id: &str) -> Result<(), Fault> {
    let before = work.subscription(id)?;
    let shown = work.subscription_json(&before);
    if before.status == Status::Trialing && missing_method(work, &before)? {
        return Ok(());
    }
    let metered = if before.status == Status::Trialing { Vec::new() } else { metered_lines(work, &before)? };
    let calendar = Calendar::new(before.billing_cycle_anchor, &recurring(work, &before)?);
    work.state.subscriptions.edit(id, |subscription| {
        if subscription.status == Status::Trialing {
            subscription.status = Status::Active;
        }
        for item in &mut subscription.items {
            item.period_start = item.period_end;
            item.period_end = calendar.end_after(item.period_start);
        }
    });
    let after = work.subscription(id)?;
    let mut lines = metered;
    lines.extend(period_lines(work, &after, false)?);
    let unpaid = after.status == Status::Unpaid;
    let new = NewInvoice {
        lines,
        period: (before.period_start(), before.period_end()),
        finalizes_at: (!unpaid).then_some(work.now + DRAFT),
        auto_advance: !unpaid,
        ..NewInvoice::of(&after, "subscription_cycle", work.now)
    };
    let invoice = draft(work, new)?;
    work.state.subscriptions.edit(id, |subscription| subscription.latest_invoice = Some(invoice));
    let now_shown = work.subscription_json(&work.subscription(id)?);
    work.emit_change("customer.subscription.updated", &shown, now_shown);
    Ok(())
}

/// Whether the end of a trial without a card ends or pauses the subscription.
fn missing_method(work: &mut Work, subscription: &Subscription) -> Result<bool, Fault> {
    let of_customer = work.state.customers.get(&subscription.customer);
    let card = subscription.default_payment_method.is_some()
        || of_customer.is_some_and(|customer| customer.default_payment_method.is_some());
    if card || subscription.sends_bill {
        return Ok(false);
    }
    match subscription.missing_payment_method {
        MissingMethod::CreateInvoice => Ok(false),
        MissingMethod::Cancel => {
            cancel_now(work, &subscription.id, Cancel::default())?;
            Ok(true)
        }
        MissingMethod::Pause => {
            work.change_subscription(&subscription.id, |subscription| subscription.status = Status::Paused)?;
            work.emit_subscription("customer.subscription.paused", &subscription.id)?;
            Ok(true)
        }
    }
}

/// A subscription ends as it was asked to: what was counted is billed, then it is canceled.
pub(super) fn end(work: &mut Work, id: &str) -> Result<(), Fault> {
    let subscription = work.subscription(id)?;
    if subscription.status != Status::Trialing {
        final_invoice(work, &subscription)?;
    }
    cancel_now(work, id, Cancel::default())
}

/// Finalizes a draft on its own, and charges it.
pub(super) fn advance(work: &mut Work, invoice: &str) -> Result<(), Fault> {
    match finalize(work, invoice) {
        // The reason is on the invoice and in its event; nobody waits for an answer here.
        Err(fault) if fault.keep => return Ok(()),
        other => other?,
    }
    let open = work.invoice(invoice)?;
    if open.status == InvoiceStatus::Open && !open.sends_bill {
        attempt(work, invoice)?;
    } else if open.sends_bill && open.status == InvoiceStatus::Open {
        work.emit_invoice("invoice.sent", invoice)?;
    }
    Ok(())
}

/// Charges an open invoice because its time has come.
pub(super) fn attempt(work: &mut Work, invoice: &str) -> Result<(), Fault> {
    let open = work.invoice(invoice)?;
    let method = default_method(work, &open);
    pay(work, invoice, &Payment { method, automatic: true, ..Payment::default() })?;
    Ok(())
}

/// Plans the next attempt, or ends the retries, and moves the subscription's status.
pub(super) fn after_failure(work: &mut Work, invoice: &str, automatic: bool) -> Result<(), Fault> {
    let failed = work.invoice(invoice)?;
    let subscription = failed.subscription.as_ref().map(|id| work.subscription(id)).transpose()?;
    if subscription.as_ref().is_some_and(|found| found.status == Status::Incomplete || found.status.terminal()) {
        return Ok(());
    }
    let planned = failed.next_payment_attempt.is_some_and(|at| at > work.now);
    let exhausted = if automatic || !planned { plan_next(work, invoice)? } else { false };
    let Some(subscription) = subscription else { return Ok(()) };
    if exhausted {
        return give_up(work, &subscription);
    }
    if matches!(subscription.status, Status::Active | Status::Trialing) {
        work.change_subscription(&subscription.id, |subscription| subscription.status = Status::PastDue)?;
    }
    Ok(())
}

/// True when there is no next attempt.
fn plan_next(work: &mut Work, invoice: &str) -> Result<bool, Fault> {
    let failed = work.invoice(invoice)?;
    let done = usize::try_from(failed.attempt_count - 1).unwrap_or(0);
    let next = RETRY_DAYS.get(done).map(|days| work.now + days * 86_400).filter(|_| failed.auto_advance);
    work.change_invoice(invoice, |invoice| {
        invoice.next_payment_attempt = next;
        invoice.auto_advance = next.is_some();
    })?;
    Ok(next.is_none() && failed.auto_advance)
}

fn give_up(work: &mut Work, subscription: &Subscription) -> Result<(), Fault> {
    let to = match work.state.dunning_end {
        DunningEnd::Cancel => {
            let cancel = Cancel { reason: Some("payment_failed"), ..Cancel::default() };
            return cancel_now(work, &subscription.id, cancel);
        }
        DunningEnd::Unpaid => Status::Unpaid,
        DunningEnd::PastDue => Status::PastDue,
    };
    work.change_subscription(&subscription.id, |subscription| subscription.status = to)
}
