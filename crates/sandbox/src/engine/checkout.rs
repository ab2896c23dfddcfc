//! Checkout sessions: paid on their page, or expired.

use super::payment::attach;
use super::subscribe::{Behaviour, NewSubscription, subscribe};
use super::work::Work;
use crate::fault::Fault;
use crate::model::{Address, Customer, Metadata, PaymentMethod, Session, SessionStatus, TaxId, Time};

/// What was filled in on the page of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buyer {
    /// The card, made and not yet attached.
    pub(crate) card: Option<PaymentMethod>,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) address: Option<Address>,
    pub(crate) tax_id: Option<(String, String)>,
    /// The card's holder confirmed.
    pub(crate) confirmed: bool,
}

/// Makes the customer where there is none, the subscription and its paid invoice, and completes the session.
pub(crate) fn complete_session(work: &mut Work, id: &str, buyer: Buyer) -> Result<(), Fault> {
    let session = Work::find(&work.state.sessions, id)?.clone();
    if session.status != SessionStatus::Open {
        let message = format!("This session is {} and cannot be paid.", session.status.word());
        return Err(Fault::invalid(message));
    }
    let customer = customer_of(work, &session, &buyer)?;
    let method = match buyer.card {
        Some(card) => {
            let method = card.id.clone();
            work.state.payment_methods.put(card);
            attach(work, &method, &customer)?;
            if buyer.confirmed {
                work.state.payment_methods.edit(&method, |method| method.set_up = true);
            }
            Some(method)
        }
        None => None,
    };
    let trial_end = trial_end(&session, work.now);
    let new = NewSubscription {
        customer: customer.clone(),
        items: (session.line_items.iter()).map(|item| (item.price.clone(), item.quantity, Metadata::new())).collect(),
        trial_end,
        anchor: None,
        prorate: true,
        metadata: session.data.metadata.clone(),
        description: session.data.description.clone(),
        billing_mode: session.data.billing_mode,
        missing_payment_method: session.data.missing_payment_method,
        default_payment_method: method,
        behaviour: Behaviour::ErrorIfIncomplete,
        automatic_tax: session.automatic_tax,
        sends_bill: false,
        days_until_due: None,
        cancel_at: None,
        cancel_at_period_end: false,
        payment_settings: serde_json::Value::Null,
        confirmed: buyer.confirmed,
    };
    let subscription = subscribe(work, &new)?;
    let invoice = work.subscription(&subscription)?.latest_invoice;
    let tax = invoice.as_ref().map(|invoice| work.invoice(invoice)).transpose()?.map(|invoice| invoice.tax());
    work.state.sessions.edit(id, |session| {
        session.status = SessionStatus::Complete;
        session.customer = Some(customer);
        session.customer_address = buyer.address;
        session.customer_name = buyer.name;
        session.customer_email = session.customer_email.take().or(buyer.email);
        session.customer_tax_ids.extend(buyer.tax_id);
        session.subscription = Some(subscription);
        session.invoice = invoice;
        session.paid_tax = tax;
    });
    let shown = work.session_json(Work::find(&work.state.sessions, id)?);
    work.emit("checkout.session.completed", shown);
    Ok(())
}

/// The end of the trial of a session that is paid now.
pub(crate) fn trial_end(session: &Session, now: Time) -> Option<Time> {
    session.data.trial_end.or(session.data.trial_days.map(|days| now + days * 86_400))
}

fn customer_of(work: &mut Work, session: &Session, buyer: &Buyer) -> Result<String, Fault> {
    let tax_id =
        buyer.tax_id.clone().map(|(kind, value)| TaxId { id: work.long_id("txi_"), created: work.now, kind, value });
    if let Some(id) = &session.customer {
        work.customer(id, "customer")?;
        let (address, name) = (session.update_address, session.update_name);
        work.change_customer(id, |customer| {
            if address && buyer.address.is_some() {
                customer.address.clone_from(&buyer.address);
            }
            if name && buyer.name.is_some() {
                customer.name.clone_from(&buyer.name);
            }
            customer.tax_ids.extend(tax_id);
        })?;
        return Ok(id.clone());
    }
    let id = work.id("cus_", 14);
    let customer = Customer {
        id: id.clone(),
        created: work.now,
        email: session.customer_email.clone().or_else(|| buyer.email.clone()),
        name: buyer.name.clone(),
        address: buyer.address.clone(),
        tax_exempt: "none".to_owned(),
        tax_ids: tax_id.into_iter().collect(),
        invoice_prefix: work.id("", 8).to_ascii_uppercase(),
        next_invoice_sequence: 1,
        ..Customer::default()
    };
    let shown = work.customer_json(&customer);
    work.state.customers.put(customer);
    work.emit("customer.created", shown);
    Ok(id)
}

/// Ends a session that nobody paid.
pub(crate) fn expire_session(work: &mut Work, id: &str) -> Result<(), Fault> {
    let session = Work::find(&work.state.sessions, id)?;
    if session.status != SessionStatus::Open {
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status \
             of {}.",
            session.status.word()
        );
        return Err(Fault::invalid(message));
    }
    work.state.sessions.edit(id, |session| session.status = SessionStatus::Expired);
    let shown = work.session_json(Work::find(&work.state.sessions, id)?);
    work.emit("checkout.session.expired", shown);
    Ok(())
}
