//! `PATCH /api/webhook-endpoints/{endpointId}`

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::WebhookEndpointBody;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::{Json, Path};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::http::words::EventType;
use crate::notices::webhooks::endpoints::{self, EndpointPatch};

/// What is to be changed; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PatchWebhookEndpoint {
    /// Where webhooks are posted: `https`, on the public network.
    #[schema(example = "https://acme.example/hooks", max_length = 2048)]
    pub url: Option<String>,
    /// For people.
    #[schema(example = "ledger", max_length = 500)]
    pub description: Option<String>,
    /// What it is told of, in place of what it was; an empty list: everything.
    #[schema(value_type = Option<Vec<EventType>>, example = json!(["payment.failed"]))]
    pub event_types: Option<Vec<String>>,
    /// Whether anything is sent to it.
    pub enabled: Option<bool>,
}

/// Change a webhook endpoint
///
/// Also enables one that was disabled; what it missed after it failed can be replayed. Needs `manageBilling`.
#[utoipa::path(
    patch, path = "/api/webhook-endpoints/{endpointId}", tag = "webhooks", operation_id = "patchWebhookEndpoint",
    params(("endpointId" = Uuid, Path, description = "The endpoint")),
    request_body = PatchWebhookEndpoint,
    responses((status = 200, body = WebhookEndpointBody), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn patch(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Path(endpoint_id): Path<Uuid>,
    Json(body): Json<PatchWebhookEndpoint>,
) -> Result<axum::Json<WebhookEndpointBody>, Problem> {
    let PatchWebhookEndpoint { url, description, event_types, enabled } = body;
    let kinds = event_types.as_deref().map(super::kinds).transpose()?;
    let change = EndpointPatch { url, description, kinds, enabled };
    let on = super::on(&permitted);
    match endpoints::patch(&state.db, &state.env, on, endpoint_id, &change, state.webhooks).await {
        Ok(row) => Ok(axum::Json(row.into())),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
