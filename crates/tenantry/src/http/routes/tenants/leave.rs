//! `POST /api/tenants/{id}/leave`

use axum::extract::State;
use axum::http::StatusCode;
use tenantry_domain::permission::Role;

use crate::http::caller::Member;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::members;

/// Leave an organization
///
/// Ends the signed-in user's own membership. The last owner cannot leave.
#[utoipa::path(
    post, path = "/api/tenants/{id}/leave", tag = "tenants", operation_id = "leaveTenant",
    params(("id" = Uuid, Path, description = "The tenant")),
    responses((status = 204, description = "Left"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn leave(State(state): State<AppState>, member: Member) -> Result<StatusCode, Problem> {
    let Some(user) = member.caller.user_id() else {
        let none: Option<Role> = None;
        return Err(security::insufficient(&state, &member.caller, member.tenant_id, "user", none).await);
    };
    match members::leave(&state.db, &state.env, user, member.tenant_id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &member.caller, member.tenant_id, error).await),
    }
}
