//! Rows of `security_events`: refused attempts.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::audit::LogFilter;
use super::members::After;
use super::row::Column as _;
use super::{StoreError, Tx};
use crate::query;

/// A refused attempt to be written.
#[derive(Debug)]
pub struct NewSecurityEvent<'a> {
    /// Its id.
    pub id: Uuid,
    /// The tenant that was tried, where there was one.
    pub attempted: Option<Uuid>,
    /// The actor's own tenant: a user's personal one, a key's one.
    pub home: Uuid,
    /// What was refused.
    pub kind: &'a str,
    /// `info`, `warning` or `critical`.
    pub severity: &'a str,
    /// The user who tried.
    pub user_id: Option<Uuid>,
    /// The key that tried.
    pub key_id: Option<Uuid>,
    /// The permission that was missing.
    pub needed_permission: Option<&'a str>,
    /// The actor's role in the tenant.
    pub role: Option<&'a str>,
    /// Id of the request.
    pub request_id: Option<&'a str>,
    /// Network address of the client.
    pub address: Option<&'a str>,
    /// Anything else, a JSON object.
    pub details: &'a serde_json::Value,
}

/// A refused attempt as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityEventRow {
    /// The tenant the actor belongs to.
    pub tenant_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// What was refused.
    pub kind: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// The user who tried.
    pub user_id: Option<Uuid>,
    /// The key that tried.
    pub key_id: Option<Uuid>,
    /// The permission that was missing.
    pub needed_permission: Option<String>,
    /// The actor's role in the tenant.
    pub role: Option<String>,
    /// Id of the request.
    pub request_id: Option<String>,
    /// Network address of the client.
    pub address: Option<String>,
    /// Anything else.
    pub details: serde_json::Value,
    /// When.
    pub created_at: Timestamp,
}

query! {
    // The attempt belongs to the tenant that was tried only where the actor is a member of it.
    service INSERT = "
        insert into tenantry.security_events
            (tenant_id, id, type, severity, user_id, key_id, needed_permission, role, request_id, address, details,
             created_at)
        select coalesce(
                   (select m.tenant_id from tenantry.tenant_members m where m.tenant_id = $2 and m.user_id = $6),
                   $3),
               $1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13";
    both LATEST = "
        select tenant_id, id, type, severity, user_id, key_id, needed_permission, role, request_id, address, details,
               created_at
        from tenantry.security_events
        where tenant_id = $1
        order by id desc
        limit $2";
    both PAGE_BACK = "
        select tenant_id, id, type, severity, user_id, key_id, needed_permission, role, request_id, address, details,
               created_at
        from tenantry.security_events
        where tenant_id = $1
          and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
          and ($4::text is null or type = $4)
          and ($5::text is null or $5 = case when key_id is not null then 'key' when user_id is not null then 'user' end)
          and ($6::uuid is null or $6 in (user_id, key_id))
          and ($7::timestamptz is null or created_at >= $7)
          and ($8::timestamptz is null or created_at < $8)
        order by created_at desc, id desc
        limit $9";
}

/// Writes a refused attempt. The transaction must be opened for `home` and `attempted`.
pub async fn insert(tx: &Tx, event: &NewSecurityEvent<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(
        &INSERT,
        &[
            &event.id,
            &event.attempted,
            &event.home,
            &event.kind,
            &event.severity,
            &event.user_id,
            &event.key_id,
            &event.needed_permission,
            &event.role,
            &event.request_id,
            &event.address,
            &event.details,
            &now,
        ],
    )
    .await
}

/// The latest refused attempts that belong to a tenant, newest first.
pub async fn latest(tx: &Tx, tenant: Uuid, limit: i64) -> Result<Vec<SecurityEventRow>, StoreError> {
    tx.rows(&LATEST, &[&tenant, &limit]).await?.iter().map(event_of).collect()
}

/// A page of the refused attempts that belong to a tenant, newest first, as far as the filter lets them through.
pub async fn page_back(
    tx: &Tx,
    tenant: Uuid,
    before: Option<After>,
    filter: &LogFilter<'_>,
    limit: i64,
) -> Result<Vec<SecurityEventRow>, StoreError> {
    let (time, id) = before.unzip();
    let LogFilter { kind, actor, actor_id, from, to } = filter;
    tx.rows(&PAGE_BACK, &[&tenant, &time, &id, kind, actor, actor_id, from, to, &limit])
        .await?
        .iter()
        .map(event_of)
        .collect()
}

fn event_of(row: &Row) -> Result<SecurityEventRow, StoreError> {
    Ok(SecurityEventRow {
        tenant_id: row.col(0)?,
        id: row.col(1)?,
        kind: row.col(2)?,
        severity: row.col(3)?,
        user_id: row.col(4)?,
        key_id: row.col(5)?,
        needed_permission: row.col(6)?,
        role: row.col(7)?,
        request_id: row.col(8)?,
        address: row.col(9)?,
        details: row.col(10)?,
        created_at: row.col(11)?,
    })
}
