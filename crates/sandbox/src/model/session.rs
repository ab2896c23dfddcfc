//! Checkout sessions.

use serde::{Deserialize, Serialize};

use super::{Address, BillingMode, Metadata, MissingMethod, Time};

/// `cs_test_…`, mode subscription.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as in Stripe's parameters")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) expires_at: Time,
    pub(crate) status: SessionStatus,
    pub(crate) customer: Option<String>,
    pub(crate) customer_email: Option<String>,
    pub(crate) client_reference_id: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) currency: String,
    pub(crate) line_items: Vec<LineItem>,
    pub(crate) success_url: Option<String>,
    pub(crate) cancel_url: Option<String>,
    pub(crate) automatic_tax: bool,
    /// What the customer keeps of what was typed: `customer_update[address|name]=auto`.
    pub(crate) update_address: bool,
    pub(crate) update_name: bool,
    pub(crate) collect_tax_id: bool,
    pub(crate) address_required: bool,
    /// `payment_method_collection=if_required`.
    pub(crate) card_if_required: bool,
    pub(crate) allow_promotion_codes: Option<bool>,
    pub(crate) locale: Option<String>,
    pub(crate) data: SubscriptionData,
    pub(crate) subscription: Option<String>,
    pub(crate) invoice: Option<String>,
    pub(crate) customer_address: Option<Address>,
    pub(crate) customer_name: Option<String>,
    pub(crate) customer_tax_ids: Vec<(String, String)>,
    pub(crate) paid_tax: Option<i64>,
}

/// `li_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LineItem {
    pub(crate) id: String,
    pub(crate) price: String,
    pub(crate) quantity: Option<i64>,
}

/// What the subscription will be made with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SubscriptionData {
    pub(crate) metadata: Metadata,
    pub(crate) description: Option<String>,
    pub(crate) trial_days: Option<i64>,
    pub(crate) trial_end: Option<Time>,
    pub(crate) billing_mode: BillingMode,
    pub(crate) missing_payment_method: MissingMethod,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionStatus {
    Open,
    Complete,
    Expired,
}

impl SessionStatus {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Expired => "expired",
        }
    }
}
