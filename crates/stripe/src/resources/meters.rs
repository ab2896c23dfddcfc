//! Billing meters: Stripe's own counting of usage.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::second;
use serde::Serialize;

use crate::List as Page;
use crate::open_enum::open_enum;
use crate::read::{has_id, object};
use crate::request::request;

open_enum! {
    /// How a meter makes one number of many events.
    Formula {
        /// How many there are.
        Count = "count",
        /// The last value.
        Last = "last",
        /// The sum of the values.
        Sum = "sum",
    }
}

open_enum! {
    /// Whether a meter counts.
    MeterStatus {
        /// It does.
        Active = "active",
        /// It does not.
        Inactive = "inactive",
    }
}

object! {
    /// A meter.
    Meter {
        /// Its id, `mtr_…`.
        id: String,
        /// Its name for people.
        display_name: Option<String>,
        /// The name of the events that it counts.
        event_name: String,
        /// Whether it counts.
        status: MeterStatus,
        /// How it makes one number of them.
        default_aggregation: Option<AggregationRead>,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// How a meter makes one number of many events.
    AggregationRead {
        /// The formula.
        formula: Formula,
    }
}

object! {
    /// An event as the meter took it. That it was taken does not say that it counts: errors come later, as events.
    MeterEvent {
        /// The name that meters listen to.
        event_name: String,
        /// What it is told apart by, for 24 hours.
        identifier: Option<String>,
        /// When it happened.
        timestamp: Option<Timestamp>,
        /// What it says.
        payload: BTreeMap<String, String>,
        /// When it was taken.
        created: Option<Timestamp>,
    }
}

has_id!(Meter);

/// How a meter makes one number of many events.
#[derive(Debug, Clone, Serialize)]
pub struct Aggregation {
    /// The formula.
    pub formula: Formula,
}

/// How events name their customer.
#[derive(Debug, Clone, Serialize)]
pub struct CustomerMapping<'a> {
    /// The member of the payload that has the customer's id.
    pub event_payload_key: &'a str,
    /// `by_id`.
    #[serde(rename = "type")]
    pub kind: &'a str,
}

/// Where events have their value.
#[derive(Debug, Clone, Serialize)]
pub struct ValueSettings<'a> {
    /// The member of the payload that has it.
    pub event_payload_key: &'a str,
}

/// Makes a meter.
#[derive(Debug, Clone, Serialize)]
pub struct Create<'a> {
    /// Its name for people.
    pub display_name: &'a str,
    /// The name of the events that it counts; one active meter has it.
    pub event_name: &'a str,
    /// How it makes one number of them.
    pub default_aggregation: Aggregation,
    /// How events name their customer; by `stripe_customer_id` where it is not said.
    pub customer_mapping: Option<CustomerMapping<'a>>,
    /// Where events have their value; in `value` where it is not said.
    pub value_settings: Option<ValueSettings<'a>>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Create<'_>: Post "/v1/billing/meters" [] -> Meter);

/// Lists meters.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those that count, or do not.
    pub status: Option<MeterStatus>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/billing/meters" [] -> Page<Meter>);

/// Sends one event of usage.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateEvent<'a> {
    /// The name that meters listen to. Required.
    pub event_name: &'a str,
    /// What it says: the customer and the value, as texts. Required.
    pub payload: BTreeMap<String, String>,
    /// What it is told apart by, for 24 hours; at most 100 characters.
    pub identifier: Option<&'a str>,
    /// When it happened: at most 35 days ago, at most 5 minutes ahead.
    #[serde(with = "second::optional")]
    pub timestamp: Option<Timestamp>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(CreateEvent<'_>: Post "/v1/billing/meter_events" [] -> MeterEvent);
