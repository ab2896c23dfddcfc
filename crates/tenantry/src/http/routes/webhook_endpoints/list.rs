//! `GET /api/webhook-endpoints`

use axum::Json;
use axum::extract::State;

use super::WebhookEndpoint;
use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::notices::endpoints;

/// List webhook endpoints
///
/// The tenant's endpoints, the oldest first; never their secrets. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/webhook-endpoints", tag = "webhooks", operation_id = "listWebhookEndpoints",
    params(PageQuery),
    responses((status = 200, body = Page<WebhookEndpoint>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn list(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<WebhookEndpoint>>, Problem> {
    let (after, fetch) = (page.after()?, page.fetch()?);
    let tx = permitted.caller.read(&state, "list_webhook_endpoints", permitted.tenant_id).await?;
    let rows = endpoints::list(&tx, permitted.tenant_id, after, fetch).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.created_at, row.id), Into::into).map(Json)
}
