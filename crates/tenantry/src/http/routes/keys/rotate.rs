//! `POST /api/keys/{keyId}/rotate`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::create::CreatedKey;
use crate::http::auth;
use crate::http::caller::{ManageBilling, Permitted};
use crate::http::extract::Path;
use crate::http::posted::{Posted, answer, kept};
use crate::http::problem::Problem;
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::keys::KeyRow;
use crate::tenancy::idempotency::Idempotent;
use crate::tenancy::keys::{self, Replacement};

/// For how long both keys work where nothing is said: a day, so that a deployment in between does not hurry.
const OVERLAP: u32 = 24 * 60 * 60;

/// How a key is rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RotateKey {
    /// Seconds for which the old key still works, 0 to 2,592,000 (30 days); by default 86,400 (a day).
    #[schema(minimum = 0, maximum = 2_592_000, example = 86_400)]
    pub overlap_seconds: Option<u32>,
    /// First instant at which the new key no longer works; by default as long from now as the old one had from its
    /// making.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// Rotate an API key
///
/// Makes a key with the same name, scopes and limit, whose secret is shown once; the old one works until the overlap is
/// over. Needs `manageBilling` and every scope of the key.
#[utoipa::path(
    post, path = "/api/keys/{keyId}/rotate", tag = "keys", operation_id = "rotateKey",
    params(
        ("keyId" = Uuid, Path, description = "The key that is replaced"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "Makes repeating the request safe, for 24 hours"),
    ),
    request_body = RotateKey,
    responses((status = 201, body = CreatedKey), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn rotate(
    State(state): State<AppState>,
    permitted: Permitted<ManageBilling>,
    Path(key_id): Path<Uuid>,
    posted: Posted<RotateKey>,
) -> Result<Response, Problem> {
    let minted = auth::mint_key(&state.env);
    let by = Replacement {
        id: minted.id,
        prefix: minted.prefix.clone(),
        secret_hash: minted.hash,
        overlap: SignedDuration::from_secs(posted.body.overlap_seconds.unwrap_or(OVERLAP).into()),
        expires_at: posted.body.expires_at,
    };
    let keep = |row: &KeyRow| kept(StatusCode::CREATED, &CreatedKey::shown_before(row.clone()));
    let idempotent = posted.idempotency.as_ref().map(|request| Idempotent { request, keep: &keep });
    let (caller, tenant_id) = (&permitted.caller, permitted.tenant_id);
    match keys::rotate(&state.db, &state.env, caller.actor, (tenant_id, key_id), &by, idempotent.as_ref()).await {
        Ok(done) => Ok(answer(StatusCode::CREATED, done, |row| CreatedKey::with_secret(row, &minted))),
        Err(error) => Err(security::refused(&state, caller, tenant_id, error).await),
    }
}
