//! `GET /api/billing/subscription`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::asking::PlanChange;
use crate::http::caller::ViewBilling;
use crate::http::problem::Problem;
use crate::http::refusals::SharedRefusals;
use crate::http::routes::usage::LimitView;
use crate::http::state::AppState;
use crate::http::team::Shared;
use crate::usage::report;

/// The tenant's current subscription.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionBody {
    /// The subscription.
    pub subscription: SubscriptionView,
}

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView {
    /// Its id.
    pub id: Uuid,
    /// The plan.
    #[schema(example = "free")]
    pub plan_id: String,
    /// As Stripe names it; a free plan is always `active`.
    #[schema(example = "active")]
    pub status: String,
    /// `month` or `year`.
    #[schema(example = "month")]
    pub billing_interval: String,
    /// First instant of the current usage period.
    #[schema(value_type = String, format = DateTime)]
    pub current_period_start: jiff::Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub current_period_end: jiff::Timestamp,
    /// First instant of the billing period that is paid for; of a free plan the usage period.
    #[schema(value_type = String, format = DateTime)]
    pub billing_period_start: jiff::Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub billing_period_end: jiff::Timestamp,
    /// Whether it ends with the period.
    pub cancel_at_period_end: bool,
    /// When it ends, where that is decided.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cancel_at: Option<jiff::Timestamp>,
    /// Whether it is paid for through Stripe.
    pub paid: bool,
    /// Seats that are paid for.
    #[schema(example = 1)]
    pub quantity: i32,
    /// First instant after the trial.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub trial_end: Option<jiff::Timestamp>,
    /// `full`; `fallback` while a payment is overdue beyond its grace, and the limits of the default plan hold.
    #[schema(example = "full")]
    pub access: String,
    /// A change of plan to come.
    pub pending_change: Option<PlanChange>,
    /// Where each metric stands in the current period.
    pub limits: BTreeMap<String, LimitView>,
}

/// Get the subscription
///
/// Plan, status, current usage period and limits. Needs `viewBilling`; with `X-Team-Id` it is the owner's, without
/// what its overage costs.
#[utoipa::path(
    get, path = "/api/billing/subscription", tag = "billing", operation_id = "getSubscription",
    responses((status = 200, body = SubscriptionBody), SharedRefusals),
    security(("bearer" = [])),
)]
pub async fn subscription(
    State(state): State<AppState>,
    shared: Shared<ViewBilling>,
) -> Result<Json<SubscriptionBody>, Problem> {
    let tx = shared.read(&state, "get_subscription").await?;
    let current = report::current(&tx, shared.tenant_id, state.env.clock.now()).await?;
    tx.rollback().await?;
    let current = current.ok_or_else(Problem::not_found)?;
    let mut limits: BTreeMap<String, LimitView> =
        current.limits.iter().map(|(metric, limit)| (metric.clone(), limit.into())).collect();
    if !shared.sees_money() {
        limits.values_mut().for_each(LimitView::hide_money);
    }
    Ok(Json(SubscriptionBody {
        subscription: SubscriptionView {
            id: current.subscription.id,
            plan_id: current.subscription.plan_id,
            status: current.subscription.status,
            billing_interval: current.subscription.billing_interval,
            current_period_start: current.start,
            current_period_end: current.end,
            billing_period_start: current.subscription.current_period_start,
            billing_period_end: current.subscription.current_period_end,
            cancel_at_period_end: current.subscription.cancel_at_period_end,
            cancel_at: current.subscription.cancel_at,
            paid: current.subscription.is_paid,
            quantity: current.subscription.quantity,
            trial_end: current.subscription.trial_end,
            access: current.subscription.access,
            pending_change: current.subscription.pending.map(|(plan_id, billing_interval, effective_at)| PlanChange {
                plan_id,
                billing_interval,
                effective_at,
            }),
            limits,
        },
    }))
}
