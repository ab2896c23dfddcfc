//! `POST /api/teams`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::TeamBody;
use crate::http::caller::SignedInUser;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::TeamRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::teams::TeamRow;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::teams;

/// A team to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTeam {
    /// For people; 1 to 100 characters.
    #[schema(example = "Research", min_length = 1, max_length = 100)]
    pub name: String,
}

/// Create a team
///
/// Makes a team of the signed-in user's. Its members share the user's own subscription: what they use in its name
/// counts for the user. A user owns 50 teams at the most.
#[utoipa::path(
    post, path = "/api/teams", tag = "teams", operation_id = "createTeam",
    request_body = CreateTeam,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 201, body = TeamBody), TeamRefusals),
    security(("bearer" = [])),
)]
pub async fn create(
    State(state): State<AppState>,
    user: SignedInUser,
    posted: Posted<CreateTeam>,
) -> Result<Response, Problem> {
    let id = user.user_id;
    let keep = |row: &TeamRow| kept(StatusCode::CREATED, &TeamBody::seen_by(id, row.clone()));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match teams::create(&state.db, &state.env, id, &posted.body.name, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, |row| TeamBody::seen_by(id, row))),
        Err(error) => Err(security::refused(&state, &user.caller, id, error).await),
    }
}
