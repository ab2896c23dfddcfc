//! `POST /api/webhooks/stripe`

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;

use crate::http::problem::{Code, Problem};
use crate::http::refusals::WebhookRefusals;
use crate::http::state::AppState;
use crate::stripe_sync::inbox::{self, ReceiveError};

/// Receive an event of Stripe's
///
/// Where Stripe delivers its events. An event is stored before it is answered, once, however often it comes; what
/// follows from it is done behind the answer. Signed with `Stripe-Signature`.
#[utoipa::path(
    post, path = "/api/webhooks/stripe", tag = "billing", operation_id = "receiveStripeEvent",
    request_body(content = Object, content_type = "application/json", description = "The event as Stripe signed it"),
    params(("Stripe-Signature" = Option<String>, Header, description = "Stripe's signature of the body")),
    responses((status = 200, description = "Stored"), WebhookRefusals),
)]
pub async fn receive(State(state): State<AppState>, request: Request) -> Result<StatusCode, Problem> {
    let stripe = state.stripe.as_ref().ok_or_else(|| Problem::new(Code::StripeNotConfigured))?;
    let refused = || Problem::new(Code::InvalidSignature);
    let mut signatures = request.headers().get_all("stripe-signature").iter();
    let signature = match (signatures.next(), signatures.next()) {
        (Some(only), None) => only.to_str().map_err(|_| refused())?.to_owned(),
        _ => return Err(refused()),
    };
    let body = Bytes::from_request(request, &state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(Code::PayloadTooLarge)
        } else {
            Problem::new(Code::InvalidJson).detail("the body broke off before its end")
        }
    })?;
    match inbox::receive(stripe, &signature, &body, state.env.clock.real_now()).await {
        Ok(_) => Ok(StatusCode::OK),
        Err(ReceiveError::Signature(error)) => {
            metrics::counter!("tenantry_stripe_signatures_refused_total").increment(1);
            Err(refused().detail(error.to_string()))
        }
        Err(error @ ReceiveError::NoEvent(_)) => Err(Problem::new(Code::InvalidJson).detail(error.to_string())),
        Err(ReceiveError::Store(error)) => Err(error.into()),
    }
}
