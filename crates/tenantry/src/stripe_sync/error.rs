//! Why work with Stripe is not done.

use tenantry_stripe::{InvalidIdempotencyKey, StripeError};

use crate::storage::{MaybeRetryable, StoreError};
use crate::tenancy::TenancyError;

/// Why work with Stripe is not done; what was not written is written by the next try.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stripe refused, failed or cannot be reached.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// An operation of ours refused.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// Somebody else works on this customer.
    #[error("another worker has this customer in hand")]
    Busy,
    /// The lease ran out before what was read could be written.
    #[error("the lease of this customer ran out")]
    LeaseLost,
    /// Stripe says something that the database cannot follow.
    #[error("{0}")]
    Confused(String),
}

impl MaybeRetryable for SyncError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Tenancy(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl From<InvalidIdempotencyKey> for SyncError {
    fn from(error: InvalidIdempotencyKey) -> Self {
        StripeError::from(error).into()
    }
}
