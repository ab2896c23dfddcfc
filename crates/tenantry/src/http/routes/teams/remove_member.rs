//! `DELETE /api/teams/{id}/members/{userId}`

use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use super::refused;
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::TeamRefusals;
use crate::http::state::AppState;
use crate::http::team::OnTeam;
use crate::tenancy::teams;

/// Remove a member from a team
///
/// Effective on the member's next request. For the owner; a member may remove itself.
#[utoipa::path(
    delete, path = "/api/teams/{id}/members/{userId}", tag = "teams", operation_id = "removeTeamMember",
    params(
        ("id" = Uuid, Path, description = "The team"),
        ("userId" = Uuid, Path, description = "The member"),
    ),
    responses((status = 204, description = "Removed"), TeamRefusals),
    security(("bearer" = [])),
)]
pub async fn remove_member(
    State(state): State<AppState>,
    on: OnTeam,
    path: Path<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let Path((_, member)) = path;
    match teams::remove_member(&state.db, &state.env, on.user_id, &on.team, member).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(refused(&state, &on.caller, &on.team, error).await),
    }
}
