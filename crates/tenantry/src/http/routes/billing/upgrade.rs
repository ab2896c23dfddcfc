//! `POST /api/billing/upgrade`

use axum::extract::State;
use axum::response::Response;

use super::asking::{ChangePlan, OperationPending, PlanChange, ask};
use crate::billing::operations::Asked;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::Posted;
use crate::http::problem::Problem;
use crate::http::refusals::BillingRefusals;
use crate::http::state::AppState;

/// Upgrade the plan
///
/// To a plan of a higher rank, or from monthly to yearly payment. Takes effect now and is charged now (or with the next invoice, where the deployment says so); a payment that fails changes nothing. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/billing/upgrade", tag = "billing", operation_id = "upgradePlan",
    request_body = ChangePlan,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 200, body = PlanChange), (status = 202, body = OperationPending), BillingRefusals),
    security(("bearer" = [])),
)]
pub async fn upgrade(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    posted: Posted<ChangePlan>,
) -> Result<Response, Problem> {
    let previewed = posted.body.proration_date(state.env.clock.now())?;
    ask(&state, &permitted, &Asked::Upgrade(posted.body.wish(), previewed), posted.idempotency.as_ref()).await
}
