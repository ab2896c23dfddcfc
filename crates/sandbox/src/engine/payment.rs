//! Cards, and what happens when they are charged.

use serde_json::json;

use super::finalize::cancel_payment;
use super::work::Work;
use super::{renewal, subscription};
use crate::fault::Fault;
use crate::model::{CardBehaviour, Invoice, InvoiceStatus, PaymentMethod, PaymentStatus};

/// What a charge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charge {
    Paid,
    Declined(CardBehaviour),
    /// The holder has to confirm it on a page.
    NeedsConfirmation,
    /// There is no card to charge.
    NoMethod,
}

/// How an invoice is to be paid.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payment {
    /// The card; the default one of the invoice, the subscription or the customer when none.
    pub(crate) method: Option<String>,
    /// The holder has confirmed.
    pub(crate) confirmed: bool,
    /// By the clock, as part of the retries.
    pub(crate) automatic: bool,
    /// A failure leaves the subscription's status alone.
    pub(crate) spare_status: bool,
}

/// Test numbers, tokens that Stripe has for them, and what they stand for.
pub(crate) mod tokens {
    use super::CardBehaviour;

    const CARDS: &[(&str, &str, CardBehaviour)] = &[
        ("4242424242424242", "pm_card_visa", CardBehaviour::Pays),
        ("5555555555554444", "pm_card_mastercard", CardBehaviour::Pays),
        ("378282246310005", "pm_card_amex", CardBehaviour::Pays),
        ("4000000000000341", "pm_card_chargeCustomerFail", CardBehaviour::FailsWhenCharged),
        ("4000000000000002", "pm_card_chargeDeclined", CardBehaviour::Declined),
        ("4000000000009995", "pm_card_chargeDeclinedInsufficientFunds", CardBehaviour::InsufficientFunds),
        ("4000000000009987", "pm_card_chargeDeclinedLostCard", CardBehaviour::LostCard),
        ("4000000000000069", "pm_card_chargeDeclinedExpiredCard", CardBehaviour::Expired),
        ("4000002500003155", "pm_card_authenticationRequiredOnSetup", CardBehaviour::ConfirmOnce),
        ("4000002760003184", "pm_card_authenticationRequired", CardBehaviour::ConfirmAlways),
        ("4000003800000446", "pm_card_authenticationRequiredSetupForOffSession", CardBehaviour::Confirmed),
    ];

    /// By number: what the card does.
    pub(crate) fn by_number(number: &str) -> Option<CardBehaviour> {
        CARDS.iter().find(|card| card.0 == number).map(|card| card.2)
    }

    /// By token: the number and what the card does. `tok_…` stands for the same cards as `pm_card_…`.
    pub(crate) fn by_token(token: &str) -> Option<(&'static str, CardBehaviour)> {
        let name = token.strip_prefix("pm_card_").or_else(|| token.strip_prefix("tok_"))?;
        CARDS.iter().find(|card| card.1.strip_prefix("pm_card_") == Some(name)).map(|card| (card.0, card.2))
    }
}

/// The error for a card that is refused: code, decline code and text are those of Stripe.
pub(crate) fn decline_fault(behaviour: CardBehaviour) -> Fault {
    let (code, decline, message) = match behaviour {
        CardBehaviour::InsufficientFunds => {
            ("card_declined", "insufficient_funds", "Your card has insufficient funds.")
        }
        CardBehaviour::LostCard => ("card_declined", "lost_card", "Your card was declined."),
        CardBehaviour::Expired => ("expired_card", "expired_card", "Your card has expired."),
        _ => ("card_declined", "generic_decline", "Your card was declined."),
    };
    let fault = Fault::card(code, message).with("decline_code", decline);
    if code == "expired_card" { fault.param("exp_month") } else { fault }
}

