//! `POST /api/teams/{id}/leave`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::http::posted::{Asked, answer_status, kept_status};
use crate::http::problem::Problem;
use crate::http::refusals::TeamRefusals;
use crate::http::state::AppState;
use crate::http::team::PathTeam;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::{TenancyError, teams};

/// Leave a team
///
/// Ends the signed-in user's own membership. The owner cannot leave: a team is deleted instead.
#[utoipa::path(
    post, path = "/api/teams/{id}/leave", tag = "teams", operation_id = "leaveTeam",
    params(
        ("id" = Uuid, Path, description = "The team"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    responses((status = 204, description = "Left"), TeamRefusals),
    security(("bearer" = [])),
)]
pub async fn leave(State(state): State<AppState>, path: PathTeam, asked: Asked) -> Result<Response, Problem> {
    let keep = |(): &()| kept_status(StatusCode::NO_CONTENT);
    let idempotent = asked.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match teams::leave(&state.db, &state.env, path.user_id, path.team_id, idempotent.as_ref()).await {
        Ok(done) => Ok(answer_status(StatusCode::NO_CONTENT, done)),
        Err(TenancyError::NotFound) => Err(path.unknown(&state).await),
        Err(error) => Err(error.into()),
    }
}
