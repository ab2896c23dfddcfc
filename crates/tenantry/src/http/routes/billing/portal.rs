//! `POST /api/billing/portal`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::asking::stripe;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::Asked;
use crate::http::problem::{Code, Problem};
use crate::http::refusals::BillingRefusals;
use crate::http::state::AppState;
use crate::stripe_sync::operations::portal as visits;

/// Where payment methods and invoices are.
#[derive(Debug, Serialize, ToSchema)]
pub struct PortalPage {
    /// Stripe's page, valid for some minutes: send the user there. It leads back to `APP_URL/billing`.
    #[schema(example = "https://billing.stripe.com/p/session/test_1")]
    pub url: String,
}

/// Open the billing portal
///
/// Stripe's page where the payment method is changed, invoices are seen and the subscription is canceled. A visit of
/// its own each time, also under the same `Idempotency-Key`: it changes nothing here. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/billing/portal", tag = "billing", operation_id = "createPortalVisit",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Taken, and without effect")),
    responses((status = 200, body = PortalPage), BillingRefusals),
    security(("bearer" = [])),
)]
pub async fn portal(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    _asked: Asked,
) -> Result<Json<PortalPage>, Problem> {
    let url = visits::visit(stripe(&state)?, permitted.tenant_id).await?;
    url.map(|url| Json(PortalPage { url })).ok_or_else(|| Problem::new(Code::CheckoutRequired))
}
