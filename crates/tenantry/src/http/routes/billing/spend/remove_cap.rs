//! `DELETE /api/billing/spend/cap`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::http::refusals::SpendRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::usage::spend::change;

/// Which cap.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CapQuery {
    /// The metric that it is about; left out: the cap over all metrics together.
    #[param(example = "tokens")]
    pub metric: Option<String>,
}

/// Remove a spend cap
///
/// What it alone refused is accepted from now on. Needs `manageBilling`.
#[utoipa::path(
    delete, path = "/api/billing/spend/cap", tag = "billing", operation_id = "removeSpendCap",
    params(CapQuery),
    responses((status = 204, description = "Removed"), SpendRefusals),
    security(("bearer" = [])),
)]
pub async fn remove_cap(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Query(query): Query<CapQuery>,
) -> Result<StatusCode, Problem> {
    match change::remove_cap(&state.db, &state.env, super::on(&permitted), query.metric.as_deref()).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
