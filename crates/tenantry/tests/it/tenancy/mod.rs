//! Operations on tenants, against a real database.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod catalogs;
mod first_sight;
mod idempotency;
mod keys;
mod logs;
mod members;
mod organizations;
mod owners_race;
mod teams;
mod world;
