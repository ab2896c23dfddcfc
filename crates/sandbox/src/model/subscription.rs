//! Subscriptions and their items.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Metadata, Time};

/// `sub_…`
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as in Stripe's parameters")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) customer: String,
    pub(crate) currency: String,
    pub(crate) status: Status,
    pub(crate) items: Vec<Item>,
    pub(crate) metadata: Metadata,
    pub(crate) billing_mode: BillingMode,
    pub(crate) billing_cycle_anchor: Time,
    pub(crate) start_date: Time,
    pub(crate) cancel_at: Option<Time>,
    pub(crate) cancel_at_period_end: bool,
    pub(crate) canceled_at: Option<Time>,
    pub(crate) ended_at: Option<Time>,
    pub(crate) cancel_reason: Option<String>,
    pub(crate) cancel_comment: Option<String>,
    pub(crate) cancel_feedback: Option<String>,
    pub(crate) trial_start: Option<Time>,
    pub(crate) trial_end: Option<Time>,
    /// `customer.subscription.trial_will_end` was sent for this end.
    pub(crate) trial_warned: bool,
    pub(crate) missing_payment_method: MissingMethod,
    pub(crate) default_payment_method: Option<String>,
    pub(crate) sends_bill: bool,
    pub(crate) days_until_due: Option<i64>,
    pub(crate) latest_invoice: Option<String>,
    pub(crate) schedule: Option<String>,
    pub(crate) pending_update: Option<PendingUpdate>,
    pub(crate) automatic_tax: bool,
    pub(crate) description: Option<String>,
    pub(crate) payment_settings: Value,
    /// `invoice.upcoming` was sent for the period that ends here.
    pub(crate) upcoming_sent: Option<Time>,
}

/// `si_…`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) price: String,
    /// None for a metered price.
    pub(crate) quantity: Option<i64>,
    pub(crate) metadata: Metadata,
    pub(crate) period_start: Time,
    pub(crate) period_end: Time,
}

/// A change that waits for the payment of an invoice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PendingUpdate {
    pub(crate) expires_at: Time,
    pub(crate) invoice: String,
    pub(crate) items: Vec<Item>,
    pub(crate) billing_cycle_anchor: Option<Time>,
    pub(crate) trial_end: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Incomplete,
    IncompleteExpired,
    Trialing,
    Active,
    PastDue,
    Unpaid,
    Paused,
    Canceled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BillingMode {
    Classic,
    Flexible,
}

/// What the end of a trial without a payment method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MissingMethod {
    CreateInvoice,
    Cancel,
    Pause,
}

impl Status {
    /// Nothing leaves these.
    pub(crate) fn terminal(self) -> bool {
        matches!(self, Self::Canceled | Self::IncompleteExpired)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Unpaid => "unpaid",
            Self::Paused => "paused",
            Self::Canceled => "canceled",
        }
    }
}

impl Subscription {
    /// The end of the period that ends first.
    pub(crate) fn period_end(&self) -> Time {
        self.items.iter().map(|item| item.period_end).min().unwrap_or(self.billing_cycle_anchor)
    }

    /// The start of the period that began last.
    pub(crate) fn period_start(&self) -> Time {
        self.items.iter().map(|item| item.period_start).max().unwrap_or(self.start_date)
    }
}
