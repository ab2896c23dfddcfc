//! `GET /api/tenants/{id}/members`

use axum::Json;
use axum::extract::State;

use super::Member;
use crate::http::caller;
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::members;

/// List members
///
/// The members of a tenant, the oldest first. For members of any role.
#[utoipa::path(
    get, path = "/api/tenants/{id}/members", tag = "members", operation_id = "listMembers",
    params(("id" = Uuid, Path, description = "The tenant"), PageQuery),
    responses((status = 200, body = Page<Member>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn list(
    State(state): State<AppState>,
    member: caller::Member,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Member>>, Problem> {
    let (after, fetch) = (page.after()?, page.fetch()?);
    let tx = member.caller.read(&state, "list_members", member.tenant_id).await?;
    let rows = members::list(&tx, member.tenant_id, after, fetch).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.created_at, row.user_id), Into::into).map(Json)
}
