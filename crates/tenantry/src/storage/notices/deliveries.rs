//! Rows of `webhook_deliveries`: a notice on its way to an endpoint.

use jiff::Timestamp;
use secrecy::SecretString;
use tokio_postgres::Row;
use uuid::Uuid;

use super::NoticeRow;
use crate::query;
use crate::storage::members::After;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// A delivery as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRow {
    /// Its id.
    pub id: Uuid,
    /// The notice.
    pub notification_id: Uuid,
    /// What the notice is about.
    pub kind: String,
    /// `pending`, `succeeded`, `failed` or `dead`.
    pub state: String,
    /// Requests begun, counted anew after a replay.
    pub attempts: i32,
    /// When the next one is due.
    pub next_attempt_at: Option<Timestamp>,
    /// HTTP status of the last answer.
    pub last_status: Option<i32>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// How the last answer's body begins.
    pub response_snippet: Option<String>,
    /// When the notice was handed out.
    pub created_at: Timestamp,
    /// When it succeeded, or was given up.
    pub finished_at: Option<Timestamp>,
}

/// A delivery that this process may attempt until its lease ends.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Requests begun, this one included.
    pub attempts: i32,
    /// Where it goes.
    pub url: String,
    /// Whether the endpoint is enabled.
    pub is_enabled: bool,
    /// What signs: the present secret first, then the one before while it is valid.
    pub secrets: Vec<SecretString>,
    /// What it tells of.
    pub notice: NoticeRow,
}

/// What became of an attempt.
#[derive(Debug, Clone, Default)]
pub struct Attempted {
    /// HTTP status of the answer, if there was one.
    pub status: Option<i32>,
    /// Why it failed; none where it did not.
    pub error: Option<String>,
    /// How the answer's body begins.
    pub snippet: Option<String>,
}

query! {
    service INSERT = "
        insert into tenantry.webhook_deliveries (tenant_id, id, endpoint_id, notification_id, next_attempt_at, created_at)
        select $1, id, endpoint_id, $2, $5, $5 from unnest($3::uuid[], $4::uuid[]) as wanted (id, endpoint_id)
        on conflict (tenant_id, notification_id, endpoint_id) do nothing
        returning id";
    service CLAIM = "
        update tenantry.webhook_deliveries d set lease_token = $3, lease_until = $5, attempts = d.attempts + 1
        from tenantry.webhook_endpoints e, tenantry.notifications n
        where d.tenant_id = $1 and d.id = $2 and d.next_attempt_at <= $4
          and (d.lease_until is null or d.lease_until <= $4)
          and e.tenant_id = d.tenant_id and e.id = d.endpoint_id
          and n.tenant_id = d.tenant_id and n.id = d.notification_id
        returning d.endpoint_id, d.attempts, e.url, e.state = 'enabled', e.secret,
                  case when e.previous_expires_at > $4 then e.previous_secret end,
                  n.id, n.kind, n.data, n.created_at";
    service DUE = "
        select greatest(next_attempt_at, lease_until) from tenantry.webhook_deliveries
        where tenant_id = $1 and id = $2 and next_attempt_at is not null";
    service HOLD_LEASE = "
        select 1 from tenantry.webhook_deliveries where tenant_id = $1 and id = $2 and lease_token = $3 for update";
    service SETTLE = "
        update tenantry.webhook_deliveries
        set state = $4, next_attempt_at = $5, last_status = $6, last_error = $7, response_snippet = $8, finished_at = $9,
            lease_token = null, lease_until = null
        where tenant_id = $1 and id = $2 and lease_token = $3";
    both GET = "
        select d.id, d.notification_id, n.kind, d.state, d.attempts, d.next_attempt_at, d.last_status, d.last_error,
               d.response_snippet, d.created_at, d.finished_at
        from tenantry.webhook_deliveries d
        join tenantry.notifications n on n.tenant_id = d.tenant_id and n.id = d.notification_id
        where d.tenant_id = $1 and d.endpoint_id = $2 and d.id = $3";
    both LIST = "
        select d.id, d.notification_id, n.kind, d.state, d.attempts, d.next_attempt_at, d.last_status, d.last_error,
               d.response_snippet, d.created_at, d.finished_at
        from tenantry.webhook_deliveries d
        join tenantry.notifications n on n.tenant_id = d.tenant_id and n.id = d.notification_id
        where d.tenant_id = $1 and d.endpoint_id = $2
          and ($3::timestamptz is null or (d.created_at, d.id) < ($3, $4::uuid))
        order by d.created_at desc, d.id desc
        limit $5";
    service REPLAY = "
        update tenantry.webhook_deliveries
        set state = 'pending', attempts = 0, next_attempt_at = $4, finished_at = null, lease_token = null,
            lease_until = null
        where tenant_id = $1 and endpoint_id = $2 and id = $3 and (lease_until is null or lease_until <= $4)";
}

