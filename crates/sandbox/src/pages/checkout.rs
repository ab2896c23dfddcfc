//! The page of a checkout session.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{Confirm, Form, card_input, change, field, message, not_found, page, read, see_other};
use crate::api::card_of;
use crate::engine::{Buyer, Work, complete_session, money, needs_confirmation, rate, rate_percent, tax_part};
use crate::fault::Fault;
use crate::model::{Address, Session, SessionStatus};
use crate::server::shared::Shared;

const COUNTRIES: &[(&str, &str)] = &[
    ("", "Choose"),
    ("AT", "Austria"),
    ("AU", "Australia"),
    ("BE", "Belgium"),
    ("BR", "Brazil"),
    ("CA", "Canada"),
    ("CH", "Switzerland"),
    ("DE", "Germany"),
    ("DK", "Denmark"),
    ("ES", "Spain"),
    ("FR", "France"),
    ("GB", "United Kingdom"),
    ("IE", "Ireland"),
    ("IN", "India"),
    ("IT", "Italy"),
    ("JP", "Japan"),
    ("NL", "Netherlands"),
    ("PL", "Poland"),
    ("SE", "Sweden"),
    ("US", "United States"),
];

#[derive(Template)]
#[template(path = "checkout.html")]
struct Checkout {
    product: String,
    lines: Vec<Line>,
    subtotal: String,
    tax: Option<String>,
    total: String,
    then: String,
    trial: Option<String>,
    cancel_url: Option<String>,
    message: Option<String>,
    fixed_email: Option<String>,
    asks_card: bool,
    asks_address: bool,
    asks_tax_id: bool,
    countries: &'static [(&'static str, &'static str)],
    form: Filled,
}

pub(super) struct Line {
    pub(super) name: String,
    pub(super) rate: String,
    pub(super) amount: String,
}

/// What was typed before, so that a declined card does not empty the form.
#[derive(Default)]
struct Filled {
    email: String,
    number: String,
    name: String,
    country: String,
    line1: String,
    postal_code: String,
    city: String,
    tax_id: String,
}

impl Filled {
    fn of(form: &Form) -> Self {
        let take = |name: &str| field(form, name).unwrap_or_default();
        Self {
            email: take("email"),
            number: String::new(),
            name: take("name"),
            country: take("country"),
            line1: take("line1"),
            postal_code: take("postal_code"),
            city: take("city"),
            tax_id: take("tax_id"),
        }
    }
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    read(&shared, |work| render(work, &id, None, Filled::default())).await
}

/// The page, or what there is to say in its place.
fn render(work: &Work, id: &str, message_text: Option<String>, form: Filled) -> Response {
    let Some(session) = work.state.sessions.get(id) else { return not_found() };
    if let Some(closed) = closed(work, session) {
        return closed;
    }
    let status = if message_text.is_some() { StatusCode::PAYMENT_REQUIRED } else { StatusCode::OK };
    page(status, &checkout(work, session, message_text, form))
}

fn closed(work: &Work, session: &Session) -> Option<Response> {
    match session.status {
        SessionStatus::Open => None,
        SessionStatus::Complete => {
            let link = success_url(session).map(|url| (url, "Continue"));
            let link = link.as_ref().map(|(url, text)| (url.as_str(), *text));
            Some(message(StatusCode::GONE, "Already paid", "This checkout was completed before.", link))
        }
        SessionStatus::Expired => {
            let text = format!(
                "This checkout expired on {}. Start again to subscribe.",
                crate::engine::day(session.expires_at.min(work.now))
            );
            let link = session.cancel_url.as_deref().map(|url| (url, "Go back"));
            Some(message(StatusCode::GONE, "This checkout has expired", &text, link))
        }
    }
}

fn checkout(work: &Work, session: &Session, message: Option<String>, form: Filled) -> Checkout {
    let prices = session.line_items.iter().filter_map(|item| Some((item, work.state.prices.get(&item.price)?)));
    let customer = session.customer.as_ref().and_then(|id| work.state.customers.get(id));
    let money = |amount| money(amount, &session.currency);
    let subtotal = work.session_subtotal(session);
    let country = customer.and_then(|customer| customer.country());
    let percent = if session.automatic_tax { rate_percent(country, "none") } else { Some(0) };
    let tax = tax_part(subtotal, percent.unwrap_or(0));
    let free = session.data.trial_days.is_some() || session.data.trial_end.is_some();
    let lines: Vec<Line> = prices
        .clone()
        .map(|(item, price)| Line {
            name: match item.quantity {
                Some(quantity) => format!("{quantity} × {}", work.product_name(price)),
                // What will be counted is not known yet.
                None => work.product_name(price),
            },
            rate: rate(price),
            amount: if free { "free for now".to_owned() } else { money(work.line_item_amount(item)) },
        })
        .collect();
    let whole: i64 = session.line_items.iter().map(|item| work.line_item_amount(item)).sum();
    let every = prices.clone().next().and_then(|(_, price)| price.recurring.clone());
    let every = every.map_or(String::new(), |recurring| match recurring.interval_count {
        1 => format!("per {}", recurring.interval),
        count => format!("every {count} {}s", recurring.interval),
    });
    let days = session.data.trial_days.or(session.data.trial_end.map(|end| (end - work.now) / 86_400));
    Checkout {
        product: prices.clone().map(|(_, price)| work.product_name(price)).collect::<Vec<_>>().join(" and "),
        lines,
        subtotal: money(subtotal),
        tax: session.automatic_tax.then(|| match percent {
            Some(percent) => format!("{} ({percent} %)", money(tax)),
            None => "by your address".to_owned(),
        }),
        total: money(subtotal + tax),
        then: format!("{} {every}", money(whole)),
        trial: days.map(|days| format!("{days} days free")),
        cancel_url: session.cancel_url.clone(),
        message,
        fixed_email: session.customer_email.clone().or_else(|| customer?.email.clone()),
        asks_card: asks_card(session, whole),
        asks_address: session.address_required
            || session.automatic_tax && (country.is_none() || session.update_address),
        asks_tax_id: session.collect_tax_id,
        countries: COUNTRIES,
        form,
    }
}

