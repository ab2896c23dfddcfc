//! `DELETE /api/billing/spend/alerts/{alertId}`

use axum::extract::State;
use axum::http::StatusCode;
use uuid::Uuid;

use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::SpendRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::usage::spend::change;

/// Remove a spend alert
///
/// What it told stays told. Needs `manageBilling`.
#[utoipa::path(
    delete, path = "/api/billing/spend/alerts/{alertId}", tag = "billing", operation_id = "removeSpendAlert",
    params(("alertId" = Uuid, Path, description = "The alert")),
    responses((status = 204, description = "Removed"), SpendRefusals),
    security(("bearer" = [])),
)]
pub async fn remove_alert(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Path(alert_id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    match change::remove_alert(&state.db, &state.env, super::on(&permitted), alert_id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
