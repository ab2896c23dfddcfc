//! What a group of events writes. Rows go in sorted by key, so that groups of several processes wait for
//! each other in one order.

use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::facts::{CounterRow, column};
use crate::query;
use crate::storage::{StoreError, Tx};

/// Columns of idempotency keys to claim; all of one length, sorted by (tenant, key), each key once.
#[derive(Debug, Default)]
pub struct KeyColumns<'a> {
    /// Tenant of each.
    pub tenant_id: Vec<Uuid>,
    /// The key.
    pub key: Vec<&'a str>,
    /// Digest of what is compared when the key comes again.
    pub content_hash: Vec<Uuid>,
    /// Timestamp of the event.
    pub occurred_at: Vec<Timestamp>,
    /// Whether the caller gave that timestamp.
    pub timestamp_given: Vec<bool>,
    /// The event's metric.
    pub metric: Vec<&'a str>,
}

/// Columns of events to insert; all of one length.
#[derive(Debug, Default)]
pub struct EventColumns<'a> {
    /// Tenant of each.
    pub tenant_id: Vec<Uuid>,
    /// Idempotency key of each.
    pub key: Vec<&'a str>,
    /// Timestamp of each.
    pub occurred_at: Vec<Timestamp>,
    /// Id of each.
    pub id: Vec<Uuid>,
    /// Who used it.
    pub user_id: Vec<Option<Uuid>>,
    /// The metric.
    pub metric: Vec<&'a str>,
    /// The amount; negative for a correction.
    pub amount: Vec<Decimal>,
    /// First instant of its period.
    pub period_start: Vec<Timestamp>,
    /// First instant after its period.
    pub period_end: Vec<Timestamp>,
    /// `usage` or `reversal`.
    pub kind: Vec<&'static str>,
    /// The key that a correction takes back.
    pub reverses: Vec<Option<&'a str>>,
    /// Metadata, as stored.
    pub metadata: Vec<&'a serde_json::Value>,
}

impl EventColumns<'_> {
    fn params<'p>(&'p self, now: &'p Timestamp) -> [&'p (dyn ToSql + Sync); 13] {
        [
            &self.tenant_id,
            &self.id,
            &self.user_id,
            &self.metric,
            &self.amount,
            &self.occurred_at,
            &self.period_start,
            &self.period_end,
            &self.kind,
            &self.key,
            &self.reverses,
            &self.metadata,
            now,
        ]
    }
}

/// Columns of counter changes; sorted by (tenant, metric, period).
#[derive(Debug, Default)]
pub struct CounterColumns<'a> {
    /// Tenant of each.
    pub tenant_id: Vec<Uuid>,
    /// Metric of each.
    pub metric: Vec<&'a str>,
    /// First instant of the period.
    pub period_start: Vec<Timestamp>,
    /// Bound that the decision rests on.
    pub period_end: Vec<Timestamp>,
    /// Segment that the decision rests on.
    pub segment_sequence: Vec<i32>,
    /// What is added.
    pub amount: Vec<Decimal>,
    /// How many events that is.
    pub event_count: Vec<i64>,
    /// How many events were refused; written under a lock that is held already.
    pub refused_count: Vec<i64>,
}

/// Columns of rollup changes; sorted by key.
#[derive(Debug, Default)]
pub struct RollupColumns<'a> {
    /// Tenant of each.
    pub tenant_id: Vec<Uuid>,
    /// Metric of each.
    pub metric: Vec<&'a str>,
    /// First instant of the period.
    pub period_start: Vec<Timestamp>,
    /// First instant of the UTC hour.
    pub hour: Vec<Timestamp>,
    /// The user, nil for none.
    pub user_id: Vec<Uuid>,
    /// What is added.
    pub amount: Vec<Decimal>,
    /// How many events that is.
    pub event_count: Vec<i64>,
}

impl RollupColumns<'_> {
    fn params(&self) -> [&(dyn ToSql + Sync); 7] {
        [&self.tenant_id, &self.metric, &self.period_start, &self.hour, &self.user_id, &self.amount, &self.event_count]
    }
}

/// What an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The key.
    pub key: String,
    /// Digest of the content it was accepted with.
    pub content_hash: Uuid,
    /// The event's timestamp.
    pub occurred_at: Timestamp,
    /// Whether the caller gave that timestamp.
    pub timestamp_given: bool,
    /// The event's metric.
    pub metric: String,
}

