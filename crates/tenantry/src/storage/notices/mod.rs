//! Rows of notices: what tenants are told, and the mails and webhooks that carry it.

pub mod deliveries;
pub mod endpoints;
pub mod mails;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::members::After;
use super::row::Column as _;
use super::{StoreError, Tx};
use crate::query;

/// A notice as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NoticeRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// What it is about.
    pub kind: String,
    /// What the kind says of itself.
    pub data: serde_json::Value,
    /// When it was raised.
    pub created_at: Timestamp,
}

/// A notice to be stored, with the job that goes with it.
#[derive(Debug)]
pub struct NewNotice<'a> {
    /// Its id.
    pub id: Uuid,
    /// Id of the job.
    pub job_id: Uuid,
    /// What it is about.
    pub kind: &'a str,
    /// The same kind and key of a tenant are one notice.
    pub dedupe_key: &'a str,
    /// What the kind says of itself.
    pub data: &'a serde_json::Value,
}

query! {
    /// Notice and job in one round trip; neither where the notice is there already.
    service RAISE = "
        with raised as (
            insert into tenantry.notifications (tenant_id, id, kind, dedupe_key, data, created_at)
            values ($1, $2, $4, $5, $6, $7)
            on conflict (tenant_id, kind, dedupe_key) do nothing
            returning tenant_id, id
        )
        insert into tenantry.jobs (tenant_id, id, kind, dedupe_key, payload, run_at, created_at)
        select tenant_id, $3, 'fan_out_notice', id::text, jsonb_build_object('notificationId', id), $7, $7
        from raised";
    service INSERT = "
        insert into tenantry.notifications (tenant_id, id, kind, dedupe_key, data, created_at)
        values ($1, $2, $3, $4, $5, $6)";
    both GET = "
        select tenant_id, id, kind, data, created_at from tenantry.notifications where tenant_id = $1 and id = $2";
    both LIST = "
        select tenant_id, id, kind, data, created_at from tenantry.notifications
        where tenant_id = $1
          and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
        order by created_at desc, id desc
        limit $4";
}

fn notice(row: &Row) -> Result<NoticeRow, StoreError> {
    Ok(NoticeRow {
        tenant_id: row.col(0)?,
        id: row.col(1)?,
        kind: row.col(2)?,
        data: row.col(3)?,
        created_at: row.col(4)?,
    })
}

/// Stores a notice and the job that tells of it; false where the same notice was raised before.
pub async fn raise(tx: &Tx, tenant: Uuid, new: &NewNotice<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&tenant, &new.id, &new.job_id, &new.kind, &new.dedupe_key, new.data, &now];
    Ok(tx.execute(&RAISE, &params).await? == 1)
}

/// Stores a notice that nobody is told of but who the caller tells.
pub async fn insert(tx: &Tx, tenant: Uuid, new: &NewNotice<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&INSERT, &[&tenant, &new.id, &new.kind, &new.dedupe_key, new.data, &now]).await
}

/// A notice of a tenant.
pub async fn get(tx: &Tx, tenant: Uuid, id: Uuid) -> Result<Option<NoticeRow>, StoreError> {
    tx.opt(&GET, &[&tenant, &id]).await?.as_ref().map(notice).transpose()
}

/// A page of a tenant's notices, the newest first.
pub async fn list(tx: &Tx, tenant: Uuid, before: Option<After>, limit: i64) -> Result<Vec<NoticeRow>, StoreError> {
    let (time, id) = before.unzip();
    tx.rows(&LIST, &[&tenant, &time, &id, &limit]).await?.iter().map(notice).collect()
}
