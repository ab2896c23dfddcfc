//! Rows of `teams` and `team_members`: who shares whose subscription.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::members::After;
use super::row::Column as _;
use super::tenants::LockedTenant;
use super::{StoreError, Tx};
use crate::query;

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamRow {
    /// The personal tenant of its owner, which has the owner's own id.
    pub tenant_id: Uuid,
    /// Its id, unique over all tenants.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A member of a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TeamMemberRow {
    /// The user.
    pub user_id: Uuid,
    /// Since when.
    pub created_at: Timestamp,
}

/// A user who owns a team or is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TeamStanding {
    /// The tenant of its owner.
    pub tenant_id: Uuid,
    /// The team.
    pub team_id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The team is the user's own.
    pub is_owner: bool,
    /// The owner has a plan that can be shared: not the default one, and not lost over a payment.
    pub shares_plan: bool,
}

query! {
    both GET = "
        select tenant_id, id, name, created_at, updated_at from tenantry.teams where id = $1";
    user OF_USER = "
        select t.tenant_id, t.id, t.name, t.created_at, t.updated_at
        from tenantry.teams t
        where (t.tenant_id = $1 or exists (
                select from tenantry.team_members m
                where m.tenant_id = t.tenant_id and m.team_id = t.id and m.user_id = $1))
          and ($2::timestamptz is null or (t.created_at, t.id) > ($2, $3::uuid))
        order by t.created_at, t.id
        limit $4";
    user MEMBERS = "
        select user_id, created_at from tenantry.team_members
        where tenant_id = $1 and team_id = $2
          and ($3::timestamptz is null or (created_at, user_id) > ($3, $4::uuid))
        order by created_at, user_id
        limit $5";
    // A cancellation that is due has ended the plan, whether or not Stripe has told so yet.
    service STANDINGS = "
        select t.tenant_id, t.id, wanted.user_id, t.tenant_id = wanted.user_id,
               exists (
                select from tenantry.tenant_subscriptions s
                join tenantry.plan_versions v on v.plan_id = s.plan_id and v.version = s.plan_version
                where s.tenant_id = t.tenant_id and s.ended_at is null and s.access = 'full' and not v.is_default
                  and not (s.cancel_at_period_end and s.current_period_end <= $3))
        from unnest($1::uuid[], $2::uuid[]) as wanted (team_id, user_id)
        join tenantry.teams t on t.id = wanted.team_id
        where t.tenant_id = wanted.user_id or exists (
            select from tenantry.team_members m
            where m.tenant_id = t.tenant_id and m.team_id = t.id and m.user_id = wanted.user_id)";
    service SHARERS = "
        select distinct m.tenant_id, m.user_id
        from unnest($1::uuid[], $2::uuid[]) as wanted (tenant_id, user_id)
        join tenantry.team_members m on m.user_id = wanted.user_id and m.tenant_id = wanted.tenant_id";
    service COUNT = "select count(*) from tenantry.teams where tenant_id = $1";
    service COUNT_MEMBERS = "select count(*) from tenantry.team_members where tenant_id = $1 and team_id = $2";
    service IS_MEMBER = "
        select exists (select from tenantry.team_members where tenant_id = $1 and team_id = $2 and user_id = $3)";
    service INSERT = "
        insert into tenantry.teams (tenant_id, id, name, created_at, updated_at) values ($1, $2, $3, $4, $4)
        returning tenant_id, id, name, created_at, updated_at";
    service RENAME = "
        update tenantry.teams set name = $3, updated_at = $4 where tenant_id = $1 and id = $2
        returning tenant_id, id, name, created_at, updated_at";
    service DELETE = "delete from tenantry.teams where tenant_id = $1 and id = $2";
    service DELETE_MEMBERS = "delete from tenantry.team_members where tenant_id = $1 and team_id = $2";
    service INSERT_MEMBER = "
        insert into tenantry.team_members (tenant_id, team_id, user_id, created_at) values ($1, $2, $3, $4)
        on conflict (tenant_id, team_id, user_id) do nothing";
    service REMOVE_MEMBER = "
        delete from tenantry.team_members where tenant_id = $1 and team_id = $2 and user_id = $3";
    service OWNED = "
        select tenant_id, id, name, created_at, updated_at from tenantry.teams where tenant_id = $1 order by id";
    service OF_MEMBER = "
        select team_id from tenantry.team_members where tenant_id = $1 and user_id = $2 order by team_id";
}

fn team(row: &Row) -> Result<TeamRow, StoreError> {
    Ok(TeamRow {
        tenant_id: row.col(0)?,
        id: row.col(1)?,
        name: row.col(2)?,
        created_at: row.col(3)?,
        updated_at: row.col(4)?,
    })
}

/// A team that the transaction may see: for a reader, one that it owns or is in.
pub async fn get(tx: &Tx, id: Uuid) -> Result<Option<TeamRow>, StoreError> {
    tx.opt(&GET, &[&id]).await?.as_ref().map(team).transpose()
}

