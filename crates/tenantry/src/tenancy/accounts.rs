//! Deleting a user's account: out of every tenant, and all that is personal erased, in one transaction. What was used
//! and billed stays, under ids alone; the user's row stays too, so that its id is never anybody again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use tenantry_domain::permission::{PermissionSet, Role};
use uuid::Uuid;

use super::audit::{self, Deed};
use super::authority::{self, key_scopes};
use super::ending::{leave_stripe, refuse_unsettled};
use super::invitations::{self, key_of};
use super::{Actor, TenancyError, members, teams, users};
use crate::env::Env;
use crate::storage::members as member_rows;
use crate::storage::notices::{endpoints, mails};
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::users::{self as rows, LockedUser};
use crate::storage::{Database, Tx, audit as audit_rows, keys, subscriptions};
use crate::write_tx;

/// How often a deletion begins anew because the user came into another tenant meanwhile.
const ATTEMPTS: usize = 10;
/// More webhook endpoints than any tenant has.
const ALL_ENDPOINTS: i64 = 1_000;

/// Deletes a user's account, for the user itself and for service keys that may do everything. Nothing is done where an
/// organization would lose its last owner, or where the personal tenant still pays for a plan or has used what is yet
/// to be billed.
pub async fn delete(db: &Database, env: &Env, actor: Actor, user: Uuid) -> Result<(), TenancyError> {
    let now = env.clock.now();
    for _ in 0..ATTEMPTS {
        let tx = db.read_as_service("tenants_about_user", &[]).await?;
        let address = rows::own_address(&tx, user).await?;
        let mut about = rows::tenants_about(&tx, user, address.as_deref().map(key_of).as_deref()).await?;
        tx.rollback().await?;
        if !about.contains(&user) {
            about.push(user);
        }
        // A fixed order, so that two deletions with tenants in common do not hold each other up.
        about.sort_unstable();
        let is_done = write_tx!(db, "delete_user", &about, |tx| delete_in(tx, env, actor, user, &about, now).await)?;
        if is_done {
            return Ok(());
        }
    }
    Err(TenancyError::Conflict("the user's memberships change all the time: send the request again".to_owned()))
}

/// False where the user is in tenants that the transaction was not opened for.
async fn delete_in(
    tx: &Tx,
    env: &Env,
    actor: Actor,
    user: Uuid,
    about: &[Uuid],
    now: Timestamp,
) -> Result<bool, TenancyError> {
    require(tx, actor, user).await?;
    let mut held = Vec::with_capacity(about.len());
    for tenant in about {
        held.extend(tenants::lock(tx, *tenant).await?);
    }
    let Some(locked) = rows::lock(tx, user).await? else {
        let is_own = actor == Actor::User(user);
        return Err(if is_own { TenancyError::AccountDeleted } else { TenancyError::NotFound });
    };
    // From here on nobody makes the user a member of anything.
    let address_key = locked.email().map(key_of);
    let now_about = rows::tenants_about(tx, user, address_key.as_deref()).await?;
    if now_about.iter().any(|tenant| !about.contains(tenant)) {
        return Ok(false);
    }
    // The user was made after its tenant was looked for, and before it was looked for itself.
    if held.iter().all(|held| held.id() != user) && tenants::get(tx, user).await?.is_some() {
        return Ok(false);
    }
    let (personal, others): (Vec<_>, Vec<_>) =
        held.into_iter().partition(|held| held.row().is_personal() && held.id() == user);
    let roles = roles_in(tx, &others, user).await?;
    refuse_only_owner(tx, &others, &roles).await?;
    for personal in &personal {
        refuse_unsettled(tx, personal).await?;
    }
    // What they leave in the trail is blanked with the rest.
    for personal in &personal {
        teams::delete_all(tx, personal, env, now, actor).await?;
    }
    let mut blanked: BTreeMap<Uuid, u64> = BTreeMap::new();
    for tenant in audit_rows::blank(tx, about, user, locked.email()).await? {
        *blanked.entry(tenant).or_default() += 1;
    }
    mails::forget(tx, about, user, locked.email()).await?;
    let mut forgotten = invitations::forget(tx, about, &locked, now).await?;
    for tenant in &others {
        let of = Leaving {
            tenant,
            role: roles.get(&tenant.id()).copied(),
            blanked: blanked.remove(&tenant.id()),
            forgotten: forgotten.remove(&tenant.id()).unwrap_or_default(),
        };
        leave(tx, env, actor, &locked, &of, now).await?;
    }
    for tenant in &personal {
        let blanked = blanked.remove(&tenant.id()).unwrap_or_default();
        end_personal(tx, env, actor, tenant, (others.len(), blanked), now).await?;
    }
    rows::erase(tx, &locked, now).await?;
    Ok(true)
}

