//! `POST /api/usage/holds/{holdId}/commit`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use tenantry_domain::quantity::Quantity;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::event::{read_amount_or_zero, read_metadata};
use super::super::record::{Place, problem_of};
use super::{SettledHold, refused, settling};
use crate::http::caller::Context;
use crate::http::extract::Path;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::HoldRefusals;
use crate::http::state::AppState;
use crate::http::words::AmountValue;
use crate::tenancy::idempotency::Idempotent;
use crate::usage::holds::{Held, Settlement};

/// What was used.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CommitHold {
    /// What was used: less or more than was held; 0 releases the hold. A number or a string; its digits are what counts.
    #[schema(value_type = AmountValue, example = "80")]
    pub amount: Box<RawValue>,
    /// Anything to keep with the event, beside what was said when the hold was taken.
    #[schema(value_type = Option<Object>, example = json!({ "finish": "length" }))]
    pub metadata: Option<Box<RawValue>>,
}

impl CommitHold {
    fn read(&self) -> Result<Settlement, Problem> {
        let amount = read_amount_or_zero(self.amount.get()).map_err(problem_of)?;
        let metadata = self.metadata.as_ref().map(|raw| read_metadata(raw.get())).transpose().map_err(problem_of)?;
        Ok(if amount == Quantity::ZERO {
            Settlement::Release
        } else {
            Settlement::Commit(amount, metadata.unwrap_or_default())
        })
    }
}

/// Commit a hold
///
/// Ends the hold and records what was used, in one step and at most once: the event has the key `hold:<id>`. Up to what
/// was held it is always accepted; what goes beyond must fit the limit, else 402 with the hold still open. It counts in
/// the period in which the hold was taken. Repeated with the same amount it is answered again. Needs `recordUsage`;
/// a user's token settles that user's own holds.
#[utoipa::path(
    post, path = "/api/usage/holds/{holdId}/commit", tag = "usage", operation_id = "commitUsageHold",
    params(
        ("holdId" = Uuid, Path, description = "The hold"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    request_body = CommitHold,
    responses((status = 200, body = SettledHold), HoldRefusals),
    security(("bearer" = [])),
)]
pub async fn commit(
    State(state): State<AppState>,
    context: Context,
    Path(hold_id): Path<Uuid>,
    posted: Posted<CommitHold>,
) -> Result<Response, Problem> {
    let (settling, settlement) = (settling(&context, hold_id)?, posted.body.read()?);
    let keep = |held: &Held| kept(StatusCode::OK, &SettledHold::of(held));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match state.recorder.settle(settling, &settlement, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::OK, done, |held| SettledHold::of(&held))),
        Err(error) => {
            let place = Place { tenant_id: settling.tenant_id, team_id: settling.team_id };
            Err(refused(&state, &context.caller, place, error).await)
        }
    }
}
