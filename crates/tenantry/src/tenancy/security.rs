//! The security log: refused attempts, each in a transaction of its own, so that it outlives the refused one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

use super::Actor;
use crate::env::Env;
use crate::storage::security::{self as rows, NewSecurityEvent};
use crate::storage::{Database, StoreError};
use crate::write_tx;

/// Longest text of a field, in characters; what is longer is cut and marked.
const MAX_TEXT: usize = 200;
/// Most details of an event.
const MAX_DETAILS: usize = 16;

/// How bad an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Happens in ordinary use.
    Info,
    /// Somebody tried what is not theirs to do.
    Warning,
    /// Looks like an attack.
    Critical,
}

impl Severity {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A refused attempt. Texts may come from the request: they are escaped and cut here.
#[derive(Debug, Clone)]
pub struct Refusal<'a> {
    /// What was refused, e.g. `insufficient_permissions`.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Who tried.
    pub actor: Actor,
    /// The tenant that was tried.
    pub attempted: Option<Uuid>,
    /// The permission that was missing.
    pub needed_permission: Option<&'a str>,
    /// The actor's role in that tenant.
    pub role: Option<&'a str>,
    /// Id of the request.
    pub request_id: Option<&'a str>,
    /// Network address of the client.
    pub address: Option<&'a str>,
    /// Anything else.
    pub details: &'a [(&'a str, &'a str)],
}

/// Writes a refused attempt to the log of the tenant that the actor belongs to: the tenant that was tried if the
/// actor is a member of it, else the user's personal one or the key's own, never a foreign one. Service keys
/// belong to no tenant: their attempts are in the server's log only.
pub async fn record(db: &Database, env: &Env, refusal: &Refusal<'_>) -> Result<(), StoreError> {
    metrics::counter!("tenantry_security_events_total", "type" => refusal.kind).increment(1);
    let request_id = refusal.request_id.map(clean);
    tracing::warn!(
        event = refusal.kind,
        actor = refusal.actor.kind(),
        actor_id = refusal.actor.id().map(tracing::field::display),
        tenant = refusal.attempted.map(tracing::field::display),
        request_id,
        "refused"
    );
    let Some(home) = refusal.actor.home() else {
        return Ok(());
    };
    let now = env.clock.now();
    let details: BTreeMap<String, String> =
        refusal.details.iter().take(MAX_DETAILS).map(|(name, text)| (clean(name), clean(text))).collect();
    let details = serde_json::to_value(details).unwrap_or(Value::Null);
    let (role, address) = (refusal.role.map(clean), refusal.address.map(clean));
    let needed = refusal.needed_permission.map(clean);
    let event = NewSecurityEvent {
        id: env.ids.uuid_v7(now),
        attempted: refusal.attempted,
        home,
        kind: refusal.kind,
        severity: refusal.severity.as_str(),
        user_id: if let Actor::User(id) = refusal.actor { Some(id) } else { None },
        key_id: if let Actor::Key { id, .. } = refusal.actor { Some(id) } else { None },
        needed_permission: needed.as_deref(),
        role: role.as_deref(),
        request_id: request_id.as_deref(),
        address: address.as_deref(),
        details: &details,
    };
    let tenants: Vec<Uuid> = std::iter::once(home).chain(refusal.attempted).collect();
    write_tx!(db, "security_event", &tenants, |tx| rows::insert(tx, &event, now).await)
}

/// Text for a log: what [`escape`] escapes, and cut at [`MAX_TEXT`] characters.
pub fn clean(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => escape(&text[..end]) + "…",
        None => escape(text),
    }
}

/// Text in which control characters, line separators and marks that turn the direction of text are escaped.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let hidden = character.is_control()
            || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{e0000}'..='\u{e007f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if hidden {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_log_moves_the_cursor_or_hides() {
        assert_eq!(clean("a\nb\u{1b}[2J\0\u{202e}x\u{9b}"), "a\\u{a}b\\u{1b}[2J\\u{0}\\u{202e}x\\u{9b}");
        assert_eq!(clean("a\u{61c}b\u{ad}\u{e0041}"), "a\\u{61c}b\\u{ad}\\u{e0041}");
        assert_eq!(clean("Zoë 日本"), "Zoë 日本");
        assert_eq!(clean(&"x".repeat(500)).chars().count(), MAX_TEXT + 1);
    }
}
