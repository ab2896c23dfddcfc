//! The only part that names SQL. It knows rows and transactions; it decides nothing.

pub mod audit;
pub mod bench;
pub mod checkup;
mod error;
pub mod export;
pub mod idempotency;
pub mod invitation_mails;
pub mod invitations;
pub mod jobs;
pub mod keys;
pub mod members;
pub mod migrate;
pub mod notices;
mod pool;
mod query;
mod row;
pub mod security;
pub mod stripe;
pub mod subscriptions;
pub mod teams;
pub mod tenants;
mod tx;
pub mod usage;
pub mod users;

pub use error::{StoreError, describe};
pub use pool::{Database, Logins, MaybeRetryable};
pub use query::{Login, QUERIES, Query};
pub use tx::{Opening, Params, ReadScope, Tx};
