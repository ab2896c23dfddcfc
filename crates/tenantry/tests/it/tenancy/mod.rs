//! Operations on tenants, against a real database.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod accounts;
mod accounts_race;
mod catalogs;
mod first_sight;
mod idempotency;
mod invitations;
mod invitations_race;
mod keys;
mod logs;
mod members;
mod old_trails;
mod organizations;
mod owners_race;
mod places;
mod slug_race;
mod teams;
mod transfer;
mod world;
