//! Rows of `billing_events`: the audit trail. Append-only; what the hashes are made of is in `tenancy::audit`.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::row::{Column as _, bytes};
use super::tenants::LockedTenant;
use super::{StoreError, Tx};
use crate::query;

/// One entry of a tenant's audit chain.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Position in the chain, from 1.
    pub sequence: i64,
    /// Its id.
    pub id: Uuid,
    /// What happened, as `noun.verb`.
    pub kind: String,
    /// `user`, `key`, `service_key` or `system`.
    pub actor: String,
    /// Id of the user or key.
    pub actor_id: Option<Uuid>,
    /// What it happened to.
    pub subject_id: Option<Uuid>,
    /// When.
    pub created_at: Timestamp,
    /// What is personal about it; none where it was blanked.
    pub payload: Option<serde_json::Value>,
    /// Random bytes, so that a blanked payload cannot be guessed from its hash.
    pub payload_salt: [u8; 16],
    /// SHA-256 of salt and canonical payload.
    pub payload_hash: [u8; 32],
    /// `hash` of the entry before; 32 zero bytes in the first.
    pub previous_hash: [u8; 32],
    /// SHA-256 of this entry.
    pub hash: [u8; 32],
}

query! {
    service LAST = "
        select sequence, hash from tenantry.billing_events where tenant_id = $1 order by sequence desc limit 1";
    service INSERT = "
        insert into tenantry.billing_events
            (tenant_id, sequence, id, type, actor, actor_id, subject_id, created_at, payload, payload_salt,
             payload_hash, previous_hash, hash)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    both PAGE = "
        select tenant_id, sequence, id, type, actor, actor_id, subject_id, created_at, payload, payload_salt,
               payload_hash, previous_hash, hash
        from tenantry.billing_events
        where tenant_id = $1 and sequence > $2
        order by sequence
        limit $3";
    both PAGE_BACK = "
        select tenant_id, sequence, id, type, actor, actor_id, subject_id, created_at, payload, payload_salt,
               payload_hash, previous_hash, hash
        from tenantry.billing_events
        where tenant_id = $1 and sequence < $2
        order by sequence desc
        limit $3";
}

fn entry(row: &Row) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        tenant_id: row.col(0)?,
        sequence: row.col(1)?,
        id: row.col(2)?,
        kind: row.col(3)?,
        actor: row.col(4)?,
        actor_id: row.col(5)?,
        subject_id: row.col(6)?,
        created_at: row.col(7)?,
        payload: row.col(8)?,
        payload_salt: bytes(row, 9, "payload_salt of an audit entry")?,
        payload_hash: bytes(row, 10, "payload_hash of an audit entry")?,
        previous_hash: bytes(row, 11, "previous_hash of an audit entry")?,
        hash: bytes(row, 12, "hash of an audit entry")?,
    })
}

/// Sequence and hash of the last entry of a locked tenant.
pub async fn last(tx: &Tx, tenant: &LockedTenant) -> Result<Option<(i64, [u8; 32])>, StoreError> {
    tx.opt(&LAST, &[&tenant.id()])
        .await?
        .map(|row| Ok((row.col(0)?, bytes(&row, 1, "hash of an audit entry")?)))
        .transpose()
}

/// Appends an entry to the chain of a locked tenant.
pub async fn insert(tx: &Tx, _held: &LockedTenant, row: &AuditRow) -> Result<(), StoreError> {
    tx.exactly_one(
        &INSERT,
        &[
            &row.tenant_id,
            &row.sequence,
            &row.id,
            &row.kind,
            &row.actor,
            &row.actor_id,
            &row.subject_id,
            &row.created_at,
            &row.payload,
            &row.payload_salt.as_slice(),
            &row.payload_hash.as_slice(),
            &row.previous_hash.as_slice(),
            &row.hash.as_slice(),
        ],
    )
    .await
}

/// Entries after a sequence, in the chain's order.
pub async fn page(tx: &Tx, tenant: Uuid, after: i64, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    tx.rows(&PAGE, &[&tenant, &after, &limit]).await?.iter().map(entry).collect()
}

/// Entries before a sequence (all where it is [`i64::MAX`]), the newest first.
pub async fn page_back(tx: &Tx, tenant: Uuid, before: i64, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    tx.rows(&PAGE_BACK, &[&tenant, &before, &limit]).await?.iter().map(entry).collect()
}
