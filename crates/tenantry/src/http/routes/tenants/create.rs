//! `POST /api/tenants`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::TenantBody;
use crate::http::caller::Caller;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::tenants::TenantRow;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::organizations::{self, NewOrganization};

/// An organization to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateTenant {
    /// For people; 1 to 200 characters.
    #[schema(example = "Acme", min_length = 1, max_length = 200)]
    pub name: String,
    /// For URLs; made from the name where it is missing. A slug that is taken is refused, never replaced.
    #[schema(example = "acme", min_length = 3, max_length = 48)]
    pub slug: Option<String>,
    /// Where bills go.
    #[schema(example = "billing@acme.example")]
    pub billing_email: Option<String>,
    /// The first owner; for service keys, which must name one.
    pub owner_id: Option<Uuid>,
}

/// Create an organization
///
/// Makes an organization with its owner and its free subscription, all in one transaction.
#[utoipa::path(
    post, path = "/api/tenants", tag = "tenants", operation_id = "createTenant",
    request_body = CreateTenant,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 201, body = TenantBody), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    posted: Posted<CreateTenant>,
) -> Result<Response, Problem> {
    if let Some(dead) = security::dead(&state, &caller).await {
        return Err(dead);
    }
    let CreateTenant { name, slug, billing_email, owner_id } = posted.body;
    state.slug_limiter.check(caller.actor.id(), slug.as_deref())?;
    let new = NewOrganization { name, slug, billing_email, owner_id };
    let keep = |row: &TenantRow| kept(StatusCode::CREATED, &TenantBody::from(row.clone()));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    match organizations::create(&state.db, &state.env, caller.actor, &new, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, TenantBody::from)),
        Err(error) => {
            let home = caller.actor.home().unwrap_or(Uuid::nil());
            Err(security::refused(&state, &caller, home, error).await)
        }
    }
}
