//! `POST /api/billing/preview`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use tenantry_stripe::invoice_lines::InvoiceLine;
use tenantry_stripe::invoices::Invoice;
use utoipa::ToSchema;

use super::asking::{BillingInterval, ChangePlan, refused, stripe, trouble_problem};
use crate::billing::operations;
use crate::billing::plan_choice::{self, Chosen};
use crate::env::whole_seconds;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::Posted;
use crate::http::problem::Problem;
use crate::http::refusals::BillingRefusals;
use crate::http::state::AppState;
use crate::stripe_sync::operations::Outcome;
use crate::stripe_sync::operations::preview::{self as previews, Previewed};

/// The invoice that an upgrade would make.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// The plan.
    #[schema(example = "pro")]
    pub plan_id: String,
    /// How often it is paid.
    #[schema(value_type = BillingInterval, example = "month")]
    pub billing_interval: String,
    /// Sent with the upgrade, exactly these lines are charged.
    #[schema(value_type = String, format = DateTime)]
    pub proration_date: Timestamp,
    /// ISO 4217, lower case.
    #[schema(example = "usd")]
    pub currency: String,
    /// Before tax, in minor units.
    pub subtotal: i64,
    /// With tax, in minor units.
    pub total: i64,
    /// What would be charged, in minor units.
    pub amount_due: i64,
    /// The lines.
    pub lines: Vec<PreviewLine>,
}

/// A line of an invoice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewLine {
    /// For people.
    pub description: Option<String>,
    /// Minor units; negative gives back.
    pub amount: i64,
    /// How many.
    pub quantity: Option<i64>,
    /// Whether it is for a part of a period.
    pub proration: bool,
    /// First instant that it is for.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub period_start: Option<Timestamp>,
    /// First instant that it is not for.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub period_end: Option<Timestamp>,
}

/// Preview an upgrade
///
/// The exact lines that the upgrade would charge now; changes nothing. Sent with its `prorationDate`, the upgrade
/// charges exactly them. Needs `manageBilling`.
#[utoipa::path(
    post, path = "/api/billing/preview", tag = "billing", operation_id = "previewUpgrade",
    request_body = ChangePlan,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Taken, and without effect")),
    responses((status = 200, body = Preview), BillingRefusals),
    security(("bearer" = [])),
)]
pub async fn preview(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    posted: Posted<ChangePlan>,
) -> Result<Json<Preview>, Problem> {
    let stripe = stripe(&state)?;
    let now = state.env.clock.now();
    let asked_at = whole_seconds(now);
    let proration_date = posted.body.proration_date(now)?.unwrap_or(asked_at);
    let choices = operations::choices(&state.db, permitted.tenant_id).await.map_err(super::asking::refusal)?;
    let (present, plans) = choices.ok_or_else(Problem::not_found)?;
    let chosen = plan_choice::upgrade(&plans, &present, &posted.body.wish()).map_err(|error| refused(&error))?;
    let plan = (chosen.plan.id.as_str(), chosen.interval.as_str());
    match previews::preview(stripe, permitted.tenant_id, plan, proration_date).await? {
        Previewed::Invoice(invoice) => Ok(Json(view(&chosen, proration_date, &invoice))),
        Previewed::Refused(Outcome::Refused(trouble)) => Err(trouble_problem(&trouble)),
        Previewed::Refused(_) => Err(Problem::internal("a preview is refused without a reason")),
    }
}

fn view(chosen: &Chosen, proration_date: Timestamp, invoice: &Invoice) -> Preview {
    let line = |line: &InvoiceLine| {
        let (period_start, period_end) = line.times().unzip();
        PreviewLine {
            description: line.description.clone(),
            amount: line.amount,
            quantity: line.quantity,
            proration: line.is_proration(),
            period_start,
            period_end,
        }
    };
    Preview {
        plan_id: chosen.plan.id.to_string(),
        billing_interval: chosen.interval.clone(),
        proration_date,
        currency: invoice.currency.clone(),
        subtotal: invoice.subtotal,
        total: invoice.total,
        amount_due: invoice.amount_due,
        lines: invoice.lines.data.iter().map(line).collect(),
    }
}
