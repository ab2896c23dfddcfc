//! Invoices that would be: the same code as the change itself, on a copy that is thrown away.

use super::invoice::{NewInvoice, draft};
use super::renewal::renew;
use super::subscription::{Cancel, cancel_now};
use super::update::credits;
use super::work::Work;
use crate::fault::Fault;
use crate::model::{Invoice, InvoiceStatus};

/// The invoice that a change made at once, or else the one that the next renewal will draft.
///
/// `before` is the state without the change, `trial` the copy in which it was made.
pub(crate) fn invoice(before: &Work, trial: &mut Work, id: &str) -> Result<Invoice, Fault> {
    let subscription = trial.subscription(id)?;
    let made = subscription
        .latest_invoice
        .clone()
        .filter(|latest| before.state.invoices.get(latest).is_none() && trial.state.invoices.get(latest).is_some());
    if let Some(made) = made {
        return shown(trial, &made);
    }
    if subscription.cancel_at.is_some_and(|at| at <= subscription.period_end()) {
        let message = format!("No upcoming invoices for subscription: {id}");
        return Err(Fault::invalid(message).code("invoice_upcoming_none"));
    }
    trial.now = subscription.period_end();
    renew(trial, id)?;
    let none = || Fault::invalid(format!("No upcoming invoices for subscription: {id}")).code("invoice_upcoming_none");
    let latest = trial.subscription(id)?.latest_invoice.filter(|latest| before.state.invoices.get(latest).is_none());
    shown(trial, &latest.ok_or_else(none)?)
}

/// What a cancellation at a time would credit, and what would be billed with it.
pub(crate) fn cancellation(trial: &mut Work, id: &str, at: Option<i64>) -> Result<Invoice, Fault> {
    let subscription = trial.subscription(id)?;
    let at = at.unwrap_or(trial.now);
    for credit in credits(trial, &subscription, &subscription.items, at)? {
        credit.make(trial);
    }
    let new = NewInvoice::of(&subscription, "upcoming", trial.now);
    let invoice = draft(trial, new)?;
    cancel_now(trial, id, Cancel::default())?;
    shown(trial, &invoice)
}

/// As a draft, whatever became of it.
fn shown(trial: &Work, id: &str) -> Result<Invoice, Fault> {
    let mut invoice = trial.invoice(id)?;
    invoice.status = InvoiceStatus::Draft;
    invoice.amount_paid = 0;
    invoice.attempt_count = 0;
    invoice.attempted = false;
    invoice.finalized_at = None;
    invoice.paid_at = None;
    Ok(invoice)
}
