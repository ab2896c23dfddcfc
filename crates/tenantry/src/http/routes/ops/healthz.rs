//! `GET /healthz`

use axum::Json;
use serde_json::{Value, json};

/// Is the process alive
///
/// Answers as long as the process does, whatever the database does.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", operation_id = "getHealth",
    responses((status = 200, body = Object, description = "It is", example = json!({ "status": "ok" }))),
)]
pub async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}
