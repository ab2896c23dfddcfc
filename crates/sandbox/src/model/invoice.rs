//! Invoices, their lines, and items that wait for one.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Address, Metadata, Time};

/// `in_…`. Subtotal, tax and total are sums of its lines.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as in Stripe's parameters")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Invoice {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) customer: String,
    pub(crate) subscription: Option<String>,
    /// The subscription's metadata when the invoice was made.
    pub(crate) subscription_metadata: Metadata,
    pub(crate) status: InvoiceStatus,
    pub(crate) billing_reason: String,
    pub(crate) sends_bill: bool,
    pub(crate) currency: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) number: Option<String>,
    pub(crate) auto_advance: bool,
    pub(crate) attempt_count: i64,
    pub(crate) attempted: bool,
    pub(crate) next_payment_attempt: Option<Time>,
    pub(crate) automatically_finalizes_at: Option<Time>,
    pub(crate) period_start: Time,
    pub(crate) period_end: Time,
    pub(crate) automatic_tax: bool,
    pub(crate) tax_status: Option<String>,
    pub(crate) tax_disabled_reason: Option<String>,
    pub(crate) customer_address: Option<Address>,
    pub(crate) customer_email: Option<String>,
    pub(crate) customer_name: Option<String>,
    pub(crate) customer_phone: Option<String>,
    pub(crate) customer_tax_exempt: String,
    pub(crate) customer_tax_ids: Vec<(String, String)>,
    pub(crate) starting_balance: i64,
    pub(crate) ending_balance: Option<i64>,
    pub(crate) amount_due: i64,
    pub(crate) amount_paid: i64,
    pub(crate) default_payment_method: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) footer: Option<String>,
    pub(crate) due_date: Option<Time>,
    pub(crate) effective_at: Option<Time>,
    pub(crate) finalized_at: Option<Time>,
    pub(crate) paid_at: Option<Time>,
    pub(crate) voided_at: Option<Time>,
    pub(crate) uncollectible_at: Option<Time>,
    pub(crate) last_finalization_error: Value,
    pub(crate) metadata: Metadata,
    pub(crate) payment_intent: Option<String>,
    /// The last part of the address of its page.
    pub(crate) page: String,
    pub(crate) webhooks_delivered_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InvoiceStatus {
    Draft,
    Open,
    Paid,
    Void,
    Uncollectible,
}

/// `il_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) tax: i64,
    pub(crate) description: String,
    pub(crate) quantity: Option<i64>,
    pub(crate) metadata: Metadata,
    pub(crate) price: Option<String>,
    pub(crate) unit_amount: Option<Decimal>,
    pub(crate) period_start: Time,
    pub(crate) period_end: Time,
    pub(crate) proration: bool,
    pub(crate) credited: Option<Credited>,
    pub(crate) parent: LineParent,
}

/// What a line stems from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LineParent {
    pub(crate) invoice_item: Option<String>,
    pub(crate) subscription: Option<String>,
    pub(crate) subscription_item: Option<String>,
}

/// The lines that a credit gives back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Credited {
    pub(crate) invoice: String,
    pub(crate) lines: Vec<String>,
}

/// `ii_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InvoiceItem {
    pub(crate) id: String,
    pub(crate) date: Time,
    pub(crate) customer: String,
    pub(crate) subscription: Option<String>,
    pub(crate) subscription_item: Option<String>,
    pub(crate) amount: i64,
    pub(crate) unit_amount: Option<Decimal>,
    pub(crate) quantity: i64,
    pub(crate) currency: String,
    pub(crate) description: Option<String>,
    pub(crate) period_start: Time,
    pub(crate) period_end: Time,
    pub(crate) metadata: Metadata,
    pub(crate) discountable: bool,
    pub(crate) proration: bool,
    pub(crate) credited: Option<Credited>,
    pub(crate) price: Option<String>,
    /// The invoice that it is on; none while it is pending.
    pub(crate) invoice: Option<String>,
}

impl InvoiceStatus {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Void => "void",
            Self::Uncollectible => "uncollectible",
        }
    }
}

impl Invoice {
    pub(crate) fn subtotal(&self) -> i64 {
        self.lines.iter().map(|line| line.amount).sum()
    }

    pub(crate) fn tax(&self) -> i64 {
        self.lines.iter().map(|line| line.tax).sum()
    }

    pub(crate) fn total(&self) -> i64 {
        self.subtotal() + self.tax()
    }
}