query! {
    /// Claims keys that nobody has, and tells of those that somebody had before: one probe of the index for each. A
    /// plain insert, which is a fifth cheaper than one that expects conflicts: a key that another transaction claims
    /// at this very moment fails the statement, and the group starts again.
    service CLAIM_KEYS = "
        with wanted as materialized (
            select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::boolean[], $6::text[])
                with ordinality
                as w (tenant_id, idempotency_key, content_hash, occurred_at, timestamp_given, metric, place)
        ), known as materialized (
            select w.place, k.tenant_id, k.idempotency_key, k.content_hash, k.occurred_at, k.timestamp_given, k.metric
            from wanted w
            cross join lateral (
                select * from tenantry.usage_keys k
                where k.tenant_id = w.tenant_id and k.idempotency_key = w.idempotency_key
                offset 0
            ) k
        ), claimed as (
            insert into tenantry.usage_keys
                (tenant_id, idempotency_key, content_hash, occurred_at, timestamp_given, metric)
            select tenant_id, idempotency_key, content_hash, occurred_at, timestamp_given, metric
            from wanted where place not in (select place from known)
        )
        select tenant_id, idempotency_key, content_hash, occurred_at, timestamp_given, metric from known";
    service KNOWN_KEYS = "
        select k.tenant_id, k.idempotency_key, k.content_hash, k.occurred_at, k.timestamp_given, k.metric
        from unnest($1::uuid[], $2::text[]) as wanted (tenant_id, idempotency_key)
        join tenantry.usage_keys k on k.tenant_id = wanted.tenant_id and k.idempotency_key = wanted.idempotency_key";
    service INSERT_EVENTS = "
        insert into tenantry.tenant_usage
            (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, kind,
             idempotency_key, reverses, metadata, created_at)
        select *, $13::timestamptz from unnest(
            $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::numeric[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::jsonb[])";
    /// Adds to counters only where the limit, the bounds and the segment are what the group was decided with, and where
    /// no threshold is passed that somebody is to be told of. All of them, or the statement fails, and with it the
    /// transaction: its commit is on the way already.
    service GUARDED_COUNTERS = "
        with updated as (
            update tenantry.usage_counters c
            set total = c.total + delta.amount, event_count = c.event_count + delta.event_count
            from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::int[], $6::numeric[], $7::bigint[])
                as delta (tenant_id, metric, period_start, period_end, segment_sequence, amount, event_count)
            where c.tenant_id = delta.tenant_id and c.metric = delta.metric and c.period_start = delta.period_start
              and c.period_end = delta.period_end and c.segment_sequence = delta.segment_sequence and not c.closed
              and c.aggregation = 'sum'
              and c.total + c.held + delta.amount <= least(c.hard_limit, c.sure_limit, $8::numeric)
              -- Four fifths of the allowance, and all of it, are on one side of both totals.
              and (coalesce(c.hard_limit, c.included, 0) <= 0
                   or (c.total * 5 >= coalesce(c.hard_limit, c.included) * 4
                       or (c.total + delta.amount) * 5 < coalesce(c.hard_limit, c.included) * 4)
                  and (c.total >= coalesce(c.hard_limit, c.included)
                       or c.total + delta.amount < coalesce(c.hard_limit, c.included)))
            returning c.tenant_id, c.metric, c.period_start, c.total, c.included, c.hard_limit
        )
        select tenant_id, metric, period_start, total, included, hard_limit
        from updated
        where (select tenantry.require((select count(*) from updated) = cardinality($1)))";
    /// Adds to counters that this transaction has locked and decided on.
    service LOCKED_COUNTERS = "
        update tenantry.usage_counters c
        set total = c.total + delta.amount, event_count = c.event_count + delta.event_count,
            refused_count = c.refused_count + delta.refused_count
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::numeric[], $5::bigint[], $6::bigint[])
            as delta (tenant_id, metric, period_start, amount, event_count, refused_count)
        where c.tenant_id = delta.tenant_id and c.metric = delta.metric and c.period_start = delta.period_start
        returning c.tenant_id, c.metric, c.period_start, c.refused_count - delta.refused_count";
    service LOCK_COUNTERS = "
        select c.tenant_id, c.metric, c.period_start, c.period_end, c.segment_sequence, c.segment_start,
               c.closed, c.historic, c.in_plan, c.included, c.hard_limit, c.total,
               c.aggregation, c.held, c.sure_limit
        from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as wanted (tenant_id, metric, period_start)
        join tenantry.usage_counters c on c.tenant_id = wanted.tenant_id and c.metric = wanted.metric
            and c.period_start = wanted.period_start
        order by c.tenant_id, c.metric, c.period_start
        for update of c";
    service ADD_ROLLUPS = "
        insert into tenantry.usage_rollups as r (tenant_id, metric, period_start, hour, user_id, amount, event_count)
        select * from unnest(
            $1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::uuid[], $6::numeric[], $7::bigint[])
        on conflict (tenant_id, metric, period_start, hour, user_id) do update
        set amount = r.amount + excluded.amount, event_count = r.event_count + excluded.event_count";
    service ADD_SEGMENT_AMOUNTS = "
        insert into tenantry.usage_segment_amounts as s (tenant_id, metric, period_start, sequence, amount)
        select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::int[], $5::numeric[])
        on conflict (tenant_id, metric, period_start, sequence) do update set amount = s.amount + excluded.amount";
    service MARK_REVERSED = "
        update tenantry.usage_keys k set reversed_by = wanted.reversed_by
        from unnest($1::uuid[], $2::text[], $3::text[]) as wanted (tenant_id, idempotency_key, reversed_by)
        where k.tenant_id = wanted.tenant_id and k.idempotency_key = wanted.idempotency_key and k.reversed_by is null";
    service LOCK_TIMEOUT = "select set_config('lock_timeout', $1, true)";
    service ENSURE_MONTH = "select tenantry.ensure_usage_month($1)";
}

