//! `PATCH /api/tenants/{id}`

use axum::extract::State;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::TenantBody;
use crate::http::caller::{ManageMembers, OnTenant};
use crate::http::extract::Json;
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::tenancy::organizations::{self, TenantPatch};

/// What is to be changed; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PatchTenant {
    /// For people.
    #[schema(example = "Acme", min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// For URLs. A slug that is taken is refused, never replaced.
    #[schema(example = "acme", min_length = 3, max_length = 48)]
    pub slug: Option<String>,
    /// Where bills go; null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "billing@acme.example")]
    pub billing_email: Option<Option<String>>,
}

/// Tells null from missing.
#[expect(clippy::option_option, reason = "missing keeps the address, null takes it away")]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Change a tenant
///
/// Name, slug and billing address. Needs `manageMembers`.
#[utoipa::path(
    patch, path = "/api/tenants/{id}", tag = "tenants", operation_id = "patchTenant",
    params(("id" = Uuid, Path, description = "The tenant")),
    request_body = PatchTenant,
    responses((status = 200, body = TenantBody), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn patch(
    State(state): State<AppState>,
    on: OnTenant<ManageMembers>,
    Json(body): Json<PatchTenant>,
) -> Result<axum::Json<TenantBody>, Problem> {
    state.slug_limiter.check(on.caller.actor.id(), body.slug.as_deref())?;
    let change = TenantPatch { name: body.name, slug: body.slug, billing_email: body.billing_email };
    match organizations::patch(&state.db, &state.env, on.caller.actor, on.tenant_id, &change).await {
        Ok(row) => Ok(axum::Json(row.into())),
        Err(error) => Err(security::refused(&state, &on.caller, on.tenant_id, error).await),
    }
}
