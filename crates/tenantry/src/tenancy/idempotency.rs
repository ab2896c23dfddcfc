//! `Idempotency-Key`: the same request sent again is answered again and does nothing.
//!
//! The key's row commits with the work that it stands for, so that neither is there without the other. Only
//! successes are kept: a refused request changed nothing and may be sent again with the same key.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::TenancyError;
use super::hash::length_prefixed;
use crate::storage::idempotency::{self as rows, KeptRow};
use crate::storage::{StoreError, Tx};

/// How long an answer is kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// The longest key that is taken.
pub const MAX_KEY_LENGTH: usize = 255;

/// A request that carries an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    scope_hash: [u8; 32],
    request_hash: [u8; 32],
}

/// What a key is valid in: the same key of another caller, or elsewhere, is another key.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Who asks, e.g. `user:<id>`.
    pub caller: &'a str,
    /// The tenant context.
    pub tenant: Option<Uuid>,
    /// HTTP method.
    pub method: &'a str,
    /// Route, with placeholders.
    pub route: &'a str,
}

/// An `Idempotency-Key` that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible ASCII characters")]
pub struct BadKey;

impl IdempotentRequest {
    /// `target` is path and query as sent, `body` the body as sent.
    pub fn new(scope: &Scope<'_>, key: &str, target: &str, body: &[u8]) -> Result<Self, BadKey> {
        if key.is_empty() || key.len() > MAX_KEY_LENGTH || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadKey);
        }
        let tenant = scope.tenant.as_ref().map_or(&[] as &[u8], |id| id.as_bytes());
        Ok(Self {
            scope_hash: length_prefixed(
                b"tenantry.idempotency_scope.v1",
                &[scope.caller.as_bytes(), tenant, scope.method.as_bytes(), scope.route.as_bytes(), key.as_bytes()],
            ),
            request_hash: length_prefixed(b"tenantry.idempotency_request.v1", &[target.as_bytes(), body]),
        })
    }

    /// Key of the advisory lock; that two scopes share one costs at worst a refusal to be tried again.
    fn lock_key(&self) -> i64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.scope_hash[..8]);
        i64::from_be_bytes(first)
    }
}

/// An answer that is kept: without secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// HTTP status, a success.
    pub status: u16,
    /// Body.
    pub body: Value,
}

/// How an operation is told that its request carries a key: the request, and what to keep of its result.
pub struct Idempotent<'a, T> {
    /// The request.
    pub request: &'a IdempotentRequest,
    /// The answer to keep for a result, without secrets.
    pub keep: &'a (dyn Fn(&T) -> Kept + Send + Sync),
}

impl<T> std::fmt::Debug for Idempotent<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idempotent").field("request", &self.request).finish_non_exhaustive()
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<T> {
    /// It was done now.
    Done(T),
    /// It was done before; this was the answer.
    Replayed(Kept),
}

impl<T> Answer<T> {
    /// The result, where it was done now.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Replayed(_) => None,
        }
    }
}

/// Why a request with a key is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// The same request is being done right now.
    #[error("a request with this Idempotency-Key is still in progress: try again in a moment")]
    InFlight,
    /// The key was used for something else.
    #[error("this Idempotency-Key was used with another request: use a new one")]
    OtherRequest,
}

/// Whether a request is to be done.
#[must_use]
#[derive(Debug)]
pub enum Claim<'a, T> {
    /// It was: this was the answer.
    Replay(Kept),
    /// It was not: what it does ends with [`Ticket::done`], in the same transaction.
    Go(Ticket<'a, T>),
}

/// The right to do a request, held to the end of the transaction.
#[must_use]
#[derive(Debug)]
pub struct Ticket<'a, T> {
    idempotent: Option<&'a Idempotent<'a, T>>,
    now: Timestamp,
}

impl<T> Ticket<'_, T> {
    /// Keeps the answer, to be committed with the work.
    pub async fn done(self, tx: &Tx, value: T) -> Result<Answer<T>, TenancyError> {
        if let Some(idempotent) = self.idempotent {
            keep(tx, idempotent.request, (idempotent.keep)(&value), self.now).await?;
        }
        Ok(Answer::Done(value))
    }
}

/// Holds the request's key, if it has one, to the end of the transaction; whoever asks at the same time is told so
/// at once. The first statement of the transaction.
pub async fn claim<'a, T>(
    tx: &Tx,
    idempotent: Option<&'a Idempotent<'a, T>>,
    now: Timestamp,
) -> Result<Claim<'a, T>, TenancyError> {
    let go = Claim::Go(Ticket { idempotent, now });
    let Some(request) = idempotent.map(|idempotent| idempotent.request) else {
        return Ok(go);
    };
    if !rows::try_lock(tx, request.lock_key()).await? {
        return Err(KeyRefusal::InFlight.into());
    }
    match rows::find(tx, &request.scope_hash).await? {
        None => Ok(go),
        Some(row) if row.expires_at <= now => {
            rows::delete(tx, &request.scope_hash).await?;
            Ok(go)
        }
        Some(row) if row.request_hash != request.request_hash => Err(KeyRefusal::OtherRequest.into()),
        Some(row) => {
            let status = u16::try_from(row.status).map_err(|error| StoreError::corrupt("kept status", error))?;
            Ok(Claim::Replay(Kept { status, body: row.response }))
        }
    }
}

async fn keep(tx: &Tx, request: &IdempotentRequest, kept: Kept, now: Timestamp) -> Result<(), StoreError> {
    let row = KeptRow {
        request_hash: request.request_hash,
        status: i16::try_from(kept.status).map_err(|error| StoreError::corrupt("status to keep", error))?,
        response: kept.body,
        expires_at: now.checked_add(KEPT_FOR).map_err(|error| StoreError::corrupt("expiry of a key", error))?,
    };
    rows::insert(tx, &request.scope_hash, &row, now).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(caller: &str, tenant: Option<Uuid>, method: &str, key: &str, body: &[u8]) -> IdempotentRequest {
        let scope = Scope { caller, tenant, method, route: "/api/tenants" };
        IdempotentRequest::new(&scope, key, "/api/tenants", body).unwrap()
    }

    #[test]
    fn a_key_of_another_caller_or_context_is_another_key() {
        let base = request("user:1", None, "POST", "k", b"{}");
        for other in [
            request("user:2", None, "POST", "k", b"{}"),
            request("user:1", Some(Uuid::nil()), "POST", "k", b"{}"),
            request("user:1", None, "PUT", "k", b"{}"),
            request("user:1", None, "POST", "k2", b"{}"),
        ] {
            assert_ne!(base.scope_hash, other.scope_hash);
        }
        let body = request("user:1", None, "POST", "k", b"{ }");
        assert_eq!(base.scope_hash, body.scope_hash);
        assert_ne!(base.request_hash, body.request_hash);
    }

    #[test]
    fn keys_are_short_and_visible() {
        let scope = Scope { caller: "user:1", tenant: None, method: "POST", route: "/" };
        for key in ["", " ", "a b", "ä", "a\n", &"x".repeat(256)] {
            assert_eq!(IdempotentRequest::new(&scope, key, "/", b""), Err(BadKey), "{key:?}");
        }
        assert!(IdempotentRequest::new(&scope, &"x".repeat(255), "/", b"").is_ok());
    }
}
