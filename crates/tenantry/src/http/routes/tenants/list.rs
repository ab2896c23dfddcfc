//! `GET /api/tenants`

use axum::Json;
use axum::extract::State;

use super::Tenant;
use crate::http::caller::SignedInUser;
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::members;

/// List my tenants
///
/// The tenants that the signed-in user belongs to, the oldest first.
#[utoipa::path(
    get, path = "/api/tenants", tag = "tenants", operation_id = "listTenants",
    params(PageQuery),
    responses((status = 200, body = Page<Tenant>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn list(
    State(state): State<AppState>,
    user: SignedInUser,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Tenant>>, Problem> {
    let (after, fetch) = (page.after()?, page.fetch()?);
    let tx = state.db.read("list_tenants", user.caller.scope(None)).await?;
    let rows = members::memberships(&tx, user.user_id, after, fetch).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.tenant.created_at, row.tenant.id), |row| row.tenant.into()).map(Json)
}
