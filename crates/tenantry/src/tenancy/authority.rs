//! What an actor may do in a tenant, read in the transaction of the deed and under the tenant's lock.

use serde::Deserialize as _;
use tenantry_domain::permission::{Action, Overrides, Permission, PermissionSet, Role, effective};
use uuid::Uuid;

use super::{Actor, TenancyError};
use crate::storage::tenants::LockedTenant;
use crate::storage::{StoreError, Tx, keys, members};

/// What an actor may do in one tenant at one moment.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its role; none for a key.
    pub role: Option<Role>,
    /// What it may do.
    pub permissions: PermissionSet,
    /// It may do what only owners may.
    pub is_owner: bool,
}

impl Authority {
    /// Looks an actor up. A user who is no member, and a key that is of another tenant or does not work any
    /// more, find nothing.
    pub async fn of(tx: &Tx, tenant: &LockedTenant, actor: Actor) -> Result<Self, TenancyError> {
        match actor {
            Actor::User(user) => {
                let member = members::get(tx, tenant.id(), user).await?.ok_or(TenancyError::NotFound)?;
                let role = role(&member.role)?;
                let permissions = effective(role, &overrides(&member.permissions)?);
                Ok(Self { role: Some(role), permissions, is_owner: role == Role::Owner })
            }
            Actor::Key { id, tenant_id } if tenant_id == tenant.id() => {
                let permissions = key_scopes(tx, id, Some(tenant_id)).await?;
                Ok(Self { role: None, permissions, is_owner: false })
            }
            Actor::Key { .. } => Err(TenancyError::NotFound),
            Actor::ServiceKey(id) => {
                let permissions = key_scopes(tx, id, None).await?;
                // The host application itself, unless its key was narrowed.
                let is_owner = permissions == PermissionSet::ALL;
                Ok(Self { role: None, permissions, is_owner })
            }
            Actor::System => Ok(Self { role: None, permissions: PermissionSet::ALL, is_owner: true }),
        }
    }

    /// Refuses unless the actor has a permission.
    pub fn require(&self, permission: Permission) -> Result<(), TenancyError> {
        if self.permissions.contains(permission) {
            Ok(())
        } else {
            Err(TenancyError::Forbidden { needed: permission.as_str(), role: self.role })
        }
    }

    /// Refuses unless the actor may do what only owners may.
    pub(super) fn require_owner(&self, action: Action) -> Result<(), TenancyError> {
        let needed = match action {
            Action::TransferTenant => "transferTenant",
            Action::DeleteTenant => "deleteTenant",
            Action::ExportTenant => "exportTenant",
        };
        if self.is_owner { Ok(()) } else { Err(TenancyError::Forbidden { needed, role: self.role }) }
    }

    /// The role to compare with when something is granted: a key grants by its scopes, never as an owner.
    pub(super) fn granting_role(&self) -> Role {
        match self.role {
            Some(role) => role,
            None if self.is_owner => Role::Owner,
            None => Role::Member,
        }
    }
}

/// The scopes of a key that works now.
pub(super) async fn key_scopes(tx: &Tx, id: Uuid, tenant: Option<Uuid>) -> Result<PermissionSet, TenancyError> {
    let key = keys::find(tx, id).await?.ok_or(TenancyError::NotFound)?;
    if key.tenant_id != tenant || !key.works {
        return Err(TenancyError::NotFound);
    }
    Ok(scopes(&key.scopes)?)
}

/// A stored role.
pub fn role(stored: &str) -> Result<Role, StoreError> {
    stored.parse().map_err(|error| StoreError::corrupt("role", error))
}

/// Stored permission overrides.
pub fn overrides(stored: &serde_json::Value) -> Result<Overrides, StoreError> {
    Overrides::deserialize(stored).map_err(|error| StoreError::corrupt("permissions of a member", error))
}

/// Stored scopes of a key.
pub fn scopes(stored: &[String]) -> Result<PermissionSet, StoreError> {
    let parse =
        |scope: &String| scope.parse::<Permission>().map_err(|error| StoreError::corrupt("scope of a key", error));
    stored.iter().map(parse).collect()
}
