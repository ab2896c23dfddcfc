//! What is sold: products, prices, meters.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Metadata, Time};

/// `prod_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) updated: Time,
    pub(crate) active: bool,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) default_price: Option<String>,
    pub(crate) images: Vec<String>,
    pub(crate) metadata: Metadata,
    pub(crate) statement_descriptor: Option<String>,
    pub(crate) tax_code: Option<String>,
    pub(crate) unit_label: Option<String>,
    pub(crate) url: Option<String>,
}

/// `price_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Price {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) active: bool,
    pub(crate) currency: String,
    pub(crate) product: String,
    pub(crate) nickname: Option<String>,
    pub(crate) lookup_key: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) tax_behavior: String,
    /// Minor units, up to 12 decimals. None where tiers tell the price.
    pub(crate) unit_amount: Option<Decimal>,
    pub(crate) tiers: Vec<Tier>,
    pub(crate) tiers_mode: Option<TiersMode>,
    /// What the quantity is divided by before it is priced. States of before have none.
    #[serde(default)]
    pub(crate) transform: Option<Transform>,
    pub(crate) recurring: Option<Recurring>,
}

/// `transform_quantity`: a quantity becomes packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transform {
    /// At least 1.
    pub(crate) divide_by: i64,
    /// Up where there is a rest, else down.
    pub(crate) rounds_up: bool,
}

/// How often a price is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recurring {
    pub(crate) interval: String,
    pub(crate) interval_count: i64,
    /// The meter of a metered price.
    pub(crate) meter: Option<String>,
    pub(crate) metered: bool,
}

/// A step of a tiered price. Without `up_to` it is the last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tier {
    pub(crate) up_to: Option<i64>,
    pub(crate) unit_amount: Option<Decimal>,
    pub(crate) flat_amount: Option<Decimal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TiersMode {
    Graduated,
    Volume,
}

/// `mtr_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meter {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) updated: Time,
    pub(crate) display_name: String,
    pub(crate) event_name: String,
    pub(crate) formula: String,
    pub(crate) customer_key: String,
    pub(crate) value_key: String,
    pub(crate) deactivated_at: Option<Time>,
}

/// What a meter counts. Its identifier keeps it from counting twice within a day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeterEvent {
    pub(crate) id: String,
    pub(crate) identifier: String,
    pub(crate) created: Time,
    pub(crate) event_name: String,
    pub(crate) timestamp: Time,
    pub(crate) payload: Metadata,
}

impl Price {
    /// Whether its quantity is counted by a meter.
    pub(crate) fn metered(&self) -> bool {
        self.recurring.as_ref().is_some_and(|recurring| recurring.metered)
    }
}
