//! Usage: recording it exactly, closing periods, and reading what was used.

mod anchor;
pub mod books;
pub mod charges;
pub mod check;
pub mod closing;
pub mod event;
pub mod explain;
mod figures;
pub mod groups;
pub mod holds;
pub mod hours;
pub mod import;
pub mod ingest;
pub mod instant;
pub mod month;
pub mod opening;
pub mod outcome;
pub mod plan_change;
pub mod plans;
pub mod raw;
pub mod recompute;
mod recount;
pub mod report;
pub mod retention;
pub mod rollups;
pub mod simulate;
pub mod spend;
