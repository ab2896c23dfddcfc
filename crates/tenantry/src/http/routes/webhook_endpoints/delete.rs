//! `DELETE /api/webhook-endpoints/{endpointId}`

use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::notices::webhooks::endpoints;

/// Delete a webhook endpoint
///
/// With its secrets and the list of what was sent to it. Needs `manageBilling`.
#[utoipa::path(
    delete, path = "/api/webhook-endpoints/{endpointId}", tag = "webhooks", operation_id = "deleteWebhookEndpoint",
    params(("endpointId" = Uuid, Path, description = "The endpoint")),
    responses((status = 204, description = "Deleted"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn delete(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Path(endpoint_id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    match endpoints::delete(&state.db, &state.env, super::on(&permitted), endpoint_id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
