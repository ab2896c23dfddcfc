//! The lines of an invoice.

use jiff::Timestamp;
use serde::Serialize;

use super::shared::{Metadata, Period};
use crate::prices::Price;
use crate::read::{has_id, object};
use crate::request::request;
use crate::subscriptions::Subscription;
use crate::{Expandable, List as Page};

object! {
    /// A line.
    InvoiceLine {
        /// Its id, `il_…`.
        id: String,
        /// Minor units without tax; negative is credit.
        amount: i64,
        /// Three letters, lower case.
        currency: String,
        /// Words for the customer.
        description: Option<String>,
        /// How many.
        quantity: Option<i64>,
        /// What it is for.
        period: Option<Period>,
        /// What it was priced by.
        pricing: Option<Pricing>,
        /// Where it comes from.
        parent: Option<LineParent>,
        /// Its subscription.
        subscription: Option<Expandable<Subscription>>,
        /// The price, where an older version has it; see [`InvoiceLine::price_id`].
        price: Option<Expandable<Price>>,
        /// The taxes on it.
        taxes: Vec<Tax>,
        /// The caller's notes.
        metadata: Metadata,
    }
}

object! {
    /// What a line was priced by.
    Pricing {
        /// The price.
        price_details: Option<PriceDetails>,
        /// Minor units of one, as an exact decimal.
        unit_amount_decimal: Option<String>,
    }
}

object! {
    /// A price and its product.
    PriceDetails {
        /// The price.
        price: Option<Expandable<Price>>,
        /// Id of the product.
        product: Option<String>,
    }
}

object! {
    /// Where a line or an invoice item comes from.
    LineParent {
        /// `invoice_item_details`, `subscription_item_details` or what came since.
        kind = "type": Option<String>,
        /// Of a line that was an invoice item.
        invoice_item_details: Option<LineSource>,
        /// Of a line that is a subscription's item.
        subscription_item_details: Option<LineSource>,
        /// Of an invoice item that a subscription made.
        subscription_details: Option<LineSource>,
    }
}

object! {
    /// What a line was before.
    LineSource {
        /// The invoice item.
        invoice_item: Option<String>,
        /// The subscription.
        subscription: Option<String>,
        /// The subscription's item.
        subscription_item: Option<String>,
        /// It credits or charges a part of a period.
        proration: bool,
    }
}

object! {
    /// A tax on a line or an invoice.
    Tax {
        /// Minor units.
        amount: i64,
        /// `exclusive`: on top; `inclusive`: within.
        tax_behavior: Option<String>,
        /// Why it is what it is, such as `standard_rated` or `reverse_charge`.
        taxability_reason: Option<String>,
        /// Minor units that it was computed of.
        taxable_amount: Option<i64>,
        /// The rate.
        tax_rate_details: Option<TaxRateDetails>,
    }
}

object! {
    /// The rate of a tax.
    TaxRateDetails {
        /// Its id.
        tax_rate: Option<String>,
    }
}

has_id!(InvoiceLine);

impl InvoiceLine {
    /// Id of the price that it was priced by.
    pub fn price_id(&self) -> Option<&str> {
        let details = self.pricing.as_ref().and_then(|pricing| pricing.price_details.as_ref());
        details.and_then(|details| details.price.as_ref()).or(self.price.as_ref()).map(Expandable::id)
    }

    /// Id of the invoice item that it was.
    pub fn invoice_item(&self) -> Option<&str> {
        self.source()?.invoice_item.as_deref()
    }

    /// Id of the subscription's item that it is for.
    pub fn subscription_item(&self) -> Option<&str> {
        self.source()?.subscription_item.as_deref()
    }

    /// It credits or charges a part of a period.
    pub fn is_proration(&self) -> bool {
        self.source().is_some_and(|source| source.proration)
    }

    /// When its period begins and ends.
    pub fn times(&self) -> Option<(Timestamp, Timestamp)> {
        self.period.as_ref().map(|period| (period.start, period.end))
    }

    fn source(&self) -> Option<&LineSource> {
        let parent = self.parent.as_ref()?;
        let (item, subscription) = (parent.invoice_item_details.as_ref(), parent.subscription_item_details.as_ref());
        if parent.kind.as_deref() == Some("invoice_item_details") {
            item.or(subscription)
        } else {
            subscription.or(item)
        }
    }
}

/// Lists the lines of an invoice: the invoice itself has the first ten.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// The invoice.
    #[serde(skip)]
    pub invoice: &'a str,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/invoices/{invoice}/lines" [invoice] -> Page<InvoiceLine>);
