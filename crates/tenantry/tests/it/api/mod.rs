//! The HTTP interface over a real database: who may do what, attacks, tokens, usage, the document.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod attacks;
mod billing;
mod document;
mod generated;
mod permissions;
mod repeated;
mod teams;
mod tokens;
mod usage;
mod webhook_endpoints;
mod world;
