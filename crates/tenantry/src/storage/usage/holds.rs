//! Holds: rows, and their part of the counters. Whoever changes one has its counter locked.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

use super::facts::{CounterRow, column};
use crate::query;
use crate::storage::{StoreError, Tx};

/// A hold as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// What is reserved.
    pub metric: String,
    /// First instant of the period in which it was taken.
    pub period_start: Timestamp,
    /// How much is reserved.
    pub amount: Decimal,
    /// `open`, `committed`, `released` or `expired`.
    pub state: String,
    /// Who uses it.
    pub user_id: Option<Uuid>,
    /// Metadata of the event that it becomes, as stored.
    pub metadata: serde_json::Value,
    /// When it was taken.
    pub created_at: Timestamp,
    /// From then on it counts no more.
    pub expires_at: Timestamp,
    /// When it was settled; none while it is open.
    pub settled_at: Option<Timestamp>,
    /// What was used; of a committed one only.
    pub committed: Option<Decimal>,
}

impl HoldRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            tenant_id: row.try_get("tenant_id").map_err(column)?,
            id: row.try_get("id").map_err(column)?,
            metric: row.try_get("metric").map_err(column)?,
            period_start: row.try_get("period_start").map_err(column)?,
            amount: row.try_get("amount").map_err(column)?,
            state: row.try_get("state").map_err(column)?,
            user_id: row.try_get("user_id").map_err(column)?,
            metadata: row.try_get("metadata").map_err(column)?,
            created_at: row.try_get("created_at").map_err(column)?,
            expires_at: row.try_get("expires_at").map_err(column)?,
            settled_at: row.try_get("settled_at").map_err(column)?,
            committed: row.try_get("committed_amount").map_err(column)?,
        })
    }
}

/// How a hold ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// So much was used.
    Committed(Decimal),
    /// Nothing was used.
    Released,
}

/// Something held: (tenant, metric, first instant of the period), amount.
pub type HeldBy = ((Uuid, String, Timestamp), Decimal);

query! {
    service INSERT = "
        insert into tenantry.usage_holds
            (tenant_id, id, metric, period_start, amount, user_id, metadata, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    both FIND = "
        select tenant_id, id, metric, period_start, amount, state, user_id, metadata, created_at, expires_at, settled_at,
               committed_amount
        from tenantry.usage_holds where tenant_id = $1 and id = $2 and ($3::uuid is null or user_id = $3)";
    service LOCK = "
        select tenant_id, id, metric, period_start, amount, state, user_id, metadata, created_at, expires_at, settled_at,
               committed_amount
        from tenantry.usage_holds where tenant_id = $1 and id = $2
        for update";
    both OPEN = "
        select tenant_id, id, metric, period_start, amount, state, user_id, metadata, created_at, expires_at, settled_at,
               committed_amount
        from tenantry.usage_holds
        where tenant_id = $1 and state = 'open' and expires_at > $2 and ($3::uuid is null or user_id = $3)
          and ($4::timestamptz is null or (created_at, id) > ($4, $5))
        order by created_at, id limit $6";
    service SETTLE = "
        update tenantry.usage_holds set state = $3, settled_at = $4, committed_amount = $5
        where tenant_id = $1 and id = $2 and state = 'open'";
    service ADD_HELD = "
        update tenantry.usage_counters c set held = c.held + change.amount
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::numeric[])
            as change (tenant_id, metric, period_start, amount)
        where c.tenant_id = change.tenant_id and c.metric = change.metric and c.period_start = change.period_start";
    service EXPIRE = "
        update tenantry.usage_holds h set state = 'expired', settled_at = h.expires_at
        from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as swept (tenant_id, metric, period_start)
        where h.tenant_id = swept.tenant_id and h.metric = swept.metric and h.period_start = swept.period_start
          and h.state = 'open' and h.expires_at <= $4
        returning h.tenant_id, h.metric, h.period_start, h.amount";
    both EXPIRED = "
        select h.tenant_id, h.metric, h.period_start, sum(h.amount)
        from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as wanted (tenant_id, metric, period_start)
        join tenantry.usage_holds h on h.tenant_id = wanted.tenant_id and h.metric = wanted.metric
            and h.period_start = wanted.period_start and h.state = 'open' and h.expires_at <= $4
        group by h.tenant_id, h.metric, h.period_start";
    service DUE = "
        select distinct metric, period_start from tenantry.usage_holds
        where tenant_id = $1 and state = 'open' and expires_at <= $2";
    service NEXT_EXPIRY = "
        select min(expires_at) from tenantry.usage_holds where tenant_id = $1 and state = 'open'";
    service TAKEN_SINCE = "
        select distinct metric from tenantry.usage_holds
        where tenant_id = $1 and period_start = $2 and state = 'open' and created_at >= $3 and expires_at > $4";
    service MOVE = "
        update tenantry.usage_holds set period_start = $4
        where tenant_id = $1 and metric = $2 and period_start = $3 and state = 'open' and created_at >= $4
          and expires_at > $5
        returning amount";
    /// One row for each tenant, which is due when its next hold expires. A worker that has it in hand loses it: what it
    /// read may be older than this hold.
    service ARM = "
        with armed as (
            update tenantry.jobs
            set run_at = case when finished_at is null then least(run_at, $5) else $5 end,
                finished_at = null, lease_token = null, lease_until = null, attempts = 0
            where tenant_id = $1 and kind = $3 and dedupe_key = 'holds'
              and (finished_at is not null or lease_token is not null or run_at > $5)
            returning 1
        )
        insert into tenantry.jobs (tenant_id, id, kind, dedupe_key, payload, run_at, created_at)
        select $1, $2::uuid, $3, 'holds', '{}'::jsonb, $5, $4::timestamptz
        where not exists (select from armed)
        on conflict (tenant_id, kind, dedupe_key) do nothing";
}

