//! No tenant reaches another's rows: read from the catalogs, tried on every table, attacked by name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod attacks;
mod checks;
mod claims;
mod interleaving;
mod invariants;
mod matrix;
mod metacharacters;
mod mutations;
mod retention;
mod samples;
mod serving_role;
mod statements;
mod teams;
mod views;
mod world;
