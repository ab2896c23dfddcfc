//! Rows of `invitation_mails`: the mails that carry the tokens of invitations, which no tenant may read.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::row::Column as _;
use super::{StoreError, Tx};
use crate::query;

/// A mail as the operator sees it.
#[derive(Clone, PartialEq)]
pub struct InvitationMailRow {
    /// Its id.
    pub id: Uuid,
    /// The invitation.
    pub invitation_id: Uuid,
    /// Where it goes.
    pub address: String,
    /// The role that waits.
    pub role: String,
    /// First instant at which the invitation can no longer be accepted.
    pub expires_at: Timestamp,
    /// Name of the tenant.
    pub tenant_name: String,
    /// The token, while the mail waits or is kept.
    pub token: Option<String>,
    /// `pending`, `sent`, `kept`, `failed` or `canceled`.
    pub state: String,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the mail server took it.
    pub sent_at: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for InvitationMailRow {
    /// Says nothing of the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InvitationMailRow").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// A mail that this process may send until its lease ends.
#[derive(Debug, Clone)]
pub struct ClaimedInvitationMail {
    /// The mail, whose token is there.
    pub mail: InvitationMailRow,
    /// How often sending it was begun, this time included.
    pub attempts: i32,
    /// Whether the invitation can still be accepted.
    pub is_of_use: bool,
}

query! {
    service INSERT = "
        insert into tenantry.invitation_mails (tenant_id, id, invitation_id, token, created_at)
        values ($1, $2, $3, $4, $5)";
    /// To the address of invitation $2, whichever invitation they were of.
    service COUNT_SINCE = "
        select count(*)
        from tenantry.invitations i
        join tenantry.invitations other on other.tenant_id = i.tenant_id and other.email_key = i.email_key
        join tenantry.invitation_mails m on m.tenant_id = other.tenant_id and m.invitation_id = other.id
        where i.tenant_id = $1 and i.id = $2 and m.created_at > $3";
    service CANCEL = "
        update tenantry.invitation_mails
        set token = null, state = case when state = 'pending' then 'canceled' else state end,
            lease_token = null, lease_until = null
        where tenant_id = $1 and invitation_id = any ($2) and token is not null";
    service CLAIM = "
        update tenantry.invitation_mails m set lease_token = $3, lease_until = $5, attempts = m.attempts + 1
        from tenantry.invitations i, tenantry.tenants t
        where m.tenant_id = $1 and m.id = $2 and m.state = 'pending' and (m.lease_until is null or m.lease_until <= $4)
          and i.tenant_id = m.tenant_id and i.id = m.invitation_id and t.id = m.tenant_id
        returning m.id, m.invitation_id, i.email, i.role, i.expires_at, t.name, m.token, m.state, m.last_error,
                  m.sent_at, m.created_at, m.attempts, i.state = 'pending' and i.expires_at > $4";
    service LEASED_UNTIL = "
        select coalesce(lease_until, $3) from tenantry.invitation_mails
        where tenant_id = $1 and id = $2 and state = 'pending'";
    /// The token stays only where it will be needed.
    service SETTLE = "
        update tenantry.invitation_mails
        set state = $4, last_error = $5, sent_at = $6, lease_token = null, lease_until = null,
            token = case when $4 in ('pending', 'kept') then token end
        where tenant_id = $1 and id = $2 and lease_token = $3";
    service FORGET = "
        update tenantry.invitation_mails set token = null where tenant_id = $1 and id = $2 and state = 'kept'";
    service LIST = "
        select m.id, m.invitation_id, i.email, i.role, i.expires_at, t.name, m.token, m.state, m.last_error, m.sent_at,
               m.created_at
        from tenantry.invitation_mails m
        join tenantry.invitations i on i.tenant_id = m.tenant_id and i.id = m.invitation_id
        join tenantry.tenants t on t.id = m.tenant_id
        where m.tenant_id = $1
        order by m.created_at desc, m.id desc
        limit $2";
}

fn mail(row: &Row) -> Result<InvitationMailRow, StoreError> {
    Ok(InvitationMailRow {
        id: row.col(0)?,
        invitation_id: row.col(1)?,
        address: row.col(2)?,
        role: row.col(3)?,
        expires_at: row.col(4)?,
        tenant_name: row.col(5)?,
        token: row.col(6)?,
        state: row.col(7)?,
        last_error: row.col(8)?,
        sent_at: row.col(9)?,
        created_at: row.col(10)?,
    })
}

/// Stores a mail that says this token.
pub async fn insert(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    (invitation, token): (Uuid, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.exactly_one(&INSERT, &[&tenant, &id, &invitation, &token, &now]).await
}

/// How many mails were asked for since then to the address of an invitation.
pub async fn count_since(tx: &Tx, tenant: Uuid, invitation: Uuid, since: Timestamp) -> Result<i64, StoreError> {
    tx.one(&COUNT_SINCE, &[&tenant, &invitation, &since]).await?.col(0)
}

/// Takes the tokens out of the mails of these invitations; those that wait are not sent any more.
pub async fn cancel(tx: &Tx, tenant: Uuid, invitations: &[Uuid]) -> Result<(), StoreError> {
    tx.execute(&CANCEL, &[&tenant, &invitations]).await?;
    Ok(())
}

/// Takes a mail for a lease that ends at `until`; nothing where it is not to be sent, or somebody else holds it.
pub async fn claim(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    lease: Uuid,
    (now, until): (Timestamp, Timestamp),
) -> Result<Option<ClaimedInvitationMail>, StoreError> {
    let Some(row) = tx.opt(&CLAIM, &[&tenant, &id, &lease, &now, &until]).await? else {
        return Ok(None);
    };
    Ok(Some(ClaimedInvitationMail { mail: mail(&row)?, attempts: row.col(11)?, is_of_use: row.col(12)? }))
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

/// Takes the token out of a mail that was kept.
pub async fn forget(tx: &Tx, (tenant, id): (Uuid, Uuid)) -> Result<(), StoreError> {
    tx.execute(&FORGET, &[&tenant, &id]).await?;
    Ok(())
}

/// The latest mails of a tenant, the newest first. For the operator.
pub async fn list(tx: &Tx, tenant: Uuid, limit: i64) -> Result<Vec<InvitationMailRow>, StoreError> {
    tx.rows(&LIST, &[&tenant, &limit]).await?.iter().map(mail).collect()
}
