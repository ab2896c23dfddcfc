//! `POST /api/webhook-endpoints/{endpointId}/rotate-secret`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::WebhookEndpointWithSecret;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Path;
use crate::http::posted::{Asked, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::notices::webhooks::endpoints::{self, WithSecret};
use crate::tenancy::idempotency::Idempotent;

/// Rotate a webhook secret
///
/// The new secret is shown once. For 24 hours webhooks are signed with both. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/webhook-endpoints/{endpointId}/rotate-secret", tag = "webhooks",
    operation_id = "rotateWebhookSecret",
    params(
        ("endpointId" = Uuid, Path, description = "The endpoint"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    responses((status = 200, body = WebhookEndpointWithSecret), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn rotate_secret(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Path(endpoint_id): Path<Uuid>,
    asked: Asked,
) -> Result<Response, Problem> {
    let keep = |made: &WithSecret| kept(StatusCode::OK, &WebhookEndpointWithSecret::hidden(made));
    let idempotent = asked.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let on = super::on(&permitted);
    match endpoints::rotate_secret(&state.db, &state.env, on, endpoint_id, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::OK, done, WebhookEndpointWithSecret::shown)),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
