//! The rules of billing against models that reckon differently.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod limit;
mod metric;
mod money;
mod period;
mod period_derived;
mod permission;
mod plan;
mod pricing;
mod quantity;
mod rerate;
mod slug;
mod spend;
mod tally;

use tenantry_domain::quantity::Quantity;

/// A quantity from its text.
fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}
