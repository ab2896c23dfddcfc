//! `GET /api/keys`

use axum::Json;
use axum::extract::State;

use super::Key;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::keys;

/// List API keys
///
/// The tenant's keys, revoked ones too, the oldest first; never their secrets. Needs `manageBilling`.
#[utoipa::path(
    get, path = "/api/keys", tag = "keys", operation_id = "listKeys",
    params(PageQuery),
    responses((status = 200, body = Page<Key>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn list(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Key>>, Problem> {
    let (after, fetch) = (page.after()?, page.fetch()?);
    let tx = permitted.caller.read(&state, "list_keys", permitted.tenant_id).await?;
    let rows = keys::list(&tx, permitted.tenant_id, after, fetch).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.created_at, row.id), Into::into).map(Json)
}
