//! Recording usage, closing periods, reports and the proof of the books, against a real database and below HTTP.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod aggregations;
mod changes;
mod concurrency;
mod damage;
mod decisions;
mod explain;
mod holds;
mod holds_race;
mod late_changes;
mod model;
mod preview;
mod recompute;
mod reports;
mod retention;
mod rollups;
mod simulate;
mod spend;
mod teams;
pub(crate) mod world;