/// The error for an invoice that was not paid.
pub(crate) fn charge_fault(work: &Work, invoice: &Invoice, charge: Charge, code: &'static str) -> Fault {
    let fault = match charge {
        Charge::Declined(behaviour) => decline_fault(behaviour),
        Charge::NoMethod => {
            let message = "This customer has no attached payment source or default payment method. Please consider \
                           adding a default payment method.";
            return Fault::invalid(message).code("resource_missing");
        }
        Charge::Paid | Charge::NeedsConfirmation => {
            Fault::card(code, "Payment for this invoice requires additional user action before it can be completed.")
        }
    };
    let intent = invoice.payment_intent.as_ref().and_then(|id| work.state.payment_intents.get(id));
    match intent {
        Some(intent) => fault.with("payment_intent", work.payment_intent_json(intent)),
        None => fault,
    }
}

/// Attaches a card to a customer. Some are declined already here.
pub(crate) fn attach(work: &mut Work, method: &str, customer: &str) -> Result<(), Fault> {
    let found = Work::find(&work.state.payment_methods, method)?.clone();
    match &found.customer {
        Some(owner) if owner == customer => return Ok(()),
        Some(_) => {
            let message = "The payment method you provided has already been attached to a customer.";
            return Err(Fault::invalid(message).code("payment_method_unexpected_state"));
        }
        None => {}
    }
    if let CardBehaviour::Declined
    | CardBehaviour::InsufficientFunds
    | CardBehaviour::LostCard
    | CardBehaviour::Expired = found.card.behaviour
    {
        return Err(decline_fault(found.card.behaviour));
    }
    work.state.payment_methods.edit(method, |method| method.customer = Some(customer.to_owned()));
    let shown = Work::find(&work.state.payment_methods, method)?;
    let shown = work.payment_method_json(shown);
    work.emit("payment_method.attached", shown);
    Ok(())
}

/// Whether the holder of a card of this number is asked to confirm when it is used on a page.
pub(crate) fn needs_confirmation(number: &str) -> bool {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let asks = [CardBehaviour::ConfirmOnce, CardBehaviour::ConfirmAlways, CardBehaviour::Confirmed];
    tokens::by_number(&digits).is_some_and(|behaviour| asks.contains(&behaviour))
}

/// What charging a card comes to.
fn charge(method: &PaymentMethod, confirmed: bool) -> Charge {
    match method.card.behaviour {
        CardBehaviour::Pays | CardBehaviour::Confirmed => Charge::Paid,
        CardBehaviour::ConfirmOnce if confirmed || method.set_up => Charge::Paid,
        CardBehaviour::ConfirmAlways if confirmed => Charge::Paid,
        CardBehaviour::ConfirmOnce | CardBehaviour::ConfirmAlways => Charge::NeedsConfirmation,
        declined => Charge::Declined(declined),
    }
}

/// The card that an invoice is charged to when none is named.
pub(super) fn default_method(work: &Work, invoice: &Invoice) -> Option<String> {
    let of_subscription = || {
        let subscription = work.state.subscriptions.get(invoice.subscription.as_ref()?)?;
        subscription.default_payment_method.clone()
    };
    let of_customer = || work.state.customers.get(&invoice.customer)?.default_payment_method.clone();
    invoice.default_payment_method.clone().or_else(of_subscription).or_else(of_customer)
}

/// Tries to pay an open invoice.
pub(crate) fn pay(work: &mut Work, id: &str, payment: &Payment) -> Result<Charge, Fault> {
    let invoice = work.invoice(id)?;
    match invoice.status {
        InvoiceStatus::Paid => return Err(Fault::invalid("Invoice is already paid").code("invoice_already_paid")),
        InvoiceStatus::Void => {
            return Err(Fault::invalid("Invoice is voided and can no longer be paid").code("invoice_not_editable"));
        }
        InvoiceStatus::Draft | InvoiceStatus::Open | InvoiceStatus::Uncollectible => {}
    }
    let method = payment.method.clone().or_else(|| default_method(work, &invoice));
    let found = method.and_then(|method| work.state.payment_methods.get(&method).cloned());
    let result = found.as_ref().map_or(Charge::NoMethod, |method| charge(method, payment.confirmed));
    if result == Charge::Paid {
        if let Some(method) = &found {
            work.state.payment_methods.edit(&method.id, |method| method.set_up |= payment.confirmed);
        }
        settle(work, id, found.map(|method| method.id).as_deref())?;
        return Ok(result);
    }
    fail(work, &invoice, found.as_ref(), result)?;
    if !payment.spare_status {
        renewal::after_failure(work, id, payment.automatic)?;
    }
    Ok(result)
}

