//! `DELETE /api/keys/{keyId}`

use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::keys;

/// Revoke an API key
///
/// Effective on the key's next request, on every replica. Needs `manageBilling`.
#[utoipa::path(
    delete, path = "/api/keys/{keyId}", tag = "keys", operation_id = "revokeKey",
    params(("keyId" = Uuid, Path, description = "The key")),
    responses((status = 204, description = "Revoked"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn revoke(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Path(key_id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let (caller, tenant_id) = (&permitted.caller, permitted.tenant_id);
    match keys::revoke(&state.db, &state.env, caller.actor, tenant_id, key_id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, caller, tenant_id, error).await),
    }
}
