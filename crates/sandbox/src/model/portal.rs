//! The billing portal.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Metadata, Time};

/// `bpc_…`
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as in Stripe's parameters")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PortalConfiguration {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) updated: Time,
    pub(crate) active: bool,
    pub(crate) is_default: bool,
    pub(crate) name: Option<String>,
    pub(crate) headline: Option<String>,
    pub(crate) privacy_policy_url: Option<String>,
    pub(crate) terms_of_service_url: Option<String>,
    pub(crate) default_return_url: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) customer_update: bool,
    pub(crate) allowed_updates: Vec<String>,
    pub(crate) invoice_history: bool,
    pub(crate) payment_method_update: bool,
    pub(crate) cancel: bool,
    /// `at_period_end` or `immediately`.
    pub(crate) cancel_mode: String,
    pub(crate) cancel_proration: String,
    pub(crate) switch: bool,
    pub(crate) switch_updates: Vec<String>,
    pub(crate) switch_proration: String,
    /// Products and the prices of them that can be chosen.
    pub(crate) products: Vec<(String, Vec<String>)>,
}

/// `bps_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PortalSession {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) customer: String,
    pub(crate) configuration: String,
    pub(crate) return_url: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) flow: Value,
    /// The last part of the address of its page.
    pub(crate) page: String,
}
