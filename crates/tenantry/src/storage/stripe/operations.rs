//! Rows of `billing_operations`: intents that need Stripe, with the job that sees them through.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::query;
use crate::storage::jobs::ClaimedJob;
use crate::storage::row::Column as _;
use crate::storage::tenants::LockedTenant;
use crate::storage::{StoreError, Tx};

/// Kind of the jobs that see operations through.
pub const JOB: &str = "billing_operation";

/// An intent.
#[derive(Debug, Clone)]
pub struct OperationRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its id; idempotency keys at Stripe begin with it.
    pub id: Uuid,
    /// `checkout`, `upgrade`, ...
    pub kind: String,
    /// `running`, `succeeded` or `failed`.
    pub state: String,
    /// What was asked for.
    pub request: serde_json::Value,
    /// The answer, or the problem.
    pub outcome: Option<serde_json::Value>,
    /// Who asked: `user`, `key`, `service_key` or `system`.
    pub actor: String,
    /// Id of the user or key.
    pub actor_id: Option<Uuid>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// An intent to be written.
#[derive(Debug)]
pub struct NewOperation<'a> {
    /// Its id.
    pub id: Uuid,
    /// `checkout`, `upgrade`, ...
    pub kind: &'a str,
    /// What is asked for.
    pub request: &'a serde_json::Value,
    /// Who asks.
    pub actor: (&'a str, Option<Uuid>),
}

query! {
    service INSERT = "
        insert into tenantry.billing_operations (tenant_id, id, kind, request, actor, actor_id, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)";
    // The job begins in the hands of the request: a worker takes it over when the lease is over.
    service INSERT_JOB = "
        insert into tenantry.jobs
            (tenant_id, id, kind, dedupe_key, payload, run_at, attempts, lease_token, lease_until, created_at)
        values ($1, $2, 'billing_operation', $3::uuid::text, '{}', $4, 1, $5, $6, $4)";
    service RUNNING = "
        select tenant_id, id, kind, state, request, outcome, actor, actor_id, created_at
        from tenantry.billing_operations where tenant_id = $1 and state = 'running'";
    service GET = "
        select tenant_id, id, kind, state, request, outcome, actor, actor_id, created_at
        from tenantry.billing_operations where tenant_id = $1 and id = $2";
    service SETTLE = "
        update tenantry.billing_operations set state = $3, outcome = $4, finished_at = $5
        where tenant_id = $1 and id = $2 and state = 'running'";
}

/// Writes an intent of a locked tenant that has none running, with its job, which this caller holds until `until`
/// under `lease`. The job is given back to be settled by the caller.
pub async fn insert(
    tx: &Tx,
    tenant: &LockedTenant,
    new: &NewOperation<'_>,
    lease: Uuid,
    (now, until): (Timestamp, Timestamp),
) -> Result<ClaimedJob, StoreError> {
    let (actor, actor_id) = new.actor;
    tx.exactly_one(&INSERT, &[&tenant.id(), &new.id, &new.kind, &new.request, &actor, &actor_id, &now]).await?;
    // One job for each operation: they share their id.
    tx.exactly_one(&INSERT_JOB, &[&tenant.id(), &new.id, &new.id, &now, &lease, &until]).await?;
    Ok(ClaimedJob {
        tenant_id: tenant.id(),
        id: new.id,
        kind: JOB.to_owned(),
        payload: serde_json::Value::Null,
        attempts: 1,
    })
}

/// The operation of a tenant that is not done yet.
pub async fn running(tx: &Tx, tenant: Uuid) -> Result<Option<OperationRow>, StoreError> {
    tx.opt(&RUNNING, &[&tenant]).await?.as_ref().map(from_row).transpose()
}

/// An operation.
pub async fn get(tx: &Tx, tenant: Uuid, id: Uuid) -> Result<Option<OperationRow>, StoreError> {
    tx.opt(&GET, &[&tenant, &id]).await?.as_ref().map(from_row).transpose()
}

/// Writes what became of an operation; false where somebody else did already.
pub async fn settle(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    succeeded: bool,
    outcome: &serde_json::Value,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let state = if succeeded { "succeeded" } else { "failed" };
    Ok(tx.execute(&SETTLE, &[&tenant, &id, &state, &outcome, &now]).await? == 1)
}

fn from_row(row: &Row) -> Result<OperationRow, StoreError> {
    Ok(OperationRow {
        tenant_id: row.col(0)?,
        id: row.col(1)?,
        kind: row.col(2)?,
        state: row.col(3)?,
        request: row.col(4)?,
        outcome: row.col(5)?,
        actor: row.col(6)?,
        actor_id: row.col(7)?,
        created_at: row.col(8)?,
    })
}
