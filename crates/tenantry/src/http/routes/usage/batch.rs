//! Many events in one `POST /api/usage`: each has its own result.

use std::collections::BTreeSet;

use axum::Json;
use serde::Serialize;
use tenantry_domain::permission::Permission;
use utoipa::ToSchema;

use super::Figures;
use super::event::Frame;
use super::record::{Batch, Place, count, refuse_forbidden};
use super::spend::{self, SpendFigures};
use crate::http::caller::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::state::AppState;
use crate::usage::outcome::{Answer, Invalid, Outcome, Refusal, SubmitError};

/// Events in one request at the most.
const MOST_EVENTS: usize = 10_000;
/// Security events of one request at the most: a batch over thousands of foreign tenants is one incident.
const MOST_REFUSALS: usize = 20;

/// What became of many events.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct BatchAnswer {
    /// Events that count now.
    pub accepted: usize,
    /// Events that counted before.
    pub duplicate: usize,
    /// Events that a limit or a spend cap refused.
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
    /// The spend cap that refused it, for those who may view billing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend: Option<SpendFigures>,
}

/// Records a batch. An error is the answer only where it is every event's: what else was decided is committed, and
/// its sender learns so.
pub(super) async fn record_batch(
    state: &AppState,
    caller: &Caller,
    batch: &Batch<'_>,
    frame: &Frame<'_>,
) -> Result<Json<BatchAnswer>, Problem> {
    if batch.events.is_empty() || batch.events.len() > MOST_EVENTS {
        return Err(Problem::invalid("events", format!("must have 1 to {MOST_EVENTS} events")));
    }
    let mut answer = BatchAnswer::default();
    let mut sent = Vec::with_capacity(batch.events.len());
    let mut places = Vec::with_capacity(batch.events.len());
    for (index, event) in batch.events.iter().enumerate() {
        match event.read(frame) {
            Ok(event) => {
                places.push((index, Place { tenant_id: event.tenant_id, team_id: event.team_id }));
                sent.push(event);
            }
            Err(invalid) => answer.add(index, Outcome::Invalid(invalid)),
        }
    }
    let outcomes = state.ingest.submit(caller.actor, sent).await?;
    if let Some(Err(error)) = outcomes.first()
        && outcomes.iter().all(Result::is_err)
    {
        return Err((*error).into());
    }
    let mut refused = BTreeSet::new();
    let (mut forbidden, mut inactive) = (0, 0);
    for ((index, place), outcome) in places.into_iter().zip(outcomes) {
        match outcome {
            Ok(outcome) => {
                count(&outcome);
                if let Some(needed) = needed(&outcome) {
                    forbidden += 1;
                    refused.insert((place, needed));
                }
                inactive += usize::from(outcome == Outcome::TeamInactive);
                answer.add(index, outcome);
            }
            Err(error) => answer.add_failed(index, error),
        }
    }
    if inactive == batch.events.len() {
        return Err(Problem::new(Code::TeamPlanInactive));
    }
    let problem = refuse(state, caller, refused).await;
    match problem {
        // A user and a tenant key act in one tenant.
        Some(problem) if forbidden == batch.events.len() && !frame.may_name_tenant => Err(problem),
        _ => {
            answer.results.sort_by_key(|result| result.index);
            Ok(Json(answer))
        }
    }
}

/// The permission that an event was refused for.
fn needed(outcome: &Outcome) -> Option<Permission> {
    match outcome {
        Outcome::Forbidden(needed) => Some(*needed),
        Outcome::Foreign => Some(Permission::RecordUsage),
        _ => None,
    }
}

/// Writes security events of what was refused; gives the first one's problem.
async fn refuse(state: &AppState, caller: &Caller, refused: BTreeSet<(Place, Permission)>) -> Option<Problem> {
    let mut first = None;
    for (place, needed) in refused.into_iter().take(MOST_REFUSALS) {
        let problem = refuse_forbidden(state, caller, place, needed).await;
        first.get_or_insert(problem);
    }
    first
}

impl BatchAnswer {
    pub(super) fn add(&mut self, index: usize, outcome: Outcome) {
        let figures = |answer: &Answer| Some(Figures::of(&answer.metric, &answer.standing));
        let plain = |status, code, figures| {
            let (field, message, spend) = (None, None, None);
            NotAccepted { index, status, code, field, message, figures, spend }
        };
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
                let (code, cap) = match refusal {
                    Refusal::UsageLimitExceeded => (Code::UsageLimitExceeded, None),
                    Refusal::MetricNotInPlan => (Code::MetricNotInPlan, None),
                    Refusal::SpendCapExceeded(cap) => (Code::SpendCapExceeded, cap),
                };
                let message = (code == Code::SpendCapExceeded).then(|| spend::told(&answer.metric, cap.as_ref()));
                let spend = cap.map(|cap| SpendFigures::of(&answer.metric, &cap));
                NotAccepted { message, spend, ..plain("rejected", code.name(), figures(&answer)) }
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
                    spend: None,
                }
            }
            Outcome::Forbidden(needed) => {
                self.invalid += 1;
                let message = format!("{needed} is needed for this");
                NotAccepted { message: Some(message), ..plain("invalid", Code::InsufficientPermissions.name(), None) }
            }
            Outcome::Foreign => {
                self.invalid += 1;
                plain("invalid", Code::ForbiddenTenant.name(), None)
            }
            Outcome::TeamInactive => {
                self.invalid += 1;
                plain("invalid", Code::TeamPlanInactive.name(), None)
            }
        };
        self.results.push(result);
    }

    /// An event that could not be decided; the others count all the same.
    fn add_failed(&mut self, index: usize, error: SubmitError) {
        self.invalid += 1;
        let code = match error {
            SubmitError::Overloaded => Code::Overloaded,
            SubmitError::Unavailable | SubmitError::ShuttingDown => Code::Unavailable,
            SubmitError::Internal => Code::Internal,
        };
        let message = Some("it could not be recorded; send it again under the same key".to_owned());
        let (status, code) = ("invalid", code.name());
        let result = NotAccepted { index, status, code, field: None, message, figures: None, spend: None };
        self.results.push(result);
    }
}
