//! Rows of usage: what a group of events needs to know, what it writes, and what reports read.

pub mod aggregated;
mod aggregated_books;
pub mod books;
pub mod charges;
pub mod commit;
pub mod dimensions;
pub mod facts;
pub mod holds;
mod key_books;
pub mod open;
pub mod raw;
pub mod recorded;
pub mod report;
pub mod retention;
pub mod rollups;
pub mod segments;
pub mod spend;
pub mod unbilled;
