//! Asking for something that needs Stripe: written down, executed, answered; or answered that it goes on.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::billing::operations::{self, Asked, Begun, OperationError};
use crate::billing::plan_choice::{Refused, Wish};
use crate::env::whole_seconds;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::parse_timestamp;
use crate::http::problem::{Code, Problem};
use crate::http::security;
use crate::http::state::AppState;
use crate::stripe_sync::Stripe;
use crate::stripe_sync::error::SyncError;
use crate::stripe_sync::operations::{Outcome, Trouble, execute};
use crate::tenancy::idempotency::{Idempotent, IdempotentRequest};

/// How often a plan is paid.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum BillingInterval {
    /// Every month.
    Month,
    /// Every year.
    Year,
}

/// Another plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ChangePlan {
    /// The plan.
    #[schema(example = "pro")]
    pub new_plan_id: String,
    /// How often it is paid; as now, where it is missing.
    #[schema(value_type = Option<BillingInterval>, example = "month")]
    pub billing_interval: Option<String>,
    /// `prorationDate` of a preview, so that exactly what it showed is charged; for an hour.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proration_date: Option<String>,
}

impl ChangePlan {
    /// The plan that is wished for.
    pub fn wish(&self) -> Wish {
        Wish { plan_id: self.new_plan_id.clone(), interval: self.billing_interval.clone() }
    }

    /// The instant of a preview, in whole seconds as Stripe counts; not in the future.
    pub fn proration_date(&self, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let wrong = |what: &str| Problem::invalid("prorationDate", what);
        let Some(text) = &self.proration_date else { return Ok(None) };
        let at = parse_timestamp(text).ok_or_else(|| wrong("must be a time as RFC 3339 writes it"))?;
        if at > now {
            return Err(wrong("must not lie in the future"));
        }
        Ok(Some(whole_seconds(at)))
    }
}

/// A plan that was changed, or will be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanChange {
    /// The plan.
    #[schema(example = "pro")]
    pub plan_id: String,
    /// How often it is paid.
    #[schema(value_type = BillingInterval, example = "month")]
    pub billing_interval: String,
    /// When it takes effect, or did.
    #[schema(value_type = String, format = DateTime)]
    pub effective_at: Timestamp,
}

/// A change that is still under way.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationPending {
    /// `GET /api/billing/operations/{operationId}` tells how it goes.
    pub operation_id: Uuid,
    /// Always `running`.
    #[schema(example = "running")]
    pub status: &'static str,
}

/// Stripe, where this deployment has it.
pub fn stripe(state: &AppState) -> Result<&Stripe, Problem> {
    state.stripe.as_ref().ok_or_else(|| Problem::new(Code::StripeNotConfigured))
}

/// Asks, waits for the outcome and answers with it.
pub async fn ask(
    state: &AppState,
    permitted: &Permitted<ManageBilling>,
    asked: &Asked,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Response, Problem> {
    let stripe = stripe(state)?;
    let (caller, tenant) = (&permitted.caller, permitted.tenant_id);
    let idempotent = idempotency.map(|request| Idempotent { request, keep: &operations::keep });
    let begun = match operations::begin(&state.db, &state.env, caller.actor, tenant, asked, idempotent.as_ref()).await {
        Ok(begun) => begun,
        Err(OperationError::Tenancy(error)) => return Err(security::refused(state, caller, tenant, error).await),
        Err(error) => return Err(refusal(error)),
    };
    let is_replay = matches!(begun, Begun::Replayed(_));
    let mut response = answer(execute(stripe, begun, tenant).await?)?;
    if is_replay {
        response.headers_mut().insert("idempotent-replayed", axum::http::HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn answer(outcome: Outcome) -> Result<Response, Problem> {
    match outcome {
        Outcome::Done(answer) => Ok(Json(answer).into_response()),
        Outcome::Refused(trouble) => Err(trouble_problem(&trouble)),
        Outcome::GoesOn(operation_id) => {
            let body = OperationPending { operation_id, status: "running" };
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        Outcome::Waits(id) => Err(Problem::new(Code::StripeUnavailable).figure("operationId", json!(id))),
    }
}

/// What an operation was refused for, as a problem.
pub fn trouble_problem(trouble: &Trouble) -> Problem {
    let code = Code::of_name(&trouble.code).unwrap_or(Code::StripeRefused);
    if code == Code::NotFound {
        return Problem::not_found();
    }
    let mut problem = Problem::new(code).detail(trouble.detail.clone());
    for name in ["declineCode", "url"] {
        if let Some(value) = trouble.figures.get(name).filter(|value| !value.is_null()) {
            problem = problem.figure(name, value.clone());
        }
    }
    problem
}

/// What was not written down, as a problem.
pub fn refusal(error: OperationError) -> Problem {
    let code = match &error {
        OperationError::Tenancy(_) => {
            let OperationError::Tenancy(error) = error else { return Problem::internal(error) };
            return error.into();
        }
        OperationError::InProgress => Code::OperationInProgress,
        OperationError::PreviewOver => return Problem::invalid("prorationDate", error.to_string()),
        OperationError::NothingToResume => Code::NothingToResume,
        OperationError::Refused(error) => return refused(error),
    };
    Problem::new(code).detail(error.to_string())
}

/// The code for a plan that cannot be had.
fn code_of(refused: &Refused) -> Code {
    match refused {
        Refused::UnknownPlanOrInterval { .. } => Code::UnknownPlanOrInterval,
        Refused::CheckoutRequired => Code::CheckoutRequired,
        Refused::AlreadySubscribed => Code::AlreadySubscribed,
        Refused::NotAllowed(_) | Refused::TooManyMembers { .. } => Code::PlanChangeNotAllowed,
        Refused::CancellationPending => Code::CancellationPending,
    }
}

/// A plan that cannot be had, as a problem.
pub fn refused(error: &Refused) -> Problem {
    let problem = Problem::new(code_of(error)).detail(error.to_string());
    match error {
        Refused::TooManyMembers { places, members, .. } => {
            problem.figure("maxMembers", *places).figure("members", *members)
        }
        _ => problem,
    }
}

impl From<SyncError> for Problem {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Store(error) => error.into(),
            SyncError::Tenancy(error) => error.into(),
            SyncError::Stripe(error) if error.is_retryable_later() => {
                Self::new(Code::StripeUnavailable).caused_by(error)
            }
            SyncError::Stripe(error) => Self::new(Code::StripeRefused).caused_by(error),
            SyncError::Busy | SyncError::LeaseLost => Self::new(Code::OperationInProgress),
            SyncError::Confused(reason) => Self::internal(reason),
        }
    }
}
