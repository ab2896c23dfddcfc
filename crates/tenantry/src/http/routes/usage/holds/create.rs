//! `POST /api/usage/holds`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::event::{read_amount, read_metadata, read_uuid};
use super::super::record::{Place, problem_of};
use super::{refused, text};
use crate::http::caller::Context;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::HoldRefusals;
use crate::http::state::AppState;
use crate::http::words::AmountValue;
use crate::tenancy::idempotency::Idempotent;
use crate::usage::holds::{DEFAULT_TTL, Held, LONGEST_TTL, NewHold};

/// Quota to be reserved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateHold {
    /// What is reserved; declared by the plan catalog.
    #[schema(example = "api_calls")]
    pub metric: String,
    /// More than 0; at most 15 digits before and 9 after the point. A number or a string; its digits are what counts.
    #[schema(value_type = AmountValue, example = "100")]
    pub amount: Box<RawValue>,
    /// Seconds after which it frees itself, 1 to 86,400.
    #[schema(minimum = 1, maximum = 86_400, default = 300, example = 300)]
    pub ttl_seconds: Option<i64>,
    /// Who will use it; keys may name any member, and whoever is in a team of the tenant's.
    #[schema(value_type = Option<Uuid>)]
    pub user_id: Option<String>,
    /// Anything to keep with the event that it becomes; `organizationId` and `userRole` are added.
    #[schema(value_type = Option<Object>, example = json!({ "model": "large" }))]
    pub metadata: Option<Box<RawValue>>,
}

/// A hold that was taken, and where its metric stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedHold {
    /// Its id.
    pub id: Uuid,
    /// What is reserved.
    #[schema(example = "api_calls")]
    pub metric: String,
    /// How much.
    #[schema(example = "100")]
    pub amount: String,
    /// `open`.
    #[schema(example = "open")]
    pub state: String,
    /// From then on it counts no more.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Used in the period.
    #[schema(example = "250")]
    pub total: String,
    /// Reserved in the period, this hold included.
    #[schema(example = "100")]
    pub held: String,
    /// Included in the plan; null: unlimited.
    #[schema(example = "1000")]
    pub included: Option<String>,
    /// What is left of it, neither used nor held, never below 0; null: unlimited.
    #[schema(example = "650")]
    pub remaining: Option<String>,
}

impl CreatedHold {
    fn of(held: &Held) -> Self {
        let Held { hold, standing } = held;
        Self {
            id: hold.id,
            metric: hold.metric.clone(),
            amount: text(hold.amount),
            state: hold.state.clone(),
            expires_at: hold.expires_at,
            total: standing.total.to_string(),
            held: standing.held.to_string(),
            included: standing.included.map(|quantity| quantity.to_string()),
            remaining: standing.remaining().map(|quantity| quantity.to_string()),
        }
    }
}

impl CreateHold {
    fn read(&self, context: &Context, state: &AppState) -> Result<NewHold, Problem> {
        super::super::declared(state, &self.metric)?;
        let seconds = self.ttl_seconds.unwrap_or(DEFAULT_TTL);
        if !(1..=LONGEST_TTL).contains(&seconds) {
            return Err(Problem::invalid("ttlSeconds", format!("must be 1 to {LONGEST_TTL}")));
        }
        let metadata = self.metadata.as_ref().map(|raw| read_metadata(raw.get())).transpose().map_err(problem_of)?;
        let user_id = self.user_id.as_deref().map(|text| read_uuid("userId", text)).transpose().map_err(problem_of)?;
        Ok(NewHold {
            tenant_id: context.tenant()?,
            team_id: context.team_id(),
            metric: self.metric.clone(),
            amount: read_amount(self.amount.get()).map_err(problem_of)?,
            lasts: SignedDuration::from_secs(seconds),
            user_id,
            metadata: metadata.unwrap_or_default(),
        })
    }
}

/// Take a hold
///
/// Reserves quota before work of unknown size: until the hold is committed, released or expired, limits judge what is
/// used and held together. It is refused where an event of the amount would be; of a metric with overage there is no
/// limit, and it always succeeds. Needs `recordUsage`. With `X-Team-Id` it reserves of the team's owner.
#[utoipa::path(
    post, path = "/api/usage/holds", tag = "usage", operation_id = "createUsageHold",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    request_body = CreateHold,
    responses((status = 201, body = CreatedHold), HoldRefusals),
    security(("bearer" = [])),
)]
pub async fn create(
    State(state): State<AppState>,
    context: Context,
    posted: Posted<CreateHold>,
) -> Result<Response, Problem> {
    let new = posted.body.read(&context, &state)?;
    let keep = |held: &Held| kept(StatusCode::CREATED, &CreatedHold::of(held));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match state.recorder.hold(context.caller.actor, &new, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, |held| CreatedHold::of(&held))),
        Err(error) => {
            let place = Place { tenant_id: new.tenant_id, team_id: new.team_id };
            Err(refused(&state, &context.caller, place, error).await)
        }
    }
}
