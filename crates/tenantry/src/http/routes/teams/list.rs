//! `GET /api/teams`

use axum::Json;
use axum::extract::State;

use super::Team;
use crate::http::caller::SignedInUser;
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::teams;

/// List my teams
///
/// The teams that the signed-in user owns or is in, the oldest first.
#[utoipa::path(
    get, path = "/api/teams", tag = "teams", operation_id = "listTeams",
    params(PageQuery),
    responses((status = 200, body = Page<Team>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn list(
    State(state): State<AppState>,
    user: SignedInUser,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Team>>, Problem> {
    let (after, fetch) = (page.after()?, page.fetch()?);
    let tx = state.db.read("list_teams", user.caller.scope(None)).await?;
    let rows = teams::of_user(&tx, user.user_id, after, fetch).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.created_at, row.id), |row| Team::seen_by(user.user_id, row)).map(Json)
}
