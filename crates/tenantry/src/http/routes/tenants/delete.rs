//! `DELETE /api/tenants/{id}`

use axum::extract::State;
use axum::http::StatusCode;

use crate::http::caller::Member;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::organizations;

/// Delete an organization
///
/// For owners. Memberships and keys end at once, the slug is free again, the books are kept. Refused for personal
/// tenants, while a paid subscription or a change of it runs, and while use is still to be billed.
#[utoipa::path(
    delete, path = "/api/tenants/{id}", tag = "tenants", operation_id = "deleteTenant",
    params(("id" = Uuid, Path, description = "The tenant")),
    responses((status = 204, description = "Deleted"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn delete(State(state): State<AppState>, member: Member) -> Result<StatusCode, Problem> {
    match organizations::delete(&state.db, &state.env, member.caller.actor, member.tenant_id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &member.caller, member.tenant_id, error).await),
    }
}
