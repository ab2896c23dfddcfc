//! `POST /api/usage`

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Figures;
use super::event::{EventBody, Frame};
use crate::http::caller::{Caller, Context};
use crate::http::extract;
use crate::http::problem::{Code, Problem};
use crate::http::refusals::UsageRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::Actor;
use crate::usage::event::NewEvent;
use crate::usage::outcome::{Answer, Invalid, Outcome, Refusal, SubmitError};

/// Events in one request at the most.
const MOST_EVENTS: usize = 10_000;

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

/// What became of many events.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct BatchAnswer {
    /// Events that count now.
    pub accepted: usize,
    /// Events that counted before.
    pub duplicate: usize,
    /// Events that a limit refused.
    pub rejected: usize,
    /// Events whose key was used for other content.
    pub conflict: usize,
    /// Events with something wrong in them.
    pub invalid: usize,
    /// Every event that was not accepted, by its index.
    pub results: Vec<NotAccepted>,
}

/// An event of a batch that was not accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotAccepted {
    /// Its index in `events`, from 0.
    pub index: usize,
    /// `duplicate`, `rejected`, `conflict` or `invalid`.
    #[schema(example = "rejected")]
    pub status: &'static str,
    /// Why, as a stable code.
    #[schema(example = "usage_limit_exceeded")]
    pub code: &'static str,
    /// The field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where the metric stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
}

/// Record usage
///
/// One event, or up to 10,000 as `{"events": [...]}`. The answer is given after everything is durable. An event
/// counts once for the tenant's life under its `idempotencyKey`; sending it again is safe. A metric without
/// overage has a hard limit that is never passed. Needs `recordUsage`; corrections need `manageBilling`.
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
        may_name_tenant: matches!(context.caller.actor, Actor::ServiceKey(_)),
        received_at: state.env.clock.now(),
        catalog: &state.catalog,
    };
    if extract::has_member(&bytes, "events") {
        let batch: Batch<'_> = extract::parse_json(&bytes)?;
        record_batch(&state, &context.caller, &batch, &frame).await
    } else {
        context.tenant()?;
        let event: EventBody<'_> = extract::parse_json(&bytes)?;
        let event = event.read(&Frame { may_name_tenant: false, ..frame }).map_err(problem_of)?;
        record_one(&state, &context.caller, event).await
    }
}

async fn record_one(state: &AppState, caller: &Caller, event: NewEvent) -> Result<Response, Problem> {
    let tenant_id = event.tenant_id;
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
        Outcome::Invalid(invalid) => Err(problem_of(invalid)),
        Outcome::Forbidden => Err(refuse_forbidden(state, caller, tenant_id, "recordUsage").await),
    }
}

async fn record_batch(
    state: &AppState,
    caller: &Caller,
    batch: &Batch<'_>,
    frame: &Frame<'_>,
) -> Result<Response, Problem> {
    if batch.events.is_empty() || batch.events.len() > MOST_EVENTS {
        return Err(Problem::invalid("events", format!("must have 1 to {MOST_EVENTS} events")));
    }
    let mut answer = BatchAnswer::default();
    let mut sent = Vec::with_capacity(batch.events.len());
    let mut indexes = Vec::with_capacity(batch.events.len());
    for (index, event) in batch.events.iter().enumerate() {
        match event.read(frame) {
            Ok(event) => {
                sent.push(event);
                indexes.push(index);
            }
            Err(invalid) => answer.add(index, Outcome::Invalid(invalid)),
        }
    }
    let tenants: Vec<Uuid> = sent.iter().map(|event| event.tenant_id).collect();
    let outcomes = state.ingest.submit(caller.actor, sent).await?;
    let mut forbidden = None;
    for ((index, tenant), outcome) in indexes.into_iter().zip(tenants).zip(outcomes) {
        let outcome = outcome?;
        count(&outcome);
        if outcome == Outcome::Forbidden {
            forbidden = Some(tenant);
        }
        answer.add(index, outcome);
    }
    if let Some(tenant) = forbidden {
        // A user and a tenant key act in one tenant: what one event may not, none may.
        let problem = refuse_forbidden(state, caller, tenant, "recordUsage").await;
        if !frame.may_name_tenant {
            return Err(problem);
        }
    }
    answer.results.sort_by_key(|result| result.index);
    Ok(Json(answer).into_response())
}

impl BatchAnswer {
    fn add(&mut self, index: usize, outcome: Outcome) {
        let figures = |answer: &Answer| Some(Figures::of(&answer.metric, &answer.standing));
        let plain = |status, code, figures| NotAccepted { index, status, code, field: None, message: None, figures };
        let result = match outcome {
            Outcome::Accepted(_) => {
                self.accepted += 1;
                return;
            }
            Outcome::Duplicate(answer) => {
                self.duplicate += 1;
                plain("duplicate", "duplicate", figures(&answer))
            }
            Outcome::Conflict(answer) => {
                self.conflict += 1;
                plain("conflict", Code::IdempotencyConflict.name(), figures(&answer))
            }
            Outcome::Refused(refusal, answer) => {
                self.rejected += 1;
                let code = match refusal {
                    Refusal::UsageLimitExceeded => Code::UsageLimitExceeded,
                    Refusal::MetricNotInPlan => Code::MetricNotInPlan,
                };
                plain("rejected", code.name(), figures(&answer))
            }
            Outcome::Invalid(Invalid { code, field, message }) => {
                self.invalid += 1;
                NotAccepted {
                    index,
                    status: "invalid",
                    code,
                    field: Some(field),
                    message: Some(message),
                    figures: None,
                }
            }
            Outcome::Forbidden => {
                self.invalid += 1;
                plain("invalid", Code::ForbiddenTenant.name(), None)
            }
        };
        self.results.push(result);
    }
}

/// The refusal of a caller that the ingest transaction or a check did not let in.
pub async fn refuse_forbidden(state: &AppState, caller: &Caller, tenant_id: Uuid, needed: &'static str) -> Problem {
    // Whether it is no member or a member without the permission: only members are told of permissions.
    match crate::http::caller::permissions_of(state, caller, tenant_id).await {
        Ok(Some((role, _))) => security::insufficient(state, caller, tenant_id, needed, role).await,
        Ok(None) => {
            security::foreign_tenant(state, caller, tenant_id, "forbidden_tenant").await;
            Problem::new(Code::ForbiddenTenant)
        }
        Err(problem) => problem,
    }
}

fn problem_of(invalid: Invalid) -> Problem {
    let code = match invalid.code {
        "unknown_metric" => Code::UnknownMetric,
        "timestamp_too_old" => Code::TimestampTooOld,
        "timestamp_in_future" => Code::TimestampInFuture,
        _ => Code::ValidationFailed,
    };
    Problem::new(code).field(invalid.field, invalid.message).figure("reason", invalid.code)
}

fn count(outcome: &Outcome) {
    let label = match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Duplicate(_) => "duplicate",
        Outcome::Conflict(_) => "conflict",
        Outcome::Refused(..) => "rejected",
        Outcome::Invalid(_) => "invalid",
        Outcome::Forbidden => "forbidden",
    };
    metrics::counter!("tenantry_usage_events_total", "outcome" => label).increment(1);
}
