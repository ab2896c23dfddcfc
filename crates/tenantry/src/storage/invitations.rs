//! Rows of `invitations`: who is invited, by e-mail address, and what became of it.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::members::After;
use super::row::{Column as _, bytes};
use super::tenants::LockedTenant;
use super::{StoreError, Tx};
use crate::query;

/// An invitation, without what its token is recognized by.
#[derive(Debug, Clone, PartialEq)]
pub struct InvitationRow {
    /// Its id.
    pub id: Uuid,
    /// The address as it was given.
    pub email: String,
    /// `admin`, `billing_admin` or `member`.
    pub role: String,
    /// Permission overrides: permission name to boolean.
    pub permissions: serde_json::Value,
    /// `pending`, `accepted`, `revoked` or `expired`, at the time that was asked for.
    pub state: String,
    /// Who vouches for it: `user`, `key`, `service_key` or `system`.
    pub inviter: String,
    /// Id of that user or key.
    pub inviter_id: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// First instant at which it can no longer be accepted.
    pub expires_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// By whom.
    pub accepted_by: Option<Uuid>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// What became of its newest mail: `pending`, `sent`, `kept`, `failed` or `canceled`.
    pub mail: Option<String>,
}

/// An invitation to be stored, pending.
#[derive(Debug)]
pub struct NewInvitation<'a> {
    /// Its id.
    pub id: Uuid,
    /// The address as it was given.
    pub email: &'a str,
    /// The address as it is compared.
    pub email_key: &'a str,
    /// `admin`, `billing_admin` or `member`.
    pub role: &'a str,
    /// A JSON object.
    pub permissions: &'a serde_json::Value,
    /// SHA-256 of the token's random bytes.
    pub token_hash: &'a [u8; 32],
    /// Kind and id of who invites.
    pub inviter: (&'a str, Option<Uuid>),
    /// First instant at which it can no longer be accepted.
    pub expires_at: Timestamp,
}

