//! Holds: quota that is reserved before work of unknown size.

pub mod commit;
pub mod create;
pub mod get;
pub mod list;
pub mod release;

use jiff::Timestamp;
use serde::Serialize;
use tenantry_domain::permission::Permission;
use tenantry_domain::quantity::Quantity;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Figures;
use super::record::{Place, problem_of, refuse_forbidden};
use crate::http::caller::{Caller, Context};
use crate::http::problem::{Code, Problem};
use crate::http::state::AppState;
use crate::storage::usage::holds::HoldRow;
use crate::tenancy::TenancyError;
use crate::usage::holds::{Held, HoldError};
use crate::usage::ingest::Settling;
use crate::usage::outcome::{Outcome, Refusal};

/// A hold.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Its id.
    pub id: Uuid,
    /// What is reserved.
    #[schema(example = "api_calls")]
    pub metric: String,
    /// How much.
    #[schema(example = "100")]
    pub amount: String,
    /// `open`, `committed`, `released` or `expired`.
    #[schema(example = "open")]
    pub state: String,
    /// What was used; null unless it is committed.
    #[schema(example = "80")]
    pub committed_amount: Option<String>,
    /// Who uses it.
    pub user_id: Option<Uuid>,
    /// Of the event that it becomes.
    #[schema(value_type = Object)]
    pub metadata: serde_json::Value,
    /// When it was taken.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// From then on it counts no more.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it was settled, or expired; null while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub settled_at: Option<Timestamp>,
}

impl Hold {
    /// As it is at an instant: one that has expired is shown so, also where nobody has taken it out yet.
    fn at(row: HoldRow, now: Timestamp) -> Self {
        let has_expired = row.state == "open" && row.expires_at <= now;
        Self {
            id: row.id,
            metric: row.metric,
            amount: text(row.amount),
            state: if has_expired { "expired".to_owned() } else { row.state },
            committed_amount: row.committed.map(text),
            user_id: row.user_id,
            metadata: row.metadata,
            created_at: row.created_at,
            settled_at: if has_expired { Some(row.expires_at) } else { row.settled_at },
            expires_at: row.expires_at,
        }
    }
}

/// A hold that was settled, and where its metric stands in its period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettledHold {
    /// Its id.
    pub id: Uuid,
    /// `committed` or `released`; `expired` where it was to be released and had expired before.
    #[schema(example = "committed")]
    pub state: String,
    /// What was used; 0 unless it is committed.
    #[schema(example = "80")]
    pub amount: String,
    /// Where the metric stands.
    #[serde(flatten)]
    pub figures: Figures,
}

impl SettledHold {
    fn of(held: &Held) -> Self {
        Self {
            id: held.hold.id,
            state: held.hold.state.clone(),
            amount: held.hold.committed.map_or_else(|| "0".to_owned(), text),
            figures: Figures::of(&held.hold.metric, &held.standing),
        }
    }
}

fn text(amount: rust_decimal::Decimal) -> String {
    Quantity::from_decimal(amount).to_string()
}

/// Who settles the hold of the path.
fn settling(context: &Context, hold_id: Uuid) -> Result<Settling, Problem> {
    Ok(Settling { actor: context.caller.actor, tenant_id: context.tenant()?, team_id: context.team_id(), hold_id })
}

/// The refusal of a hold, with a security event where it was about rights.
async fn refused(state: &AppState, caller: &Caller, place: Place, error: HoldError) -> Problem {
    match error {
        HoldError::Tenancy(TenancyError::Store(ref error)) if error.is_retryable() => Problem::new(Code::Unavailable),
        HoldError::Tenancy(error) => error.into(),
        HoldError::Declined(outcome) => declined(state, caller, place, *outcome).await,
        HoldError::NotFound => Problem::not_found(),
        HoldError::NotOpen(ref hold) => Problem::new(Code::HoldNotOpen)
            .detail(error.to_string())
            .figure("state", hold.state.clone())
            .figure("committedAmount", hold.committed.map(text)),
        error @ HoldError::NotSupported(_) => {
            let todo = "cannot be reserved; record what was used with `POST /api/usage` when it is known";
            Problem::new(Code::HoldsNotSupported).detail(error.to_string()).field("metric", todo)
        }
    }
}

/// What recording the same usage would be answered.
async fn declined(state: &AppState, caller: &Caller, place: Place, outcome: Outcome) -> Problem {
    match outcome {
        Outcome::Refused(refusal, answer) => {
            let code = match refusal {
                Refusal::UsageLimitExceeded => Code::UsageLimitExceeded,
                Refusal::MetricNotInPlan => Code::MetricNotInPlan,
                Refusal::SpendCapExceeded(cap) => return super::spend::refused(&answer, cap.as_ref()),
            };
            Figures::of(&answer.metric, &answer.standing).on(Problem::new(code))
        }
        Outcome::Invalid(invalid) => problem_of(invalid),
        Outcome::Forbidden(needed) => refuse_forbidden(state, caller, place, needed).await,
        Outcome::Foreign => refuse_forbidden(state, caller, place, Permission::RecordUsage).await,
        Outcome::TeamInactive => Problem::new(Code::TeamPlanInactive),
        Outcome::Accepted(_) | Outcome::Duplicate(_) | Outcome::Conflict(_) => {
            Problem::new(Code::IdempotencyConflict).detail("an event was recorded under the key that is this hold's")
        }
    }
}
