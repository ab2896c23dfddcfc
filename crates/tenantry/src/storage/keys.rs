//! Rows of `api_keys`. A secret never gets here: only the SHA-256 of its random bytes does.

use std::num::NonZeroU32;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::members::After;
use super::row::{Column as _, bytes};
use super::tenants::LockedTenant;
use super::{StoreError, Tx};
use crate::query;

/// A key as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// Its id.
    pub id: Uuid,
    /// Its tenant; none for a service key.
    pub tenant_id: Option<Uuid>,
    /// For people.
    pub name: String,
    /// First characters of the secret, to recognize it by.
    pub prefix: String,
    /// Names of permissions.
    pub scopes: Vec<String>,
    /// The user who made it; none where the command line did.
    pub created_by: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// First instant at which it no longer works.
    pub expires_at: Option<Timestamp>,
    /// Requests that are answered in a minute; none: as many as come.
    pub requests_per_minute: Option<NonZeroU32>,
    /// The key that it was rotated to.
    pub replaced_by: Option<Uuid>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
}

/// What a key that is presented is compared with.
#[derive(Clone, PartialEq)]
pub struct PresentedKey {
    /// Its id.
    pub id: Uuid,
    /// Its tenant; none for a service key.
    pub tenant_id: Option<Uuid>,
    /// SHA-256 of the secret bytes.
    pub secret_hash: [u8; 32],
    /// Names of permissions.
    pub scopes: Vec<String>,
    /// Requests that are answered in a minute; none: as many as come.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Neither revoked nor expired when it was read. The database judges that by its own time, as it does in its
    /// policies: a key expires in real time, wherever the clock of development was moved to.
    pub works: bool,
}

impl std::fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresentedKey").field("id", &self.id).field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

/// A key to be stored.
pub struct NewKeyRow<'a> {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: &'a str,
    /// First characters of the secret.
    pub prefix: &'a str,
    /// SHA-256 of the secret bytes.
    pub secret_hash: &'a [u8; 32],
    /// Names of permissions.
    pub scopes: &'a [String],
    /// The user who makes it.
    pub created_by: Option<Uuid>,
    /// First instant at which it no longer works.
    pub expires_at: Option<Timestamp>,
    /// Requests that are answered in a minute; none: as many as come.
    pub requests_per_minute: Option<NonZeroU32>,
}

query! {
    service FIND = "
        select id, tenant_id, secret_hash, scopes, revoked_at is null and (expires_at is null or expires_at > now()),
               requests_per_minute
        from tenantry.api_keys where id = $1";
    both GET = "
        select id, tenant_id, name, prefix, scopes, created_by, created_at, expires_at, revoked_at, last_used_at,
               requests_per_minute, replaced_by
        from tenantry.api_keys where tenant_id = $1 and id = $2";
    both LIST = "
        select id, tenant_id, name, prefix, scopes, created_by, created_at, expires_at, revoked_at, last_used_at,
               requests_per_minute, replaced_by
        from tenantry.api_keys
        where tenant_id = $1
          and ($2::timestamptz is null or (created_at, id) > ($2, $3::uuid))
        order by created_at, id
        limit $4";
    service LIST_SERVICE = "
        select id, tenant_id, name, prefix, scopes, created_by, created_at, expires_at, revoked_at, last_used_at,
               requests_per_minute, replaced_by
        from tenantry.api_keys where tenant_id is null order by created_at, id";
    service INSERT = "
        insert into tenantry.api_keys
            (id, tenant_id, name, prefix, secret_hash, scopes, created_by, expires_at, created_at, requests_per_minute)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        returning id, tenant_id, name, prefix, scopes, created_by, created_at, expires_at, revoked_at, last_used_at,
                  requests_per_minute, replaced_by";
    service REVOKE = "
        update tenantry.api_keys set revoked_at = $3 where tenant_id = $1 and id = $2 and revoked_at is null";
    service REPLACE = "
        update tenantry.api_keys set replaced_by = $3, expires_at = least(expires_at, $4)
        where tenant_id = $1 and id = $2 and replaced_by is null
          and revoked_at is null and (expires_at is null or expires_at > now())";
    service REVOKE_SERVICE = "
        update tenantry.api_keys set revoked_at = $2 where tenant_id is null and id = $1 and revoked_at is null";
    service REVOKE_ALL = "
        update tenantry.api_keys set revoked_at = $2 where tenant_id = $1 and revoked_at is null";
    service FORGET_NAMES = "update tenantry.api_keys set name = 'erased' where tenant_id = $1";
    /// Rows that somebody else holds are left for the next minute: nobody waits for a note.
    service TOUCH = "
        with free as (
            select id from tenantry.api_keys where id = any ($1) for no key update skip locked
        )
        update tenantry.api_keys k set last_used_at = used.at
        from free join unnest($1::uuid[], $2::timestamptz[]) as used (id, at) on used.id = free.id
        where k.id = free.id and k.revoked_at is null and (k.expires_at is null or used.at < k.expires_at)
          and (k.last_used_at is null or k.last_used_at <= used.at - interval '1 minute')";
}

