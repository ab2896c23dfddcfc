//! `POST /api/billing/cancel`

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::asking::{OperationPending, ask};
use crate::billing::operations;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::Asked;
use crate::http::problem::Problem;
use crate::http::refusals::BillingRefusals;
use crate::http::state::AppState;

/// A subscription that is to end.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    /// When it ends: with the period that is paid for.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cancel_at: Option<Timestamp>,
}

/// Cancel the subscription
///
/// It ends with the period that is paid for; until then it can be undone by `resume`. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/billing/cancel", tag = "billing", operation_id = "cancelSubscription",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 200, body = Cancellation), (status = 202, body = OperationPending), BillingRefusals),
    security(("bearer" = [])),
)]
pub async fn cancel(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    asked: Asked,
) -> Result<Response, Problem> {
    ask(&state, &permitted, &operations::Asked::Cancel, asked.idempotency.as_ref()).await
}
