//! `POST /api/billing/spend/alerts`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SpendAlert;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::SpendRefusals;
use crate::http::routes::usage::declared;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::usage::spend::AlertRow;
use crate::tenancy::idempotency::Idempotent;
use crate::usage::spend::change;

/// An alert to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AddSpendAlert {
    /// The accrued overage at which it is told, in minor units of the catalog's currency.
    #[schema(example = 5_000, minimum = 1, maximum = 999_999_999_999_999_i64)]
    pub amount_cents: i64,
    /// The metric that it is about; null, or left out: all metrics together.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub metric: Option<String>,
}

/// An alert that was added.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpendAlertBody {
    /// The alert.
    pub alert: SpendAlert,
}

impl From<AlertRow> for SpendAlertBody {
    fn from(row: AlertRow) -> Self {
        Self { alert: row.into() }
    }
}

/// Add a spend alert
///
/// Billing contacts and webhooks are told when the accrued overage of a period reaches the amount, once in each period;
/// at once, where the running period has reached it already. Nothing is refused. At most 20. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/billing/spend/alerts", tag = "billing", operation_id = "addSpendAlert",
    request_body = AddSpendAlert,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 201, body = SpendAlertBody), SpendRefusals),
    security(("bearer" = [])),
)]
pub async fn add_alert(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    posted: Posted<AddSpendAlert>,
) -> Result<Response, Problem> {
    let AddSpendAlert { amount_cents, metric } = posted.body;
    if let Some(metric) = &metric {
        declared(&state, metric)?;
    }
    let keep = |row: &AlertRow| kept(StatusCode::CREATED, &SpendAlertBody::from(row.clone()));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let alert = (metric.as_deref(), amount_cents);
    match change::add_alert(&state.db, &state.env, super::on(&permitted), alert, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, SpendAlertBody::from)),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
