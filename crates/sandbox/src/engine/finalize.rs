//! A draft becomes an open invoice, and an open one void.

use serde_json::json;

use super::invoice::refresh;
use super::payment::settle;
use super::work::Work;
use crate::fault::Fault;
use crate::model::{Invoice, InvoicePayment, InvoiceStatus, PaymentIntent, PaymentStatus};

/// Finalizes a draft. One that nothing is due on is paid at once; a total below zero becomes the customer's credit.
pub(crate) fn finalize(work: &mut Work, id: &str) -> Result<(), Fault> {
    let draft = work.invoice(id)?;
    if draft.status != InvoiceStatus::Draft {
        let message = "This invoice is already finalized, you can't re-finalize a non-draft invoice.";
        return Err(Fault::invalid(message));
    }
    refresh(work, id)?;
    let draft = work.invoice(id)?;
    if draft.automatic_tax && draft.tax_status.as_deref() == Some("requires_location_inputs") {
        return Err(location_missing(work, id)?);
    }
    let number = next_number(work, &draft.customer)?;
    let balance = draft.starting_balance;
    let due = draft.total() + balance;
    let ending = due.min(0);
    let now = work.now;
    if balance != ending {
        work.change_customer(&draft.customer, |customer| customer.balance = ending)?;
    }
    work.state.invoices.edit(id, |invoice| {
        invoice.status = InvoiceStatus::Open;
        invoice.number = Some(number);
        invoice.finalized_at = Some(now);
        invoice.effective_at = invoice.effective_at.or(Some(now));
        invoice.automatically_finalizes_at = None;
        invoice.amount_due = due.max(0);
        invoice.ending_balance = Some(ending);
        invoice.last_finalization_error = serde_json::Value::Null;
        invoice.next_payment_attempt = None;
    });
    if due > 0 {
        open_payment(work, id)?;
        work.emit_invoice("invoice.finalized", id)?;
    } else {
        work.emit_invoice("invoice.finalized", id)?;
        settle(work, id, None)?;
    }
    Ok(())
}

/// Stripe keeps the draft, tells the reason on it, and does not try again on its own.
fn location_missing(work: &mut Work, id: &str) -> Result<Fault, Fault> {
    let message = "The customer's location isn't recognized. Set a valid customer address in order to automatically \
                   calculate tax.";
    let fault = Fault::invalid(message).code("customer_tax_location_invalid").keep();
    let error = fault.error();
    work.state.invoices.edit(id, |invoice| {
        invoice.last_finalization_error = error;
        invoice.tax_disabled_reason = Some("finalization_requires_location_inputs".to_owned());
        invoice.automatically_finalizes_at = None;
        invoice.next_payment_attempt = None;
    });
    work.emit_invoice("invoice.finalization_failed", id)?;
    Ok(fault)
}

fn next_number(work: &mut Work, customer: &str) -> Result<String, Fault> {
    let owner = Work::find(&work.state.customers, customer)?;
    let number = format!("{}-{:04}", owner.invoice_prefix, owner.next_invoice_sequence);
    work.state.customers.edit(customer, |customer| customer.next_invoice_sequence += 1);
    Ok(number)
}

/// The payment intent of an open invoice, and the payment that links the two.
fn open_payment(work: &mut Work, id: &str) -> Result<(), Fault> {
    let invoice = work.invoice(id)?;
    let intent_id = work.long_id("pi_");
    let secret = work.id(&format!("{intent_id}_secret_"), 25);
    let intent = PaymentIntent {
        id: intent_id.clone(),
        created: work.now,
        amount: invoice.amount_due,
        currency: invoice.currency.clone(),
        customer: invoice.customer.clone(),
        invoice: id.to_owned(),
        status: "requires_payment_method".to_owned(),
        payment_method: None,
        last_error: json!(null),
        client_secret: secret,
        canceled_at: None,
    };
    let payment = InvoicePayment {
        id: work.long_id("inpay_"),
        created: work.now,
        invoice: id.to_owned(),
        payment_intent: intent_id.clone(),
        amount_requested: invoice.amount_due,
        amount_paid: None,
        currency: invoice.currency.clone(),
        status: PaymentStatus::Open,
        paid_at: None,
        canceled_at: None,
    };
    let shown = work.payment_intent_json(&intent);
    work.state.payment_intents.put(intent);
    work.state.invoice_payments.put(payment);
    work.state.invoices.edit(id, |invoice| invoice.payment_intent = Some(intent_id));
    work.emit("payment_intent.created", shown);
    Ok(())
}

/// Voids an open or uncollectible invoice: nothing will be paid on it.
pub(crate) fn void(work: &mut Work, id: &str) -> Result<(), Fault> {
    let invoice = work.invoice(id)?;
    if !matches!(invoice.status, InvoiceStatus::Open | InvoiceStatus::Uncollectible) {
        let message = format!(
            "You can only pass in open or uncollectible invoices. This invoice's status is {}.",
            invoice.status.word()
        );
        return Err(Fault::invalid(message).code("invoice_not_editable"));
    }
    cancel_payment(work, id)?;
    let now = work.now;
    work.change_invoice(id, |invoice| {
        invoice.status = InvoiceStatus::Void;
        invoice.voided_at = Some(now);
        invoice.next_payment_attempt = None;
        invoice.auto_advance = false;
    })?;
    work.emit_invoice("invoice.voided", id)?;
    drop_pending_update(work, &invoice)
}

/// A change that waits for the payment of an invoice is gone with it.
fn drop_pending_update(work: &mut Work, invoice: &Invoice) -> Result<(), Fault> {
    let Some(subscription) = &invoice.subscription else { return Ok(()) };
    let waits = work.subscription(subscription)?.pending_update.is_some_and(|pending| pending.invoice == invoice.id);
    if waits {
        work.change_subscription(subscription, |subscription| subscription.pending_update = None)
    } else {
        Ok(())
    }
}

/// Cancels the payment intent of an invoice that will not be paid through it.
pub(super) fn cancel_payment(work: &mut Work, id: &str) -> Result<(), Fault> {
    let Some(intent) = work.invoice(id)?.payment_intent else { return Ok(()) };
    let now = work.now;
    work.state.payment_intents.edit(&intent, |intent| {
        "canceled".clone_into(&mut intent.status);
        intent.canceled_at = Some(now);
    });
    let shown = work.state.payment_intents.get(&intent).map(|intent| work.payment_intent_json(intent));
    if let Some(shown) = shown {
        work.emit("payment_intent.canceled", shown);
    }
    let open = |payment: &&InvoicePayment| payment.invoice == id && payment.status == PaymentStatus::Open;
    let payments: Vec<String> = work.state.invoice_payments.iter().filter(open).map(|row| row.id.clone()).collect();
    for payment in payments {
        work.state.invoice_payments.edit(&payment, |payment| {
            payment.status = PaymentStatus::Canceled;
            payment.canceled_at = Some(now);
        });
    }
    Ok(())
}
