//! `POST /api/usage`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tenantry_domain::permission::Permission;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Figures;
use super::batch::{BatchAnswer, record_batch};
use super::event::{EventBody, Frame};
use crate::http::caller::{Caller, Context};
use crate::http::extract;
use crate::http::problem::{Code, Problem};
use crate::http::refusals::UsageRefusals;
use crate::http::security::{self, Foreign};
use crate::http::state::AppState;
use crate::tenancy::Actor;
use crate::usage::event::NewEvent;
use crate::usage::outcome::{Answer, Invalid, Outcome, Refusal, SubmitError};

/// Many events.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UsageBatch)]
pub struct Batch<'a> {
    /// 1 to 10,000 events, decided in order.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 10_000)]
    pub events: Vec<EventBody<'a>>,
}

/// One event or many.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[schema(as = UsageBody)]
pub enum UsageBody<'a> {
    /// One event.
    One(EventBody<'a>),
    /// Many events.
    Many(Batch<'a>),
}

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recorded {
    /// `accepted` or `duplicate`.
    #[schema(example = "accepted")]
    pub status: &'static str,
    /// Where the metric stands now.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The bodies of a 200.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = RecordedOrBatch)]
pub enum Repeated {
    /// One event that counted before.
    One(Recorded),
    /// Many events.
    Many(BatchAnswer),
}

/// Record usage
///
/// One event, or up to 10,000 as `{"events": [...]}`. The answer is given after everything is durable. An event
/// counts once for the tenant's life under its `idempotencyKey`; sending it again is safe. A metric without
/// overage has a hard limit that is never passed, nor is a spend cap of the tenant. Needs `recordUsage`; corrections need `manageBilling`. With
/// `X-Team-Id` it counts for the team's owner, as used by the caller.
#[utoipa::path(
    post, path = "/api/usage", tag = "usage", operation_id = "recordUsage",
    request_body(content = UsageBody, example = json!({ "metric": "api_calls", "amount": "1", "idempotencyKey": "req-7f3a" })),
    responses(
        (status = 201, body = Recorded, description = "One event: it counts"),
        (status = 200, body = Repeated, description = "Many events; or one that counted before"),
        UsageRefusals,
    ),
    security(("bearer" = [])),
)]
pub async fn record(State(state): State<AppState>, context: Context, request: Request) -> Result<Response, Problem> {
    let bytes = extract::body_bytes(request).await?;
    let frame = Frame {
        tenant_id: context.tenant_id,
        team_id: context.team_id(),
        may_name_tenant: matches!(context.caller.actor, Actor::ServiceKey(_)),
        received_at: state.env.clock.now(),
        catalog: &state.catalog,
    };
    if extract::has_member(&bytes, "events") {
        let batch: Batch<'_> = extract::parse_json(&bytes)?;
        record_batch(&state, &context.caller, &batch, &frame).await.map(IntoResponse::into_response)
    } else {
        context.tenant()?;
        let event: EventBody<'_> = extract::parse_json(&bytes)?;
        let event = event.read(&Frame { may_name_tenant: false, ..frame }).map_err(problem_of)?;
        record_one(&state, &context.caller, event).await
    }
}

async fn record_one(state: &AppState, caller: &Caller, event: NewEvent) -> Result<Response, Problem> {
    let place = Place { tenant_id: event.tenant_id, team_id: event.team_id };
    let mut answers = state.ingest.submit(caller.actor, vec![event]).await?;
    let outcome = answers.pop().unwrap_or(Err(SubmitError::Unavailable))?;
    count(&outcome);
    let figures = |answer: Answer| Figures::of(&answer.metric, &answer.standing);
    let recorded = |status, answer| Json(Recorded { status, figures: figures(answer) });
    match outcome {
        Outcome::Accepted(answer) => Ok((StatusCode::CREATED, recorded("accepted", answer)).into_response()),
        Outcome::Duplicate(answer) => Ok((StatusCode::OK, recorded("duplicate", answer)).into_response()),
        Outcome::Conflict(answer) => {
            Err(figures(answer).on(Problem::new(Code::IdempotencyConflict).figure("outcome", "conflict")))
        }
        Outcome::Refused(Refusal::UsageLimitExceeded, answer) => {
            Err(figures(answer).on(Problem::new(Code::UsageLimitExceeded).figure("outcome", "rejected")))
        }
        Outcome::Refused(Refusal::MetricNotInPlan, answer) => {
            Err(figures(answer).on(Problem::new(Code::MetricNotInPlan).figure("outcome", "rejected")))
        }
        Outcome::Refused(Refusal::SpendCapExceeded(cap), answer) => Err(super::spend::refused(&answer, cap.as_ref())),
        Outcome::Invalid(invalid) => Err(problem_of(invalid)),
        Outcome::Forbidden(needed) => Err(refuse_forbidden(state, caller, place, needed).await),
        Outcome::Foreign => Err(refuse_forbidden(state, caller, place, Permission::RecordUsage).await),
        Outcome::TeamInactive => Err(Problem::new(Code::TeamPlanInactive)),
    }
}

/// Where somebody wanted to use something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The team that named it.
    pub team_id: Option<Uuid>,
}

/// The refusal of a caller that the ingest transaction or a check did not let in.
pub async fn refuse_forbidden(state: &AppState, caller: &Caller, place: Place, needed: Permission) -> Problem {
    let Place { tenant_id, team_id } = place;
    if let Some(team) = team_id {
        return crate::http::team::refused(state, caller, team, needed).await;
    }
    // Whether it is no member or a member without the permission: only members are told of permissions.
    match crate::http::caller::permissions_of(state, caller, tenant_id).await {
        Ok(Some((role, _))) => security::insufficient(state, caller, tenant_id, needed.as_str(), role).await,
        Ok(None) => security::foreign(state, caller, tenant_id, Foreign::Tenant).await,
        Err(problem) => problem,
    }
}

/// What is wrong with an event, as a problem.
pub(super) fn problem_of(invalid: Invalid) -> Problem {
    let code = match invalid.code {
        "unknown_metric" => Code::UnknownMetric,
        "timestamp_too_old" => Code::TimestampTooOld,
        "timestamp_in_future" => Code::TimestampInFuture,
        _ => Code::ValidationFailed,
    };
    Problem::new(code).field(invalid.field, invalid.message).figure("reason", invalid.code)
}

/// Counts an outcome in the metrics.
pub(super) fn count(outcome: &Outcome) {
    let label = match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Duplicate(_) => "duplicate",
        Outcome::Conflict(_) => "conflict",
        Outcome::Refused(..) => "rejected",
        Outcome::Invalid(_) => "invalid",
        Outcome::Forbidden(_) | Outcome::Foreign | Outcome::TeamInactive => "forbidden",
    };
    metrics::counter!("tenantry_usage_events_total", "outcome" => label).increment(1);
}
