//! Rows of `users`: people as the identity provider names them.

use jiff::Timestamp;
use uuid::Uuid;

use super::row::Column as _;
use super::{StoreError, Tx};
use crate::query;

/// A user as the first statement of a request sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownUser {
    /// E-mail address as the token or the host application last gave it.
    pub email: Option<String>,
    /// The address is known to be the user's.
    pub is_verified: bool,
    /// The personal tenant exists, and with it the membership and the subscription.
    pub has_personal_tenant: bool,
    /// The account was deleted; nobody is made again under its id.
    pub is_deleted: bool,
}

query! {
    service KNOWN = "
        select u.email, exists (select from tenantry.tenants t where t.id = u.id and t.type = 'user'),
               u.deleted_at is not null, u.email_verified
        from tenantry.users u where u.id = $1";
    // A conflict locks the row also where nothing is changed: twenty first requests of a user stand in line here.
    service UPSERT = "
        insert into tenantry.users as u (id, email, email_verified, created_at, updated_at) values ($1, $2, $4, $3, $3)
        on conflict (id) do update
        set email = excluded.email, email_verified = excluded.email_verified, updated_at = excluded.updated_at
        where u.deleted_at is null and excluded.email is not null
          and (u.email is distinct from excluded.email or excluded.email_verified and not u.email_verified)";
    // Held until the transaction ends: an account that is being deleted is waited for, and none is deleted before what
    // is made of it here can be seen.
    service EXISTING = "
        select id from tenantry.users where id = any ($1) and deleted_at is null
        order by id for share";
    service IS_DELETED = "select deleted_at is not null from tenantry.users where id = $1";
    // Of somebody who only says so, or of two, an address says nothing about whose it is.
    service OWN_ADDRESS = "
        select case when u.email_verified and not exists (
                   select from tenantry.users o
                   where lower(o.email) = lower(u.email) and o.id <> u.id and o.deleted_at is null
               ) then u.email end
        from tenantry.users u where u.id = $1 and u.deleted_at is null";
    service LOCK = "
        select id from tenantry.users where id = $1 and deleted_at is null for no key update";
    service ERASE = "
        update tenantry.users set email = null, email_verified = false, deleted_at = $2, updated_at = $2 where id = $1 and deleted_at is null";
    service TENANTS_ABOUT = "select id from tenantry.tenants_about($1, $2) as id order by id";
    both EMAIL = "select email from tenantry.users where id = $1";
}

/// What is known of a user. The transaction must be opened for the user's personal tenant (the same id).
pub async fn known(tx: &Tx, user: Uuid) -> Result<Option<KnownUser>, StoreError> {
    tx.opt(&KNOWN, &[&user])
        .await?
        .map(|row| {
            Ok(KnownUser {
                email: row.col(0)?,
                has_personal_tenant: row.col(1)?,
                is_deleted: row.col(2)?,
                is_verified: row.col(3)?,
            })
        })
        .transpose()
}

/// Makes the user, or takes over a changed e-mail address, or that it is known to be the user's (a missing one changes
/// nothing). Locks the row. True where something was written.
pub async fn upsert(
    tx: &Tx,
    user: Uuid,
    (email, is_verified): (Option<&str>, bool),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let is_verified = is_verified && email.is_some();
    Ok(tx.execute(&UPSERT, &[&user, &email, &now, &is_verified]).await? == 1)
}

/// The address of a user, where it is known to be the user's and nobody else's.
pub async fn own_address(tx: &Tx, user: Uuid) -> Result<Option<String>, StoreError> {
    tx.opt(&OWN_ADDRESS, &[&user]).await?.map_or(Ok(None), |row| row.col(0))
}

/// Those of the ids that are users and not deleted; none of them can be deleted before the transaction ends. Tenants
/// are locked first.
pub async fn existing(tx: &Tx, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&EXISTING, &[&ids]).await?.iter().map(|row| row.col(0)).collect()
}

/// The e-mail address of a user that the transaction may see.
pub async fn email(tx: &Tx, user: Uuid) -> Result<Option<String>, StoreError> {
    tx.opt(&EMAIL, &[&user]).await?.map_or(Ok(None), |row| row.col(0))
}

/// Whether an account was deleted.
pub async fn is_deleted(tx: &Tx, user: Uuid) -> Result<bool, StoreError> {
    tx.opt(&IS_DELETED, &[&user]).await?.map_or(Ok(false), |row| row.col(0))
}

/// A user whose row this transaction holds: made by [`lock`] only.
#[derive(Debug)]
pub struct LockedUser {
    id: Uuid,
    email: Option<String>,
}

impl LockedUser {
    /// The user's id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The e-mail address, where it is known to be the user's and nobody else's.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }
}

/// Locks a user until the transaction ends; nothing where it is unknown or deleted. Tenants are locked first.
pub async fn lock(tx: &Tx, id: Uuid) -> Result<Option<LockedUser>, StoreError> {
    if tx.opt(&LOCK, &[&id]).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(LockedUser { id, email: own_address(tx, id).await? }))
}

/// Takes what is personal from a locked user and marks it deleted.
pub async fn erase(tx: &Tx, user: &LockedUser, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&ERASE, &[&user.id, &now]).await
}

/// Ids of the tenants that a user is in, whose teams it is in, that invited its address (as invitations compare it), or
/// that have audit entries about it; deleted tenants too, in order. Once the user is locked, no other becomes one.
pub async fn tenants_about(tx: &Tx, user: Uuid, address_key: Option<&str>) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&TENANTS_ABOUT, &[&user, &address_key]).await?.iter().map(|row| row.col(0)).collect()
}
