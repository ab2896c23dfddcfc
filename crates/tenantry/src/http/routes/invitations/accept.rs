//! `POST /api/invitations/accept`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::caller::SignedInUser;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::{Code, Problem};
use crate::http::refusals::AcceptRefusals;
use crate::http::routes::members::Member;
use crate::http::routes::tenants::Tenant;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::TenancyError;
use crate::tenancy::idempotency::{Answer, Idempotent};
use crate::tenancy::invitations::token::PresentedToken;
use crate::tenancy::invitations::{self, Accepted, Invitee};

/// An invitation to be accepted. Role and permissions are what the invitation says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// The token of the link that was mailed.
    #[schema(example = "ti_...")]
    pub token: String,
}

impl std::fmt::Debug for AcceptInvitation {
    /// Says nothing of the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcceptInvitation").finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedInvitation {
    /// The organization.
    pub tenant: Tenant,
    /// The signed-in user as a member of it.
    pub member: Member,
}

impl From<Accepted> for AcceptedInvitation {
    fn from(accepted: Accepted) -> Self {
        Self { tenant: accepted.tenant.into(), member: accepted.member.into() }
    }
}

/// Accept an invitation
///
/// Makes the signed-in user a member, once. The token of the request (the bearer) must say that its `email` is
/// verified, and it must be the address that was invited; the case of ASCII letters does not count, before the `@`
/// either. Whoever is a member already stays what they are.
#[utoipa::path(
    post, path = "/api/invitations/accept", tag = "members", operation_id = "acceptInvitation",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    request_body = AcceptInvitation,
    responses((status = 200, body = AcceptedInvitation), AcceptRefusals),
    security(("bearer" = [])),
)]
pub async fn accept(
    State(state): State<AppState>,
    user: SignedInUser,
    posted: Posted<AcceptInvitation>,
) -> Result<Response, Problem> {
    let token = PresentedToken::parse(&posted.body.token);
    let attempted = token.as_ref().map_or(user.user_id, |token| token.tenant_id);
    let keep = |accepted: &Accepted| kept(StatusCode::OK, &AcceptedInvitation::from(accepted.clone()));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match accepted(&state, &user, token.as_ref(), idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::OK, done, AcceptedInvitation::from)),
        // What the plan has is no news for people outside the tenant.
        Err(TenancyError::MembersFull { .. }) => Err(Problem::new(Code::MemberLimitReached)
            .detail("the organization has no place for another member: tell whoever invited you")),
        Err(error) => Err(security::refused(&state, &user.caller, attempted, error).await),
    }
}

async fn accepted(
    state: &AppState,
    user: &SignedInUser,
    token: Option<&PresentedToken>,
    idempotent: Option<&Idempotent<'_, Accepted>>,
) -> Result<Answer<Accepted>, TenancyError> {
    let token = token.ok_or(TenancyError::InvitationInvalid)?;
    // Before the invitation is looked at, so that this refusal tells nothing of it.
    let email = user.caller.verified_email.as_deref().ok_or(TenancyError::EmailNotVerified)?;
    let invitee = Invitee { user_id: user.user_id, email };
    invitations::accept(&state.db, &state.env, invitee, token, idempotent).await
}
