//! `POST /api/tenants/{id}/transfer-ownership`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::PathTenant;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::routes::members::MemberBody;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::members::MemberRow;
use crate::tenancy::TenancyError;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::transfer::{self, Transfer};

/// Whom an organization is handed over to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TransferOwnership {
    /// A member of the organization, in whatever role.
    pub user_id: Uuid,
    /// The owner who hands over. For service keys, where there is more than one owner; a user hands over its own part.
    pub from_user_id: Option<Uuid>,
}

/// Hand an organization over
///
/// For owners. In one step the member becomes an owner and the owner an admin; the member is answered. An organization
/// with other owners keeps them.
#[utoipa::path(
    post, path = "/api/tenants/{id}/transfer-ownership", tag = "tenants", operation_id = "transferOwnership",
    params(
        ("id" = Uuid, Path, description = "The tenant"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    request_body = TransferOwnership,
    responses((status = 200, description = "Handed over", body = MemberBody), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn transfer_ownership(
    State(state): State<AppState>,
    path: PathTenant,
    posted: Posted<TransferOwnership>,
) -> Result<Response, Problem> {
    let wanted = Transfer { to: posted.body.user_id, from: posted.body.from_user_id };
    let keep = |row: &MemberRow| kept(StatusCode::OK, &MemberBody::from(row.clone()));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let actor = path.caller.actor;
    match transfer::transfer(&state.db, &state.env, actor, path.tenant_id, wanted, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::OK, done, MemberBody::from)),
        Err(TenancyError::NotFound) => Err(path.unknown(&state).await),
        Err(error) => Err(security::refused(&state, &path.caller, path.tenant_id, error).await),
    }
}