/// Stores deliveries of a notice, given as ids and endpoints; the ids of those that were not there before.
pub async fn insert(
    tx: &Tx,
    (tenant, notice): (Uuid, Uuid),
    (ids, endpoints): (&[Uuid], &[Uuid]),
    now: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&INSERT, &[&tenant, &notice, &ids, &endpoints, &now]).await?.iter().map(|row| row.col(0)).collect()
}

/// Takes a delivery that is due for a lease that ends at `until`; nothing where none is, or somebody else holds it.
pub async fn claim(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    lease: Uuid,
    (now, until): (Timestamp, Timestamp),
) -> Result<Option<ClaimedDelivery>, StoreError> {
    let Some(row) = tx.opt(&CLAIM, &[&tenant, &id, &lease, &now, &until]).await? else {
        return Ok(None);
    };
    let (secret, previous): (String, Option<String>) = (row.col(4)?, row.col(5)?);
    Ok(Some(ClaimedDelivery {
        endpoint_id: row.col(0)?,
        attempts: row.col(1)?,
        url: row.col(2)?,
        is_enabled: row.col(3)?,
        secrets: std::iter::once(secret).chain(previous).map(SecretString::from).collect(),
        notice: NoticeRow {
            tenant_id: tenant,
            id: row.col(6)?,
            kind: row.col(7)?,
            data: row.col(8)?,
            created_at: row.col(9)?,
        },
    }))
}

/// When a delivery that is not finished can be attempted; nothing where it is finished or gone.
pub async fn due(tx: &Tx, (tenant, id): (Uuid, Uuid)) -> Result<Option<Timestamp>, StoreError> {
    tx.opt(&DUE, &[&tenant, &id]).await?.map_or(Ok(None), |row| row.col(0))
}

/// Whether a delivery is still held under this lease; it is to the end of the transaction.
pub async fn hold_lease(tx: &Tx, (tenant, id): (Uuid, Uuid), lease: Uuid) -> Result<bool, StoreError> {
    Ok(tx.opt(&HOLD_LEASE, &[&tenant, &id, &lease]).await?.is_some())
}

/// What became of a claimed delivery: its state, when it is attempted again, when it was finished. False where the
/// lease was lost.
pub async fn settle(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    lease: Uuid,
    (state, next, finished): (&str, Option<Timestamp>, Option<Timestamp>),
    attempted: &Attempted,
) -> Result<bool, StoreError> {
    let Attempted { status, error, snippet } = attempted;
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
        [&tenant, &id, &lease, &state, &next, status, error, snippet, &finished];
    Ok(tx.execute(&SETTLE, &params).await? == 1)
}

fn delivery(row: &Row) -> Result<DeliveryRow, StoreError> {
    Ok(DeliveryRow {
        id: row.col(0)?,
        notification_id: row.col(1)?,
        kind: row.col(2)?,
        state: row.col(3)?,
        attempts: row.col(4)?,
        next_attempt_at: row.col(5)?,
        last_status: row.col(6)?,
        last_error: row.col(7)?,
        response_snippet: row.col(8)?,
        created_at: row.col(9)?,
        finished_at: row.col(10)?,
    })
}

/// A delivery to an endpoint of a tenant.
pub async fn get(tx: &Tx, tenant: Uuid, endpoint: Uuid, id: Uuid) -> Result<Option<DeliveryRow>, StoreError> {
    tx.opt(&GET, &[&tenant, &endpoint, &id]).await?.as_ref().map(delivery).transpose()
}

/// A page of the deliveries to an endpoint, the newest first.
pub async fn list(
    tx: &Tx,
    (tenant, endpoint): (Uuid, Uuid),
    before: Option<After>,
    limit: i64,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let (time, id) = before.unzip();
    tx.rows(&LIST, &[&tenant, &endpoint, &time, &id, &limit]).await?.iter().map(delivery).collect()
}

/// Begins a delivery anew, due now; false where an attempt is under way.
pub async fn replay(tx: &Tx, tenant: Uuid, (endpoint, id): (Uuid, Uuid), now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&REPLAY, &[&tenant, &endpoint, &id, &now]).await? == 1)
}
