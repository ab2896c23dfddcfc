//! `POST /api/tenants/{id}/leave`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::http::caller::PathTenant;
use crate::http::posted::{Asked, answer_status, kept_status};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::{TenancyError, members};

/// Leave an organization
///
/// Ends the signed-in user's own membership. The last owner cannot leave.
#[utoipa::path(
    post, path = "/api/tenants/{id}/leave", tag = "tenants", operation_id = "leaveTenant",
    params(
        ("id" = Uuid, Path, description = "The tenant"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    responses((status = 204, description = "Left"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn leave(State(state): State<AppState>, path: PathTenant, asked: Asked) -> Result<Response, Problem> {
    let Some(user) = path.caller.user_id() else {
        let member = path.member(&state).await?;
        return Err(security::insufficient(&state, &member.caller, member.tenant_id, "user", None).await);
    };
    let keep = |(): &()| kept_status(StatusCode::NO_CONTENT);
    let idempotent = asked.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match members::leave(&state.db, &state.env, user, path.tenant_id, idempotent.as_ref()).await {
        Ok(done) => Ok(answer_status(StatusCode::NO_CONTENT, done)),
        Err(TenancyError::NotFound) => Err(path.unknown(&state).await),
        Err(error) => Err(security::refused(&state, &path.caller, path.tenant_id, error).await),
    }
}
