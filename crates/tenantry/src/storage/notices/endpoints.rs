//! Rows of `webhook_endpoints`: where a tenant's webhooks go.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::query;
use crate::storage::members::After;
use crate::storage::row::Column as _;
use crate::storage::tenants::LockedTenant;
use crate::storage::{StoreError, Tx};

/// An endpoint, without its secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointRow {
    /// Its id.
    pub id: Uuid,
    /// Where webhooks are posted.
    pub url: String,
    /// For people.
    pub description: String,
    /// Kinds of notices that it gets; none listed: all.
    pub kinds: Vec<String>,
    /// `enabled` or `disabled`.
    pub state: String,
    /// `by_hand`, `failing` or `gone`, where it is disabled.
    pub disabled_reason: Option<String>,
    /// First failure after the last success.
    pub failing_since: Option<Timestamp>,
    /// Until when the secret before the present one signs too.
    pub previous_expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

query! {
    both GET = "
        select id, url, description, kinds, state, disabled_reason, failing_since, previous_expires_at, created_at,
               updated_at
        from tenantry.webhook_endpoints where tenant_id = $1 and id = $2";
    both LIST = "
        select id, url, description, kinds, state, disabled_reason, failing_since, previous_expires_at, created_at,
               updated_at
        from tenantry.webhook_endpoints
        where tenant_id = $1
          and ($2::timestamptz is null or (created_at, id) > ($2, $3::uuid))
        order by created_at, id
        limit $4";
    service COUNT = "select count(*) from tenantry.webhook_endpoints where tenant_id = $1";
    service SUBSCRIBED = "
        select id from tenantry.webhook_endpoints
        where tenant_id = $1 and (state = 'enabled' or disabled_reason <> 'by_hand') and (kinds = '{}' or $2 = any (kinds))
        order by id";
    service INSERT = "
        insert into tenantry.webhook_endpoints
            (tenant_id, id, url, description, kinds, secret, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $7)
        returning id, url, description, kinds, state, disabled_reason, failing_since, previous_expires_at, created_at,
                  updated_at";
    service UPDATE = "
        update tenantry.webhook_endpoints
        set url = $3, description = $4, kinds = $5, state = $6, disabled_reason = $7, failing_since = $8, updated_at = $9
        where tenant_id = $1 and id = $2";
    service ROTATE = "
        update tenantry.webhook_endpoints
        set previous_secret = secret, previous_expires_at = $4, secret = $3, updated_at = $5
        where tenant_id = $1 and id = $2
        returning id, url, description, kinds, state, disabled_reason, failing_since, previous_expires_at, created_at,
                  updated_at";
    service DELETE_DELIVERIES = "delete from tenantry.webhook_deliveries where tenant_id = $1 and endpoint_id = $2";
    service DELETE = "delete from tenantry.webhook_endpoints where tenant_id = $1 and id = $2";
    service WORKS = "
        update tenantry.webhook_endpoints set failing_since = null
        where tenant_id = $1 and id = $2 and failing_since is not null";
    service FAILS = "
        update tenantry.webhook_endpoints set failing_since = coalesce(failing_since, $3)
        where tenant_id = $1 and id = $2 and state = 'enabled'
        returning url, failing_since";
    service DISABLE = "
        update tenantry.webhook_endpoints set state = 'disabled', disabled_reason = $3, updated_at = $4
        where tenant_id = $1 and id = $2 and state = 'enabled'";
}

fn endpoint(row: &Row) -> Result<EndpointRow, StoreError> {
    Ok(EndpointRow {
        id: row.col(0)?,
        url: row.col(1)?,
        description: row.col(2)?,
        kinds: row.col(3)?,
        state: row.col(4)?,
        disabled_reason: row.col(5)?,
        failing_since: row.col(6)?,
        previous_expires_at: row.col(7)?,
        created_at: row.col(8)?,
        updated_at: row.col(9)?,
    })
}

