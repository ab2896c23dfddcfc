//! Who belongs to a tenant, and as what. Every change locks the tenant first, so that two changes at once see
//! each other: without that lock two owners who demote each other leave none.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_domain::permission::{Overrides, Permission, Role, may_assign};
use tenantry_domain::plan::Plan;
use uuid::Uuid;

use super::audit::{self, Deed};
use super::authority::{self, Authority};
use super::idempotency::{self, Answer, Claim, Idempotent};
use super::{Actor, TenancyError};
use crate::env::Env;
use crate::storage::jobs::{self, NewJob};
use crate::storage::members::{self as rows, MemberRow};
use crate::storage::stripe::subscriptions::count_members;
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::{Database, StoreError, Tx, subscriptions, users};
use crate::write_tx;

/// Kind of the jobs that bring the seats that are paid for to the number of members.
pub const SEATS_JOB: &str = "sync_seats";

/// A member to be added.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// A user that was seen before.
    pub user_id: Uuid,
    /// Its role.
    pub role: Role,
    /// What overrides the role's permissions.
    pub permissions: Overrides,
}

/// What is to be changed of a member; what is missing stays.
#[derive(Debug, Clone, Default)]
pub struct MemberPatch {
    /// Its role.
    pub role: Option<Role>,
    /// What overrides the role's permissions, instead of all that did.
    pub permissions: Option<Overrides>,
}

/// Adds a user to an organization.
pub async fn add(
    db: &Database,
    env: &Env,
    actor: Actor,
    tenant: Uuid,
    new: &NewMember,
    idempotent: Option<&Idempotent<'_, MemberRow>>,
) -> Result<Answer<MemberRow>, TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "add_member", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let authority = Authority::of(tx, &held, actor).await?;
        authority.require(Permission::ManageMembers)?;
        refuse_personal(&held)?;
        let permissions = assignable(&authority, new.role, &new.permissions)?;
        if users::existing(tx, &[new.user_id]).await?.is_empty() {
            return Err(TenancyError::invalid("userId", "names no user: a user is made by its first request"));
        }
        let row = join(tx, env, &held, (new.user_id, new.role, &permissions), now).await?;
        let payload = json!({ "role": new.role.as_str(), "permissions": permissions });
        let deed = Deed { kind: "member.added", actor, subject_id: Some(new.user_id), payload };
        audit::append(tx, &held, env, now, deed).await?;
        ticket.done(tx, row).await
    })
}

/// Changes role or permissions of a member. Only owners make, change or unmake owners.
pub async fn change(
    db: &Database,
    env: &Env,
    actor: Actor,
    tenant: Uuid,
    user: Uuid,
    patch: &MemberPatch,
) -> Result<MemberRow, TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "change_member", &[tenant], |tx| {
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let authority = Authority::of(tx, &held, actor).await?;
        authority.require(Permission::ManageMembers)?;
        let before = member(tx, &held, user).await?;
        let old_role = authority::role(&before.role)?;
        let role = patch.role.unwrap_or(old_role);
        refuse_change_of_owner(&authority, old_role)?;
        if role != Role::Owner {
            refuse_last_owner(tx, &held, old_role).await?;
        }
        let overrides = match &patch.permissions {
            Some(given) => given.clone(),
            // An owner has everything: what narrowed it as something else goes.
            None if role == Role::Owner => Overrides::default(),
            None => authority::overrides(&before.permissions)?,
        };
        let permissions = assignable(&authority, role, &overrides)?;
        if role == old_role && permissions == before.permissions {
            return Ok(before);
        }
        rows::update(tx, &held, (user, role.as_str(), &permissions), now).await?;
        let payload = json!({
            "from": { "role": before.role, "permissions": before.permissions },
            "to": { "role": role.as_str(), "permissions": permissions },
        });
        audit::append(tx, &held, env, now, Deed { kind: "member.changed", actor, subject_id: Some(user), payload })
            .await?;
        member(tx, &held, user).await
    })
}

/// Takes a member out of an organization. Only owners remove owners.
pub async fn remove(db: &Database, env: &Env, actor: Actor, tenant: Uuid, user: Uuid) -> Result<(), TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "remove_member", &[tenant], |tx| {
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let authority = Authority::of(tx, &held, actor).await?;
        authority.require(Permission::ManageMembers)?;
        refuse_personal(&held)?;
        let before = member(tx, &held, user).await?;
        let role = authority::role(&before.role)?;
        refuse_change_of_owner(&authority, role)?;
        refuse_last_owner(tx, &held, role).await?;
        rows::remove(tx, &held, user).await?;
        let payload = json!({ "role": before.role });
        let deed = Deed { kind: "member.removed", actor, subject_id: Some(user), payload };
        audit::append(tx, &held, env, now, deed).await?;
        Ok(follow_with_seats(tx, &held, env, now).await?)
    })
}

