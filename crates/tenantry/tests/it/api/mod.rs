//! The HTTP interface over a real database: who may do what, attacks, tokens, usage, the document.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod accounts;
mod attacks;
mod audited;
mod billing;
mod charges;
mod document;
mod export;
mod generated;
mod holds;
mod invitations;
mod keys;
mod logs;
mod ownership;
mod permissions;
mod repeated;
mod spend;
mod teams;
mod tokens;
mod usage;
mod webhook_endpoints;
mod world;
