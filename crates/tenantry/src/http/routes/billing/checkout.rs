//! `POST /api/billing/checkout`

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asking::{BillingInterval, OperationPending, ask};
use crate::billing::operations::Asked;
use crate::billing::plan_choice::Wish;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::Posted;
use crate::http::problem::Problem;
use crate::http::refusals::BillingRefusals;
use crate::http::state::AppState;

/// A plan to be bought.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Checkout {
    /// The plan.
    #[schema(example = "pro")]
    pub plan_id: String,
    /// How often it is paid; every month, where it is missing.
    #[schema(value_type = Option<BillingInterval>, example = "month")]
    pub billing_interval: Option<String>,
}

/// Where it is bought.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckoutPage {
    /// Stripe's page: send the user there. It leads back to `APP_URL/billing`.
    #[schema(example = "https://checkout.stripe.com/c/pay/cs_test_a1")]
    pub url: String,
    /// Stripe's id of the checkout.
    #[schema(example = "cs_test_a1")]
    pub session_id: String,
}

/// Buy a plan
///
/// Opens Stripe's page where the plan is paid for. The subscription begins once it is paid. Asked for again before
/// that, the same page is given. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/billing/checkout", tag = "billing", operation_id = "createCheckout",
    request_body = Checkout,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 200, body = CheckoutPage), (status = 202, body = OperationPending), BillingRefusals),
    security(("bearer" = [])),
)]
pub async fn checkout(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    posted: Posted<Checkout>,
) -> Result<Response, Problem> {
    let wish = Wish { plan_id: posted.body.plan_id, interval: posted.body.billing_interval };
    ask(&state, &permitted, &Asked::Checkout(wish), posted.idempotency.as_ref()).await
}
