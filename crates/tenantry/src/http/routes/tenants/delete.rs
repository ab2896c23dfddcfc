//! `DELETE /api/tenants/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::http::caller::Member;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::organizations::{self, Unbilled};

/// What becomes of use that is on no invoice yet.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnbilledChoice {
    /// The deletion is refused.
    Refuse,
    /// It is billed as it would be, where somebody can still pay it. For service keys.
    Leave,
}

/// How a tenant is deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct DeleteQuery {
    /// What becomes of use above the included quantity that is on no invoice yet: `refuse` (the default) or `leave`.
    pub unbilled: Option<UnbilledChoice>,
}

/// Delete an organization
///
/// For owners. Memberships and keys end at once, the slug is free again, the books are kept. Refused for personal
/// tenants, while a paid subscription or a change of it runs, and while use is still to be billed.
#[utoipa::path(
    delete, path = "/api/tenants/{id}", tag = "tenants", operation_id = "deleteTenant",
    params(("id" = Uuid, Path, description = "The tenant"), DeleteQuery),
    responses((status = 204, description = "Deleted"), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn delete(
    State(state): State<AppState>,
    member: Member,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, Problem> {
    let unbilled = match query.unbilled {
        None | Some(UnbilledChoice::Refuse) => Unbilled::Refuse,
        Some(UnbilledChoice::Leave) => Unbilled::Leave,
    };
    match organizations::delete(&state.db, &state.env, member.caller.actor, member.tenant_id, unbilled).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(security::refused(&state, &member.caller, member.tenant_id, error).await),
    }
}
