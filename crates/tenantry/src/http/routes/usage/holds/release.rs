//! `POST /api/usage/holds/{holdId}/release`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::super::record::Place;
use super::{SettledHold, refused, settling};
use crate::http::caller::Context;
use crate::http::extract::Path;
use crate::http::posted::{Asked, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::HoldRefusals;
use crate::http::state::AppState;
use crate::tenancy::idempotency::Idempotent;
use crate::usage::holds::{Held, Settlement};

/// Release a hold
///
/// Ends the hold with nothing used: what it reserved is free again. Of one that was released or has expired it changes
/// nothing. Needs `recordUsage`; a user's token settles that user's own holds.
#[utoipa::path(
    post, path = "/api/usage/holds/{holdId}/release", tag = "usage", operation_id = "releaseUsageHold",
    params(
        ("holdId" = Uuid, Path, description = "The hold"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    responses((status = 200, body = SettledHold), HoldRefusals),
    security(("bearer" = [])),
)]
pub async fn release(
    State(state): State<AppState>,
    context: Context,
    Path(hold_id): Path<Uuid>,
    asked: Asked,
) -> Result<Response, Problem> {
    let settling = settling(&context, hold_id)?;
    let keep = |held: &Held| kept(StatusCode::OK, &SettledHold::of(held));
    let idempotent = asked.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match state.recorder.settle(settling, &Settlement::Release, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::OK, done, |held| SettledHold::of(&held))),
        Err(error) => {
            let place = Place { tenant_id: settling.tenant_id, team_id: settling.team_id };
            Err(refused(&state, &context.caller, place, error).await)
        }
    }
}
