//! Teams: users who share the subscription of a team's owner. They use the plan and manage nothing; a team belongs
//! to its owner's personal tenant, whose row every change locks first.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_domain::permission::{Permission, PermissionSet};
use uuid::Uuid;

use super::audit::{self, Deed};
use super::authority::Authority;
use super::idempotency::{self, Answer, Claim, Idempotent};
use super::{Actor, TenancyError, validate};
use crate::env::Env;
use crate::storage::teams::{self as rows, TeamMemberRow, TeamRow};
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::{Database, ReadScope, StoreError, Tx};
use crate::write_tx;

/// Teams that one user may own.
pub const MOST_TEAMS: i64 = 50;
/// Members that one team may have beside its owner.
pub const MOST_MEMBERS: i64 = 100;
/// Longest name of a team, in characters.
const MAX_NAME: usize = 100;
/// What only the owner of a team may do, as it goes over the wire.
const MANAGE: &str = "manageTeam";

/// What whoever acts in the name of a team may do with its owner's plan, the owner included: use it, see where it
/// stands. Invoices, plan changes, keys and members are for the owner's own context.
pub fn permissions() -> PermissionSet {
    [Permission::ViewBilling, Permission::ViewUsage, Permission::RecordUsage].into_iter().collect()
}

/// The team of an id, if the user owns it or is in it.
pub async fn find(db: &Database, user: Uuid, team: Uuid) -> Result<Option<TeamRow>, StoreError> {
    let tx = db.read("find_team", ReadScope { user_id: Some(user), ..ReadScope::default() }).await?;
    let found = rows::get(&tx, team).await?;
    tx.rollback().await?;
    Ok(found)
}

/// Makes a team that shares the user's own subscription.
pub async fn create(
    db: &Database,
    env: &Env,
    user: Uuid,
    name: &str,
    idempotent: Option<&Idempotent<'_, TeamRow>>,
) -> Result<Answer<TeamRow>, TenancyError> {
    let name = validate::name("name", name, MAX_NAME)?;
    let now = env.clock.now();
    let id = env.ids.uuid_v7(now);
    write_tx!(db, "create_team", &[user], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = owned_tenant(tx, user).await?;
        if rows::count(tx, &held).await? >= MOST_TEAMS {
            return Err(TenancyError::TeamLimit { what: "teams of one owner", limit: MOST_TEAMS });
        }
        let row = rows::insert(tx, &held, (id, &name), now).await?;
        log(tx, &held, env, now, ("team.created", Actor::User(user), id, json!({ "name": name }))).await?;
        ticket.done(tx, row).await
    })
}

/// Gives a team another name; for its owner.
pub async fn rename(
    db: &Database,
    env: &Env,
    user: Uuid,
    team: &TeamRow,
    name: Option<&str>,
) -> Result<TeamRow, TenancyError> {
    let name = name.map(|text| validate::name("name", text, MAX_NAME)).transpose()?;
    let now = env.clock.now();
    write_tx!(db, "rename_team", &[team.tenant_id], |tx| {
        let (held, before) = managed(tx, user, team).await?;
        let Some(name) = name.as_deref().filter(|name| *name != before.name) else {
            return Ok(before);
        };
        let row = rows::rename(tx, &held, (team.id, name), now).await?;
        let payload = json!({ "name": { "from": before.name, "to": name } });
        log(tx, &held, env, now, ("team.changed", Actor::User(user), team.id, payload)).await?;
        Ok(row)
    })
}

/// Deletes a team: nobody shares the plan by it any more. For its owner.
pub async fn delete(db: &Database, env: &Env, user: Uuid, team: &TeamRow) -> Result<(), TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "delete_team", &[team.tenant_id], |tx| {
        let (held, before) = managed(tx, user, team).await?;
        Ok(delete_one(tx, &held, env, now, Actor::User(user), &before).await?)
    })
}

/// Puts a user into a team; for its owner.
pub async fn add_member(
    db: &Database,
    env: &Env,
    user: Uuid,
    team: &TeamRow,
    member: Uuid,
    idempotent: Option<&Idempotent<'_, TeamMemberRow>>,
) -> Result<Answer<TeamMemberRow>, TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "add_team_member", &[team.tenant_id, member], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        // The member's own tenant, too: a user who is deleted at the same time is in no team afterwards. By id, so
        // that two who add each other do not wait for each other; only the owner gets that far.
        let is_first = user == team.tenant_id && member < team.tenant_id;
        let early = if is_first { tenants::lock(tx, member).await? } else { None };
        let (held, _) = managed(tx, user, team).await?;
        if member == team.tenant_id {
            return Err(TenancyError::AlreadyMember);
        }
        let theirs = if is_first { early } else { tenants::lock(tx, member).await? };
        if !theirs.is_some_and(|tenant| tenant.row().is_personal()) {
            return Err(TenancyError::invalid("userId", "names no user: a user is made by its first request"));
        }
        if rows::is_member(tx, &held, team.id, member).await? {
            return Err(TenancyError::AlreadyMember);
        }
        if rows::count_members(tx, &held, team.id).await? >= MOST_MEMBERS {
            return Err(TenancyError::TeamLimit { what: "members of one team", limit: MOST_MEMBERS });
        }
        rows::insert_member(tx, &held, (team.id, member), now).await?;
        let payload = json!({ "team": team.id });
        log(tx, &held, env, now, ("team_member.added", Actor::User(user), member, payload)).await?;
        ticket.done(tx, TeamMemberRow { user_id: member, created_at: now }).await
    })
}

