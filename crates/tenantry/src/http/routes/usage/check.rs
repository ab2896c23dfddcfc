//! `GET /api/usage/check`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenantry_domain::limit::Outlook;
use tenantry_domain::permission::Permission;
use tenantry_domain::quantity::Quantity;
use utoipa::{IntoParams, ToSchema};

use super::record::Place;
use super::spend::SpendFigures;
use crate::http::caller::Context;
use crate::http::extract::Query;
use crate::http::problem::{Code, Problem};
use crate::http::refusals::UsageReadRefusals;
use crate::http::state::AppState;
use crate::usage::check::{Question, Verdict};

/// What is asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CheckQuery {
    /// The metric.
    #[param(example = "api_calls")]
    pub metric: String,
    /// How much more; default 1.
    #[param(example = "1")]
    pub amount: Option<String>,
}

/// Whether it would be taken.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckBody {
    /// Whether an event of this amount would be accepted now.
    pub allowed: bool,
    /// Why not: `usage_limit_exceeded`, also where the plan does not name the metric, or `spend_cap_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "spend_cap_exceeded", nullable = false)]
    pub reason: Option<&'static str>,
    /// Used in the period.
    #[schema(example = "250")]
    pub total: String,
    /// Included in the plan; null: unlimited.
    #[schema(example = "1000")]
    pub included: Option<String>,
    /// What is left of it, neither used nor held, never below 0; null: unlimited.
    #[schema(example = "750")]
    pub remaining: Option<String>,
    /// Reserved by holds that are open.
    #[schema(example = "0")]
    pub held: String,
    /// What of the amount would lie above the included quantity.
    #[schema(example = "0")]
    pub would_overage: String,
    /// The spend cap that would refuse it, for those who may view billing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub spend: Option<SpendFigures>,
}

impl CheckBody {
    fn of(outlook: &Outlook, amount: Quantity, reason: Option<Code>) -> Self {
        let standing = &outlook.standing;
        Self {
            allowed: reason.is_none(),
            reason: reason.map(Code::name),
            total: standing.total.to_string(),
            included: standing.included.map(|quantity| quantity.to_string()),
            remaining: standing.remaining().map(|quantity| quantity.to_string()),
            held: standing.held.to_string(),
            would_overage: outlook.would_overage(amount).to_string(),
            spend: None,
        }
    }
}

/// Check usage
///
/// Whether the tenant may use so much more right now. The answer includes every event that any replica answered
/// before the request arrived; limits and spend caps judge as they would judge an event. It reserves nothing (a hold
/// does). Of a metric that is no sum it says whether an event of this amount would be taken: for `unique` one with a
/// value that is new, for `peak` one of this hour. Needs `viewUsage`; with `X-Team-Id` it asks of the team's owner.
#[utoipa::path(
    get, path = "/api/usage/check", tag = "usage", operation_id = "checkUsage",
    params(CheckQuery),
    responses((status = 200, body = CheckBody), UsageReadRefusals),
    security(("bearer" = [])),
)]
pub async fn check(
    State(state): State<AppState>,
    context: Context,
    Query(query): Query<CheckQuery>,
) -> Result<Json<CheckBody>, Problem> {
    super::declared(&state, &query.metric)?;
    let amount = Quantity::parse_amount(query.amount.as_deref().unwrap_or("1"))
        .map_err(|error| Problem::invalid("amount", error.to_string()))?;
    let tenant_id = context.tenant()?;
    let place = Place { tenant_id, team_id: context.team_id() };
    let question = Question {
        actor: context.caller.actor,
        tenant_id,
        team_id: place.team_id,
        metric: query.metric.clone(),
        amount,
        at: state.env.clock.now(),
    };
    let metric = query.metric;
    match state.checks.ask(question).await? {
        Verdict::Standing(outlook) => {
            let reason = (!outlook.admits(amount)).then_some(Code::UsageLimitExceeded);
            Ok(Json(CheckBody::of(&outlook, amount, reason)))
        }
        Verdict::Capped(outlook, cap) => {
            let spend = cap.map(|cap| SpendFigures::of(&metric, &cap));
            Ok(Json(CheckBody { spend, ..CheckBody::of(&outlook, amount, Some(Code::SpendCapExceeded)) }))
        }
        Verdict::Forbidden => {
            Err(super::record::refuse_forbidden(&state, &context.caller, place, Permission::ViewUsage).await)
        }
        Verdict::TeamInactive => Err(Problem::new(Code::TeamPlanInactive)),
    }
}
