//! `GET /api/billing/operations/{operationId}`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::stripe::operations;

/// A change that somebody asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationBody {
    /// The change.
    pub operation: OperationView,
}

/// A change that somebody asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationView {
    /// Its id.
    pub id: Uuid,
    /// `checkout`, `upgrade`, `downgrade`, `cancel`, `resume` or `seats`.
    #[schema(example = "upgrade")]
    pub kind: String,
    /// `running`, `succeeded` or `failed`.
    #[schema(example = "succeeded")]
    pub status: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The answer that the request would have had; of one that failed `code` and `detail`.
    #[schema(value_type = Option<Object>)]
    pub outcome: Option<Value>,
}

/// Get an operation
///
/// How a change goes that took longer than its request, or waits for Stripe. Needs `manageBilling`.
#[utoipa::path(
    get, path = "/api/billing/operations/{operationId}", tag = "billing", operation_id = "getBillingOperation",
    params(("operationId" = Uuid, Path, description = "The operation")),
    responses((status = 200, body = OperationBody), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn operation(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Path(id): Path<Uuid>,
) -> Result<Json<OperationBody>, Problem> {
    let tx = state.db.read_as_service("get_billing_operation", &[permitted.tenant_id]).await?;
    let row = operations::get(&tx, permitted.tenant_id, id).await?;
    tx.rollback().await?;
    let row = row.ok_or_else(Problem::not_found)?;
    Ok(Json(OperationBody {
        operation: OperationView {
            id: row.id,
            kind: row.kind,
            status: row.state,
            created_at: row.created_at,
            outcome: row.outcome,
        },
    }))
}
