//! Rows of `tenant_members`: who belongs where, and as what.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::row::Column as _;
use super::tenants::{LockedTenant, TenantRow};
use super::{StoreError, Tx};
use crate::query;

/// A member of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRow {
    /// The user.
    pub user_id: Uuid,
    /// `owner`, `admin`, `billing_admin` or `member`.
    pub role: String,
    /// Permission overrides: permission name to boolean.
    pub permissions: serde_json::Value,
    /// The user's e-mail address.
    pub email: Option<String>,
    /// When it became a member.
    pub created_at: Timestamp,
    /// When role or permissions were last changed.
    pub updated_at: Timestamp,
}

/// A tenant together with what one user is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Membership {
    /// The tenant.
    pub tenant: TenantRow,
    /// The user's role there.
    pub role: String,
    /// The user's permission overrides there.
    pub permissions: serde_json::Value,
}

/// Where a page of a list begins: after the row with this time and id.
pub type After = (Timestamp, Uuid);

query! {
    both GET = "
        select m.user_id, m.role, m.permissions, u.email, m.created_at, m.updated_at
        from tenantry.tenant_members m join tenantry.users u on u.id = m.user_id
        where m.tenant_id = $1 and m.user_id = $2";
    both LIST = "
        select m.user_id, m.role, m.permissions, u.email, m.created_at, m.updated_at
        from tenantry.tenant_members m join tenantry.users u on u.id = m.user_id
        where m.tenant_id = $1
          and ($2::timestamptz is null or (m.created_at, m.user_id) > ($2, $3::uuid))
        order by m.created_at, m.user_id
        limit $4";
    both MEMBERSHIP = "
        select t.id, t.type, t.name, t.slug, t.owner_id, t.settings, t.created_at, t.updated_at, m.role, m.permissions
        from tenantry.tenant_members m join tenantry.tenants t on t.id = m.tenant_id
        where m.tenant_id = $1 and m.user_id = $2 and t.deleted_at is null";
    both MEMBERSHIPS = "
        select t.id, t.type, t.name, t.slug, t.owner_id, t.settings, t.created_at, t.updated_at, m.role, m.permissions
        from tenantry.tenant_members m join tenantry.tenants t on t.id = m.tenant_id
        where m.user_id = $1 and t.deleted_at is null
          and ($2::timestamptz is null or (t.created_at, t.id) > ($2, $3::uuid))
        order by t.created_at, t.id
        limit $4";
    service OWNERS = "select count(*) from tenantry.tenant_members where tenant_id = $1 and role = 'owner'";
    service OWNER_IDS = "
        select user_id from tenantry.tenant_members where tenant_id = $1 and role = 'owner' order by user_id";
    service INSERT = "
        insert into tenantry.tenant_members (tenant_id, user_id, role, permissions, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $5)
        on conflict (tenant_id, user_id) do nothing";
    service UPDATE = "
        update tenantry.tenant_members set role = $3, permissions = $4, updated_at = $5
        where tenant_id = $1 and user_id = $2";
    service REMOVE = "delete from tenantry.tenant_members where tenant_id = $1 and user_id = $2";
    service REMOVE_ALL = "delete from tenantry.tenant_members where tenant_id = $1";
}

fn member(row: &Row) -> Result<MemberRow, StoreError> {
    Ok(MemberRow {
        user_id: row.col(0)?,
        role: row.col(1)?,
        permissions: row.col(2)?,
        email: row.col(3)?,
        created_at: row.col(4)?,
        updated_at: row.col(5)?,
    })
}

fn of_user(row: &Row) -> Result<Membership, StoreError> {
    Ok(Membership { tenant: TenantRow::from_row(row)?, role: row.col(8)?, permissions: row.col(9)? })
}

/// A member, if the user is one and the transaction may see it.
pub async fn get(tx: &Tx, tenant: Uuid, user: Uuid) -> Result<Option<MemberRow>, StoreError> {
    tx.opt(&GET, &[&tenant, &user]).await?.as_ref().map(member).transpose()
}

/// A page of a tenant's members, oldest first.
pub async fn list(tx: &Tx, tenant: Uuid, after: Option<After>, limit: i64) -> Result<Vec<MemberRow>, StoreError> {
    let (time, id) = after.unzip();
    tx.rows(&LIST, &[&tenant, &time, &id, &limit]).await?.iter().map(member).collect()
}

/// What a user is in a tenant, for the decision who may do what; nothing where it is no member, or where
/// the tenant is deleted or unknown.
pub async fn membership(tx: &Tx, tenant: Uuid, user: Uuid) -> Result<Option<Membership>, StoreError> {
    tx.opt(&MEMBERSHIP, &[&tenant, &user]).await?.as_ref().map(of_user).transpose()
}

/// A page of a user's tenants with what it is in each, oldest first.
pub async fn memberships(tx: &Tx, user: Uuid, after: Option<After>, limit: i64) -> Result<Vec<Membership>, StoreError> {
    let (time, id) = after.unzip();
    tx.rows(&MEMBERSHIPS, &[&user, &time, &id, &limit]).await?.iter().map(of_user).collect()
}

/// How many owners a locked tenant has.
pub async fn owners(tx: &Tx, tenant: &LockedTenant) -> Result<i64, StoreError> {
    tx.one(&OWNERS, &[&tenant.id()]).await?.col(0)
}

/// The owners of a locked tenant.
pub async fn owner_ids(tx: &Tx, tenant: &LockedTenant) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&OWNER_IDS, &[&tenant.id()]).await?.iter().map(|row| row.col(0)).collect()
}

/// Makes a user a member of a locked tenant; false where it is one already.
pub async fn insert(
    tx: &Tx,
    tenant: &LockedTenant,
    (user, role, permissions): (Uuid, &str, &serde_json::Value),
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&INSERT, &[&tenant.id(), &user, &role, &permissions, &now]).await? == 1)
}

/// Writes role and permissions of a member of a locked tenant.
pub async fn update(
    tx: &Tx,
    tenant: &LockedTenant,
    (user, role, permissions): (Uuid, &str, &serde_json::Value),
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.exactly_one(&UPDATE, &[&tenant.id(), &user, &role, &permissions, &now]).await
}

/// Takes a member out of a locked tenant.
pub async fn remove(tx: &Tx, tenant: &LockedTenant, user: Uuid) -> Result<(), StoreError> {
    tx.exactly_one(&REMOVE, &[&tenant.id(), &user]).await
}

/// Takes all members out of a locked tenant; how many they were.
pub async fn remove_all(tx: &Tx, tenant: &LockedTenant) -> Result<u64, StoreError> {
    tx.execute(&REMOVE_ALL, &[&tenant.id()]).await
}
