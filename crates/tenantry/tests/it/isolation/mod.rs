//! No tenant reaches another's rows: read from the catalogs, tried on every table, attacked by name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod checks;
mod invariants;
mod mutations;
mod serving_role;
mod statements;
