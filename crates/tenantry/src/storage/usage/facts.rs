//! What must be known before a group of events is decided, read in the transaction that commits it.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::metric::Aggregation;
use tokio_postgres::Row;
use uuid::Uuid;

use super::rollups::RolledUp;
use crate::query;
use crate::storage::{StoreError, Tx};

/// A member, with what the role's row is overridden by.
#[derive(Debug, Clone)]
pub struct MemberRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// `owner`, `admin`, `billing_admin` or `member`.
    pub role: String,
    /// Permission overrides as stored.
    pub permissions: serde_json::Value,
}

/// An API key that is neither revoked nor expired.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// The key's id.
    pub id: Uuid,
    /// Its tenant; none for a service key.
    pub tenant_id: Option<Uuid>,
    /// Names of permissions.
    pub scopes: Vec<String>,
}

/// A usage period as stored.
#[derive(Debug, Clone)]
pub struct PeriodRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    /// What its months are counted from.
    pub anchor: Timestamp,
    /// Before the tenant was here; never billed.
    pub historic: bool,
    /// Its books are closed.
    pub closed: bool,
}

impl PeriodRow {
    pub(super) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            tenant_id: row.try_get("tenant_id").map_err(column)?,
            start: row.try_get("period_start").map_err(column)?,
            end: row.try_get("period_end").map_err(column)?,
            anchor: row.try_get("anchor").map_err(column)?,
            historic: row.try_get("historic").map_err(column)?,
            closed: row.try_get::<_, String>("state").map_err(column)? == "closed",
        })
    }
}

/// A usage counter as stored.
#[derive(Debug, Clone)]
pub struct CounterRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// What is counted.
    pub metric: String,
    /// First instant of the period.
    pub period_start: Timestamp,
    /// First instant after the period.
    pub period_end: Timestamp,
    /// Sequence of the current segment.
    pub segment_sequence: i32,
    /// First instant of the current segment.
    pub segment_start: Timestamp,
    /// The period's books are closed: a change here is an adjustment.
    pub closed: bool,
    /// Before the tenant was here.
    pub historic: bool,
    /// Whether the plan names the metric.
    pub in_plan: bool,
    /// Included quantity; none is unlimited.
    pub included: Option<Decimal>,
    /// No accepted event takes the total above it.
    pub hard_limit: Option<Decimal>,
    /// Sum of the period's events, or what else its aggregation makes of them.
    pub total: Decimal,
    /// What total is of the events: `sum`, or one that only a decision under the row's lock can tell.
    pub aggregation: String,
    /// Reserved by open holds; limits judge `total + held`.
    pub held: Decimal,
    /// Up to this total events are judged by `hard_limit` alone, above it one by one; none is no such bound.
    pub sure_limit: Option<Decimal>,
    /// Which sums its events are in.
    pub rolled_up: RolledUp,
}

impl CounterRow {
    /// What its events make, where that is more than a sum.
    pub fn tallied(&self) -> Result<Option<Aggregation>, StoreError> {
        if self.aggregation == "sum" {
            return Ok(None);
        }
        self.aggregation.parse().map(Some).map_err(|error| StoreError::corrupt("aggregation of a counter", error))
    }

    pub(super) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            tenant_id: row.try_get("tenant_id").map_err(column)?,
            metric: row.try_get("metric").map_err(column)?,
            period_start: row.try_get("period_start").map_err(column)?,
            period_end: row.try_get("period_end").map_err(column)?,
            segment_sequence: row.try_get("segment_sequence").map_err(column)?,
            segment_start: row.try_get("segment_start").map_err(column)?,
            closed: row.try_get("closed").map_err(column)?,
            historic: row.try_get("historic").map_err(column)?,
            in_plan: row.try_get("in_plan").map_err(column)?,
            included: row.try_get("included").map_err(column)?,
            hard_limit: row.try_get("hard_limit").map_err(column)?,
            total: row.try_get("total").map_err(column)?,
            aggregation: row.try_get("aggregation").map_err(column)?,
            held: row.try_get("held").map_err(column)?,
            sure_limit: row.try_get("sure_limit").map_err(column)?,
            rolled_up: RolledUp::from_row(row)?,
        })
    }
}

/// An event that a correction names, with what is known of its key.
#[derive(Debug, Clone)]
pub struct OriginalRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its idempotency key.
    pub key: String,
    /// `usage` or `reversal`; `archived` where the event has left and only its key is known.
    pub kind: String,
    /// The metric.
    pub metric: String,
    /// What it counted; 0 where that is not known any more.
    pub amount: Decimal,
    /// Its timestamp.
    pub occurred_at: Timestamp,
    /// Who used it.
    pub user_id: Option<Uuid>,
    /// Its id; nil where it has left.
    pub id: Uuid,
    /// Its metadata, as stored; null where it has left.
    pub metadata: serde_json::Value,
    /// The correction that took it back already.
    pub reversed_by: Option<String>,
}

