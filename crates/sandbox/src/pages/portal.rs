//! The billing portal: subscriptions, card, invoices.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{Form, card_input, change, field, not_found, page, read};
use crate::api::card_of;
use crate::engine::{
    Behaviour, Cancel, Change, ItemChange, Prorate, Work, attach, cancel_now, day, money, rate, update,
};
use crate::fault::Fault;
use crate::model::{BillingMode, InvoiceStatus, PortalConfiguration, PortalSession, Status, Subscription};
use crate::server::shared::Shared;

/// A portal link is good for so long, as Stripe's.
const VALID: i64 = 24 * 3600;

#[derive(Template)]
#[template(path = "portal.html")]
struct Portal {
    headline: String,
    return_url: Option<String>,
    message: Option<String>,
    note: Option<String>,
    subscriptions: Vec<Shown>,
    shows_invoices: bool,
    invoices: Vec<Row>,
    card: String,
    can_update_card: bool,
}

struct Shown {
    id: String,
    name: String,
    rate: String,
    state: String,
    choices: Vec<(String, String)>,
    can_cancel: bool,
    can_resume: bool,
}

struct Row {
    date: String,
    url: String,
    number: String,
    amount: String,
    status: &'static str,
}

fn session(work: &Work, page: &str) -> Option<(PortalSession, PortalConfiguration)> {
    let fresh = |session: &&PortalSession| session.page == page && session.created + VALID > work.now;
    let session = work.state.portal_sessions.iter().find(fresh)?;
    let configuration = work.state.portal_configurations.get(&session.configuration)?;
    Some((session.clone(), configuration.clone()))
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, Path(address): Path<String>) -> Response {
    read(&shared, |work| render(work, &address, None, None)).await
}

fn render(work: &Work, address: &str, message: Option<String>, note: Option<String>) -> Response {
    let Some((session, configuration)) = session(work, address) else { return not_found() };
    let status = if message.is_some() { StatusCode::PAYMENT_REQUIRED } else { StatusCode::OK };
    let of_customer =
        |subscription: &&Subscription| subscription.customer == session.customer && !subscription.status.terminal();
    let subscriptions = work.state.subscriptions.iter().rev().filter(of_customer);
    let invoices = work
        .state
        .invoices
        .iter()
        .rev()
        .filter(|invoice| invoice.customer == session.customer && invoice.status != InvoiceStatus::Draft);
    let portal = Portal {
        headline: configuration.headline.clone().unwrap_or_else(|| "Billing".to_owned()),
        return_url: session.return_url.clone(),
        message,
        note,
        subscriptions: subscriptions.map(|subscription| shown(work, subscription, &configuration)).collect(),
        shows_invoices: configuration.invoice_history,
        invoices: invoices
            .map(|invoice| Row {
                date: day(invoice.created),
                url: format!("/i/{}", invoice.page),
                number: invoice.number.clone().unwrap_or_default(),
                amount: money(invoice.total(), &invoice.currency),
                status: invoice.status.word(),
            })
            .collect(),
        card: card(work, &session.customer),
        can_update_card: configuration.payment_method_update,
    };
    page(status, &portal)
}

fn card(work: &Work, customer: &str) -> String {
    let of_subscription = (work.state.subscriptions.iter().rev())
        .filter(|subscription| subscription.customer == customer && !subscription.status.terminal())
        .find_map(|subscription| subscription.default_payment_method.clone());
    let of_customer = || work.state.customers.get(customer)?.default_payment_method.clone();
    let method = of_subscription.or_else(of_customer).and_then(|id| work.state.payment_methods.get(&id).cloned());
    method.map_or_else(
        || "No card is on file.".to_owned(),
        |method| {
            let card = method.card;
            format!("{} ending in {}, expires {:02}/{}", card.brand, card.last4, card.exp_month, card.exp_year)
        },
    )
}

fn shown(work: &Work, subscription: &Subscription, configuration: &PortalConfiguration) -> Shown {
    let prices: Vec<_> = subscription.items.iter().filter_map(|item| work.state.prices.get(&item.price)).collect();
    let state = match (subscription.status, subscription.cancel_at) {
        (_, Some(at)) => format!("Ends on {}", day(at)),
        (Status::Trialing, None) => format!("Trial until {}", day(subscription.period_end())),
        (Status::Active, None) => format!("Renews on {}", day(subscription.period_end())),
        (status, None) => status.word().replace('_', " "),
    };
    let held = |price: &str| subscription.items.iter().any(|item| item.price == price);
    let others = configuration.products.iter().flat_map(|(_, prices)| prices).filter(|price| !held(price));
    let choices = others.filter_map(|id| {
        let price = work.state.prices.get(id)?;
        Some((id.clone(), format!("{}, {}", work.product_name(price), rate(price))))
    });
    let switches = configuration.switch && subscription.items.len() == 1 && subscription.cancel_at.is_none();
    Shown {
        id: subscription.id.clone(),
        name: prices.iter().map(|price| work.product_name(price)).collect::<Vec<_>>().join(", "),
        rate: prices.iter().map(|price| rate(price)).collect::<Vec<_>>().join(", "),
        state,
        choices: if switches { choices.collect() } else { Vec::new() },
        can_cancel: configuration.cancel && subscription.cancel_at.is_none(),
        can_resume: configuration.cancel && subscription.cancel_at.is_some(),
    }
}

pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    Path(address): Path<String>,
    axum::Form(form): axum::Form<Form>,
) -> Response {
    match change(&shared, |work| act(work, &address, &form)).await {
        Ok(note) => read(&shared, |work| render(work, &address, None, Some(note))).await,
        Err(fault) => {
            let text = fault.message().to_owned();
            read(&shared, |work| render(work, &address, Some(text), None)).await
        }
    }
}

fn act(work: &mut Work, address: &str, form: &Form) -> Result<String, Fault> {
    let missing = || Fault::missing("portal session", address);
    let (session, configuration) = session(work, address).ok_or_else(missing)?;
    let action = field(form, "action").unwrap_or_default();
    if action == "card" && configuration.payment_method_update {
        return save_card(work, &session.customer, form);
    }
    let id = field(form, "subscription").unwrap_or_default();
    let subscription = work.subscription(&id)?;
    if subscription.customer != session.customer || subscription.status.terminal() {
        return Err(Fault::missing("subscription", &id));
    }
    match action.as_str() {
        "cancel" if configuration.cancel => cancel(work, &subscription, &configuration),
        "resume" if configuration.cancel => {
            work.change_subscription(&id, |subscription| {
                subscription.cancel_at = None;
                subscription.cancel_at_period_end = false;
                subscription.canceled_at = None;
                subscription.cancel_reason = None;
            })?;
            Ok("The subscription goes on.".to_owned())
        }
        "switch" if configuration.switch => switch(work, &subscription, &configuration, form),
        _ => Err(Fault::invalid("This portal does not allow that.")),
    }
}

fn save_card(work: &mut Work, customer: &str, form: &Form) -> Result<String, Fault> {
    let card = card_of(work, card_input(form)?)?;
    let id = card.id.clone();
    work.state.payment_methods.put(card);
    attach(work, &id, customer)?;
    // Confirmed here by its holder, who is at the page.
    work.state.payment_methods.edit(&id, |method| method.set_up = true);
    work.change_customer(customer, |customer| customer.default_payment_method = Some(id.clone()))?;
    let running: Vec<String> = (work.state.subscriptions.iter())
        .filter(|subscription| subscription.customer == customer && !subscription.status.terminal())
        .map(|subscription| subscription.id.clone())
        .collect();
    for subscription in running {
        work.change_subscription(&subscription, |subscription| subscription.default_payment_method = Some(id.clone()))?;
    }
    Ok("The card was saved.".to_owned())
}

fn cancel(work: &mut Work, subscription: &Subscription, configuration: &PortalConfiguration) -> Result<String, Fault> {
    if subscription.schedule.is_some() {
        return Err(Fault::invalid("This subscription has a scheduled change. Undo it first."));
    }
    if configuration.cancel_mode == "immediately" {
        let cancel = Cancel {
            prorate: configuration.cancel_proration != "none",
            invoice_now: configuration.cancel_proration == "always_invoice",
            reason: Some("cancellation_requested"),
            ..Cancel::default()
        };
        cancel_now(work, &subscription.id, cancel)?;
        return Ok("The subscription was canceled.".to_owned());
    }
    let now = work.now;
    let end = subscription.period_end();
    work.change_subscription(&subscription.id, |subscription| {
        subscription.cancel_at = Some(end);
        // In flexible mode the end of the period is told as a time only.
        subscription.cancel_at_period_end = subscription.billing_mode == BillingMode::Classic;
        subscription.canceled_at = Some(now);
        subscription.cancel_reason = Some("cancellation_requested".to_owned());
    })?;
    Ok(format!("The subscription ends on {}.", day(end)))
}

fn switch(
    work: &mut Work,
    subscription: &Subscription,
    configuration: &PortalConfiguration,
    form: &Form,
) -> Result<String, Fault> {
    let price = field(form, "price").unwrap_or_default();
    let offered = configuration.products.iter().any(|(_, prices)| prices.contains(&price));
    let Some(item) = subscription.items.first().filter(|_| offered && subscription.items.len() == 1) else {
        return Err(Fault::invalid("This portal does not offer that plan."));
    };
    let change = Change {
        items: vec![ItemChange {
            id: Some(item.id.clone()),
            price: Some(price),
            quantity: item.quantity,
            ..ItemChange::default()
        }],
        prorate: match configuration.switch_proration.as_str() {
            "always_invoice" => Prorate::AlwaysInvoice,
            "create_prorations" => Prorate::Create,
            _ => Prorate::None,
        },
        proration_date: None,
        behaviour: Behaviour::ErrorIfIncomplete,
        anchor_now: false,
        trial_end: None,
    };
    update(work, &subscription.id, &change, |_| {})?;
    Ok("The plan was switched.".to_owned())
}
