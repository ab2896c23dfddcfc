//! The one middleware around all routes: an id for the request, figures and a line in the log, the headers of limits,
//! problems for refusals.
//!
//! One and not several: a router clones all its layers for each request, each of them with all that is inside.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::key_limiter::Slot;
use super::observe::{Observer, Seen};
use super::problem::{finish, identify};
use crate::env::Env;

/// What it works with.
#[derive(Clone)]
pub(super) struct Around(Arc<Parts>);

struct Parts {
    env: Env,
    observer: Observer,
}

impl Around {
    pub(super) fn new(env: Env) -> Self {
        Self(Arc::new(Parts { env, observer: Observer::default() }))
    }
}

/// The middleware.
pub(super) async fn around(State(Around(parts)): State<Around>, mut request: Request, next: Next) -> Response {
    let id = identify(&parts.env, &mut request);
    let seen = Seen::of(&request, id);
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let mut response = next.run(request).await;
    slot.tell(&mut response);
    let response = finish(response, id);
    parts.observer.report(&seen, response.status());
    response
}
