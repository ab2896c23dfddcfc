//! Rows of `idempotency_keys`: answers that are given again when a request is repeated.

use jiff::Timestamp;

use super::row::{Column as _, bytes};
use super::{StoreError, Tx};
use crate::query;

/// A kept answer.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRow {
    /// SHA-256 of the request that it answered.
    pub request_hash: [u8; 32],
    /// HTTP status.
    pub status: i16,
    /// Body, without secrets.
    pub response: serde_json::Value,
    /// First instant at which the key may be used for something else.
    pub expires_at: Timestamp,
}

query! {
    // Held to the end of the transaction; released after its rows can be seen.
    service TRY_LOCK = "select pg_try_advisory_xact_lock($1)";
    service FIND = "
        select request_hash, status, response, expires_at from tenantry.idempotency_keys where scope_hash = $1";
    service DELETE = "delete from tenantry.idempotency_keys where scope_hash = $1";
    service DELETE_EXPIRED = "
        delete from tenantry.idempotency_keys where scope_hash in (
            select scope_hash from tenantry.idempotency_keys where expires_at <= $1 order by expires_at limit $2)";
    service INSERT = "
        insert into tenantry.idempotency_keys (scope_hash, request_hash, status, response, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6)";
}

/// Tries to hold a scope; false where another transaction holds it.
pub async fn try_lock(tx: &Tx, scope: i64) -> Result<bool, StoreError> {
    tx.one(&TRY_LOCK, &[&scope]).await?.col(0)
}

/// The answer kept for a scope, expired or not.
pub async fn find(tx: &Tx, scope_hash: &[u8; 32]) -> Result<Option<KeptRow>, StoreError> {
    let Some(row) = tx.opt(&FIND, &[&scope_hash.as_slice()]).await? else {
        return Ok(None);
    };
    Ok(Some(KeptRow {
        request_hash: bytes(&row, 0, "request_hash of an idempotency key")?,
        status: row.col(1)?,
        response: row.col(2)?,
        expires_at: row.col(3)?,
    }))
}

/// Forgets the answer of a scope.
pub async fn delete(tx: &Tx, scope_hash: &[u8; 32]) -> Result<(), StoreError> {
    tx.exactly_one(&DELETE, &[&scope_hash.as_slice()]).await
}

/// Forgets up to `limit` expired answers; how many they were.
pub async fn delete_expired(tx: &Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    tx.execute(&DELETE_EXPIRED, &[&now, &limit]).await
}

/// Keeps an answer for a scope that this transaction holds.
pub async fn insert(tx: &Tx, scope_hash: &[u8; 32], kept: &KeptRow, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(
        &INSERT,
        &[&scope_hash.as_slice(), &kept.request_hash.as_slice(), &kept.status, &kept.response, &now, &kept.expires_at],
    )
    .await
}
