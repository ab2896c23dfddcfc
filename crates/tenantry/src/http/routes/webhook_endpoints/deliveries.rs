//! `GET /api/webhook-endpoints/{endpointId}/deliveries`

use axum::Json;
use axum::extract::State;
use uuid::Uuid;

use super::WebhookDelivery;
use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract::{Path, Query};
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::notices::{deliveries as rows, endpoints};

/// List deliveries
///
/// What was sent to an endpoint and what came of it, the newest first. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/webhook-endpoints/{endpointId}/deliveries", tag = "webhooks",
    operation_id = "listWebhookDeliveries",
    params(("endpointId" = Uuid, Path, description = "The endpoint"), PageQuery),
    responses((status = 200, body = Page<WebhookDelivery>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn deliveries(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    Path(endpoint_id): Path<Uuid>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<WebhookDelivery>>, Problem> {
    let (before, fetch) = (page.after()?, page.fetch()?);
    let tenant_id = permitted.tenant_id;
    let tx = permitted.caller.read(&state, "list_webhook_deliveries", tenant_id).await?;
    let endpoint = endpoints::get(&tx, tenant_id, endpoint_id).await?;
    let rows = rows::list(&tx, (tenant_id, endpoint_id), before, fetch).await?;
    tx.rollback().await?;
    endpoint.ok_or_else(Problem::not_found)?;
    Page::of(rows, &page, |row| (row.created_at, row.id), Into::into).map(Json)
}
