//! How it is paid: cards, payment intents, payments of invoices.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Address, Metadata, Time};

/// `pm_…`, always a card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PaymentMethod {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) customer: Option<String>,
    pub(crate) card: Card,
    /// Confirmed once by its holder for later payments.
    pub(crate) set_up: bool,
    pub(crate) address: Option<Address>,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) metadata: Metadata,
}

/// What is known of a card: never its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Card {
    pub(crate) behaviour: CardBehaviour,
    pub(crate) brand: String,
    pub(crate) last4: String,
    pub(crate) exp_month: i64,
    pub(crate) exp_year: i64,
}

/// What happens when a card is attached and charged. Each test number stands for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CardBehaviour {
    Pays,
    /// Attaches, and then every charge is declined.
    FailsWhenCharged,
    /// Declined at once, with the decline code that Stripe gives.
    Declined,
    InsufficientFunds,
    LostCard,
    Expired,
    /// The holder must confirm once; charges after that pass.
    ConfirmOnce,
    /// The holder must confirm each charge.
    ConfirmAlways,
    /// Confirmed elsewhere: charges without the holder pass.
    Confirmed,
}

/// `pi_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PaymentIntent {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) customer: String,
    pub(crate) invoice: String,
    /// As on the wire.
    pub(crate) status: String,
    pub(crate) payment_method: Option<String>,
    pub(crate) last_error: Value,
    pub(crate) client_secret: String,
    pub(crate) canceled_at: Option<Time>,
}

/// `inpay_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InvoicePayment {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) invoice: String,
    pub(crate) payment_intent: String,
    pub(crate) amount_requested: i64,
    pub(crate) amount_paid: Option<i64>,
    pub(crate) currency: String,
    pub(crate) status: PaymentStatus,
    pub(crate) paid_at: Option<Time>,
    pub(crate) canceled_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaymentStatus {
    Open,
    Paid,
    Canceled,
}
