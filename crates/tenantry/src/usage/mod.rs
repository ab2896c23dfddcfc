//! Usage: recording it exactly, closing periods, and reading what was used.

pub mod charges;
pub mod closing;
pub mod event;
pub mod ingest;
pub mod opening;
pub mod outcome;
pub mod plan_change;
pub mod plans;
