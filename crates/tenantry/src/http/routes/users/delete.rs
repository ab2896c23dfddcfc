//! `DELETE /api/users/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use crate::http::caller::ServiceKey;
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::accounts;

/// Delete a user
///
/// The same as the user's own `DELETE /api/users/me`, for service keys with all scopes. The id is never anybody again:
/// it cannot be provisioned, signed in or made a member.
#[utoipa::path(
    delete, path = "/api/users/{id}", tag = "users", operation_id = "deleteUser",
    params(("id" = Uuid, Path, description = "The user")),
    responses((status = 204, description = "Deleted"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn delete(
    State(state): State<AppState>,
    key: ServiceKey,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    match accounts::delete(&state.db, &state.env, key.caller.actor, id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &key.caller, id, error).await),
    }
}
