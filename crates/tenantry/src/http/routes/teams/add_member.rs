//! `POST /api/teams/{id}/members`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{TeamMemberBody, refused};
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::TeamRefusals;
use crate::http::state::AppState;
use crate::http::team::OnTeam;
use crate::storage::teams::TeamMemberRow;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::teams;

/// A user to be put into a team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AddTeamMember {
    /// A user that was seen or provisioned before.
    pub user_id: Uuid,
}

/// Add a member to a team
///
/// Adds a user by id, who may then use the owner's plan in the team's name. For the owner. A team has 100 members at
/// the most.
#[utoipa::path(
    post, path = "/api/teams/{id}/members", tag = "teams", operation_id = "addTeamMember",
    params(
        ("id" = Uuid, Path, description = "The team"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    request_body = AddTeamMember,
    responses((status = 201, body = TeamMemberBody), TeamRefusals),
    security(("bearer" = [])),
)]
pub async fn add_member(
    State(state): State<AppState>,
    on: OnTeam,
    posted: Posted<AddTeamMember>,
) -> Result<Response, Problem> {
    let keep = |row: &TeamMemberRow| kept(StatusCode::CREATED, &TeamMemberBody::from(*row));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let member = posted.body.user_id;
    match teams::add_member(&state.db, &state.env, on.user_id, &on.team, member, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, TeamMemberBody::from)),
        Err(error) => Err(refused(&state, &on.caller, &on.team, error).await),
    }
}
