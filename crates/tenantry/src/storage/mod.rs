//! The only part that names SQL. It knows rows and transactions; it decides nothing.

mod error;
pub mod migrate;
mod pool;
mod query;
mod tx;
pub mod usage;

pub use error::{StoreError, describe};
pub use pool::{Database, Logins, MaybeRetryable};
pub use query::{Login, QUERIES, Query};
pub use tx::{Params, ReadScope, Tx};
