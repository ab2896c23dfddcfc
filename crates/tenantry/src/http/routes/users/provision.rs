//! `PUT /api/users/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tenantry_domain::permission::Permission;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::ServiceKey;
use crate::http::extract::{Json, Path};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::state::AppState;
use crate::tenancy::users;

/// What is known of a user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProvisionUser {
    /// The user's address.
    #[schema(example = "ada@example.com", min_length = 3, max_length = 320)]
    pub email: Option<String>,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProvisionedUser {
    /// The user's id.
    pub id: Uuid,
}

/// Provision a user
///
/// Makes a user with its personal tenant before its first token is seen, so that it can be added to
/// organizations. For service keys with `manageMembers`. Repeating it changes nothing but the address.
#[utoipa::path(
    put, path = "/api/users/{id}", tag = "users", operation_id = "provisionUser",
    params(("id" = Uuid, Path, description = "The subject of the user's tokens")),
    request_body = ProvisionUser,
    responses((status = 200, body = ProvisionedUser), (status = 201, body = ProvisionedUser), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn provision(
    State(state): State<AppState>,
    key: ServiceKey,
    Path(id): Path<Uuid>,
    Json(body): Json<ProvisionUser>,
) -> Result<Response, Problem> {
    key.require(&state, Permission::ManageMembers).await?;
    let made = users::ensure(&state.db, &state.env, key.caller.actor, id, body.email.as_deref()).await?;
    state.known.forget_user(id);
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(ProvisionedUser { id })).into_response())
}
