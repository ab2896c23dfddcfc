//! `POST /api/webhook-endpoints/{endpointId}/deliveries/{deliveryId}/replay`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::WebhookDeliveryBody;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Path;
use crate::http::posted::{Asked, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::notices::webhooks::endpoints;
use crate::storage::notices::deliveries::DeliveryRow;
use crate::tenancy::idempotency::Idempotent;

/// Replay a delivery
///
/// Sends it again under the same `webhook-id`, with attempts counted anew, whatever became of it before. Needs
/// `manageBilling`.
#[utoipa::path(
    post, path = "/api/webhook-endpoints/{endpointId}/deliveries/{deliveryId}/replay", tag = "webhooks",
    operation_id = "replayWebhookDelivery",
    params(
        ("endpointId" = Uuid, Path, description = "The endpoint"),
        ("deliveryId" = Uuid, Path, description = "The delivery"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    responses((status = 202, body = WebhookDeliveryBody), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn replay(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    ids: Path<(Uuid, Uuid)>,
    asked: Asked,
) -> Result<Response, Problem> {
    // Taken apart here, since the OpenAPI macro takes no pattern of a tuple.
    let Path(ids) = ids;
    let keep = |row: &DeliveryRow| kept(StatusCode::ACCEPTED, &WebhookDeliveryBody::from(row.clone()));
    let idempotent = asked.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let on = super::on(&permitted);
    match endpoints::replay(&state.db, &state.env, on, ids, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::ACCEPTED, done, WebhookDeliveryBody::from)),
        Err(error) => Err(security::refused(&state, &permitted.caller, permitted.tenant_id, error).await),
    }
}
