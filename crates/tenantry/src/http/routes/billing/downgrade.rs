//! `POST /api/billing/downgrade`

use axum::extract::State;
use axum::response::Response;

use super::asking::{ChangePlan, OperationPending, PlanChange, ask};
use crate::billing::operations::Asked;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::Posted;
use crate::http::problem::Problem;
use crate::http::refusals::BillingRefusals;
use crate::http::state::AppState;

/// Downgrade the plan
///
/// To a plan of a lower rank, or from yearly to monthly payment, with the next period; until then it can be undone by `resume`. The free plan is a cancellation. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/billing/downgrade", tag = "billing", operation_id = "downgradePlan",
    request_body = ChangePlan,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 200, body = PlanChange), (status = 202, body = OperationPending), BillingRefusals),
    security(("bearer" = [])),
)]
pub async fn downgrade(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    posted: Posted<ChangePlan>,
) -> Result<Response, Problem> {
    if posted.body.proration_date.is_some() {
        return Err(Problem::invalid("prorationDate", "is for upgrades: a downgrade is not prorated"));
    }
    ask(&state, &permitted, &Asked::Downgrade(posted.body.wish()), posted.idempotency.as_ref()).await
}
