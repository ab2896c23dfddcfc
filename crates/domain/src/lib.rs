//! The rules of billing as pure functions: no I/O, no clock, no chance. `now` is an argument.

pub mod limit;
pub mod metric;
pub mod money;
pub mod period;
pub mod permission;
pub mod plan;
pub mod pricing;
pub mod quantity;
pub mod rerate;
pub mod slug;
pub mod spend;
pub mod tally;
