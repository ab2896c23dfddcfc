//! Who does something, as the audit trail and the security log name it.

use uuid::Uuid;

/// Who does something. That it is who it says was found out before; what it may do is looked up in the
/// transaction of the deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A user with a token.
    User(Uuid),
    /// An API key of one tenant.
    Key {
        /// The key.
        id: Uuid,
        /// Its tenant.
        tenant_id: Uuid,
    },
    /// An API key of the host application, which names the tenant itself.
    ServiceKey(Uuid),
    /// The command line or a worker.
    System,
}

impl Actor {
    /// As stored: `user`, `key`, `service_key` or `system`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Key { .. } => "key",
            Self::ServiceKey(_) => "service_key",
            Self::System => "system",
        }
    }

    /// Id of the user or key.
    pub fn id(self) -> Option<Uuid> {
        match self {
            Self::User(id) | Self::Key { id, .. } | Self::ServiceKey(id) => Some(id),
            Self::System => None,
        }
    }

    /// The tenant it belongs to whatever it does: a user's personal one, a key's one.
    pub fn home(self) -> Option<Uuid> {
        match self {
            Self::User(id) => Some(id),
            Self::Key { tenant_id, .. } => Some(tenant_id),
            Self::ServiceKey(_) | Self::System => None,
        }
    }
}
