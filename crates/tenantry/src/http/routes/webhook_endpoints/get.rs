//! `GET /api/webhook-endpoints/{endpointId}`

use axum::Json;
use axum::extract::State;
use uuid::Uuid;

use super::WebhookEndpointBody;
use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::notices::endpoints;

/// Get a webhook endpoint
///
/// Without its secret. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/webhook-endpoints/{endpointId}", tag = "webhooks", operation_id = "getWebhookEndpoint",
    params(("endpointId" = Uuid, Path, description = "The endpoint")),
    responses((status = 200, body = WebhookEndpointBody), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn get(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    Path(endpoint_id): Path<Uuid>,
) -> Result<Json<WebhookEndpointBody>, Problem> {
    let tx = permitted.caller.read(&state, "get_webhook_endpoint", permitted.tenant_id).await?;
    let row = endpoints::get(&tx, permitted.tenant_id, endpoint_id).await?;
    tx.rollback().await?;
    row.map(|row| Json(row.into())).ok_or_else(Problem::not_found)
}