/// With `payment_method_collection=if_required` no card is asked for where nothing is due yet.
fn asks_card(session: &Session, whole: i64) -> bool {
    let due = if session.data.trial_days.is_some() || session.data.trial_end.is_some() { 0 } else { whole };
    due > 0 || !session.card_if_required
}

fn success_url(session: &Session) -> Option<String> {
    session.success_url.as_ref().map(|url| url.replace("{CHECKOUT_SESSION_ID}", &session.id))
}

pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    axum::Form(form): axum::Form<Form>,
) -> Response {
    let asked = read(&shared, |work| {
        let Some(session) = work.state.sessions.get(&id) else { return Some(not_found()) };
        closed(work, session).or_else(|| ask_bank(work, session, &form))
    })
    .await;
    if let Some(response) = asked {
        return response;
    }
    let refused = form.get("confirmed").is_some_and(|confirmed| confirmed == "false");
    let paid = if refused {
        let message = "We are unable to authenticate your payment method. Please choose a different payment method and \
                       try again.";
        Err(Fault::card("payment_intent_authentication_failure", message))
    } else {
        change(&shared, |work| pay(work, &id, &form)).await
    };
    match paid {
        Ok(Some(url)) => see_other(&url),
        Ok(None) => message(StatusCode::OK, "Thank you", "You are subscribed.", None),
        Err(fault) => {
            let text = fault.message().to_owned();
            read(&shared, |work| render(work, &id, Some(text), Filled::of(&form))).await
        }
    }
}

/// The page of the bank, for a card that wants its holder to confirm.
fn ask_bank(work: &Work, session: &Session, form: &Form) -> Option<Response> {
    let number = field(form, "card_number")?;
    if !needs_confirmation(&number) || form.contains_key("confirmed") {
        return None;
    }
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let fields: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let amount = money(work.session_subtotal(session), &session.currency);
    let last4 = digits.get(digits.len().saturating_sub(4)..).unwrap_or_default();
    Some(page(StatusCode::OK, &Confirm { last4, amount: &amount, action: "", fields: &fields }))
}

fn pay(work: &mut Work, id: &str, form: &Form) -> Result<Option<String>, Fault> {
    let session = Work::find(&work.state.sessions, id)?.clone();
    let whole = session.line_items.iter().map(|item| work.line_item_amount(item)).sum();
    let address = field(form, "country").map(|country| Address {
        line1: field(form, "line1"),
        line2: None,
        postal_code: field(form, "postal_code"),
        city: field(form, "city"),
        state: None,
        country: Some(country),
    });
    if session.address_required && address.is_none() {
        return Err(Fault::invalid("Enter your billing address."));
    }
    let email = field(form, "email");
    if session.customer.is_none() && session.customer_email.is_none() && email.is_none() {
        return Err(Fault::invalid("Enter your e-mail address."));
    }
    let card = if asks_card(&session, whole) {
        let mut input = card_input(form)?;
        input.address.clone_from(&address);
        Some(card_of(work, input)?)
    } else {
        None
    };
    let buyer = Buyer {
        card,
        email,
        name: field(form, "name"),
        address,
        tax_id: field(form, "tax_id").filter(|_| session.collect_tax_id).map(|value| (kind_of(&value), value)),
        confirmed: form.get("confirmed").is_some_and(|confirmed| confirmed == "true"),
    };
    complete_session(work, id, buyer)?;
    Ok(success_url(Work::find(&work.state.sessions, id)?))
}

/// The kind of a tax id by how it begins; European where nothing else fits.
fn kind_of(value: &str) -> String {
    match value.get(..3) {
        Some(head) if head.starts_with("GB") => "gb_vat",
        Some("CHE") => "ch_vat",
        _ => "eu_vat",
    }
    .to_owned()
}