/// Claims these keys; what comes back was there before, all others are this group's now. Fails where another group
/// claims one of them at the same time: see [`is_claimed_meanwhile`].
pub async fn claim_keys(tx: &Tx, keys: &KeyColumns<'_>) -> Result<Vec<KnownKey>, StoreError> {
    let params: [&(dyn ToSql + Sync); 6] =
        [&keys.tenant_id, &keys.key, &keys.content_hash, &keys.occurred_at, &keys.timestamp_given, &keys.metric];
    tx.rows(&CLAIM_KEYS, &params).await?.iter().map(KnownKey::from_row).collect()
}

/// Whether a group failed because another one claimed a key of its at the same time. The next try sees that key.
pub fn is_claimed_meanwhile(error: &StoreError) -> bool {
    error.constraint() == Some("usage_keys_pkey")
}

/// What is known of these keys.
pub async fn known_keys(tx: &Tx, tenants: &[Uuid], keys: &[&str]) -> Result<Vec<KnownKey>, StoreError> {
    tx.rows(&KNOWN_KEYS, &[&tenants, &keys]).await?.iter().map(KnownKey::from_row).collect()
}

impl KnownKey {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            tenant_id: row.try_get(0).map_err(column)?,
            key: row.try_get(1).map_err(column)?,
            content_hash: row.try_get(2).map_err(column)?,
            occurred_at: row.try_get(3).map_err(column)?,
            timestamp_given: row.try_get(4).map_err(column)?,
            metric: row.try_get(5).map_err(column)?,
        })
    }
}

/// Writes the events themselves.
pub async fn insert_events(tx: &Tx, events: &EventColumns<'_>, now: Timestamp) -> Result<(), StoreError> {
    let rows = tx.execute(&INSERT_EVENTS, &events.params(&now)).await?;
    if rows == events.id.len() as u64 { Ok(()) } else { Err(StoreError::RowCount { query: INSERT_EVENTS.name, rows }) }
}

/// A counter after its change.
#[derive(Debug, Clone)]
pub struct CounterAfter {
    /// (tenant, metric, first instant of the period).
    pub key: (Uuid, String, Timestamp),
    /// Total after this group.
    pub total: Decimal,
    /// Included quantity; none is unlimited.
    pub included: Option<Decimal>,
    /// The limit in force.
    pub hard_limit: Option<Decimal>,
}

/// What the fast way writes last.
#[derive(Debug)]
pub struct Last<'a> {
    /// The events themselves.
    pub events: EventColumns<'a>,
    /// What they add to counters.
    pub counters: CounterColumns<'a>,
    /// What they add to the hourly sums.
    pub rollups: RollupColumns<'a>,
}

/// Writes events, adds to counters where the guard holds for all of them, adds to the hourly sums, and commits; fails
/// and undoes everything where it does not hold: see [`is_refused_by_guard`]. No total gets above `ceiling`, whatever
/// the limit. The counters as they are now.
pub async fn write_last(
    tx: Tx,
    last: &Last<'_>,
    ceiling: Decimal,
    now: Timestamp,
) -> Result<Vec<CounterAfter>, StoreError> {
    let Last { events, counters, rollups } = last;
    // Counters are held from the second statement on: whoever holds one may write its rollups.
    let mut rows = tx
        .commit_behind(&[
            (&INSERT_EVENTS, &events.params(&now)),
            (
                &GUARDED_COUNTERS,
                &[
                    &counters.tenant_id,
                    &counters.metric,
                    &counters.period_start,
                    &counters.period_end,
                    &counters.segment_sequence,
                    &counters.amount,
                    &counters.event_count,
                    &ceiling,
                ],
            ),
            (&ADD_ROLLUPS, &rollups.params()),
        ])
        .await?;
    rows.swap_remove(1).iter().map(CounterAfter::from_row).collect()
}

