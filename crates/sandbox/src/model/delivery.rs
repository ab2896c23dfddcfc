//! Events and what became of sending them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Metadata, Time};

/// `evt_…`. The object is what it was when it happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) kind: String,
    pub(crate) object: Value,
    pub(crate) previous: Option<Value>,
    pub(crate) request: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

/// `we_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) url: String,
    /// Each signs: more than one while a secret is being rolled.
    pub(crate) secrets: Vec<String>,
    /// `*` for all.
    pub(crate) enabled_events: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) disabled: bool,
    pub(crate) api_version: Option<String>,
}

/// One event on its way to one endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) endpoint: String,
    pub(crate) state: DeliveryState,
    pub(crate) attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryState {
    Pending,
    Delivered,
    /// Given up after the last attempt.
    Failed,
    /// Lost on purpose.
    Dropped,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// Real time: deliveries do not follow the advanced clock.
    pub(crate) at: Time,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
}
