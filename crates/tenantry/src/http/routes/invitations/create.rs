//! `POST /api/tenants/{id}/invitations`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tenantry_domain::permission::Overrides;
use utoipa::ToSchema;

use super::{InvitationWithToken, InvitedRole};
use crate::http::caller::{ManageMembers, OnTenant};
use crate::http::overrides::PermissionOverrides;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::InvitationRefusals;
use crate::http::routes::members;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::invitations::InvitationRow;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::invitations::token::MintedToken;
use crate::tenancy::invitations::{self, NewInvitation};

/// Somebody to be invited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateInvitation {
    /// The address that is invited.
    #[schema(example = "bea@example.com")]
    pub email: String,
    /// `admin`, `billing_admin` or `member`; nobody is invited as an owner.
    #[schema(value_type = InvitedRole, example = "member")]
    pub role: String,
    /// What overrides the role's permissions; at most what the caller has.
    pub permissions: Option<PermissionOverrides>,
}

/// Invite somebody
///
/// Mails a link with a token to the address; the answer shows the token this once. Whoever signs in with that address,
/// verified, becomes a member by it, if the inviter may still give the role then. An invitation of the same address
/// that is pending ends. Needs `manageMembers`; nobody gives more than they have.
#[utoipa::path(
    post, path = "/api/tenants/{id}/invitations", tag = "members", operation_id = "createInvitation",
    params(
        ("id" = Uuid, Path, description = "The tenant"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    request_body = CreateInvitation,
    responses((status = 201, body = InvitationWithToken), InvitationRefusals),
    security(("bearer" = [])),
)]
pub async fn create(
    State(state): State<AppState>,
    on: OnTenant<ManageMembers>,
    posted: Posted<CreateInvitation>,
) -> Result<Response, Problem> {
    let body = posted.body;
    let permissions: Overrides = body.permissions.map(PermissionOverrides::read).transpose()?.unwrap_or_default();
    let new = NewInvitation {
        email: body.email,
        role: members::role(&body.role)?,
        permissions,
        valid_for: state.invitations_valid_for,
    };
    let token = MintedToken::new(&state.env, on.tenant_id);
    let keep = |row: &InvitationRow| kept(StatusCode::CREATED, &InvitationWithToken::kept(row));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let by = (on.caller.actor, on.tenant_id);
    match invitations::create(&state.db, &state.env, by, &new, &token, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, |row| InvitationWithToken::shown(row, token.expose()))),
        Err(error) => Err(security::refused(&state, &on.caller, on.tenant_id, error).await),
    }
}
