//! `POST /api/tenants/{id}/members`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tenantry_domain::permission::Overrides;
use utoipa::ToSchema;
use uuid::Uuid;

use super::MemberBody;
use crate::http::caller::{ManageMembers, OnTenant};
use crate::http::overrides::PermissionOverrides;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::{PlaceRefusals, WriteRefusals};
use crate::http::security;
use crate::http::state::AppState;
use crate::http::words::RoleName;
use crate::storage::members::MemberRow;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::members::{self, NewMember};

/// A member to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AddMember {
    /// A user that was seen or provisioned before.
    pub user_id: Uuid,
    /// `owner`, `admin`, `billing_admin` or `member`.
    #[schema(value_type = RoleName, example = "member")]
    pub role: String,
    /// What overrides the role's permissions; at most what the caller has.
    pub permissions: Option<PermissionOverrides>,
}

/// Add a member
///
/// Adds a user by id. Needs `manageMembers`; nobody gives more than they have, and only an owner makes an owner. A plan
/// may say how many members there can be.
#[utoipa::path(
    post, path = "/api/tenants/{id}/members", tag = "members", operation_id = "addMember",
    params(
        ("id" = Uuid, Path, description = "The tenant"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    request_body = AddMember,
    responses((status = 201, body = MemberBody), WriteRefusals, PlaceRefusals),
    security(("bearer" = [])),
)]
pub async fn add(
    State(state): State<AppState>,
    on: OnTenant<ManageMembers>,
    posted: Posted<AddMember>,
) -> Result<Response, Problem> {
    let body = posted.body;
    let permissions: Overrides = body.permissions.map(PermissionOverrides::read).transpose()?.unwrap_or_default();
    let new = NewMember { user_id: body.user_id, role: super::role(&body.role)?, permissions };
    let keep = |row: &MemberRow| kept(StatusCode::CREATED, &MemberBody::from(row.clone()));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match members::add(&state.db, &state.env, on.caller.actor, on.tenant_id, &new, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, MemberBody::from)),
        Err(error) => Err(security::refused(&state, &on.caller, on.tenant_id, error).await),
    }
}