/// Writes a new hold. Its counter must be locked; [`add_held`] is the other half.
pub async fn insert(tx: &Tx, hold: &HoldRow) -> Result<(), StoreError> {
    tx.exactly_one(
        &INSERT,
        &[
            &hold.tenant_id,
            &hold.id,
            &hold.metric,
            &hold.period_start,
            &hold.amount,
            &hold.user_id,
            &hold.metadata,
            &hold.created_at,
            &hold.expires_at,
        ],
    )
    .await
}

/// A hold; `only` finds none of other users.
pub async fn find(tx: &Tx, tenant: Uuid, id: Uuid, only: Option<Uuid>) -> Result<Option<HoldRow>, StoreError> {
    tx.opt(&FIND, &[&tenant, &id, &only]).await?.as_ref().map(HoldRow::from_row).transpose()
}

/// A hold, locked; its counter must be locked before.
pub async fn lock(tx: &Tx, tenant: Uuid, id: Uuid) -> Result<Option<HoldRow>, StoreError> {
    tx.opt(&LOCK, &[&tenant, &id]).await?.as_ref().map(HoldRow::from_row).transpose()
}

/// Holds that are open at `now`, the oldest first, after a position; `only` leaves out other users'.
pub async fn open(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    now: Timestamp,
    after: Option<(Timestamp, Uuid)>,
    limit: i64,
) -> Result<Vec<HoldRow>, StoreError> {
    let (time, id) = after.unzip();
    tx.rows(&OPEN, &[&tenant, &now, &only, &time, &id, &limit]).await?.iter().map(HoldRow::from_row).collect()
}

/// Ends an open hold that is locked, with its counter.
pub async fn settle(tx: &Tx, hold: &HoldRow, end: End, now: Timestamp) -> Result<(), StoreError> {
    let (state, committed) = match end {
        End::Committed(amount) => ("committed", Some(amount)),
        End::Released => ("released", None),
    };
    tx.exactly_one(&SETTLE, &[&hold.tenant_id, &hold.id, &state, &now, &committed]).await
}

