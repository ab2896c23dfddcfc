//! Events: hints that something changed. Their payload may be of any version of the API and is never the data.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::shared::TimeRange;
use crate::List as Page;
use crate::read::{FromJson, ReadError, has_id, object};
use crate::request::request;

object! {
    /// An event.
    Event {
        /// Its id, `evt_…`; a delivery that is repeated has the same one.
        id: String,
        /// What happened, such as `invoice.paid`.
        kind = "type": String,
        /// Live, not test.
        livemode: bool,
        /// The version that the payload is written in.
        api_version: Option<String>,
        /// The connected account that it comes from.
        account: Option<String>,
        /// What it is about; None in events of the second kind.
        data: Option<EventData>,
        /// What it is about, in events of the second kind.
        related_object: Option<RelatedObject>,
        /// The request that caused it.
        request: Option<EventRequest>,
        /// When it was made, to the second: never order by it.
        created: Option<Timestamp>,
        /// Endpoints that have not taken it yet.
        pending_webhooks: Option<i64>,
    }
}

object! {
    /// What an event is about.
    EventData {
        /// The object as it was then, in whatever version.
        object: Value,
        /// What the changed fields were before.
        previous_attributes: Value,
    }
}

object! {
    /// What an event of the second kind is about.
    RelatedObject {
        /// Its id.
        id: String,
        /// Its type.
        kind = "type": Option<String>,
    }
}

has_id!(Event, RelatedObject);

/// The request that caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventRequest {
    /// Its id; None where Stripe acted by itself.
    pub id: Option<String>,
    /// Its idempotency key: ours, where we caused it.
    pub idempotency_key: Option<String>,
}

impl FromJson for EventRequest {
    /// An object; in very old versions the id alone; in events of the second kind inside a reason, which is not read.
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        if let Value::String(id) = value {
            return Ok(Self { id: Some(id.clone()), idempotency_key: None });
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self { id: text("id"), idempotency_key: text("idempotency_key") })
    }
}

impl Event {
    /// Reads the body of a webhook whose signature was verified before.
    pub fn parse(body: &[u8]) -> Result<Self, ReadError> {
        let value = serde_json::from_slice::<Value>(body).map_err(|_| ReadError::new("JSON"))?;
        Self::from_json(&value)
    }

    /// Type and id of the object that it is about, such as `("subscription", "sub_1")`. Some objects have no id.
    pub fn subject(&self) -> Option<(&str, &str)> {
        if let Some(related) = &self.related_object {
            return Some((related.kind.as_deref()?, &related.id));
        }
        let object = &self.data.as_ref()?.object;
        Some((object.get("object")?.as_str()?, object.get("id")?.as_str()?))
    }
}

/// Gets an event; Stripe keeps them for 30 days.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The event.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/events/{id}" [id] -> Event);

/// Lists events, newest first, of the last 30 days.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those that every endpoint took, or that some endpoint did not.
    pub delivery_success: Option<bool>,
    /// Only these types, at most 20.
    pub types: Vec<&'a str>,
    /// Only those made then.
    pub created: Option<TimeRange>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/events" [] -> Page<Event>);
