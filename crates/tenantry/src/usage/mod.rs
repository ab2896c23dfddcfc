//! Usage: recording it exactly, closing periods, and reading what was used.

mod anchor;
pub mod books;
pub mod charges;
pub mod check;
pub mod closing;
pub mod event;
mod figures;
pub mod import;
pub mod ingest;
pub mod instant;
pub mod opening;
pub mod outcome;
pub mod plan_change;
pub mod plans;
mod recount;
pub mod report;