/// Records a failed attempt on the intent and the invoice.
fn fail(work: &mut Work, invoice: &Invoice, method: Option<&PaymentMethod>, result: Charge) -> Result<(), Fault> {
    let confirmation = result == Charge::NeedsConfirmation;
    if let Some(intent) = &invoice.payment_intent {
        let error = match result {
            Charge::Declined(behaviour) => decline_fault(behaviour).error(),
            _ => json!(null),
        };
        work.state.payment_intents.edit(intent, |intent| {
            let status = if confirmation { "requires_action" } else { "requires_payment_method" };
            status.clone_into(&mut intent.status);
            intent.payment_method = method.filter(|_| confirmation).map(|method| method.id.clone());
            intent.last_error = error;
        });
        let shown = work.payment_intent_json(Work::find(&work.state.payment_intents, intent)?);
        let kind = if confirmation { "payment_intent.requires_action" } else { "payment_intent.payment_failed" };
        if method.is_some() {
            work.emit(kind, shown);
        }
    }
    work.change_invoice(&invoice.id, |invoice| {
        invoice.attempted = true;
        invoice.attempt_count += 1;
    })?;
    if confirmation {
        work.emit_invoice("invoice.payment_action_required", &invoice.id)?;
    }
    work.emit_invoice("invoice.payment_failed", &invoice.id)
}

/// Marks an invoice paid that was paid elsewhere.
pub(crate) fn paid_out_of_band(work: &mut Work, id: &str) -> Result<(), Fault> {
    cancel_payment(work, id)?;
    mark_paid(work, id)?;
    work.emit_invoice("invoice.paid", id)?;
    subscription::after_payment(work, id)
}

/// Marks an invoice paid: by a card, or because nothing was due.
pub(super) fn settle(work: &mut Work, id: &str, method: Option<&str>) -> Result<(), Fault> {
    let intent = work.invoice(id)?.payment_intent;
    let now = work.now;
    if let (Some(intent), Some(method)) = (&intent, method) {
        work.state.payment_intents.edit(intent, |intent| {
            "succeeded".clone_into(&mut intent.status);
            intent.payment_method = Some(method.to_owned());
            intent.last_error = json!(null);
        });
        let shown = work.payment_intent_json(Work::find(&work.state.payment_intents, intent)?);
        work.emit("payment_intent.succeeded", shown);
    }
    mark_paid(work, id)?;
    let open = work.state.invoice_payments.iter().find(|row| row.invoice == id && row.status == PaymentStatus::Open);
    if let Some(open) = open.map(|payment| payment.id.clone()) {
        work.state.invoice_payments.edit(&open, |payment| {
            payment.status = PaymentStatus::Paid;
            payment.amount_paid = Some(payment.amount_requested);
            payment.paid_at = Some(now);
        });
        let shown = work.invoice_payment_json(Work::find(&work.state.invoice_payments, &open)?);
        work.emit("invoice_payment.paid", shown);
    }
    work.emit_invoice("invoice.paid", id)?;
    work.emit_invoice("invoice.payment_succeeded", id)?;
    subscription::after_payment(work, id)
}

fn mark_paid(work: &mut Work, id: &str) -> Result<(), Fault> {
    let now = work.now;
    work.change_invoice(id, |invoice| {
        invoice.attempt_count += i64::from(invoice.amount_due > 0);
        invoice.attempted = true;
        invoice.status = InvoiceStatus::Paid;
        invoice.amount_paid = invoice.amount_due;
        invoice.paid_at = Some(now);
        invoice.next_payment_attempt = None;
        invoice.auto_advance = false;
    })
}
