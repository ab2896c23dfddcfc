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
    /// Random bytes, so that a blanked payload cannot be guessed from its hash; they go with it.
    pub payload_salt: Option<[u8; 16]>,
    /// SHA-256 of salt and canonical payload.
    pub payload_hash: [u8; 32],
    /// `hash` of the entry before; 32 zero bytes in the first.
    pub previous_hash: [u8; 32],
    /// SHA-256 of this entry.
    pub hash: [u8; 32],
}

/// Which entries of a log are wanted; what is missing lets everything through.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFilter<'a> {
    /// What happened.
    pub kind: Option<&'a str>,
    /// What kind of actor did it: `user`, `key`, `service_key` or `system`.
    pub actor: Option<&'a str>,
    /// The user or key that did it.
    pub actor_id: Option<Uuid>,
    /// First instant.
    pub from: Option<Timestamp>,
    /// First instant after it.
    pub to: Option<Timestamp>,
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
          and ($3::text is null or type = $3)
          and ($4::text is null or actor = $4)
          and ($5::uuid is null or actor_id = $5)
          and ($6::timestamptz is null or created_at >= $6)
          and ($7::timestamptz is null or created_at < $7)
        order by sequence desc
        limit $8";
    // An address may stand anywhere in a payload; where it does, the payload is about its owner.
    service BLANK = "
        update tenantry.billing_events set payload = null, payload_salt = null
        where tenant_id = any ($1) and payload is not null
          and (tenant_id = $2 or subject_id = $2 or payload ->> 'userId' = $2::text
               or subject_id in (select i.id from tenantry.invitations i
                                 where i.tenant_id = billing_events.tenant_id and i.accepted_by = $2)
               or ($3::text is not null
                   and jsonb_path_exists(lower(payload::text)::jsonb, '$.** ? (@ == $address)',
                                         jsonb_build_object('address', lower($3::text)))))
        returning tenant_id";
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
        payload_salt: salt(row, 9)?,
        payload_hash: bytes(row, 10, "payload_hash of an audit entry")?,
        previous_hash: bytes(row, 11, "previous_hash of an audit entry")?,
        hash: bytes(row, 12, "hash of an audit entry")?,
    })
}

fn salt(row: &Row, index: usize) -> Result<Option<[u8; 16]>, StoreError> {
    let stored: Option<&[u8]> = row.col(index)?;
    stored.map(|_| bytes(row, index, "payload_salt of an audit entry")).transpose()
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
            &row.payload_salt.as_ref().map(<[u8; 16]>::as_slice),
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

/// Entries before a sequence (all where it is [`i64::MAX`]), the newest first, as far as the filter lets them through.
pub async fn page_back(
    tx: &Tx,
    tenant: Uuid,
    before: i64,
    filter: &LogFilter<'_>,
    limit: i64,
) -> Result<Vec<AuditRow>, StoreError> {
    let LogFilter { kind, actor, actor_id, from, to } = filter;
    tx.rows(&PAGE_BACK, &[&tenant, &before, kind, actor, actor_id, from, to, &limit]).await?.iter().map(entry).collect()
}

/// Blanks, in these tenants, the payloads that are about a user: all of its personal tenant, those of entries whose
/// subject it is, and those that hold its e-mail address. Gives the tenant of each entry that was blanked.
pub async fn blank(tx: &Tx, tenants: &[Uuid], user: Uuid, email: Option<&str>) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&BLANK, &[&tenants, &user, &email]).await?.iter().map(|row| row.col(0)).collect()
}
