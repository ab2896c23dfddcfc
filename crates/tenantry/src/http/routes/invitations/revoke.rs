//! `DELETE /api/tenants/{id}/invitations/{invitationId}`

use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use crate::http::caller::{ManageMembers, OnTenant};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::InvitationRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::invitations;

/// Revoke an invitation
///
/// Its token is dead at once. One that was accepted is a member: remove the member. Needs `manageMembers`.
#[utoipa::path(
    delete, path = "/api/tenants/{id}/invitations/{invitationId}", tag = "members", operation_id = "revokeInvitation",
    params(
        ("id" = Uuid, Path, description = "The tenant"),
        ("invitationId" = Uuid, Path, description = "The invitation"),
    ),
    responses((status = 204, description = "Revoked"), InvitationRefusals),
    security(("bearer" = [])),
)]
pub async fn revoke(
    State(state): State<AppState>,
    on: OnTenant<ManageMembers>,
    path: Path<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let Path((_, invitation_id)) = path;
    match invitations::revoke(&state.db, &state.env, on.caller.actor, on.tenant_id, invitation_id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &on.caller, on.tenant_id, error).await),
    }
}