/// A page of the teams that a user owns or is in, oldest first.
pub async fn of_user(tx: &Tx, user: Uuid, after: Option<After>, limit: i64) -> Result<Vec<TeamRow>, StoreError> {
    let (time, id) = after.unzip();
    tx.rows(&OF_USER, &[&user, &time, &id, &limit]).await?.iter().map(team).collect()
}

/// A page of the members of a team that the reader owns or is in, oldest first.
pub async fn members(
    tx: &Tx,
    team: &TeamRow,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<TeamMemberRow>, StoreError> {
    let (time, id) = after.unzip();
    tx.rows(&MEMBERS, &[&team.tenant_id, &team.id, &time, &id, &limit])
        .await?
        .iter()
        .map(|row| Ok(TeamMemberRow { user_id: row.col(0)?, created_at: row.col(1)? }))
        .collect()
}

/// Those of these (team, user) pairs in which the user owns the team or is in it, of teams whose tenants the
/// transaction was opened for.
pub async fn standings(
    tx: &Tx,
    teams: &[Uuid],
    users: &[Uuid],
    now: Timestamp,
) -> Result<Vec<TeamStanding>, StoreError> {
    tx.rows(&STANDINGS, &[&teams, &users, &now])
        .await?
        .iter()
        .map(|row| {
            Ok(TeamStanding {
                tenant_id: row.col(0)?,
                team_id: row.col(1)?,
                user_id: row.col(2)?,
                is_owner: row.col(3)?,
                shares_plan: row.col(4)?,
            })
        })
        .collect()
}

/// Those of these (tenant, user) pairs in which the user is in a team of the tenant's.
pub async fn sharers(tx: &Tx, tenants: &[Uuid], users: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    tx.rows(&SHARERS, &[&tenants, &users]).await?.iter().map(|row| Ok((row.col(0)?, row.col(1)?))).collect()
}

/// How many teams a locked tenant owns.
pub async fn count(tx: &Tx, tenant: &LockedTenant) -> Result<i64, StoreError> {
    tx.one(&COUNT, &[&tenant.id()]).await?.col(0)
}

/// How many members a team of a locked tenant has, its owner not counted.
pub async fn count_members(tx: &Tx, tenant: &LockedTenant, team: Uuid) -> Result<i64, StoreError> {
    tx.one(&COUNT_MEMBERS, &[&tenant.id(), &team]).await?.col(0)
}

/// Whether a user was added to a team of a locked tenant.
pub async fn is_member(tx: &Tx, tenant: &LockedTenant, team: Uuid, user: Uuid) -> Result<bool, StoreError> {
    tx.one(&IS_MEMBER, &[&tenant.id(), &team, &user]).await?.col(0)
}

/// Makes a team of a locked tenant.
pub async fn insert(
    tx: &Tx,
    tenant: &LockedTenant,
    (id, name): (Uuid, &str),
    now: Timestamp,
) -> Result<TeamRow, StoreError> {
    team(&tx.one(&INSERT, &[&tenant.id(), &id, &name, &now]).await?)
}

/// Gives a team of a locked tenant another name.
pub async fn rename(
    tx: &Tx,
    tenant: &LockedTenant,
    (id, name): (Uuid, &str),
    now: Timestamp,
) -> Result<TeamRow, StoreError> {
    team(&tx.one(&RENAME, &[&tenant.id(), &id, &name, &now]).await?)
}

/// Deletes a team of a locked tenant with its members; how many they were.
pub async fn delete(tx: &Tx, tenant: &LockedTenant, id: Uuid) -> Result<u64, StoreError> {
    let members = tx.execute(&DELETE_MEMBERS, &[&tenant.id(), &id]).await?;
    tx.exactly_one(&DELETE, &[&tenant.id(), &id]).await?;
    Ok(members)
}

/// Puts a user into a team of a locked tenant; false where it is in it already.
pub async fn insert_member(
    tx: &Tx,
    tenant: &LockedTenant,
    (team, user): (Uuid, Uuid),
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&INSERT_MEMBER, &[&tenant.id(), &team, &user, &now]).await? == 1)
}

/// Takes a user out of a team of a locked tenant; false where it is not in it.
pub async fn remove_member(tx: &Tx, tenant: &LockedTenant, team: Uuid, user: Uuid) -> Result<bool, StoreError> {
    Ok(tx.execute(&REMOVE_MEMBER, &[&tenant.id(), &team, &user]).await? == 1)
}

/// All teams of a locked tenant.
pub async fn owned(tx: &Tx, tenant: &LockedTenant) -> Result<Vec<TeamRow>, StoreError> {
    tx.rows(&OWNED, &[&tenant.id()]).await?.iter().map(team).collect()
}

/// The teams of a locked tenant that a user is in.
pub async fn of_member(tx: &Tx, tenant: &LockedTenant, user: Uuid) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&OF_MEMBER, &[&tenant.id(), &user]).await?.iter().map(|row| row.col(0)).collect()
}
