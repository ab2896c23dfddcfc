//! `GET /readyz`

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::http::problem::Problem;
use crate::http::refusals::OpenRefusals;
use crate::http::state::AppState;

/// Can it serve
///
/// Asks the database as both serving roles; 503 where one of them cannot be reached.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "getReadiness",
    responses((status = 200, body = Object, description = "It can", example = json!({ "status": "ready" })), OpenRefusals),
)]
pub async fn readyz(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    state.db.ping().await?;
    Ok(Json(json!({ "status": "ready" })))
}