impl CounterAfter {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            key: (row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?),
            total: row.try_get(3).map_err(column)?,
            included: row.try_get(4).map_err(column)?,
            hard_limit: row.try_get(5).map_err(column)?,
        })
    }
}

/// Whether a group failed because some counter is not what it was decided with: it must be decided under locks.
pub fn is_refused_by_guard(error: &StoreError) -> bool {
    error.state().is_some_and(|state| state.code() == "TN001")
}

/// Adds to counters that are locked by this transaction: (tenant, metric, first instant of the period) of each, and
/// how many events had been refused there before.
pub async fn add_locked(
    tx: &Tx,
    counters: &CounterColumns<'_>,
) -> Result<Vec<((Uuid, String, Timestamp), i64)>, StoreError> {
    let rows = tx
        .rows(
            &LOCKED_COUNTERS,
            &[
                &counters.tenant_id,
                &counters.metric,
                &counters.period_start,
                &counters.amount,
                &counters.event_count,
                &counters.refused_count,
            ],
        )
        .await?;
    if rows.len() != counters.tenant_id.len() {
        return Err(StoreError::RowCount { query: LOCKED_COUNTERS.name, rows: rows.len() as u64 });
    }
    rows.iter()
        .map(|row| {
            let key =
                (row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?);
            Ok((key, row.try_get(3).map_err(column)?))
        })
        .collect()
}

/// Locks counters in key order and reads them as they are under the lock.
pub async fn lock_counters(
    tx: &Tx,
    tenants: &[Uuid],
    metrics: &[&str],
    period_starts: &[Timestamp],
) -> Result<Vec<CounterRow>, StoreError> {
    tx.rows(&LOCK_COUNTERS, &[&tenants, &metrics, &period_starts]).await?.iter().map(CounterRow::from_row).collect()
}

/// Adds to the hourly sums that reports read. Runs under the counters' locks.
pub async fn add_rollups(tx: &Tx, rollups: &RollupColumns<'_>) -> Result<(), StoreError> {
    tx.execute(&ADD_ROLLUPS, &rollups.params()).await?;
    Ok(())
}

/// Adds to what was used in segments that have ended: (tenant, metric, period, sequence, amount).
pub async fn add_segment_amounts(
    tx: &Tx,
    amounts: &[((Uuid, String, Timestamp), i32, Decimal)],
) -> Result<(), StoreError> {
    if amounts.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = amounts.iter().map(|(key, ..)| key.0).collect();
    let metrics: Vec<&str> = amounts.iter().map(|(key, ..)| key.1.as_str()).collect();
    let starts: Vec<Timestamp> = amounts.iter().map(|(key, ..)| key.2).collect();
    let sequences: Vec<i32> = amounts.iter().map(|(_, sequence, _)| *sequence).collect();
    let sums: Vec<Decimal> = amounts.iter().map(|(.., amount)| *amount).collect();
    tx.execute(&ADD_SEGMENT_AMOUNTS, &[&tenants, &metrics, &starts, &sequences, &sums]).await?;
    Ok(())
}

/// Marks events as taken back: (tenant, key, key of the correction). False where one was taken back meanwhile.
pub async fn mark_reversed(tx: &Tx, reversals: &[(Uuid, String, String)]) -> Result<bool, StoreError> {
    let tenants: Vec<Uuid> = reversals.iter().map(|reversal| reversal.0).collect();
    let keys: Vec<&str> = reversals.iter().map(|reversal| reversal.1.as_str()).collect();
    let by: Vec<&str> = reversals.iter().map(|reversal| reversal.2.as_str()).collect();
    Ok(tx.execute(&MARK_REVERSED, &[&tenants, &keys, &by]).await? == reversals.len() as u64)
}

/// How long the following statements of this transaction wait for a lock.
pub async fn set_lock_timeout(tx: &Tx, limit: Duration) -> Result<(), StoreError> {
    tx.one(&LOCK_TIMEOUT, &[&format!("{}ms", limit.as_millis())]).await?;
    Ok(())
}

/// Makes the month that contains this instant, if it is not there.
pub async fn ensure_month(tx: &Tx, at: Timestamp) -> Result<(), StoreError> {
    tx.one(&ENSURE_MONTH, &[&at]).await?;
    Ok(())
}
