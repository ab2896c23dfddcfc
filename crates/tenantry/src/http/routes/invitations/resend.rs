//! `POST /api/tenants/{id}/invitations/{invitationId}/resend`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::InvitationWithToken;
use crate::http::caller::{ManageMembers, OnTenant};
use crate::http::extract::Path;
use crate::http::posted::{Asked, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::InvitationRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::invitations::InvitationRow;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::invitations;
use crate::tenancy::invitations::token::MintedToken;

/// Send an invitation again
///
/// With a new token, which is shown this once, and from now on as long valid as a new one; the older token is dead.
/// Also where the invitation has expired. Who sends it again vouches for it from now on: needs `manageMembers`, and
/// whatever the invitation gives.
#[utoipa::path(
    post, path = "/api/tenants/{id}/invitations/{invitationId}/resend", tag = "members",
    operation_id = "resendInvitation",
    params(
        ("id" = Uuid, Path, description = "The tenant"),
        ("invitationId" = Uuid, Path, description = "The invitation"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    responses((status = 200, body = InvitationWithToken), InvitationRefusals),
    security(("bearer" = [])),
)]
pub async fn resend(
    State(state): State<AppState>,
    on: OnTenant<ManageMembers>,
    path: Path<(Uuid, Uuid)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let Path((_, invitation_id)) = path;
    let token = MintedToken::of(&state.env, on.tenant_id, invitation_id);
    let keep = |row: &InvitationRow| kept(StatusCode::OK, &InvitationWithToken::kept(row));
    let idempotent = asked.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let (by, valid_for) = ((on.caller.actor, on.tenant_id), state.invitations_valid_for);
    match invitations::resend(&state.db, &state.env, by, valid_for, &token, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::OK, done, |row| InvitationWithToken::shown(row, token.expose()))),
        Err(error) => Err(security::refused(&state, &on.caller, on.tenant_id, error).await),
    }
}
