//! Customers: who pays.

use jiff::Timestamp;
use serde::Serialize;

use super::shared::{Address, AddressParameters, Discount, Metadata, TimeRange};
use crate::payment_methods::PaymentMethod;
use crate::read::{has_id, object};
use crate::request::request;
use crate::{Expandable, List as Page};

object! {
    /// A customer. Of a deleted one only the id is left.
    Customer {
        /// Its id, `cus_…`.
        id: String,
        /// It was deleted.
        deleted: bool,
        /// Live, not test.
        livemode: bool,
        /// Where invoices go.
        email: Option<String>,
        /// Name of the person or company.
        name: Option<String>,
        /// Words for the dashboard.
        description: Option<String>,
        /// Phone.
        phone: Option<String>,
        /// Postal address; taxes depend on it.
        address: Option<Address>,
        /// The currency that it pays in, once it has one.
        currency: Option<String>,
        /// Minor units that the next invoice adds; negative is credit.
        balance: Option<i64>,
        /// The last invoice failed.
        delinquent: bool,
        /// A discount on everything.
        discount: Option<Expandable<Discount>>,
        /// What invoices start from.
        invoice_settings: Option<InvoiceSettings>,
        /// A payment source of the older kind.
        default_source: Option<Expandable<crate::AnyObject>>,
        /// `none`, `exempt` or `reverse`.
        tax_exempt: Option<String>,
        /// Languages it prefers, best first.
        preferred_locales: Vec<String>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// What a customer's invoices start from.
    InvoiceSettings {
        /// What they are paid with.
        default_payment_method: Option<Expandable<PaymentMethod>>,
    }
}

has_id!(Customer);

/// What a customer's invoices start from.
#[derive(Debug, Clone, Default, Serialize)]
pub struct InvoiceSettingsParameters<'a> {
    /// Id of the payment method.
    pub default_payment_method: Option<&'a str>,
    /// Words at the foot of invoices.
    pub footer: Option<&'a str>,
}

/// When a customer's address is checked for taxes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TaxParameters<'a> {
    /// An address that the customer was seen at.
    pub ip_address: Option<&'a str>,
    /// `immediately` refuses an address that no tax can be computed for; `deferred` does not.
    pub validate_location: Option<&'a str>,
}

/// Makes a customer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Create<'a> {
    /// Where invoices go.
    pub email: Option<&'a str>,
    /// Name of the person or company.
    pub name: Option<&'a str>,
    /// Words for the dashboard.
    pub description: Option<&'a str>,
    /// Phone.
    pub phone: Option<&'a str>,
    /// Postal address.
    pub address: Option<AddressParameters<'a>>,
    /// What invoices start from.
    pub invoice_settings: Option<InvoiceSettingsParameters<'a>>,
    /// A payment method to attach.
    pub payment_method: Option<&'a str>,
    /// Languages, best first.
    pub preferred_locales: Vec<&'a str>,
    /// Checks of the address.
    pub tax: Option<TaxParameters<'a>>,
    /// `none`, `exempt` or `reverse`.
    pub tax_exempt: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// A test clock that the customer lives by.
    pub test_clock: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Create<'_>: Post "/v1/customers" [] -> Customer);

/// Gets a customer; a deleted one too.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The customer.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/customers/{customer}" [id] -> Customer);

/// Changes a customer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Update<'a> {
    /// The customer.
    #[serde(skip)]
    pub id: &'a str,
    /// Where invoices go.
    pub email: Option<&'a str>,
    /// Name of the person or company.
    pub name: Option<&'a str>,
    /// Words for the dashboard.
    pub description: Option<&'a str>,
    /// Phone.
    pub phone: Option<&'a str>,
    /// Postal address.
    pub address: Option<AddressParameters<'a>>,
    /// What invoices start from.
    pub invoice_settings: Option<InvoiceSettingsParameters<'a>>,
    /// Languages, best first.
    pub preferred_locales: Vec<&'a str>,
    /// Checks of the address.
    pub tax: Option<TaxParameters<'a>>,
    /// `none`, `exempt` or `reverse`.
    pub tax_exempt: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Update<'_>: Post "/v1/customers/{customer}" [id] -> Customer);

/// Lists customers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those with exactly this e-mail (upper and lower case differ).
    pub email: Option<&'a str>,
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
request!(List<'_>: Get "/v1/customers" [] -> Page<Customer>);
