//! `GET /api/teams/{id}`

use axum::Json;

use super::TeamBody;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::team::OnTeam;

/// Get a team
///
/// For its owner and its members.
#[utoipa::path(
    get, path = "/api/teams/{id}", tag = "teams", operation_id = "getTeam",
    params(("id" = Uuid, Path, description = "The team")),
    responses((status = 200, body = TeamBody), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn get(on: OnTeam) -> Result<Json<TeamBody>, Problem> {
    Ok(Json(TeamBody::seen_by(on.user_id, on.team)))
}
