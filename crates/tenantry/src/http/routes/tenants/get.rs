//! `GET /api/tenants/{id}`

use axum::Json;
use axum::extract::State;

use super::TenantBody;
use crate::http::caller::Member;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::tenants;

/// Get a tenant
///
/// For members of any role.
#[utoipa::path(
    get, path = "/api/tenants/{id}", tag = "tenants", operation_id = "getTenant",
    params(("id" = Uuid, Path, description = "The tenant")),
    responses((status = 200, body = TenantBody), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn get(State(state): State<AppState>, member: Member) -> Result<Json<TenantBody>, Problem> {
    let tx = member.caller.read(&state, "get_tenant", member.tenant_id).await?;
    let row = tenants::get(&tx, member.tenant_id).await?;
    tx.rollback().await?;
    row.map(|row| Json(row.into())).ok_or_else(Problem::not_found)
}
