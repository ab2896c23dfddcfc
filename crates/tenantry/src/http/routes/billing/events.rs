//! `GET /api/billing/events`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract::Query;
use crate::http::log_query::{LogActor, LogQuery};
use crate::http::page::Page;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::audit::{self, AuditRow};
use crate::tenancy::audit::hex;

/// An entry of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct BillingEvent {
    /// Its id.
    pub id: Uuid,
    /// What happened.
    #[schema(example = "member.added")]
    pub kind: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
    /// Who did it.
    pub actor: LogActor,
    /// What it happened to: a user, a key, a subscription, the tenant.
    pub subject: Option<Uuid>,
    /// The rest; its members depend on the kind. Null where it was erased.
    #[schema(value_type = Option<Object>)]
    pub payload: Option<serde_json::Value>,
    /// SHA-256 over this entry and the hash of the entry before, in hexadecimal.
    #[schema(example = "7d594f3910100c33c0eb48f56fd6309eacf29f136b71fdad833a0a2051ecfa2f")]
    pub hash: String,
}

impl From<AuditRow> for BillingEvent {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            at: row.created_at,
            actor: LogActor { r#type: row.actor, id: row.actor_id },
            subject: row.subject_id,
            payload: row.payload,
            hash: hex(&row.hash),
        }
    }
}

/// List billing events
///
/// The tenant's audit trail, the newest entry first: who changed what, and when. Entries are only ever added, and each
/// carries a hash over itself and the one before. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/billing/events", tag = "billing", operation_id = "listBillingEvents",
    params(LogQuery),
    responses((status = 200, body = Page<BillingEvent>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn events(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Page<BillingEvent>>, Problem> {
    let (page, filter) = (query.page(), query.filter()?);
    let (before, fetch) = (before(page.after()?.map(|(_, place)| place))?, page.fetch()?);
    let tx = permitted.caller.read(&state, "list_billing_events", permitted.tenant_id).await?;
    let rows = audit::page_back(&tx, permitted.tenant_id, before, &filter, fetch).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.created_at, place(row.sequence)), BillingEvent::from).map(Json)
}

/// A place in the chain, as cursors carry it: two entries of one instant have an order that only it tells.
fn place(sequence: i64) -> Uuid {
    Uuid::from_u128(u128::from(sequence.unsigned_abs()))
}

fn before(place: Option<Uuid>) -> Result<i64, Problem> {
    let Some(place) = place else { return Ok(i64::MAX) };
    i64::try_from(place.as_u128()).map_err(|_| {
        Problem::invalid("cursor", "is no cursor of this list; send `nextCursor` of the page before as it came")
    })
}
