//! The real binary as processes: starting, refusing to start, stopping, being killed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod audit;
mod charges;
mod commands;
mod kills;
mod logs;
mod refusals;
mod replicas;
mod retention;
mod server;
mod stripe;
