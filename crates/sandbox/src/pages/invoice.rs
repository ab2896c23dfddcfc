//! The page of an invoice, where an open one can be paid.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::checkout::Line;
use super::{Form, card_input, change, field, not_found, page, read, see_other};
use crate::api::card_of;
use crate::engine::{Charge, Payment, Work, attach, charge_fault, day, money, pay};
use crate::fault::Fault;
use crate::model::{Invoice, InvoiceStatus};
use crate::server::shared::Shared;

#[derive(Template)]
#[template(path = "invoice.html")]
pub(super) struct InvoicePage {
    pub(super) number: String,
    pub(super) state: String,
    pub(super) due: String,
    pub(super) address: Vec<String>,
    pub(super) lines: Vec<Line>,
    pub(super) subtotal: String,
    pub(super) tax: Option<String>,
    pub(super) balance: Option<String>,
    action: String,
    payable: bool,
    message: Option<String>,
    /// The last digits of a card whose holder has to confirm.
    confirm: Option<String>,
}

pub(super) fn by_page<'a>(work: &'a Work, page: &str) -> Option<&'a Invoice> {
    work.state.invoices.iter().find(|invoice| invoice.page == page && invoice.finalized_at.is_some())
}

pub(super) fn view(work: &Work, invoice: &Invoice, message: Option<String>) -> InvoicePage {
    let money = |amount| money(amount, &invoice.currency);
    let state = match (invoice.status, invoice.paid_at) {
        (InvoiceStatus::Paid, Some(at)) => format!("Paid on {}", day(at)),
        (InvoiceStatus::Void, _) => "Void: nothing has to be paid".to_owned(),
        (InvoiceStatus::Uncollectible, _) => "Written off".to_owned(),
        _ => format!("Open since {}", day(invoice.finalized_at.unwrap_or(invoice.created))),
    };
    let applied = invoice.amount_due - invoice.total();
    let address = invoice.customer_address.clone().unwrap_or_default();
    let town = [address.postal_code, address.city].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let parts =
        [invoice.customer_name.clone(), invoice.customer_email.clone(), address.line1, Some(town), address.country];
    let intent = invoice.payment_intent.as_ref().and_then(|id| work.state.payment_intents.get(id));
    let waiting = intent.filter(|intent| intent.status == "requires_action");
    let method = waiting.and_then(|intent| work.state.payment_methods.get(intent.payment_method.as_ref()?));
    InvoicePage {
        number: invoice.number.clone().unwrap_or_default(),
        state,
        due: money(invoice.amount_due),
        address: parts.into_iter().flatten().filter(|part| !part.is_empty()).collect(),
        lines: (invoice.lines.iter())
            .map(|line| Line {
                name: line.description.clone(),
                rate: format!("{} to {}", day(line.period_start), day(line.period_end)),
                amount: money(line.amount),
            })
            .collect(),
        subtotal: money(invoice.subtotal()),
        tax: (invoice.tax() != 0).then(|| money(invoice.tax())),
        balance: (applied != 0).then(|| money(applied)),
        action: format!("/i/{}", invoice.page),
        payable: invoice.status == InvoiceStatus::Open,
        message,
        confirm: method.map(|method| method.card.last4.clone()),
    }
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, Path(address): Path<String>) -> Response {
    read(&shared, |work| render(work, &address, None)).await
}

fn render(work: &Work, address: &str, message: Option<String>) -> Response {
    let status = if message.is_some() { StatusCode::PAYMENT_REQUIRED } else { StatusCode::OK };
    by_page(work, address).map_or_else(not_found, |invoice| page(status, &view(work, invoice, message)))
}

pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    Path(address): Path<String>,
    axum::Form(form): axum::Form<Form>,
) -> Response {
    match change(&shared, |work| settle(work, &address, &form)).await {
        Ok(()) => see_other(&format!("/i/{address}")),
        Err(fault) => {
            let text = fault.message().to_owned();
            read(&shared, |work| render(work, &address, Some(text))).await
        }
    }
}

/// Pays with the card of the form, or with the one that waits for its holder's confirmation.
fn settle(work: &mut Work, address: &str, form: &Form) -> Result<(), Fault> {
    let missing = || Fault::missing("invoice", address);
    let invoice = by_page(work, address).ok_or_else(missing)?.clone();
    let confirmed = form.get("confirmed").is_some_and(|confirmed| confirmed == "true");
    let method = if field(form, "card_number").is_some() {
        let card = card_of(work, card_input(form)?)?;
        let id = card.id.clone();
        work.state.payment_methods.put(card);
        attach(work, &id, &invoice.customer)?;
        Some(id)
    } else {
        let intent = invoice.payment_intent.as_ref().and_then(|id| work.state.payment_intents.get(id));
        intent.and_then(|intent| intent.payment_method.clone())
    };
    let charge = pay(work, &invoice.id, &Payment { method: method.clone(), confirmed, ..Payment::default() })?;
    match charge {
        Charge::Paid => {
            // The card that pays becomes that of the subscription, so that the next renewal does not fail again.
            if let Some(subscription) = &invoice.subscription
                && work.state.subscriptions.get(subscription).is_some_and(|found| !found.status.terminal())
            {
                work.change_subscription(subscription, |subscription| subscription.default_payment_method = method)?;
            }
            Ok(())
        }
        // The page asks for the confirmation next.
        Charge::NeedsConfirmation => Ok(()),
        declined => Err(charge_fault(work, &invoice, declined, "invoice_payment_intent_requires_action").keep()),
    }
}
