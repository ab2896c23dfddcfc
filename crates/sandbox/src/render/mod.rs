//! How objects look on the wire: Stripe's JSON of API version 2025-08-27.basil, one place for each object.

mod billing;
mod catalog;
mod customer;
mod invoice;
mod other;
mod session;
mod subscription;

pub(crate) use other::API_VERSION;
use serde_json::{Value, json};

/// A list inside an object.
pub(crate) fn embedded(data: &[Value], url: &str) -> Value {
    json!({ "object": "list", "data": data, "has_more": false, "url": url })
}
