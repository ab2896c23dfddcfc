//! `DELETE /api/users/me`

use axum::extract::State;
use axum::http::StatusCode;

use crate::http::caller::SignedInUser;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::accounts;

/// Delete my account
///
/// Takes the signed-in user out of every tenant, deletes its personal tenant and erases what is personal; invoices,
/// usage and audit trails keep its id alone. For good: later requests of the user are answered `account_deleted`.
/// Refused with `last_owner` and the list of `organizations` that would be left without an owner, and while the
/// personal tenant pays for a plan or has use that is still to be billed.
#[utoipa::path(
    delete, path = "/api/users/me", tag = "users", operation_id = "deleteMe",
    responses((status = 204, description = "Deleted"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn delete_me(State(state): State<AppState>, user: SignedInUser) -> Result<StatusCode, Problem> {
    match accounts::delete(&state.db, &state.env, user.caller.actor, user.user_id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &user.caller, user.user_id, error).await),
    }
}
