//! `POST /api/keys`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_domain::permission::{Permission, UnknownWord};
use utoipa::ToSchema;

use super::Key;
use crate::http::auth::{self, MintedKey};
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::http::words::PermissionName;
use crate::storage::keys::KeyRow;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::keys::{self, NewKey};

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateKey {
    /// For people; 1 to 100 characters.
    #[schema(example = "metering", min_length = 1, max_length = 100)]
    pub name: String,
    /// What it may do; at most what the caller may.
    #[schema(value_type = Vec<PermissionName>, min_items = 1, example = json!(["recordUsage", "viewUsage"]))]
    pub scopes: Vec<String>,
    /// First instant at which it no longer works; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Requests that each replica answers in a minute, 1 to 1,000,000; null: as many as come.
    #[schema(minimum = 1, maximum = 1_000_000, example = json!(null))]
    pub requests_per_minute: Option<u32>,
}

/// A key with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedKey {
    /// The key.
    pub key: Key,
    /// The secret, to be sent as `Authorization: Bearer`. Not there when the request is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "tk_...")]
    pub secret: Option<String>,
    /// On a replay: the secret was shown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_shown: Option<bool>,
}

impl CreatedKey {
    /// A key that was just made.
    pub(super) fn with_secret(row: KeyRow, minted: &MintedKey) -> Self {
        Self { key: row.into(), secret: Some(minted.expose().to_owned()), secret_shown: None }
    }

    /// What is kept of that, for when the request comes again.
    pub(super) fn shown_before(row: KeyRow) -> Self {
        Self { key: row.into(), secret: None, secret_shown: Some(true) }
    }
}

/// Create an API key
///
/// A key of the tenant. Its secret is shown once and stored hashed. Needs `manageBilling`; a key makes
/// no key.
#[utoipa::path(
    post, path = "/api/keys", tag = "keys", operation_id = "createKey",
    request_body = CreateKey,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours")),
    responses((status = 201, body = CreatedKey), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn create(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    posted: Posted<CreateKey>,
) -> Result<Response, Problem> {
    let CreateKey { name, scopes, expires_at, requests_per_minute } = posted.body;
    let read = |scope: &String| {
        scope.parse::<Permission>().map_err(|error: UnknownWord| Problem::invalid("scopes", error.to_string()))
    };
    let minted = auth::mint_key(&state.env);
    let key = NewKey {
        id: minted.id,
        prefix: minted.prefix.clone(),
        secret_hash: minted.hash,
        name,
        scopes: scopes.iter().map(read).collect::<Result<_, _>>()?,
        expires_at,
        requests_per_minute,
    };
    let keep = |row: &KeyRow| kept(StatusCode::CREATED, &CreatedKey::shown_before(row.clone()));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let (caller, tenant_id) = (&permitted.caller, permitted.tenant_id);
    match keys::create(&state.db, &state.env, caller.actor, tenant_id, &key, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, |row| CreatedKey::with_secret(row, &minted))),
        Err(error) => Err(security::refused(&state, caller, tenant_id, error).await),
    }
}
