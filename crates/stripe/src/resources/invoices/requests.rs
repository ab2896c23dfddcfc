//! Calls about invoices.

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::second;
use serde::Serialize;

use super::{Invoice, InvoiceStatus};
use crate::List as Page;
use crate::open_enum::open_enum;
use crate::request::request;
use crate::shared::{AutomaticTaxParameters, CollectionMethod, DiscountParameters, Metadata, TimeRange};

open_enum! {
    /// What a new invoice does with items that wait.
    PendingItems {
        /// Leaves them.
        Exclude = "exclude",
        /// Takes them.
        Include = "include",
    }
}

/// Gets an invoice. `expand` with `payments` gives its payments.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The invoice.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/invoices/{invoice}" [id] -> Invoice);

/// Lists invoices.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those of this customer.
    pub customer: Option<&'a str>,
    /// Only those of this subscription.
    pub subscription: Option<&'a str>,
    /// Only those that stand so.
    pub status: Option<InvoiceStatus>,
    /// Only those made then.
    pub created: Option<TimeRange>,
    /// Only those paid so.
    pub collection_method: Option<CollectionMethod>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/invoices" [] -> Page<Invoice>);

/// Makes a draft.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Create<'a> {
    /// Who pays. Required.
    pub customer: &'a str,
    /// Stripe finalizes and collects it by itself.
    pub auto_advance: Option<bool>,
    /// Items that wait; Stripe leaves them where it is not said.
    pub pending_invoice_items_behavior: Option<PendingItems>,
    /// How it is paid.
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, where it is sent.
    pub days_until_due: Option<u32>,
    /// Three letters, lower case.
    pub currency: Option<&'a str>,
    /// What it is paid with.
    pub default_payment_method: Option<&'a str>,
    /// The subscription that it is for: takes that one's items only.
    pub subscription: Option<&'a str>,
    /// Taxes.
    pub automatic_tax: Option<AutomaticTaxParameters>,
    /// Discounts.
    pub discounts: Vec<DiscountParameters<'a>>,
    /// Words for the customer.
    pub description: Option<&'a str>,
    /// Words at its foot.
    pub footer: Option<&'a str>,
    /// What statements of cards show.
    pub statement_descriptor: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Create<'_>: Post "/v1/invoices" [] -> Invoice);

/// Changes an invoice: a draft in all, a final one in little.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Update<'a> {
    /// The invoice.
    #[serde(skip)]
    pub id: &'a str,
    /// Stripe finalizes and collects it by itself.
    pub auto_advance: Option<bool>,
    /// When Stripe finalizes it.
    #[serde(with = "second::optional")]
    pub automatically_finalizes_at: Option<Timestamp>,
    /// How it is paid.
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, where it is sent.
    pub days_until_due: Option<u32>,
    /// What it is paid with.
    pub default_payment_method: Option<&'a str>,
    /// Taxes.
    pub automatic_tax: Option<AutomaticTaxParameters>,
    /// Words for the customer.
    pub description: Option<&'a str>,
    /// Words at its foot.
    pub footer: Option<&'a str>,
    /// What statements of cards show.
    pub statement_descriptor: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Update<'_>: Post "/v1/invoices/{invoice}" [id] -> Invoice);

/// Makes a draft final.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Finalize<'a> {
    /// The invoice.
    #[serde(skip)]
    pub id: &'a str,
    /// Stripe collects it by itself.
    pub auto_advance: Option<bool>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Finalize<'_>: Post "/v1/invoices/{invoice}/finalize" [id] -> Invoice);

/// Pays an invoice now. A declined card is [`crate::StripeError::Card`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pay<'a> {
    /// The invoice.
    #[serde(skip)]
    pub id: &'a str,
    /// What with.
    pub payment_method: Option<&'a str>,
    /// The customer is not there to confirm.
    pub off_session: Option<bool>,
    /// It was paid elsewhere.
    pub paid_out_of_band: Option<bool>,
    /// Takes less than is due for all, where a source has no more.
    pub forgive: Option<bool>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Pay<'_>: Post "/v1/invoices/{invoice}/pay" [id] -> Invoice);

/// Makes an open invoice one that is never to be paid.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Void<'a> {
    /// The invoice.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Void<'_>: Post "/v1/invoices/{invoice}/void" [id] -> Invoice);
