//! Who buys.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Metadata, Time};

/// `cus_…`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) deleted: bool,
    pub(crate) address: Option<Address>,
    /// Minor units: below zero is credit that the next invoices use up.
    pub(crate) balance: i64,
    /// The currency of the first invoice or subscription.
    pub(crate) currency: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) preferred_locales: Vec<String>,
    pub(crate) shipping: Value,
    pub(crate) tax_exempt: String,
    pub(crate) tax_ids: Vec<TaxId>,
    pub(crate) default_payment_method: Option<String>,
    pub(crate) invoice_footer: Option<String>,
    pub(crate) invoice_prefix: String,
    pub(crate) next_invoice_sequence: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) line1: Option<String>,
    pub(crate) line2: Option<String>,
    pub(crate) postal_code: Option<String>,
    pub(crate) city: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) country: Option<String>,
}

/// `txi_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TaxId {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) kind: String,
    pub(crate) value: String,
}

impl Customer {
    /// The country that taxes depend on.
    pub(crate) fn country(&self) -> Option<&str> {
        self.address.as_ref()?.country.as_deref()
    }
}