query! {
    both GET = "
        select i.id, i.email, i.role, i.permissions,
               case when i.state = 'pending' and i.expires_at <= $3 then 'expired' else i.state end,
               i.inviter, i.inviter_id, i.created_at, i.expires_at, i.accepted_at, i.accepted_by, i.revoked_at,
               (select m.state from tenantry.invitation_mails m
                where m.tenant_id = i.tenant_id and m.invitation_id = i.id order by m.created_at desc, m.id desc limit 1)
        from tenantry.invitations i
        where i.tenant_id = $1 and i.id = $2";
    both LIST = "
        select i.id, i.email, i.role, i.permissions,
               case when i.state = 'pending' and i.expires_at <= $6 then 'expired' else i.state end,
               i.inviter, i.inviter_id, i.created_at, i.expires_at, i.accepted_at, i.accepted_by, i.revoked_at,
               (select m.state from tenantry.invitation_mails m
                where m.tenant_id = i.tenant_id and m.invitation_id = i.id order by m.created_at desc, m.id desc limit 1)
        from tenantry.invitations i
        where i.tenant_id = $1
          and ($2::timestamptz is null or (i.created_at, i.id) < ($2, $3::uuid))
          and ($5::text is null
               or case when i.state = 'pending' and i.expires_at <= $6 then 'expired' else i.state end = $5)
        order by i.created_at desc, i.id desc
        limit $4";
    service TOKEN_HASH = "
        select token_hash, email_key from tenantry.invitations where tenant_id = $1 and id = $2";
    service COUNT_PENDING = "
        select count(*) from tenantry.invitations where tenant_id = $1 and state = 'pending' and expires_at > $2";
    service HAND_ON = "
        update tenantry.invitations set inviter_id = $3
        where tenant_id = $1 and inviter = 'key' and inviter_id = $2 and state = 'pending'";
    service FORGET = "
        update tenantry.invitations
        set email = 'erased', email_key = 'erased',
            revoked_at = case when state = 'pending' then $4 else revoked_at end,
            state = case when state = 'pending' then 'revoked' else state end
        where tenant_id = any ($1) and (email_key = $2 or accepted_by = $3)
        returning tenant_id, id";
    service SUPERSEDE = "
        update tenantry.invitations
        set state = case when expires_at <= $3 then 'expired' else 'revoked' end,
            revoked_at = case when expires_at <= $3 then null else $3 end
        where tenant_id = $1 and email_key = $2 and state = 'pending'
        returning id";
    service INSERT = "
        insert into tenantry.invitations
            (tenant_id, id, email, email_key, role, permissions, token_hash, inviter, inviter_id, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    service RENEW = "
        update tenantry.invitations set token_hash = $3, inviter = $4, inviter_id = $5, expires_at = $6
        where tenant_id = $1 and id = $2 and state = 'pending'";
    service ACCEPT = "
        update tenantry.invitations set state = 'accepted', accepted_at = $3, accepted_by = $4
        where tenant_id = $1 and id = $2 and state = 'pending' and expires_at > $3";
    service REVOKE = "
        update tenantry.invitations set state = 'revoked', revoked_at = $3
        where tenant_id = $1 and id = $2 and state = 'pending'";
    service REVOKE_ALL = "
        update tenantry.invitations set state = 'revoked', revoked_at = $2
        where tenant_id = $1 and state = 'pending'
        returning id";
}

fn invitation(row: &Row) -> Result<InvitationRow, StoreError> {
    Ok(InvitationRow {
        id: row.col(0)?,
        email: row.col(1)?,
        role: row.col(2)?,
        permissions: row.col(3)?,
        state: row.col(4)?,
        inviter: row.col(5)?,
        inviter_id: row.col(6)?,
        created_at: row.col(7)?,
        expires_at: row.col(8)?,
        accepted_at: row.col(9)?,
        accepted_by: row.col(10)?,
        revoked_at: row.col(11)?,
        mail: row.col(12)?,
    })
}

/// An invitation of a tenant, as it stands at `now`.
pub async fn get(tx: &Tx, tenant: Uuid, id: Uuid, now: Timestamp) -> Result<Option<InvitationRow>, StoreError> {
    tx.opt(&GET, &[&tenant, &id, &now]).await?.as_ref().map(invitation).transpose()
}

/// A page of a tenant's invitations, the newest first; of one state only, where it is named.
pub async fn list(
    tx: &Tx,
    tenant: Uuid,
    before: Option<After>,
    limit: i64,
    (state, now): (Option<&str>, Timestamp),
) -> Result<Vec<InvitationRow>, StoreError> {
    let (time, id) = before.unzip();
    tx.rows(&LIST, &[&tenant, &time, &id, &limit, &state, &now]).await?.iter().map(invitation).collect()
}

/// What the newest token of an invitation is recognized by, and the address as it is compared.
pub async fn token_hash(tx: &Tx, tenant: Uuid, id: Uuid) -> Result<Option<([u8; 32], String)>, StoreError> {
    let Some(row) = tx.opt(&TOKEN_HASH, &[&tenant, &id]).await? else { return Ok(None) };
    Ok(Some((bytes(&row, 0, "token_hash of an invitation")?, row.col(1)?)))
}

/// How many invitations of a locked tenant can be accepted.
pub async fn count_pending(tx: &Tx, tenant: &LockedTenant, now: Timestamp) -> Result<i64, StoreError> {
    tx.one(&COUNT_PENDING, &[&tenant.id(), &now]).await?.col(0)
}

/// Ends the pending invitation of an address, to make room for another; its id, where there was one.
pub async fn supersede(
    tx: &Tx,
    tenant: &LockedTenant,
    email_key: &str,
    now: Timestamp,
) -> Result<Option<Uuid>, StoreError> {
    tx.opt(&SUPERSEDE, &[&tenant.id(), &email_key, &now]).await?.map(|row| row.col(0)).transpose()
}

/// Stores an invitation of a locked tenant. No other of its address may be pending.
pub async fn insert(tx: &Tx, tenant: &LockedTenant, new: &NewInvitation<'_>, now: Timestamp) -> Result<(), StoreError> {
    let (inviter, inviter_id) = new.inviter;
    tx.exactly_one(
        &INSERT,
        &[
            &tenant.id(),
            &new.id,
            &new.email,
            &new.email_key,
            &new.role,
            &new.permissions,
            &new.token_hash.as_slice(),
            &inviter,
            &inviter_id,
            &now,
            &new.expires_at,
        ],
    )
    .await
}

/// Gives a pending invitation of a locked tenant a new token, a new end, and who vouches for it from now on. False where it is
/// not pending.
pub async fn renew(
    tx: &Tx,
    tenant: &LockedTenant,
    id: Uuid,
    token_hash: &[u8; 32],
    ((inviter, inviter_id), expires_at): ((&str, Option<Uuid>), Timestamp),
) -> Result<bool, StoreError> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&tenant.id(), &id, &token_hash.as_slice(), &inviter, &inviter_id, &expires_at];
    Ok(tx.execute(&RENEW, &params).await? == 1)
}

/// Marks a pending invitation of a locked tenant accepted.
pub async fn accept(tx: &Tx, tenant: &LockedTenant, id: Uuid, user: Uuid, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&ACCEPT, &[&tenant.id(), &id, &now, &user]).await
}

/// Marks a pending invitation of a locked tenant revoked; false where it is not pending.
pub async fn revoke(tx: &Tx, tenant: &LockedTenant, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&REVOKE, &[&tenant.id(), &id, &now]).await? == 1)
}

/// Revokes all pending invitations of a locked tenant; their ids.
pub async fn revoke_all(tx: &Tx, tenant: &LockedTenant, now: Timestamp) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&REVOKE_ALL, &[&tenant.id(), &now]).await?.iter().map(|row| row.col(0)).collect()
}

/// Takes from the invitations of these tenants, deleted ones too, whom they were for, where that is this address (as it
/// is compared) or who accepted is this user; those that are pending are revoked. Tenants and ids.
pub async fn forget(
    tx: &Tx,
    tenants: &[Uuid],
    (address_key, user): (Option<&str>, Uuid),
    now: Timestamp,
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let rows = tx.rows(&FORGET, &[&tenants, &address_key, &user, &now]).await?;
    rows.iter().map(|row| Ok((row.col(0)?, row.col(1)?))).collect()
}

/// Lets the key that takes another one's place vouch for the pending invitations of a locked tenant that the old one did.
pub async fn hand_on(tx: &Tx, tenant: &LockedTenant, (old, new): (Uuid, Uuid)) -> Result<(), StoreError> {
    tx.execute(&HAND_ON, &[&tenant.id(), &old, &new]).await.map(drop)
}
