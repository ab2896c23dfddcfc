//! A stateful stand-in for Stripe: its API, its hosted pages, its webhooks, and a clock that can be advanced.
//!
//! Speaks the wire format of API version 2025-08-27.basil: forms with brackets in, Stripe's JSON out. Knows nothing
//! of tenants. What is inside:
//!
//! - `engine`: what Stripe would do, as pure functions of a state and a time;
//! - `model` and `render`: what is kept, and how it looks on the wire;
//! - `api` and `http`: endpoints with their parameter tables; forms, errors, idempotency, expansion;
//! - `pages`: checkout, billing portal and invoices for a browser, without scripts;
//! - `server`, `store`, `delivery`, `control`: the running thing.
//!
//! What differs from Stripe on purpose: only test cards exist; taxes follow one simple rule (`engine/tax.rs`); an
//! invoice is finalized an hour after its draft, whether or not `invoice.created` was delivered.

// The wire shapes are long `json!` literals.
#![recursion_limit = "256"]

mod api;
mod control;
mod delivery;
mod engine;
mod fault;
mod http;
mod model;
mod pages;
mod render;
mod server;
mod settings;
mod store;
mod switches;

pub use control::{Clock, Control, ControlError, DeliveryReport};
pub use server::Sandbox;
pub use settings::{OnClock, SandboxError, Settings, Source, WebhookTarget};
pub use switches::{DunningEnd, FaultAction, FaultRule, Switches};
