//! `PUT /api/billing/spend/cap`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SpendCap;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Json;
use crate::http::problem::Problem;
use crate::http::refusals::SpendRefusals;
use crate::http::routes::usage::declared;
use crate::http::security;
use crate::http::state::AppState;
use crate::usage::spend::change;

/// A cap to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SetSpendCap {
    /// Minor units of the catalog's currency; 0: nothing beyond what the plan includes.
    #[schema(example = 10_000, minimum = 0, maximum = 999_999_999_999_999_i64)]
    pub amount_cents: i64,
    /// The metric that it is about; null, or left out: all metrics together.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub metric: Option<String>,
}

/// A cap that is set.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpendCapBody {
    /// The cap.
    pub cap: SpendCap,
}

/// Set a spend cap
///
/// No event that is accepted from now on takes the accrued overage of its period above it, of one metric or of all
/// together: as exactly as a limit. It counts overage as it is charged, and not the price of the plan. A cap that is
/// there already is replaced. Needs `manageBilling`.
#[utoipa::path(
    put, path = "/api/billing/spend/cap", tag = "billing", operation_id = "setSpendCap",
    request_body = SetSpendCap,
    responses((status = 200, body = SpendCapBody), SpendRefusals),
    security(("bearer" = [])),
)]
pub async fn set_cap(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Json(body): Json<SetSpendCap>,
) -> Result<axum::Json<SpendCapBody>, Problem> {
    if let Some(metric) = &body.metric {
        declared(&state, metric)?;
    }
    let on = super::on(&permitted);
    match change::set_cap(&state.db, &state.env, on, body.metric.as_deref(), body.amount_cents).await {
        Ok(row) => Ok(axum::Json(SpendCapBody { cap: row.into() })),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
