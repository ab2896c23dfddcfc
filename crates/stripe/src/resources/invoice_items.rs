//! Invoice items: single charges that wait for an invoice, or are put on a draft.

use jiff::Timestamp;
use serde::Serialize;

use super::shared::{Metadata, Period, PeriodParameters, TaxBehavior, TimeRange};
use crate::customers::Customer;
use crate::invoice_lines::{LineParent, Pricing};
use crate::invoices::Invoice;
use crate::read::{has_id, object};
use crate::request::request;
use crate::{Deleted, Expandable, List as Page};

object! {
    /// An invoice item.
    InvoiceItem {
        /// Its id, `ii_…`.
        id: String,
        /// Minor units; negative is credit.
        amount: i64,
        /// Three letters, lower case.
        currency: String,
        /// Who pays.
        customer: Expandable<Customer>,
        /// Words for the customer.
        description: Option<String>,
        /// The invoice that it is on; None while it waits.
        invoice: Option<Expandable<Invoice>>,
        /// What it is for.
        period: Option<Period>,
        /// What it was priced by.
        pricing: Option<Pricing>,
        /// Where it comes from.
        parent: Option<LineParent>,
        /// It credits or charges a part of a period.
        proration: bool,
        /// How many.
        quantity: Option<i64>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        date: Option<Timestamp>,
    }
}

has_id!(InvoiceItem);

/// A price that already exists.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PricingParameters<'a> {
    /// Id of a price that does not recur.
    pub price: Option<&'a str>,
}

/// A price for this item alone.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PriceData<'a> {
    /// Three letters, lower case. Required.
    pub currency: &'a str,
    /// Id of the product. Required.
    pub product: &'a str,
    /// Minor units of one.
    pub unit_amount: Option<i64>,
    /// The same as an exact decimal, up to 12 places; one of both.
    pub unit_amount_decimal: Option<&'a str>,
    /// Whether the amount contains its tax.
    pub tax_behavior: Option<TaxBehavior>,
}

/// Makes an invoice item. Its amount is `amount`, or a quantity of a price.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Create<'a> {
    /// Who pays. Required.
    pub customer: &'a str,
    /// Minor units in all.
    pub amount: Option<i64>,
    /// Three letters, lower case.
    pub currency: Option<&'a str>,
    /// How many.
    pub quantity: Option<u64>,
    /// Minor units of one, as an exact decimal.
    pub unit_amount_decimal: Option<&'a str>,
    /// A price that already exists.
    pub pricing: Option<PricingParameters<'a>>,
    /// A price for this item alone.
    pub price_data: Option<PriceData<'a>>,
    /// Words for the customer.
    pub description: Option<&'a str>,
    /// Discounts of the invoice apply to it.
    pub discountable: Option<bool>,
    /// The draft that it goes on; without one it waits for the next.
    pub invoice: Option<&'a str>,
    /// The subscription whose invoice it waits for.
    pub subscription: Option<&'a str>,
    /// What it is for.
    pub period: Option<PeriodParameters>,
    /// Whether the amount contains its tax.
    pub tax_behavior: Option<TaxBehavior>,
    /// What taxes depend on.
    pub tax_code: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Create<'_>: Post "/v1/invoiceitems" [] -> InvoiceItem);

/// Gets an invoice item.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The item.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/invoiceitems/{invoiceitem}" [id] -> InvoiceItem);

/// Lists invoice items.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those of this customer.
    pub customer: Option<&'a str>,
    /// Only those on this invoice.
    pub invoice: Option<&'a str>,
    /// Only those that wait, or do not.
    pub pending: Option<bool>,
    /// Only those made then.
    pub created: Option<TimeRange>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/invoiceitems" [] -> Page<InvoiceItem>);

/// Deletes an invoice item that waits or is on a draft.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Delete<'a> {
    /// The item.
    #[serde(skip)]
    pub id: &'a str,
}
request!(Delete<'_>: Delete "/v1/invoiceitems/{invoiceitem}" [id] -> Deleted);
