//! The sandbox over HTTP, every answer checked against Stripe's OpenAPI document.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod catalog;
mod changes;
mod checkout;
mod errors;
mod faults;
mod invoices;
mod meters;
mod portal;
mod restart;
mod schedules;
mod time;
mod webhooks;
mod world;