fn listed(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        id: row.col(0)?,
        tenant_id: row.col(1)?,
        name: row.col(2)?,
        prefix: row.col(3)?,
        scopes: row.col(4)?,
        created_by: row.col(5)?,
        created_at: row.col(6)?,
        expires_at: row.col(7)?,
        revoked_at: row.col(8)?,
        last_used_at: row.col(9)?,
        requests_per_minute: per_minute(row, 10)?,
        replaced_by: row.col(11)?,
    })
}

/// A limit as it is stored.
fn per_minute(row: &Row, column: usize) -> Result<Option<NonZeroU32>, StoreError> {
    let stored: Option<i32> = row.col(column)?;
    stored
        .map(|limit| {
            let limit = u32::try_from(limit).ok().and_then(NonZeroU32::new);
            limit.ok_or_else(|| StoreError::corrupt("requests_per_minute of a key", "it is not above zero"))
        })
        .transpose()
}

/// The key with this id, of whatever tenant. Id, tenant, hash, scopes and limit never change; whether it
/// works is to be read again on every request.
pub async fn find(tx: &Tx, id: Uuid) -> Result<Option<PresentedKey>, StoreError> {
    let Some(row) = tx.opt(&FIND, &[&id]).await? else {
        return Ok(None);
    };
    Ok(Some(PresentedKey {
        id: row.col(0)?,
        tenant_id: row.col(1)?,
        secret_hash: bytes(&row, 2, "secret_hash of a key")?,
        scopes: row.col(3)?,
        works: row.col(4)?,
        requests_per_minute: per_minute(&row, 5)?,
    }))
}

/// A key of a tenant.
pub async fn get(tx: &Tx, tenant: Uuid, id: Uuid) -> Result<Option<KeyRow>, StoreError> {
    tx.opt(&GET, &[&tenant, &id]).await?.as_ref().map(listed).transpose()
}

/// A page of a tenant's keys, revoked ones too, oldest first.
pub async fn list(tx: &Tx, tenant: Uuid, after: Option<After>, limit: i64) -> Result<Vec<KeyRow>, StoreError> {
    let (time, id) = after.unzip();
    tx.rows(&LIST, &[&tenant, &time, &id, &limit]).await?.iter().map(listed).collect()
}

/// All service keys, revoked ones too, oldest first.
pub async fn list_service(tx: &Tx) -> Result<Vec<KeyRow>, StoreError> {
    tx.rows(&LIST_SERVICE, &[]).await?.iter().map(listed).collect()
}

/// Stores a key of a tenant, or a service key.
pub async fn insert(
    tx: &Tx,
    tenant: Option<&LockedTenant>,
    key: &NewKeyRow<'_>,
    now: Timestamp,
) -> Result<KeyRow, StoreError> {
    let tenant = tenant.map(LockedTenant::id);
    let row = tx
        .one(
            &INSERT,
            &[
                &key.id,
                &tenant,
                &key.name,
                &key.prefix,
                &key.secret_hash.as_slice(),
                &key.scopes,
                &key.created_by,
                &key.expires_at,
                &now,
                &key.requests_per_minute.map(|limit| i32::try_from(limit.get()).unwrap_or(i32::MAX)),
            ],
        )
        .await?;
    listed(&row)
}

/// Revokes a key of a locked tenant; false where it is revoked already or no key of this tenant.
pub async fn revoke(tx: &Tx, tenant: &LockedTenant, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&REVOKE, &[&tenant.id(), &id, &now]).await? == 1)
}

/// Notes the key that a key of a locked tenant is rotated to, and until when both work. False where it does not work
/// any more, or was rotated already.
pub async fn replace(
    tx: &Tx,
    tenant: &LockedTenant,
    (old, new): (Uuid, Uuid),
    until: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&REPLACE, &[&tenant.id(), &old, &new, &until]).await? == 1)
}

/// Revokes a service key; false where it is revoked already or no service key.
pub async fn revoke_service(tx: &Tx, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&REVOKE_SERVICE, &[&id, &now]).await? == 1)
}

/// Revokes all keys of a locked tenant; how many they were.
pub async fn revoke_all(tx: &Tx, tenant: &LockedTenant, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(&REVOKE_ALL, &[&tenant.id(), &now]).await
}

/// Takes the names of a locked tenant's keys.
pub async fn forget_names(tx: &Tx, tenant: &LockedTenant) -> Result<(), StoreError> {
    tx.execute(&FORGET_NAMES, &[&tenant.id()]).await.map(drop)
}

/// Notes when keys were used, each at most once a minute. A key that does not work is not used.
pub async fn touch(tx: &Tx, uses: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
    let (ids, times): (Vec<Uuid>, Vec<Timestamp>) = uses.iter().copied().unzip();
    tx.execute(&TOUCH, &[&ids, &times]).await?;
    Ok(())
}
