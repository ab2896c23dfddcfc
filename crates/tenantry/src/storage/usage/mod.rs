//! Rows of usage: what a group of events needs to know, what it writes, and what reports read.

pub mod aggregated;
mod aggregated_books;
pub mod books;
pub mod charges;
pub mod commit;
pub mod facts;
pub mod open;
pub mod report;
pub mod segments;
pub mod unbilled;
