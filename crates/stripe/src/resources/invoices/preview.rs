//! The invoice that a change would make, without making the change.

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::second;
use serde::{Serialize, Serializer};

use super::Invoice;
use crate::invoice_items::PriceData;
use crate::request::request;
use crate::shared::{
    AutomaticTaxParameters, BillingModeParameters, DiscountParameters, Metadata, Moment, PeriodParameters,
    ProrationBehavior,
};
use crate::subscriptions::{CancelAt, ItemParameters};

/// When periods would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewAnchor {
    /// Anew, now.
    Now,
    /// As before.
    Unchanged,
    /// Then, of a subscription that does not exist yet.
    At(Timestamp),
}

impl Serialize for PreviewAnchor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Now => serializer.serialize_str("now"),
            Self::Unchanged => serializer.serialize_str("unchanged"),
            Self::At(at) => serializer.serialize_i64(at.as_second()),
        }
    }
}

/// The change of a subscription.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SubscriptionDetailsParameters<'a> {
    /// Items as they would be.
    pub items: Vec<ItemParameters<'a>>,
    /// What would become of the time that was paid for.
    pub proration_behavior: Option<ProrationBehavior>,
    /// The instant that prorations are counted from; give the same to the change itself.
    #[serde(with = "second::optional")]
    pub proration_date: Option<Timestamp>,
    /// When periods would begin.
    pub billing_cycle_anchor: Option<PreviewAnchor>,
    /// The rules of billing, of a subscription that does not exist yet.
    pub billing_mode: Option<BillingModeParameters>,
    /// It would end then.
    pub cancel_at: Option<CancelAt>,
    /// It would end with the period.
    pub cancel_at_period_end: Option<bool>,
    /// It would end now.
    pub cancel_now: Option<bool>,
    /// When it would begin.
    #[serde(with = "second::optional")]
    pub start_date: Option<Timestamp>,
    /// When the trial would end.
    pub trial_end: Option<Moment>,
}

/// A single charge that would be on it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PreviewItem<'a> {
    /// Minor units in all.
    pub amount: Option<i64>,
    /// Three letters, lower case.
    pub currency: Option<&'a str>,
    /// Words for the customer.
    pub description: Option<&'a str>,
    /// An item that waits, as it would be.
    pub invoiceitem: Option<&'a str>,
    /// What it is for.
    pub period: Option<PeriodParameters>,
    /// Id of a price.
    pub price: Option<&'a str>,
    /// A price for this item alone.
    pub price_data: Option<PriceData<'a>>,
    /// How many.
    pub quantity: Option<u64>,
    /// Minor units of one, as an exact decimal.
    pub unit_amount_decimal: Option<&'a str>,
    /// Notes.
    pub metadata: Metadata,
}

/// Previews an invoice. It changes nothing; as a POST it has an idempotency key nevertheless, a new one each time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreatePreview<'a> {
    /// Who would pay.
    pub customer: Option<&'a str>,
    /// The subscription that would change.
    pub subscription: Option<&'a str>,
    /// How it would change.
    pub subscription_details: Option<SubscriptionDetailsParameters<'a>>,
    /// The schedule that would run.
    pub schedule: Option<&'a str>,
    /// Three letters, lower case.
    pub currency: Option<&'a str>,
    /// Single charges.
    pub invoice_items: Vec<PreviewItem<'a>>,
    /// Taxes.
    pub automatic_tax: Option<AutomaticTaxParameters>,
    /// Discounts.
    pub discounts: Vec<DiscountParameters<'a>>,
    /// `next` (where it is not said) or `recurring`.
    pub preview_mode: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(CreatePreview<'_>: Post "/v1/invoices/create_preview" [] -> Invoice);
