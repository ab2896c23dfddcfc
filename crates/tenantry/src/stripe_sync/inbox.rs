//! Webhooks: verified, stored, answered. What an event leads to is done behind the answer, by whoever takes it from
//! the inbox.

use jiff::Timestamp;
use tenantry_stripe::FromJson as _;
use tenantry_stripe::events::Event;
use tenantry_stripe::signature::{self, SignatureError};

use super::Stripe;
use crate::storage::stripe::events::{self, NewEvent};
use crate::storage::{StoreError, Tx};
use crate::write_tx;

/// Why a delivery is not taken. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It is not from Stripe, or too old.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is no event.
    #[error("the body is no event: {0}")]
    NoEvent(String),
    /// The database failed; Stripe sends it again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes a delivery: once it is stored, true where the event is new. `now` is real time, whatever the clock of
/// development says: a signature is made in real time.
pub async fn receive(stripe: &Stripe, signature: &str, body: &[u8], now: Timestamp) -> Result<bool, ReceiveError> {
    signature::verify(body, signature, &stripe.settings.webhook_secrets, now)?;
    let event = Event::parse(body).map_err(|error| ReceiveError::NoEvent(error.to_string()))?;
    Ok(store(stripe, &event).await?)
}

/// Puts an event into the inbox, wherever it was read; true where it is new.
pub async fn store(stripe: &Stripe, event: &Event) -> Result<bool, StoreError> {
    let now = stripe.env.clock.now();
    write_tx!(stripe.db, "store_stripe_event", &[], |tx| insert(tx, event, now).await)
}

async fn insert(tx: &Tx, event: &Event, now: Timestamp) -> Result<bool, StoreError> {
    let payload = without_nul(event.raw.clone());
    // Ids and kinds are taken from what can be stored too.
    let event = &Event::from_json(&payload).map_err(|error| StoreError::corrupt("event", error))?;
    let new = NewEvent {
        id: &event.id,
        kind: &event.kind,
        api_version: event.api_version.as_deref(),
        object_id: event.subject().map(|(_, id)| id),
        customer_id: customer(event),
        payload: &payload,
        created_at: event.created.unwrap_or(now),
    };
    events::insert(tx, &new, now).await
}

/// The customer that an event's object names, or is.
fn customer(event: &Event) -> Option<&str> {
    let object = &event.data.as_ref()?.object;
    if object.get("object").and_then(|kind| kind.as_str()) == Some("customer") {
        return object.get("id")?.as_str();
    }
    let customer = object.get("customer")?;
    customer.as_str().or_else(|| customer.get("id")?.as_str())
}

/// The database cannot hold the character NUL in JSON; Stripe never sends it, and nothing may be lost if it does.
fn without_nul(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nul).collect()),
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(name, value)| (name.replace('\0', "\u{fffd}"), without_nul(value))).collect(),
        ),
        other => other,
    }
}
