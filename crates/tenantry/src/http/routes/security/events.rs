//! `GET /api/security/events`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::{ManageMembers, Permitted};
use crate::http::extract::Query;
use crate::http::log_query::{LogActor, LogQuery};
use crate::http::page::Page;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::security::{self as rows, SecurityEventRow};

/// An attempt that was refused.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityEvent {
    /// Its id.
    pub id: Uuid,
    /// Why it was refused.
    #[schema(example = "insufficient_permissions")]
    pub kind: String,
    /// `info`, `warning` or `critical`.
    #[schema(example = "warning")]
    pub severity: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
    /// Who tried.
    pub actor: LogActor,
    /// The permission that was missing.
    #[schema(example = "manageBilling")]
    pub needed_permission: Option<String>,
    /// The actor's role in the tenant.
    #[schema(example = "member")]
    pub role: Option<String>,
    /// Id of the request, as its answer carried it.
    pub request_id: Option<String>,
    /// Network address that it came from.
    #[schema(example = "203.0.113.7")]
    pub address: Option<String>,
    /// Anything else.
    #[schema(value_type = Object)]
    pub payload: serde_json::Value,
}

impl From<SecurityEventRow> for SecurityEvent {
    fn from(row: SecurityEventRow) -> Self {
        let (kind, id) = match (row.user_id, row.key_id) {
            (Some(user), _) => ("user", Some(user)),
            (None, Some(key)) => ("key", Some(key)),
            (None, None) => ("system", None),
        };
        Self {
            id: row.id,
            kind: row.kind,
            severity: row.severity,
            at: row.created_at,
            actor: LogActor { r#type: kind.to_owned(), id },
            needed_permission: row.needed_permission,
            role: row.role,
            request_id: row.request_id,
            address: row.address,
            payload: row.details,
        }
    }
}

/// List security events
///
/// What members and keys of the tenant tried and were refused, the newest first. Attempts at the tenant by strangers
/// are written where the stranger belongs, not here. Needs `manageMembers`.
#[utoipa::path(
    get, path = "/api/security/events", tag = "security", operation_id = "listSecurityEvents",
    params(LogQuery),
    responses((status = 200, body = Page<SecurityEvent>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn events(
    State(state): State<AppState>,
    permitted: Permitted<ManageMembers>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Page<SecurityEvent>>, Problem> {
    let (page, filter) = (query.page(), query.filter()?);
    let (before, fetch) = (page.after()?, page.fetch()?);
    let tx = permitted.caller.read(&state, "list_security_events", permitted.tenant_id).await?;
    let found = rows::page_back(&tx, permitted.tenant_id, before, &filter, fetch).await?;
    tx.rollback().await?;
    Page::of(found, &page, |row| (row.created_at, row.id), SecurityEvent::from).map(Json)
}