/// A member goes; the last owner does not.
pub async fn leave(
    db: &Database,
    env: &Env,
    user: Uuid,
    tenant: Uuid,
    idempotent: Option<&Idempotent<'_, ()>>,
) -> Result<Answer<()>, TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "leave_tenant", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        // Looked up before the lock too: nobody holds up a tenant that is not theirs.
        rows::get(tx, tenant, user).await?.ok_or(TenancyError::NotFound)?;
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let before = member(tx, &held, user).await?;
        refuse_personal(&held)?;
        refuse_last_owner(tx, &held, authority::role(&before.role)?).await?;
        rows::remove(tx, &held, user).await?;
        let payload = json!({ "role": before.role });
        let deed = Deed { kind: "member.left", actor: Actor::User(user), subject_id: Some(user), payload };
        audit::append(tx, &held, env, now, deed).await?;
        follow_with_seats(tx, &held, env, now).await?;
        ticket.done(tx, ()).await
    })
}

/// Makes a user a member of a locked tenant whose plan has a place left, and lets the seats follow. Who may do it, and
/// the audit entry, are for the caller.
pub(super) async fn join(
    tx: &Tx,
    env: &Env,
    tenant: &LockedTenant,
    (user, role, permissions): (Uuid, Role, &Value),
    now: Timestamp,
) -> Result<MemberRow, TenancyError> {
    if !rows::insert(tx, tenant, (user, role.as_str(), permissions), now).await? {
        return Err(TenancyError::AlreadyMember);
    }
    refuse_overfull(tx, tenant).await?;
    follow_with_seats(tx, tenant, env, now).await?;
    member(tx, tenant, user).await
}

/// Refuses more members than the plan in force has places for. Holds only under the tenant's lock. Members count,
/// invitations do not: nobody waits for a place that somebody else was promised and never took.
async fn refuse_overfull(tx: &Tx, tenant: &LockedTenant) -> Result<(), TenancyError> {
    let Some((plan_id, definition)) = subscriptions::in_force(tx, tenant).await? else {
        return Ok(());
    };
    let plan: Plan = serde_json::from_value(definition)
        .map_err(|error| StoreError::corrupt("definition of a plan version", error))?;
    match plan.max_members {
        Some(places) if count_members(tx, tenant.id()).await? > i64::from(places) => {
            Err(TenancyError::MembersFull { plan_id, places })
        }
        _ => Ok(()),
    }
}

/// Leaves the job that brings the seats that are paid for to the number of members; nothing where nobody pays.
pub(super) async fn follow_with_seats(
    tx: &Tx,
    tenant: &LockedTenant,
    env: &Env,
    now: Timestamp,
) -> Result<(), StoreError> {
    if !subscriptions::is_paid(tx, tenant).await? {
        return Ok(());
    }
    let id = env.ids.uuid_v7(now);
    let job = NewJob { id, dedupe_key: id.to_string(), payload: &json!({}) };
    jobs::insert(tx, tenant.id(), SEATS_JOB, &[job], now).await
}

async fn member(tx: &Tx, tenant: &LockedTenant, user: Uuid) -> Result<MemberRow, TenancyError> {
    rows::get(tx, tenant.id(), user).await?.ok_or(TenancyError::NotFound)
}

pub(super) fn refuse_personal(tenant: &LockedTenant) -> Result<(), TenancyError> {
    if tenant.row().is_personal() {
        return Err(TenancyError::PersonalTenant("has one member, its user: make an organization to have more"));
    }
    Ok(())
}

fn refuse_change_of_owner(authority: &Authority, role: Role) -> Result<(), TenancyError> {
    if role == Role::Owner && !authority.is_owner {
        return Err(TenancyError::Grant { reason: "only an owner changes an owner".to_owned(), role: authority.role });
    }
    Ok(())
}

/// Holds only under the tenant's lock.
async fn refuse_last_owner(tx: &Tx, tenant: &LockedTenant, role: Role) -> Result<(), TenancyError> {
    if role == Role::Owner && rows::owners(tx, tenant).await? <= 1 {
        return Err(TenancyError::LastOwner);
    }
    Ok(())
}

/// Role and permissions, where the actor may give them; the permissions as they are stored.
pub(super) fn assignable(authority: &Authority, role: Role, permissions: &Overrides) -> Result<Value, TenancyError> {
    may_assign(authority.granting_role(), authority.permissions, role, permissions)
        .map_err(|refusal| TenancyError::Grant { reason: refusal.to_string(), role: authority.role })?;
    serde_json::to_value(permissions).map_err(|error| StoreError::corrupt("permissions to store", error).into())
}
