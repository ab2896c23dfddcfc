//! `DELETE /api/teams/{id}`

use axum::extract::State;
use axum::http::StatusCode;

use super::refused;
use crate::http::problem::Problem;
use crate::http::refusals::TeamRefusals;
use crate::http::state::AppState;
use crate::http::team::OnTeam;
use crate::tenancy::teams;

/// Delete a team
///
/// Nobody uses anything in its name from the next request on; what was used stays counted. For its owner.
#[utoipa::path(
    delete, path = "/api/teams/{id}", tag = "teams", operation_id = "deleteTeam",
    params(("id" = Uuid, Path, description = "The team")),
    responses((status = 204, description = "Deleted"), TeamRefusals),
    security(("bearer" = [])),
)]
pub async fn delete(State(state): State<AppState>, on: OnTeam) -> Result<StatusCode, Problem> {
    match teams::delete(&state.db, &state.env, on.user_id, &on.team).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(refused(&state, &on.caller, &on.team, error).await),
    }
}
