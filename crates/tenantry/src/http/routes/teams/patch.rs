//! `PATCH /api/teams/{id}`

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{TeamBody, refused};
use crate::http::extract::Json;
use crate::http::problem::Problem;
use crate::http::refusals::TeamRefusals;
use crate::http::state::AppState;
use crate::http::team::OnTeam;
use crate::tenancy::teams;

/// What is to be changed; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchTeam {
    /// For people; 1 to 100 characters.
    #[schema(example = "Research", min_length = 1, max_length = 100)]
    pub name: Option<String>,
}

/// Change a team
///
/// Its name. For its owner.
#[utoipa::path(
    patch, path = "/api/teams/{id}", tag = "teams", operation_id = "patchTeam",
    params(("id" = Uuid, Path, description = "The team")),
    request_body = PatchTeam,
    responses((status = 200, body = TeamBody), TeamRefusals),
    security(("bearer" = [])),
)]
pub async fn patch(
    State(state): State<AppState>,
    on: OnTeam,
    Json(body): Json<PatchTeam>,
) -> Result<axum::Json<TeamBody>, Problem> {
    match teams::rename(&state.db, &state.env, on.user_id, &on.team, body.name.as_deref()).await {
        Ok(row) => Ok(axum::Json(TeamBody::seen_by(on.user_id, row))),
        Err(error) => Err(refused(&state, &on.caller, &on.team, error).await),
    }
}
