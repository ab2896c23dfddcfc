//! Why an operation of this family is not done.

use tenantry_domain::permission::Role;
use uuid::Uuid;

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
    /// It would leave organizations without an owner: their ids and names.
    #[error("{} would be left without an owner: make another member an owner first", .0.iter().map(|(_, name)| format!("\u{201c}{name}\u{201d}")).collect::<Vec<_>>().join(", "))]
    OnlyOwner(Vec<(Uuid, String)>),
    /// The account was deleted, for good.
    #[error("the account was deleted")]
    AccountDeleted,
    /// The slug that the request asks for is another tenant's.
    #[error("the slug `{0}` is taken")]
    SlugTaken(String),
    /// Not with a personal tenant.
    #[error("a personal tenant {0}")]
    PersonalTenant(&'static str),
    /// The user is a member already.
    #[error("the user is a member already")]
    AlreadyMember,
    /// As many invitations are pending as may be.
    #[error("{limit} invitations are pending: revoke some, or wait until they are accepted or expire")]
    TooManyInvitations {
        /// How many may be.
        limit: i64,
    },
    /// As many mails went to the address within a day as may.
    #[error("{limit} invitations were mailed to this address within a day: try again tomorrow")]
    MailedTooOften {
        /// How many may be.
        limit: i64,
    },
    /// The token is good for nothing, for whatever reason.
    #[error("the invitation does not exist or can no longer be accepted: ask for a new one")]
    InvitationInvalid,
    /// The address of who accepts is another one than was invited.
    #[error("the invitation was sent to another address: sign in with the one that it was sent to")]
    InvitationOfAnother,
    /// Nobody who is trusted with it says that the address of who accepts is theirs.
    #[error("the token does not say that its address is verified: verify it where you sign in, and sign in again")]
    EmailNotVerified,
    /// The plan whose limits are in force has no place for another member.
    #[error(
        "the plan `{plan_id}` has places for {places} members, and all are taken: change the plan or remove a member"
    )]
    MembersFull {
        /// The plan.
        plan_id: String,
        /// Members that it allows.
        places: u32,
    },
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
    /// Use above the included quantity of these metrics is on no invoice yet.
    #[error("use of {} above the included quantity is still to be billed: delete after the period was billed", .0.join(", "))]
    UnbilledUsage(Vec<String>),
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
