//! Requests that come again with their idempotency key.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::form::Fields;
use crate::engine::{Remembered, Work};
use crate::fault::Fault;

/// What identifies a request: route and parameters, in whatever order they were sent.
pub(super) fn digest(method: &str, path: &str, fields: &Fields) -> String {
    hex::encode(Sha256::digest(format!("{method} {path} {fields:?}")))
}

/// The answer that was given before, when the request is the same one.
pub(super) fn recall(work: &Work, key: &str, digest: &str) -> Result<Option<(u16, Value)>, Fault> {
    let Some(known) = work.state.idempotency.get(key) else { return Ok(None) };
    if known.digest != digest {
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. Try \
             using a key other than '{key}' if you meant to execute a different request."
        );
        return Err(Fault::idempotency(message));
    }
    Ok(Some((known.status, known.body.clone())))
}

/// Keeps the answer of a request that was executed.
pub(super) fn remember(work: &mut Work, key: &str, digest: String, status: u16, body: &Value) {
    let answer = Remembered { at: work.now, digest, status, body: body.clone() };
    work.state.idempotency.insert_mut(key.to_owned(), answer);
}
