//! `POST /api/billing/resume`

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::asking::{OperationPending, ask};
use crate::billing::operations;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::Asked;
use crate::http::problem::Problem;
use crate::http::refusals::BillingRefusals;
use crate::http::state::AppState;

/// A subscription that goes on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Resumed {
    /// Always true.
    pub resumed: bool,
}

/// Resume the subscription
///
/// Takes a cancellation or a downgrade back that is pending. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/billing/resume", tag = "billing", operation_id = "resumeSubscription",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 200, body = Resumed), (status = 202, body = OperationPending), BillingRefusals),
    security(("bearer" = [])),
)]
pub async fn resume(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    asked: Asked,
) -> Result<Response, Problem> {
    ask(&state, &permitted, &operations::Asked::Resume, asked.idempotency.as_ref()).await
}