/// Takes a user out of a team: its owner anybody, a member itself.
pub async fn remove_member(
    db: &Database,
    env: &Env,
    user: Uuid,
    team: &TeamRow,
    member: Uuid,
) -> Result<(), TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "remove_team_member", &[team.tenant_id], |tx| {
        let (held, kind) = if user == member {
            (tenants::lock(tx, team.tenant_id).await?.ok_or(TenancyError::NotFound)?, "team_member.left")
        } else {
            (managed(tx, user, team).await?.0, "team_member.removed")
        };
        if !rows::remove_member(tx, &held, team.id, member).await? {
            return Err(TenancyError::NotFound);
        }
        Ok(log(tx, &held, env, now, (kind, Actor::User(user), member, json!({ "team": team.id }))).await?)
    })
}

/// A member goes. The owner cannot: a team is deleted instead.
pub async fn leave(
    db: &Database,
    env: &Env,
    user: Uuid,
    team: Uuid,
    idempotent: Option<&Idempotent<'_, ()>>,
) -> Result<Answer<()>, TenancyError> {
    let now = env.clock.now();
    // Who has left sees the team no more; the answer that was kept is found without it.
    let tenant = find(db, user, team).await?.map(|row| row.tenant_id);
    let opened: Vec<Uuid> = tenant.into_iter().collect();
    write_tx!(db, "leave_team", &opened, |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let tenant = tenant.ok_or(TenancyError::NotFound)?;
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        if tenant == user {
            return Err(TenancyError::Conflict("the owner of a team cannot leave it: delete the team".to_owned()));
        }
        if !rows::remove_member(tx, &held, team, user).await? {
            return Err(TenancyError::NotFound);
        }
        let payload = json!({ "team": team });
        log(tx, &held, env, now, ("team_member.left", Actor::User(user), user, payload)).await?;
        ticket.done(tx, ()).await
    })
}

/// Takes a user out of every team of a locked tenant, as when the user is deleted; how many teams they were.
pub async fn remove_from_all(
    tx: &Tx,
    tenant: &LockedTenant,
    env: &Env,
    now: Timestamp,
    (actor, user): (Actor, Uuid),
) -> Result<usize, StoreError> {
    let teams = rows::of_member(tx, tenant, user).await?;
    for team in &teams {
        rows::remove_member(tx, tenant, *team, user).await?;
        log(tx, tenant, env, now, ("team_member.removed", actor, user, json!({ "team": team }))).await?;
    }
    Ok(teams.len())
}

/// Deletes every team of a locked tenant, as before the tenant itself is deleted (the database refuses to keep one);
/// how many they were.
pub async fn delete_all(
    tx: &Tx,
    tenant: &LockedTenant,
    env: &Env,
    now: Timestamp,
    actor: Actor,
) -> Result<usize, StoreError> {
    let teams = rows::owned(tx, tenant).await?;
    for team in &teams {
        delete_one(tx, tenant, env, now, actor, team).await?;
    }
    Ok(teams.len())
}

async fn delete_one(
    tx: &Tx,
    tenant: &LockedTenant,
    env: &Env,
    now: Timestamp,
    actor: Actor,
    team: &TeamRow,
) -> Result<(), StoreError> {
    let members = rows::delete(tx, tenant, team.id).await?;
    let payload = json!({ "name": team.name, "members": members });
    log(tx, tenant, env, now, ("team.deleted", actor, team.id, payload)).await
}

async fn log(
    tx: &Tx,
    tenant: &LockedTenant,
    env: &Env,
    now: Timestamp,
    (kind, actor, subject, payload): (&'static str, Actor, Uuid, Value),
) -> Result<(), StoreError> {
    audit::append(tx, tenant, env, now, Deed { kind, actor, subject_id: Some(subject), payload }).await
}

/// The personal tenant of a user, locked.
async fn owned_tenant(tx: &Tx, user: Uuid) -> Result<LockedTenant, TenancyError> {
    let held = tenants::lock(tx, user).await?.ok_or(TenancyError::NotFound)?;
    Authority::of(tx, &held, Actor::User(user)).await?.require(Permission::ManageMembers)?;
    Ok(held)
}

/// The tenant of a team, locked, and the team as it is now, where the user owns it. A member is told that this is not
/// for members; whoever is neither learns nothing.
async fn managed(tx: &Tx, user: Uuid, team: &TeamRow) -> Result<(LockedTenant, TeamRow), TenancyError> {
    let held = tenants::lock(tx, team.tenant_id).await?.ok_or(TenancyError::NotFound)?;
    let row = rows::get(tx, team.id).await?.filter(|row| row.tenant_id == held.id()).ok_or(TenancyError::NotFound)?;
    if held.id() == user {
        Authority::of(tx, &held, Actor::User(user)).await?.require(Permission::ManageMembers)?;
        return Ok((held, row));
    }
    if rows::is_member(tx, &held, team.id, user).await? {
        return Err(TenancyError::Forbidden { needed: MANAGE, role: None });
    }
    Err(TenancyError::NotFound)
}
