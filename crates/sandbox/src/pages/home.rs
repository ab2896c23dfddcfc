//! What the sandbox is, for whoever opens its address.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{page, read};
use crate::engine::stamp;
use crate::server::shared::Shared;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    base_url: String,
    now: String,
    customers: usize,
    subscriptions: usize,
    invoices: usize,
    events: usize,
}

pub(crate) async fn home(State(shared): State<Arc<Shared>>) -> Response {
    let home = read(&shared, |work| Home {
        base_url: work.base_url.to_string(),
        now: stamp(work.now),
        customers: work.state.customers.len(),
        subscriptions: work.state.subscriptions.len(),
        invoices: work.state.invoices.len(),
        events: work.state.events.len(),
    })
    .await;
    page(StatusCode::OK, &home)
}