/// Adds to what counters hold; each must be locked and named once. Negative amounts take back.
pub async fn add_held(tx: &Tx, changes: &[HeldBy]) -> Result<(), StoreError> {
    let tenants: Vec<Uuid> = changes.iter().map(|(key, _)| key.0).collect();
    let metrics: Vec<&str> = changes.iter().map(|(key, _)| key.1.as_str()).collect();
    let starts: Vec<Timestamp> = changes.iter().map(|(key, _)| key.2).collect();
    let amounts: Vec<Decimal> = changes.iter().map(|(_, amount)| *amount).collect();
    let rows = tx.execute(&ADD_HELD, &[&tenants, &metrics, &starts, &amounts]).await?;
    if rows == changes.len() as u64 { Ok(()) } else { Err(StoreError::RowCount { query: ADD_HELD.name, rows }) }
}

/// Marks the holds of these locked counters that have expired by `now`; each with what it held.
pub async fn expire(tx: &Tx, counters: &[&CounterRow], now: Timestamp) -> Result<Vec<HeldBy>, StoreError> {
    let (tenants, metrics, starts) = keys(counters);
    tx.rows(&EXPIRE, &[&tenants, &metrics, &starts, &now]).await?.iter().map(held_by).collect()
}

/// What these counters still count although it has expired by `now`.
pub async fn expired(tx: &Tx, counters: &[&CounterRow], now: Timestamp) -> Result<Vec<HeldBy>, StoreError> {
    let (tenants, metrics, starts) = keys(counters);
    tx.rows(&EXPIRED, &[&tenants, &metrics, &starts, &now]).await?.iter().map(held_by).collect()
}

fn keys<'a>(counters: &[&'a CounterRow]) -> (Vec<Uuid>, Vec<&'a str>, Vec<Timestamp>) {
    let tenants = counters.iter().map(|counter| counter.tenant_id).collect();
    let metrics = counters.iter().map(|counter| counter.metric.as_str()).collect();
    (tenants, metrics, counters.iter().map(|counter| counter.period_start).collect())
}

fn held_by(row: &Row) -> Result<HeldBy, StoreError> {
    let key = (row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?);
    Ok((key, row.try_get(3).map_err(column)?))
}

/// The counters of a tenant with holds that have expired by `now` and still count: (metric, period).
pub async fn due(tx: &Tx, tenant: Uuid, now: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
    tx.rows(&DUE, &[&tenant, &now])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?)))
        .collect()
}

/// When the next open hold of a tenant expires; none where there is none.
pub async fn next_expiry(tx: &Tx, tenant: Uuid) -> Result<Option<Timestamp>, StoreError> {
    tx.one(&NEXT_EXPIRY, &[&tenant]).await?.try_get(0).map_err(column)
}

/// The metrics of which a period has open holds that were taken from an instant on and have not expired.
pub async fn taken_since(
    tx: &Tx,
    (tenant, period_start): (Uuid, Timestamp),
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    tx.rows(&TAKEN_SINCE, &[&tenant, &period_start, &since, &now])
        .await?
        .iter()
        .map(|row| row.try_get(0).map_err(column))
        .collect()
}

/// Moves one metric's open holds that were taken at or after the start of the new period into it, with what they hold.
/// Both counters must exist and be locked.
pub async fn move_on(
    tx: &Tx,
    (tenant, metric, old_start): (Uuid, &str, Timestamp),
    new_start: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = tx.rows(&MOVE, &[&tenant, &metric, &old_start, &new_start, &now]).await?;
    let mut moved = Decimal::ZERO;
    for row in &rows {
        moved += row.try_get::<_, Decimal>(0).map_err(column)?;
    }
    if moved.is_zero() {
        return Ok(());
    }
    let key = |start| (tenant, metric.to_owned(), start);
    add_held(tx, &[(key(old_start), -moved), (key(new_start), moved)]).await
}

/// Sees to it that a tenant's job of this kind is due at `run_at` or before.
pub async fn arm(
    tx: &Tx,
    (tenant, id): (Uuid, Uuid),
    kind: &str,
    (now, run_at): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    tx.execute(&ARM, &[&tenant, &id, &kind, &now, &run_at]).await?;
    Ok(())
}
