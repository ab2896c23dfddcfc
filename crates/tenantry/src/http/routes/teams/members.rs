//! `GET /api/teams/{id}/members`

use axum::Json;
use axum::extract::State;

use super::TeamMember;
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::http::team::OnTeam;
use crate::storage::teams;

/// List a team's members
///
/// By their ids, the oldest first; the owner is not among them. For the owner and the members.
#[utoipa::path(
    get, path = "/api/teams/{id}/members", tag = "teams", operation_id = "listTeamMembers",
    params(("id" = Uuid, Path, description = "The team"), PageQuery),
    responses((status = 200, body = Page<TeamMember>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn members(
    State(state): State<AppState>,
    on: OnTeam,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<TeamMember>>, Problem> {
    let (after, fetch) = (page.after()?, page.fetch()?);
    let tx = on.caller.read(&state, "list_team_members", on.team.tenant_id).await?;
    let rows = teams::members(&tx, &on.team, after, fetch).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.created_at, row.user_id), Into::into).map(Json)
}
