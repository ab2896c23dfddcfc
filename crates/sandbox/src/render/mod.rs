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

/// A list inside an object, whole.
pub(crate) fn embedded(data: &[Value], url: &str) -> Value {
    json!({ "object": "list", "data": data, "has_more": false, "url": url })
}

/// Lines that an invoice tells of; those after it have to be listed.
const LINES: usize = 10;

/// The beginning of a list inside an object.
pub(crate) fn beginning(data: &[Value], url: &str) -> Value {
    let shown = data.get(..LINES).unwrap_or(data);
    json!({ "object": "list", "data": shown, "has_more": data.len() > LINES, "url": url })
}
