//! Rows of `tenants`, and the lock that every change of a tenant takes first.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::row::Column as _;
use super::{StoreError, Tx};
use crate::query;

/// A tenant that was not deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRow {
    /// Its id; of a personal tenant the user's id.
    pub id: Uuid,
    /// `user` or `organization`.
    pub kind: String,
    /// For people.
    pub name: String,
    /// For URLs; never a key, never an input to authorization.
    pub slug: String,
    /// Who created it, or whom it was handed over to last; roles are in `tenant_members`.
    pub owner_id: Uuid,
    /// A JSON object; `billing_email` is in it.
    pub settings: serde_json::Value,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl TenantRow {
    /// Whether it is the personal tenant of a user.
    pub fn is_personal(&self) -> bool {
        self.kind == "user"
    }

    /// Reads the columns `id, type, name, slug, owner_id, settings, created_at, updated_at`, from the first on.
    pub(super) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.col(0)?,
            kind: row.col(1)?,
            name: row.col(2)?,
            slug: row.col(3)?,
            owner_id: row.col(4)?,
            settings: row.col(5)?,
            created_at: row.col(6)?,
            updated_at: row.col(7)?,
        })
    }
}

/// A tenant whose row this transaction holds: made by [`lock`] and [`insert`] only. What must not race
/// (members, the audit chain) asks for it.
#[derive(Debug, Clone)]
pub struct LockedTenant(TenantRow);

impl LockedTenant {
    /// The row as it was when it was locked.
    pub fn row(&self) -> &TenantRow {
        &self.0
    }

    /// The tenant's id.
    pub fn id(&self) -> Uuid {
        self.0.id
    }
}

/// A tenant to be made.
#[derive(Debug)]
pub struct NewTenant<'a> {
    /// Its id.
    pub id: Uuid,
    /// `user` or `organization`.
    pub kind: &'a str,
    /// For people.
    pub name: &'a str,
    /// For URLs.
    pub slug: &'a str,
    /// Who creates it.
    pub owner_id: Uuid,
    /// A JSON object.
    pub settings: &'a serde_json::Value,
}

query! {
    // Not FOR UPDATE: a foreign key check of another transaction (a refusal that is logged while its request
    // still holds this lock) must not wait for it. Two of these exclude each other all the same.
    service LOCK = "
        select id, type, name, slug, owner_id, settings, created_at, updated_at
        from tenantry.tenants where id = $1 and deleted_at is null
        for no key update";
    both GET = "
        select id, type, name, slug, owner_id, settings, created_at, updated_at
        from tenantry.tenants where id = $1 and deleted_at is null";
    service ALL = "
        select id, type, name, slug, owner_id, settings, created_at, updated_at
        from tenantry.tenants where deleted_at is null order by id";
    service INSERT = "
        insert into tenantry.tenants (id, type, name, slug, owner_id, settings, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $7)
        on conflict (slug) where deleted_at is null do nothing
        returning id, type, name, slug, owner_id, settings, created_at, updated_at";
    service UPDATE = "
        update tenantry.tenants set name = $2, slug = $3, settings = $4, updated_at = $5
        where id = $1 and deleted_at is null
        returning id, type, name, slug, owner_id, settings, created_at, updated_at";
    service SET_OWNER = "
        update tenantry.tenants set owner_id = $2, updated_at = $3
        where id = $1 and deleted_at is null
        returning id, type, name, slug, owner_id, settings, created_at, updated_at";
    // In one step with the deletion: what is deleted has no slug that anybody could have taken.
    service ERASE = "
        update tenantry.tenants
        set name = $2, slug = 'deleted-' || replace(id::text, '-', ''), settings = '{}', deleted_at = $3, updated_at = $3
        where id = $1 and deleted_at is null";
    service DELETE = "
        update tenantry.tenants set deleted_at = $2, updated_at = $2 where id = $1 and deleted_at is null";
}

/// Locks a tenant until the transaction ends. Nothing where it does not exist, is deleted, or the transaction
/// was not opened for it.
pub async fn lock(tx: &Tx, id: Uuid) -> Result<Option<LockedTenant>, StoreError> {
    tx.opt(&LOCK, &[&id]).await?.map(|row| TenantRow::from_row(&row).map(LockedTenant)).transpose()
}

/// A tenant that the transaction may see.
pub async fn get(tx: &Tx, id: Uuid) -> Result<Option<TenantRow>, StoreError> {
    tx.opt(&GET, &[&id]).await?.map(|row| TenantRow::from_row(&row)).transpose()
}

/// All tenants that the transaction was opened for, by id; for the command line.
pub async fn all(tx: &Tx) -> Result<Vec<TenantRow>, StoreError> {
    tx.rows(&ALL, &[]).await?.iter().map(TenantRow::from_row).collect()
}

/// Makes a tenant; nothing where another one has the slug (also one whose transaction was still open: this
/// waits for it).
pub async fn insert(tx: &Tx, new: &NewTenant<'_>, now: Timestamp) -> Result<Option<LockedTenant>, StoreError> {
    tx.opt(&INSERT, &[&new.id, &new.kind, &new.name, &new.slug, &new.owner_id, &new.settings, &now])
        .await?
        .map(|row| TenantRow::from_row(&row).map(LockedTenant))
        .transpose()
}

/// Name of the constraint that a taken slug violates in [`update`].
pub const SLUG_CONSTRAINT: &str = "tenants_slug_key";

/// Writes name, slug and settings of a locked tenant. A taken slug violates [`SLUG_CONSTRAINT`], which ends
/// the transaction.
pub async fn update(
    tx: &Tx,
    tenant: &LockedTenant,
    (name, slug): (&str, &str),
    settings: &serde_json::Value,
    now: Timestamp,
) -> Result<LockedTenant, StoreError> {
    let row = tx.one(&UPDATE, &[&tenant.id(), &name, &slug, &settings, &now]).await?;
    Ok(LockedTenant(TenantRow::from_row(&row)?))
}

/// Writes who a locked tenant was handed over to.
pub async fn set_owner(
    tx: &Tx,
    tenant: &LockedTenant,
    owner: Uuid,
    now: Timestamp,
) -> Result<LockedTenant, StoreError> {
    let row = tx.one(&SET_OWNER, &[&tenant.id(), &owner, &now]).await?;
    Ok(LockedTenant(TenantRow::from_row(&row)?))
}

/// Marks a locked tenant deleted, and takes its slug and settings, and the name for this one.
pub async fn erase(tx: &Tx, tenant: &LockedTenant, name: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&ERASE, &[&tenant.id(), &name, &now]).await
}

/// Marks a locked tenant deleted; its slug is free from then on.
pub async fn delete(tx: &Tx, tenant: &LockedTenant, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&DELETE, &[&tenant.id(), &now]).await
}
