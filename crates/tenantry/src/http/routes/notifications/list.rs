//! `GET /api/notifications`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::routes::webhook_endpoints::event_type;
use crate::http::state::AppState;
use crate::storage::notices::mails::{self, MailRow};
use crate::storage::notices::{self, NoticeRow};

/// Something that the tenant was told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Its id.
    pub id: Uuid,
    /// What it is about, as webhooks name it.
    #[schema(example = "limit.threshold")]
    pub r#type: String,
    /// What happened; its members depend on the type.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    /// Who was told by mail.
    pub mails: Vec<MailView>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
}

/// A mail about a notice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailView {
    /// Where it goes.
    #[schema(example = "ada@example.com")]
    pub address: String,
    /// `pending`, `sent`, `kept` (no mail server is configured) or `failed`.
    #[schema(example = "sent")]
    pub state: String,
    /// When the mail server took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<jiff::Timestamp>,
}

/// List notices
///
/// What the tenant was told, by mail and by webhook, the newest first. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/notifications", tag = "notifications", operation_id = "listNotifications",
    params(PageQuery),
    responses((status = 200, body = Page<Notification>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn list(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Notification>>, Problem> {
    let (before, fetch) = (page.after()?, page.fetch()?);
    let tenant_id = permitted.tenant_id;
    let tx = permitted.caller.read(&state, "list_notifications", tenant_id).await?;
    let rows = notices::list(&tx, tenant_id, before, fetch).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mails = mails::of_notices(&tx, tenant_id, &ids).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.created_at, row.id), |row| view(row, &mails)).map(Json)
}

fn view(row: NoticeRow, mails: &[MailRow]) -> Notification {
    let told = mails.iter().filter(|mail| mail.notification_id == row.id);
    Notification {
        id: row.id,
        r#type: event_type(&row.kind),
        data: row.data,
        mails: told
            .map(|mail| MailView { address: mail.address.clone(), state: mail.state.clone(), sent_at: mail.sent_at })
            .collect(),
        created_at: row.created_at,
    }
}
