//! `GET /api/tenants/{id}/invitations`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Invitation, InvitationState};
use crate::http::caller::{ManageMembers, OnTenant};
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::invitations;

const STATES: [&str; 4] = ["pending", "accepted", "revoked", "expired"];

/// Which invitations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InvitationQuery {
    /// Only those in this state.
    #[param(value_type = Option<InvitationState>)]
    pub state: Option<String>,
    /// Rows on the page, 1 to 200.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<String>,
    /// `nextCursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub cursor: Option<String>,
}

/// List invitations
///
/// The invitations of a tenant, the newest first, those that are over too; never their tokens. Needs `manageMembers`.
#[utoipa::path(
    get, path = "/api/tenants/{id}/invitations", tag = "members", operation_id = "listInvitations",
    params(("id" = Uuid, Path, description = "The tenant"), InvitationQuery),
    responses((status = 200, body = Page<Invitation>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn list(
    State(state): State<AppState>,
    on: OnTenant<ManageMembers>,
    Query(query): Query<InvitationQuery>,
) -> Result<Json<Page<Invitation>>, Problem> {
    let InvitationQuery { state: wanted, limit, cursor } = query;
    if wanted.as_deref().is_some_and(|wanted| !STATES.contains(&wanted)) {
        return Err(Problem::invalid("state", format!("must be one of {}", STATES.join(", "))));
    }
    let page = PageQuery { limit, cursor };
    let (before, fetch) = (page.after()?, page.fetch()?);
    let now = state.env.clock.now();
    let tx = on.caller.read(&state, "list_invitations", on.tenant_id).await?;
    let rows = invitations::list(&tx, on.tenant_id, before, fetch, (wanted.as_deref(), now)).await?;
    tx.rollback().await?;
    Page::of(rows, &page, |row| (row.created_at, row.id), Into::into).map(Json)
}
