//! Operations on users, tenants, members, teams and keys, and what every operation leaves behind: audit entries,
//! security events, kept answers.
//!
//! An operation locks the tenant's row first, reads in the same transaction what the actor may do there, and
//! commits the change with its audit entry. It knows nothing of HTTP.

pub mod accounts;
mod actor;
pub mod audit;
pub mod authority;
pub mod ending;
mod error;
mod hash;
pub mod idempotency;
pub mod invitations;
pub mod key_uses;
pub mod keys;
pub mod members;
pub mod organizations;
pub mod secret;
pub mod security;
mod slugs;
pub mod subscription;
pub mod teams;
pub mod transfer;
pub mod users;
mod validate;

pub use actor::Actor;
pub use error::{FieldError, TenancyError};
