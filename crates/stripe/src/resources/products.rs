//! Products: what is sold.

use jiff::Timestamp;
use serde::Serialize;

use super::shared::Metadata;
use crate::read::{has_id, object};
use crate::request::request;
use crate::{Expandable, List as Page};

object! {
    /// A product. Of a deleted one only the id is left.
    Product {
        /// Its id, `prod_…` or chosen.
        id: String,
        /// It was deleted.
        deleted: bool,
        /// Live, not test.
        livemode: bool,
        /// It can be bought.
        active: bool,
        /// Its name.
        name: Option<String>,
        /// Words for customers.
        description: Option<String>,
        /// The price that is taken where none is named.
        default_price: Option<Expandable<crate::prices::Price>>,
        /// What taxes depend on.
        tax_code: Option<Expandable<crate::AnyObject>>,
        /// What one of it is called.
        unit_label: Option<String>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

has_id!(Product);

/// Makes a product.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Create<'a> {
    /// An id of the caller's choice. A second product with it is refused.
    pub id: Option<&'a str>,
    /// Its name. Required.
    pub name: &'a str,
    /// It can be bought.
    pub active: Option<bool>,
    /// Words for customers.
    pub description: Option<&'a str>,
    /// What taxes depend on, such as `txcd_10103001`.
    pub tax_code: Option<&'a str>,
    /// What one of it is called.
    pub unit_label: Option<&'a str>,
    /// What statements of cards show.
    pub statement_descriptor: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Create<'_>: Post "/v1/products" [] -> Product);

/// Gets a product.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The product.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/products/{id}" [id] -> Product);

/// Changes a product.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Update<'a> {
    /// The product.
    #[serde(skip)]
    pub id: &'a str,
    /// Its name.
    pub name: Option<&'a str>,
    /// It can be bought.
    pub active: Option<bool>,
    /// The price that is taken where none is named.
    pub default_price: Option<&'a str>,
    /// Words for customers; empty unsets.
    pub description: Option<&'a str>,
    /// What taxes depend on; empty unsets.
    pub tax_code: Option<&'a str>,
    /// What one of it is called; empty unsets.
    pub unit_label: Option<&'a str>,
    /// What statements of cards show.
    pub statement_descriptor: Option<&'a str>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Update<'_>: Post "/v1/products/{id}" [id] -> Product);

/// Lists products.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those that can be bought, or cannot.
    pub active: Option<bool>,
    /// Only these.
    pub ids: Vec<&'a str>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/products" [] -> Page<Product>);