/// An endpoint of a tenant.
pub async fn get(tx: &Tx, tenant: Uuid, id: Uuid) -> Result<Option<EndpointRow>, StoreError> {
    tx.opt(&GET, &[&tenant, &id]).await?.as_ref().map(endpoint).transpose()
}

/// A page of a tenant's endpoints, the oldest first.
pub async fn list(tx: &Tx, tenant: Uuid, after: Option<After>, limit: i64) -> Result<Vec<EndpointRow>, StoreError> {
    let (time, id) = after.unzip();
    tx.rows(&LIST, &[&tenant, &time, &id, &limit]).await?.iter().map(endpoint).collect()
}

/// How many endpoints a locked tenant has.
pub async fn count(tx: &Tx, tenant: &LockedTenant) -> Result<i64, StoreError> {
    tx.one(&COUNT, &[&tenant.id()]).await?.col(0)
}

/// The endpoints of a locked tenant that get notices of a kind. One that was disabled for its failures is among them:
/// what it misses is noted, so that it can be replayed.
pub async fn subscribed(tx: &Tx, tenant: &LockedTenant, kind: &str) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&SUBSCRIBED, &[&tenant.id(), &kind]).await?.iter().map(|row| row.col(0)).collect()
}

/// Stores an endpoint of a locked tenant: id, URL, description, kinds and secret.
pub async fn insert(
    tx: &Tx,
    tenant: &LockedTenant,
    (id, url, description): (Uuid, &str, &str),
    (kinds, secret): (&[&str], &str),
    now: Timestamp,
) -> Result<EndpointRow, StoreError> {
    endpoint(&tx.one(&INSERT, &[&tenant.id(), &id, &url, &description, &kinds, &secret, &now]).await?)
}

/// Writes what can be changed of an endpoint of a locked tenant.
pub async fn update(tx: &Tx, tenant: &LockedTenant, row: &EndpointRow) -> Result<(), StoreError> {
    tx.exactly_one(
        &UPDATE,
        &[
            &tenant.id(),
            &row.id,
            &row.url,
            &row.description,
            &row.kinds,
            &row.state,
            &row.disabled_reason,
            &row.failing_since,
            &row.updated_at,
        ],
    )
    .await
}

/// Gives an endpoint of a locked tenant a new secret; the old one signs too until `overlap_end`.
pub async fn rotate(
    tx: &Tx,
    tenant: &LockedTenant,
    (id, secret): (Uuid, &str),
    (overlap_end, now): (Timestamp, Timestamp),
) -> Result<Option<EndpointRow>, StoreError> {
    let row = tx.opt(&ROTATE, &[&tenant.id(), &id, &secret, &overlap_end, &now]).await?;
    row.as_ref().map(endpoint).transpose()
}

/// Takes an endpoint and its deliveries away; false where it is not there.
pub async fn delete(tx: &Tx, tenant: &LockedTenant, id: Uuid) -> Result<bool, StoreError> {
    tx.execute(&DELETE_DELIVERIES, &[&tenant.id(), &id]).await?;
    Ok(tx.execute(&DELETE, &[&tenant.id(), &id]).await? == 1)
}

/// Notes that an endpoint takes what it is sent.
pub async fn works(tx: &Tx, tenant: Uuid, id: Uuid) -> Result<(), StoreError> {
    tx.execute(&WORKS, &[&tenant, &id]).await?;
    Ok(())
}

/// Notes that an endpoint of a locked tenant failed: its URL, and since when it has been failing. Nothing where it
/// is disabled or gone.
pub async fn fails(
    tx: &Tx,
    tenant: &LockedTenant,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<(String, Timestamp)>, StoreError> {
    let row = tx.opt(&FAILS, &[&tenant.id(), &id, &now]).await?;
    row.map(|row| Ok((row.col(0)?, row.col(1)?))).transpose()
}

/// Disables an endpoint of a locked tenant.
pub async fn disable(tx: &Tx, tenant: &LockedTenant, id: Uuid, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&DISABLE, &[&tenant.id(), &id, &reason, &now]).await
}
