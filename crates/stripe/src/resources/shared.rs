//! What several resources have in common.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::second;
use serde::{Serialize, Serializer};

use crate::open_enum::open_enum;
use crate::read::object;

/// The caller's own notes on an object. In a request an empty text removes the note; what is not named stays.
pub type Metadata = BTreeMap<String, String>;

/// Filters by time, to the second.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TimeRange {
    /// After.
    #[serde(with = "second::optional")]
    pub gt: Option<Timestamp>,
    /// At or after.
    #[serde(with = "second::optional")]
    pub gte: Option<Timestamp>,
    /// Before.
    #[serde(with = "second::optional")]
    pub lt: Option<Timestamp>,
    /// At or before.
    #[serde(with = "second::optional")]
    pub lte: Option<Timestamp>,
}

/// A time, or whenever the request arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When Stripe handles the request.
    Now,
    /// This time, to the second.
    At(Timestamp),
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self::At(at)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Now => serializer.serialize_str("now"),
            Self::At(at) => serializer.serialize_i64(at.as_second()),
        }
    }
}

/// A span of time, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PeriodParameters {
    /// Its first instant.
    #[serde(with = "second::required")]
    pub start: Timestamp,
    /// Its end.
    #[serde(with = "second::required")]
    pub end: Timestamp,
}

/// Whether Stripe computes the tax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AutomaticTaxParameters {
    /// It does.
    pub enabled: bool,
}

/// A postal address. An empty text unsets its part.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AddressParameters<'a> {
    /// City.
    pub city: Option<&'a str>,
    /// Two letters of ISO 3166-1.
    pub country: Option<&'a str>,
    /// Street and number.
    pub line1: Option<&'a str>,
    /// Apartment, floor.
    pub line2: Option<&'a str>,
    /// Postal code.
    pub postal_code: Option<&'a str>,
    /// State or province.
    pub state: Option<&'a str>,
}

/// How Stripe bills a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BillingModeParameters {
    /// Which rules.
    #[serde(rename = "type")]
    pub kind: BillingModeKind,
}

/// One discount to apply: a coupon or a promotion code.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DiscountParameters<'a> {
    /// Id of the coupon.
    pub coupon: Option<&'a str>,
    /// Id of the promotion code.
    pub promotion_code: Option<&'a str>,
}

open_enum! {
    /// The rules by which a subscription is billed.
    BillingModeKind {
        /// As it always was.
        Classic = "classic",
        /// The default since 2025-09-30.
        Flexible = "flexible",
    }
}

open_enum! {
    /// What becomes of the time that was paid for when something changes within a period.
    ProrationBehavior {
        /// Credit and charge now.
        AlwaysInvoice = "always_invoice",
        /// Credit and charge with the next invoice.
        CreateProrations = "create_prorations",
        /// Neither.
        None = "none",
    }
}

open_enum! {
    /// What becomes of a change whose payment fails.
    PaymentBehavior {
        /// It stays; the subscription becomes past due.
        AllowIncomplete = "allow_incomplete",
        /// It stays; the first payment is left to the customer.
        DefaultIncomplete = "default_incomplete",
        /// It is not made; the call answers 402.
        ErrorIfIncomplete = "error_if_incomplete",
        /// It waits for the payment as `pending_update`.
        PendingIfIncomplete = "pending_if_incomplete",
    }
}

open_enum! {
    /// How an invoice is paid.
    CollectionMethod {
        /// From the payment method on file.
        ChargeAutomatically = "charge_automatically",
        /// By the customer, who gets it by e-mail.
        SendInvoice = "send_invoice",
    }
}

open_enum! {
    /// A unit of recurring time.
    Interval {
        /// A day.
        Day = "day",
        /// A week.
        Week = "week",
        /// A month.
        Month = "month",
        /// A year.
        Year = "year",
    }
}

open_enum! {
    /// Whether an amount contains its tax.
    TaxBehavior {
        /// Tax comes on top.
        Exclusive = "exclusive",
        /// Tax is within.
        Inclusive = "inclusive",
        /// Not said.
        Unspecified = "unspecified",
    }
}

open_enum! {
    /// What became of computing the tax.
    AutomaticTaxStatus {
        /// Done.
        Complete = "complete",
        /// Stripe failed.
        Failed = "failed",
        /// The customer's address is missing or wrong.
        RequiresLocationInputs = "requires_location_inputs",
    }
}

object! {
    /// Whether Stripe computes the tax, and what became of it.
    AutomaticTax {
        /// It does.
        enabled: bool,
        /// How it went; of invoices and sessions.
        status: Option<AutomaticTaxStatus>,
        /// Why Stripe switched it off.
        disabled_reason: Option<String>,
    }
}

object! {
    /// A postal address.
    Address {
        /// City.
        city: Option<String>,
        /// Two letters of ISO 3166-1.
        country: Option<String>,
        /// Street and number.
        line1: Option<String>,
        /// Apartment, floor.
        line2: Option<String>,
        /// Postal code.
        postal_code: Option<String>,
        /// State or province.
        state: Option<String>,
    }
}

object! {
    /// The rules by which a subscription is billed.
    BillingMode {
        /// Which rules.
        kind = "type": BillingModeKind,
    }
}

object! {
    /// A span of time. Of a line of an invoice the end may equal the start.
    Period {
        /// Its first instant.
        start: Timestamp,
        /// Its end.
        end: Timestamp,
    }
}

object! {
    /// A tax id of a customer.
    TaxId {
        /// Its kind, such as `eu_vat`.
        kind = "type": String,
        /// The number.
        value: Option<String>,
    }
}

object! {
    /// A discount on a customer, a subscription or an invoice.
    Discount {
        /// Its id.
        id: String,
        /// From when.
        start: Option<Timestamp>,
        /// Until when; None is for ever, or once.
        end: Option<Timestamp>,
    }
}

object! {
    /// A payment in the making. It is read where it is expanded.
    PaymentIntent {
        /// Its id.
        id: String,
        /// Such as `succeeded`, `requires_action`, `requires_payment_method`.
        status: Option<String>,
        /// Why the last attempt failed.
        last_payment_error: Option<PaymentFailure>,
    }
}

object! {
    /// Why something about a payment or an invoice failed.
    PaymentFailure {
        /// Stripe's code.
        code: Option<String>,
        /// Why the bank declined.
        decline_code: Option<String>,
        /// Stripe's sentence.
        message: Option<String>,
    }
}

crate::read::has_id!(Discount, PaymentIntent);
