//! `PATCH /api/tenants/{id}/members/{userId}`

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::MemberBody;
use crate::http::caller::{ManageMembers, OnTenant};
use crate::http::extract::{Json, Path};
use crate::http::overrides::PermissionOverrides;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::http::words::RoleName;
use crate::tenancy::members::{self, MemberPatch};

/// What is to be changed; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMember {
    /// `owner`, `admin`, `billing_admin` or `member`.
    #[schema(value_type = Option<RoleName>, example = "admin")]
    pub role: Option<String>,
    /// What overrides the role's permissions, in place of all that did.
    pub permissions: Option<PermissionOverrides>,
}

/// Change a member
///
/// Role and overrides; effective on the member's next request. Needs `manageMembers`; only owners change owners,
/// and the last owner stays one.
#[utoipa::path(
    patch, path = "/api/tenants/{id}/members/{userId}", tag = "members", operation_id = "changeMember",
    params(
        ("id" = Uuid, Path, description = "The tenant"),
        ("userId" = Uuid, Path, description = "The member"),
    ),
    request_body = ChangeMember,
    responses((status = 200, body = MemberBody), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn change(
    State(state): State<AppState>,
    on: OnTenant<ManageMembers>,
    ids: Path<(Uuid, Uuid)>,
    Json(body): Json<ChangeMember>,
) -> Result<axum::Json<MemberBody>, Problem> {
    // Taken apart here, since the OpenAPI macro takes no pattern of a tuple.
    let Path((_, user_id)) = ids;
    let patch = MemberPatch {
        role: body.role.as_deref().map(super::role).transpose()?,
        permissions: body.permissions.map(PermissionOverrides::read).transpose()?,
    };
    match members::change(&state.db, &state.env, on.caller.actor, on.tenant_id, user_id, &patch).await {
        Ok(row) => Ok(axum::Json(row.into())),
        Err(error) => Err(security::refused(&state, &on.caller, on.tenant_id, error).await),
    }
}
