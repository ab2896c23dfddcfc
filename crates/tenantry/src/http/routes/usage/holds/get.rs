//! `GET /api/usage/holds/{holdId}`

use axum::Json;
use axum::extract::State;
use uuid::Uuid;

use super::Hold;
use crate::http::caller::RecordUsage;
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::SharedRefusals;
use crate::http::state::AppState;
use crate::http::team::Shared;
use crate::storage::usage::holds as rows;

/// Get a hold
///
/// Open or settled. Needs `recordUsage`; a user's token sees that user's own holds.
#[utoipa::path(
    get, path = "/api/usage/holds/{holdId}", tag = "usage", operation_id = "getUsageHold",
    params(("holdId" = Uuid, Path, description = "The hold")),
    responses((status = 200, body = Hold), SharedRefusals),
    security(("bearer" = [])),
)]
pub async fn get(
    State(state): State<AppState>,
    shared: Shared<RecordUsage>,
    Path(hold_id): Path<Uuid>,
) -> Result<Json<Hold>, Problem> {
    let tx = shared.read(&state, "get_usage_hold").await?;
    let found = rows::find(&tx, shared.tenant_id, hold_id, shared.caller.user_id()).await;
    tx.rollback().await?;
    let row = found?.ok_or_else(Problem::not_found)?;
    Ok(Json(Hold::at(row, state.env.clock.now())))
}
