//! Hosted pages for a browser: forms and links, no scripts, nothing loaded from outside.

mod checkout;
mod home;
mod invoice;
mod pdf;
mod portal;

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::get;

use crate::api::CardInput;
use crate::engine::{RequestInfo, Work};
use crate::fault::Fault;
use crate::server::shared::Shared;

pub(crate) use home::home;

/// What a form sent.
type Form = BTreeMap<String, String>;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/c/pay/{id}", get(checkout::show).post(checkout::submit))
        .route("/p/session/{page}", get(portal::show).post(portal::submit))
        .route("/i/{page}", get(invoice::show).post(invoice::submit))
        .route("/i/{page}/pdf", get(pdf::show))
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    link: Option<&'a str>,
    link_text: &'a str,
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm<'a> {
    last4: &'a str,
    amount: &'a str,
    action: &'a str,
    fields: &'a [(&'a str, &'a str)],
}

/// A page. Nothing is loaded, and forms go to this server only; the browser is told so.
fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
            let headers = [
                (header::CONTENT_SECURITY_POLICY, policy),
                (header::CACHE_CONTROL, "no-store"),
                (header::REFERRER_POLICY, "no-referrer"),
            ];
            (status, headers, Html(html)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page of the sandbox could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn message(status: StatusCode, title: &str, text: &str, link: Option<(&str, &str)>) -> Response {
    let (link, link_text) = link.map_or((None, ""), |(link, text)| (Some(link), text));
    page(status, &Message { title, text, link, link_text })
}

fn not_found() -> Response {
    message(StatusCode::NOT_FOUND, "There is no such page", "The link may be old, or of another sandbox.", None)
}

fn see_other(to: &str) -> Response {
    Redirect::to(to).into_response()
}

/// Reads at the sandbox's time.
async fn read<T>(shared: &Arc<Shared>, read: impl FnOnce(&Work) -> T) -> T {
    let _open = shared.gate.read().await;
    let (result, due) = {
        let mut core = shared.core();
        let due = shared.catch_up_locked(&mut core);
        (read(&shared.work(&core, RequestInfo::default())), due)
    };
    if due {
        shared.changed().await;
    }
    result
}

/// Does something at the sandbox's time. A failure leaves nothing behind, except what it says did happen.
async fn change<T>(shared: &Arc<Shared>, change: impl FnOnce(&mut Work) -> Result<T, Fault>) -> Result<T, Fault> {
    let _open = shared.gate.read().await;
    let result = {
        let mut core = shared.core();
        shared.catch_up_locked(&mut core);
        let mut work = shared.work(&core, RequestInfo::default());
        let result = change(&mut work);
        if result.as_ref().err().is_none_or(|fault| fault.keep) {
            core.state = work.state;
        }
        result
    };
    shared.changed().await;
    result
}

/// A field of a form without spaces around it; none when it is empty.
fn field(form: &Form, name: &str) -> Option<String> {
    form.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The card of a form.
fn card_input(form: &Form) -> Result<CardInput, Fault> {
    let expiry = field(form, "card_expiry").unwrap_or_default();
    let (month, year) = expiry.split_once('/').unwrap_or((&expiry, ""));
    let bad = || Fault::card("invalid_expiry_year", "Enter the expiry date as MM / YY.");
    let year: i64 = year.trim().parse().map_err(|_| bad())?;
    Ok(CardInput {
        number: field(form, "card_number").unwrap_or_default(),
        exp_month: month.trim().parse().map_err(|_| bad())?,
        exp_year: if year < 100 { 2000 + year } else { year },
        name: field(form, "name"),
        email: field(form, "email"),
        ..CardInput::default()
    })
}
