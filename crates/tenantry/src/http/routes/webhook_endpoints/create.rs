//! `POST /api/webhook-endpoints`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::WebhookEndpointWithSecret;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::http::words::EventType;
use crate::notices::webhooks::endpoints::{self, NewEndpoint, WithSecret};
use crate::tenancy::idempotency::Idempotent;

/// An endpoint to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateWebhookEndpoint {
    /// Where webhooks are posted: `https`, on the public network.
    #[schema(example = "https://acme.example/hooks", max_length = 2048)]
    pub url: String,
    /// For people.
    #[serde(default)]
    #[schema(example = "ledger", max_length = 500)]
    pub description: String,
    /// What it is told of; an empty list, or none: everything.
    #[serde(default)]
    #[schema(value_type = Vec<EventType>, example = json!(["payment.failed"]))]
    pub event_types: Vec<String>,
}

/// Create a webhook endpoint
///
/// Notices of the tenant are posted there, signed after the Standard Webhooks specification. The secret is shown
/// once. At most 10 endpoints. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/webhook-endpoints", tag = "webhooks", operation_id = "createWebhookEndpoint",
    request_body = CreateWebhookEndpoint,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 201, body = WebhookEndpointWithSecret), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn create(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    posted: Posted<CreateWebhookEndpoint>,
) -> Result<Response, Problem> {
    let CreateWebhookEndpoint { url, description, event_types } = posted.body;
    let new = NewEndpoint { url, description, kinds: super::kinds(&event_types)? };
    let keep = |made: &WithSecret| kept(StatusCode::CREATED, &WebhookEndpointWithSecret::hidden(made));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let on = super::on(&permitted);
    match endpoints::create(&state.db, &state.env, on, &new, state.webhooks, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, WebhookEndpointWithSecret::shown)),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
