//! Payment methods: what a customer pays with.

use jiff::Timestamp;
use serde::Serialize;

use super::shared::Metadata;
use crate::customers::Customer;
use crate::read::{has_id, object};
use crate::request::request;
use crate::{Expandable, List as Page};

object! {
    /// A payment method.
    PaymentMethod {
        /// Its id, `pm_…`.
        id: String,
        /// Its kind, such as `card` or `sepa_debit`.
        kind = "type": Option<String>,
        /// What can be shown of a card.
        card: Option<Card>,
        /// Whose it is.
        customer: Option<Expandable<Customer>>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// What can be shown of a card.
    Card {
        /// Such as `visa`.
        brand: Option<String>,
        /// Its last four digits.
        last4: Option<String>,
        /// The month that it ends with, 1 to 12.
        exp_month: Option<i64>,
        /// The year of that month.
        exp_year: Option<i64>,
        /// Two letters of ISO 3166-1.
        country: Option<String>,
    }
}

has_id!(PaymentMethod);

/// Lists what a customer can pay with.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// The customer.
    #[serde(skip)]
    pub customer: &'a str,
    /// Only this kind, such as `card`.
    #[serde(rename = "type")]
    pub kind: Option<&'a str>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/customers/{customer}/payment_methods" [customer] -> Page<PaymentMethod>);

/// Gives a payment method to a customer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Attach<'a> {
    /// The payment method.
    #[serde(skip)]
    pub id: &'a str,
    /// The customer. Required.
    pub customer: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Attach<'_>: Post "/v1/payment_methods/{payment_method}/attach" [id] -> PaymentMethod);
