//! `DELETE /api/tenants/{id}/members/{userId}`

use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use crate::http::caller::{ManageMembers, OnTenant};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::members;

/// Remove a member
///
/// Effective on the member's next request. Needs `manageMembers`; only owners remove owners, and the last owner
/// stays.
#[utoipa::path(
    delete, path = "/api/tenants/{id}/members/{userId}", tag = "members", operation_id = "removeMember",
    params(
        ("id" = Uuid, Path, description = "The tenant"),
        ("userId" = Uuid, Path, description = "The member"),
    ),
    responses((status = 204, description = "Removed"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn remove(
    State(state): State<AppState>,
    on: OnTenant<ManageMembers>,
    path: Path<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let Path((_, user_id)) = path;
    match members::remove(&state.db, &state.env, on.caller.actor, on.tenant_id, user_id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &on.caller, on.tenant_id, error).await),
    }
}
