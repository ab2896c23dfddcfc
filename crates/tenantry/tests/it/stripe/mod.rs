//! Billing through Stripe, against the sandbox over HTTP: operations, what the sync makes of it, webhooks in any order.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod access;
mod changes;
mod checkout;
mod dying;
mod elsewhere;
mod failures;
mod farewell;
mod inbox;
mod invoices;
mod metered;
mod meters;
mod orders;
mod overage;
mod reconcile;
mod seats;
mod tax;
mod three_months;
pub(crate) mod world;
