//! `GET /api/permissions/check`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenantry_domain::permission::{Permission, effective};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::caller::ServiceKey;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::members;
use crate::tenancy::authority;

/// Who wants to do what where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct CheckQuery {
    /// The user.
    pub user_id: Uuid,
    /// The tenant.
    pub tenant_id: Uuid,
    /// `manageBilling`, `viewBilling`, `manageMembers`, `viewUsage` or `recordUsage`.
    #[param(example = "manageBilling")]
    pub permission: String,
}

/// Whether it is allowed.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckAnswer {
    /// Whether the user has the permission right now.
    pub allowed: bool,
    /// The user's role; null where the user is no member.
    #[schema(example = "billing_admin")]
    pub role: Option<String>,
}

/// Check a permission
///
/// For the host application's own routes, by a service key with `viewBilling`: whether a user has a permission in a tenant. A user who is no member,
/// and a tenant that does not exist, are both `{"allowed": false, "role": null}`.
#[utoipa::path(
    get, path = "/api/permissions/check", tag = "users", operation_id = "checkPermission",
    params(CheckQuery),
    responses((status = 200, body = CheckAnswer), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn check_permission(
    State(state): State<AppState>,
    key: ServiceKey,
    Query(query): Query<CheckQuery>,
) -> Result<Json<CheckAnswer>, Problem> {
    key.require(&state, Permission::ViewBilling).await?;
    let permission: Permission = query
        .permission
        .parse()
        .map_err(|error: tenantry_domain::permission::UnknownWord| Problem::invalid("permission", error.to_string()))?;
    let tx = state.db.read_as_service("check_permission", &[query.tenant_id]).await?;
    let member = members::membership(&tx, query.tenant_id, query.user_id).await?;
    tx.rollback().await?;
    let Some(member) = member else {
        return Ok(Json(CheckAnswer { allowed: false, role: None }));
    };
    let has = effective(authority::role(&member.role)?, &authority::overrides(&member.permissions)?);
    Ok(Json(CheckAnswer { allowed: has.contains(permission), role: Some(member.role) }))
}
