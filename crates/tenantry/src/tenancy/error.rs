//! Why an operation of this family is not done.

use tenantry_domain::permission::Role;

use super::idempotency::KeyRefusal;
use crate::storage::{MaybeRetryable, StoreError};

/// Why an operation on users, tenants, members, teams or keys is not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request's `Idempotency-Key` does not allow it.
    #[error(transparent)]
    Key(#[from] KeyRefusal),
    /// Something in the request is not acceptable.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldError>),
    /// There is no such thing, or the actor is no member of its tenant: nobody outside may tell these apart.
    #[error("not found")]
    NotFound,
    /// The actor may not do this.
    #[error("{needed} is needed for this")]
    Forbidden {
        /// The permission or action that is missing, as it goes over the wire.
        needed: &'static str,
        /// The actor's role in the tenant; none for a key.
        role: Option<Role>,
    },
    /// The actor may manage members, but not give this.
    #[error("{reason}")]
    Grant {
        /// What exceeds the actor.
        reason: String,
        /// The actor's role in the tenant; none for a key.
        role: Option<Role>,
    },
    /// It would leave the tenant without an owner.
    #[error("a tenant keeps at least one owner: make another member an owner first")]
    LastOwner,
    /// The slug that the request asks for is another tenant's.
    #[error("the slug `{0}` is taken")]
    SlugTaken(String),
    /// Not with a personal tenant.
    #[error("a personal tenant {0}")]
    PersonalTenant(&'static str),
    /// The user is a member already.
    #[error("the user is a member already")]
    AlreadyMember,
    /// There are as many teams, or members of a team, as there may be.
    #[error("there are {limit} {what} already, which is the most")]
    TeamLimit {
        /// What is limited.
        what: &'static str,
        /// How many there may be.
        limit: i64,
    },
    /// The tenant pays for a plan.
    #[error("the tenant is subscribed to the plan `{0}`: cancel the subscription first")]
    ActiveSubscription(String),
    /// The present state does not allow it; says which state, and what to do.
    #[error("{0}")]
    Conflict(String),
    /// No catalog was loaded, so that new tenants have no plan to begin with.
    #[error("no plan catalog is loaded")]
    NoCatalog,
}

/// What is wrong with a field of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The field as it goes over the wire.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl TenancyError {
    /// One unacceptable field.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field, message: message.into() }])
    }
}

impl MaybeRetryable for TenancyError {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }
}
