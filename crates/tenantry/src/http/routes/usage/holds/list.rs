//! `GET /api/usage/holds`

use axum::Json;
use axum::extract::State;

use super::Hold;
use crate::http::caller::RecordUsage;
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::SharedRefusals;
use crate::http::state::AppState;
use crate::http::team::Shared;
use crate::storage::usage::holds as rows;

/// List open holds
///
/// What is reserved now, the oldest first. Needs `recordUsage`; a user's token sees that user's own holds.
#[utoipa::path(
    get, path = "/api/usage/holds", tag = "usage", operation_id = "listUsageHolds",
    params(PageQuery),
    responses((status = 200, body = Page<Hold>), SharedRefusals),
    security(("bearer" = [])),
)]
pub async fn list(
    State(state): State<AppState>,
    shared: Shared<RecordUsage>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Hold>>, Problem> {
    let (after, fetch, now) = (page.after()?, page.fetch()?, state.env.clock.now());
    let tx = shared.read(&state, "list_usage_holds").await?;
    let found = rows::open(&tx, (shared.tenant_id, shared.caller.user_id()), now, after, fetch).await;
    tx.rollback().await?;
    Page::of(found?, &page, |row| (row.created_at, row.id), |row| Hold::at(row, now)).map(Json)
}