/// The user itself, or the host application with a key that was not narrowed.
async fn require(tx: &Tx, actor: Actor, user: Uuid) -> Result<(), TenancyError> {
    match actor {
        Actor::User(own) if own == user => Ok(()),
        Actor::System => Ok(()),
        Actor::ServiceKey(key) if key_scopes(tx, key, None).await? == PermissionSet::ALL => Ok(()),
        _ => Err(TenancyError::Forbidden { needed: "deleteUser", role: None }),
    }
}

/// The user's role in each of these tenants that it is a member of.
async fn roles_in(tx: &Tx, held: &[LockedTenant], user: Uuid) -> Result<BTreeMap<Uuid, Role>, TenancyError> {
    let mut roles = BTreeMap::new();
    for tenant in held {
        if let Some(member) = member_rows::get(tx, tenant.id(), user).await? {
            roles.insert(tenant.id(), authority::role(&member.role)?);
        }
    }
    Ok(roles)
}

/// All organizations that would be left without an owner are named at once.
async fn refuse_only_owner(tx: &Tx, held: &[LockedTenant], roles: &BTreeMap<Uuid, Role>) -> Result<(), TenancyError> {
    let mut lost = Vec::new();
    for tenant in held {
        if roles.get(&tenant.id()) == Some(&Role::Owner) && member_rows::owners(tx, tenant).await? <= 1 {
            lost.push((tenant.id(), tenant.row().name.clone()));
        }
    }
    if lost.is_empty() { Ok(()) } else { Err(TenancyError::OnlyOwner(lost)) }
}

/// What is left of a user in a tenant that is not its own.
struct Leaving<'a> {
    tenant: &'a LockedTenant,
    /// None where it is no member any more.
    role: Option<Role>,
    /// How many payloads were blanked there.
    blanked: Option<u64>,
    /// How many invitations forgot whom they were for.
    forgotten: usize,
}

/// Takes out of a tenant all that goes with a user. Whatever ties a user to a tenant of somebody else has its line here,
/// and what a personal tenant has of its own in [`end_personal`]. Which tenants there are to leave is said by
/// `tenantry.tenants_about`: those that it is a member of or in a team of, that invited it, and those with entries about
/// it. A table that names
/// users in a tenant whose trail does not is to be looked at there too.
///
/// API keys stay: they rest on their own scopes and on the tenant, not on who made them.
async fn leave(
    tx: &Tx,
    env: &Env,
    actor: Actor,
    user: &LockedUser,
    of: &Leaving<'_>,
    now: Timestamp,
) -> Result<(), TenancyError> {
    teams::remove_from_all(tx, of.tenant, env, now, (actor, user.id())).await?;
    let (kind, role) = match of.role {
        Some(role) => {
            member_rows::remove(tx, of.tenant, user.id()).await?;
            members::follow_with_seats(tx, of.tenant, env, now).await?;
            ("member.removed", Some(role.as_str()))
        }
        None if of.blanked.is_some() || of.forgotten > 0 => ("member.erased", None),
        None => return Ok(()),
    };
    let payload = json!({
        "reason": "account_deleted", "role": role, "payloads_blanked": of.blanked.unwrap_or_default(),
        "invitations_forgotten": of.forgotten,
    });
    Ok(audit::append(tx, of.tenant, env, now, Deed { kind, actor, subject_id: Some(user.id()), payload }).await?)
}

/// Deletes the personal tenant, with everything that could say whose it was.
async fn end_personal(
    tx: &Tx,
    env: &Env,
    actor: Actor,
    tenant: &LockedTenant,
    (others, blanked): (usize, u64),
    now: Timestamp,
) -> Result<(), TenancyError> {
    let keys = keys::revoke_all(tx, tenant, now).await?;
    keys::forget_names(tx, tenant).await?;
    member_rows::remove_all(tx, tenant).await?;
    for endpoint in endpoints::list(tx, tenant.id(), None, ALL_ENDPOINTS).await? {
        endpoints::delete(tx, tenant, endpoint.id).await?;
    }
    subscriptions::end(tx, tenant, now).await?;
    let payload = json!({ "tenants_left": others, "keys_revoked": keys, "payloads_blanked": blanked });
    let deed = Deed { kind: "user.deleted", actor, subject_id: Some(tenant.id()), payload };
    audit::append(tx, tenant, env, now, deed).await?;
    leave_stripe(tx, tenant, env, now).await?;
    Ok(tenants::erase(tx, tenant, users::PERSONAL_NAME, now).await?)
}