pub(super) fn column(error: tokio_postgres::Error) -> StoreError {
    StoreError::corrupt("row", error)
}

query! {
    service MEMBERS = "
        select m.tenant_id, m.user_id, m.role, m.permissions
        from unnest($1::uuid[], $2::uuid[]) as wanted (tenant_id, user_id)
        join tenantry.tenant_members m on m.tenant_id = wanted.tenant_id and m.user_id = wanted.user_id";
    service KEYS = "
        select id, tenant_id, scopes from tenantry.api_keys
        where id = any ($1) and revoked_at is null and (expires_at is null or expires_at > now())";
    service TENANTS = "
        select id, type from tenantry.tenants where id = any ($1) and deleted_at is null";
    /// No period is longer than 31 days, so the index is read from there and not from the tenant's first counter.
    service COUNTERS = "
        select c.tenant_id, c.metric, c.period_start, c.period_end, c.segment_sequence, c.segment_start,
               c.closed, c.historic, c.in_plan, c.included, c.hard_limit, c.total,
               c.aggregation, c.held, c.sure_limit, c.rollups_version, c.folded_until,
               c.dimensions, c.dimensions_since
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
            as wanted (tenant_id, metric, earliest, latest)
        join tenantry.usage_counters c on c.tenant_id = wanted.tenant_id and c.metric = wanted.metric
            and c.period_start <= wanted.latest and c.period_start > wanted.earliest - interval '744 hours'
            and c.period_end > wanted.earliest";
    service ORIGINALS = "
        select k.tenant_id, k.idempotency_key, coalesce(u.kind, 'archived'), k.metric, coalesce(u.amount, 0), k.occurred_at,
               u.user_id, k.reversed_by, coalesce(u.id, '00000000-0000-0000-0000-000000000000'), coalesce(u.metadata, 'null')
        from unnest($1::uuid[], $2::text[]) as wanted (tenant_id, idempotency_key)
        join tenantry.usage_keys k on k.tenant_id = wanted.tenant_id and k.idempotency_key = wanted.idempotency_key
        left join tenantry.tenant_usage u on u.tenant_id = k.tenant_id and u.metric = k.metric
            and u.occurred_at = k.occurred_at and u.idempotency_key = k.idempotency_key";
}

/// The members among these (tenant, user) pairs.
pub async fn members(tx: &Tx, tenants: &[Uuid], users: &[Uuid]) -> Result<Vec<MemberRow>, StoreError> {
    tx.rows(&MEMBERS, &[&tenants, &users])
        .await?
        .iter()
        .map(|row| {
            Ok(MemberRow {
                tenant_id: row.try_get(0).map_err(column)?,
                user_id: row.try_get(1).map_err(column)?,
                role: row.try_get(2).map_err(column)?,
                permissions: row.try_get(3).map_err(column)?,
            })
        })
        .collect()
}

/// The keys among these ids that work at `now`.
pub async fn keys(tx: &Tx, ids: &[Uuid]) -> Result<Vec<KeyRow>, StoreError> {
    tx.rows(&KEYS, &[&ids])
        .await?
        .iter()
        .map(|row| {
            Ok(KeyRow {
                id: row.try_get(0).map_err(column)?,
                tenant_id: row.try_get(1).map_err(column)?,
                scopes: row.try_get(2).map_err(column)?,
            })
        })
        .collect()
}

/// The tenants among these ids that exist, with their type (`user` or `organization`).
pub async fn tenants(tx: &Tx, ids: &[Uuid]) -> Result<Vec<(Uuid, String)>, StoreError> {
    tx.rows(&TENANTS, &[&ids])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?)))
        .collect()
}

/// The counters of each (tenant, metric) whose period touches its span of time (both ends included).
pub async fn counters(
    tx: &Tx,
    tenants: &[Uuid],
    metrics: &[&str],
    earliest: &[Timestamp],
    latest: &[Timestamp],
) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&COUNTERS, &[&tenants, &metrics, &earliest, &latest]).await?.iter().map(CounterRow::from_row).collect()
}

/// The events behind these (tenant, key) pairs.
pub async fn originals(tx: &Tx, tenants: &[Uuid], keys: &[&str]) -> Result<Vec<OriginalRow>, StoreError> {
    tx.rows(&ORIGINALS, &[&tenants, &keys])
        .await?
        .iter()
        .map(|row| {
            Ok(OriginalRow {
                tenant_id: row.try_get(0).map_err(column)?,
                key: row.try_get(1).map_err(column)?,
                kind: row.try_get(2).map_err(column)?,
                metric: row.try_get(3).map_err(column)?,
                amount: row.try_get(4).map_err(column)?,
                occurred_at: row.try_get(5).map_err(column)?,
                user_id: row.try_get(6).map_err(column)?,
                reversed_by: row.try_get(7).map_err(column)?,
                id: row.try_get(8).map_err(column)?,
                metadata: row.try_get(9).map_err(column)?,
            })
        })
        .collect()
}
