//! Rows of `notification_mails`: one for each notice and address.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::NoticeRow;
use crate::query;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// A mail as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct MailRow {
    /// Its id.
    pub id: Uuid,
    /// The notice that it tells of.
    pub notification_id: Uuid,
    /// Where it goes.
    pub address: String,
    /// `pending`, `sent`, `kept` or `failed`.
    pub state: String,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the mail server took it.
    pub sent_at: Option<Timestamp>,
}

/// A mail that this process may send until its lease ends.
#[derive(Debug, Clone)]
pub struct ClaimedMail {
    /// Where it goes.
    pub address: String,
    /// How often sending it was begun, this time included.
    pub attempts: i32,
    /// Name of the tenant.
    pub tenant_name: String,
    /// What it tells of.
    pub notice: NoticeRow,
}

query! {
    service CONTACTS = "
        select u.email
        from tenantry.tenant_members m join tenantry.users u on u.id = m.user_id
        where m.tenant_id = $1 and m.role in ('owner', 'admin', 'billing_admin') and u.email is not null
        order by m.created_at, m.user_id";
    service INSERT = "
        insert into tenantry.notification_mails (tenant_id, id, notification_id, address, created_at)
        select $1, id, $2, address, $5 from unnest($3::uuid[], $4::text[]) as wanted (id, address)
        on conflict (tenant_id, notification_id, address) do nothing
        returning id";
    service CLAIM = "
        update tenantry.notification_mails m set lease_token = $3, lease_until = $5, attempts = m.attempts + 1
        from tenantry.notifications n, tenantry.tenants t
        where m.tenant_id = $1 and m.id = $2 and m.state = 'pending' and (m.lease_until is null or m.lease_until <= $4)
          and n.tenant_id = m.tenant_id and n.id = m.notification_id and t.id = m.tenant_id
        returning m.address, m.attempts, t.name, n.id, n.kind, n.data, n.created_at";
    service LEASED_UNTIL = "
        select coalesce(lease_until, $3) from tenantry.notification_mails
        where tenant_id = $1 and id = $2 and state = 'pending'";
    service SETTLE = "
        update tenantry.notification_mails
        set state = $4, last_error = $5, sent_at = $6, lease_token = null, lease_until = null
        where tenant_id = $1 and id = $2 and lease_token = $3";
    // One that was still to be sent is not sent any more.
    service FORGET = "
        update tenantry.notification_mails
        set address = id::text || '@deleted.invalid', lease_token = null, lease_until = null,
            state = case when state = 'pending' then 'failed' else state end,
            last_error = case when state = 'pending' then 'the account was deleted' end
        where tenant_id = any ($1) and (tenant_id = $2 or lower(address) = lower($3))";
    both OF_NOTICES = "
        select id, notification_id, address, state, last_error, sent_at from tenantry.notification_mails
        where tenant_id = $1 and notification_id = any ($2)
        order by notification_id, created_at, id";
}

/// Addresses of those who are told about billing, the oldest member first.
pub async fn contacts(tx: &Tx, tenant: Uuid) -> Result<Vec<String>, StoreError> {
    tx.rows(&CONTACTS, &[&tenant]).await?.iter().map(|row| row.col(0)).collect()
}

/// Stores mails of a notice, given as ids and addresses; the ids of those that were not there before.
pub async fn insert(
    tx: &Tx,
    (tenant, notice): (Uuid, Uuid),
    (ids, addresses): (&[Uuid], &[String]),
    now: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&INSERT, &[&tenant, &notice, &ids, &addresses, &now]).await?.iter().map(|row| row.col(0)).collect()
}

/// Takes a mail for a lease that ends at `until`; nothing where it is not to be sent, or somebody else holds it.
pub async fn claim(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    lease: Uuid,
    (now, until): (Timestamp, Timestamp),
) -> Result<Option<ClaimedMail>, StoreError> {
    let Some(row) = tx.opt(&CLAIM, &[&tenant, &id, &lease, &now, &until]).await? else {
        return Ok(None);
    };
    Ok(Some(ClaimedMail {
        address: row.col(0)?,
        attempts: row.col(1)?,
        tenant_name: row.col(2)?,
        notice: NoticeRow {
            tenant_id: tenant,
            id: row.col(3)?,
            kind: row.col(4)?,
            data: row.col(5)?,
            created_at: row.col(6)?,
        },
    }))
}

/// When a mail that is still to be sent can be claimed again; nothing where it needs no sending.
pub async fn leased_until(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    tx.opt(&LEASED_UNTIL, &[&tenant, &id, &now]).await?.map_or(Ok(None), |row| row.col(0))
}

/// What became of a claimed mail: its state, why it failed, when it was sent. False where the lease was lost.
pub async fn settle(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    lease: Uuid,
    (state, error, sent_at): (&str, Option<&str>, Option<Timestamp>),
) -> Result<bool, StoreError> {
    Ok(tx.execute(&SETTLE, &[&tenant, &id, &lease, &state, &error, &sent_at]).await? == 1)
}

/// Takes a user's address out of the mails of these tenants, and every address out of those of its personal tenant.
/// What was not sent yet is given up.
pub async fn forget(tx: &Tx, tenants: &[Uuid], user: Uuid, email: Option<&str>) -> Result<(), StoreError> {
    tx.execute(&FORGET, &[&tenants, &user, &email]).await?;
    Ok(())
}

fn listed(row: &Row) -> Result<MailRow, StoreError> {
    Ok(MailRow {
        id: row.col(0)?,
        notification_id: row.col(1)?,
        address: row.col(2)?,
        state: row.col(3)?,
        last_error: row.col(4)?,
        sent_at: row.col(5)?,
    })
}

/// The mails of these notices.
pub async fn of_notices(tx: &Tx, tenant: Uuid, notices: &[Uuid]) -> Result<Vec<MailRow>, StoreError> {
    tx.rows(&OF_NOTICES, &[&tenant, &notices]).await?.iter().map(listed).collect()
}
