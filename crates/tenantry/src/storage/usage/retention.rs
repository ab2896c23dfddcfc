//! Months of usage that leave: what they hold, what is written of them, and the functions that take them out.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::query;
use crate::storage::row::{Column as _, bytes};
use crate::storage::{StoreError, Tx};

/// The one row of `retention_runs`.
const RUN: &str = "usage";

query! {
    /// Attached months, by the names of their tables.
    service MONTHS = "
        select c.relname::text
        from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'tenantry.tenant_usage'::regclass order by 1";
    /// Months that were detached and are not dropped yet.
    service DETACHED = "
        select c.relname::text from pg_catalog.pg_class c
        where c.relnamespace = 'tenantry'::regnamespace and c.relkind = 'r' and starts_with(c.relname::text, 'usage_detached_')
        order by 1";
    service INSPECT = "select part, obstacle from tenantry.inspect_usage_month($1)";
    service MARKS = "select tenant_id, mark from tenantry.usage_marks($1, $2) order by 1";
    service SUMS = "
        with bounded as (
            select period_start, sequence, started_at,
                   lead(started_at) over (partition by period_start order by sequence) as ended_at
            from tenantry.usage_segments where tenant_id = $1
        ), sums as (
            select u.metric, u.period_start, coalesce(b.sequence, 0) as sequence, sum(u.amount) as amount,
                   count(*) as event_count, count(*) filter (where u.kind = 'reversal') as reversal_count,
                   min(u.occurred_at) as first_at, max(u.occurred_at) as last_at
            from tenantry.tenant_usage u
            left join bounded b on b.period_start = u.period_start and u.occurred_at >= b.started_at
                and (b.ended_at is null or u.occurred_at < b.ended_at)
            where u.tenant_id = $1 and u.occurred_at >= $2 and u.occurred_at < $3
            group by 1, 2, 3
        )
        select coalesce(sum(event_count), 0)::bigint, min(first_at), max(last_at),
               coalesce(jsonb_agg(jsonb_build_object(
                   'metric', metric, 'period_start', period_start, 'sequence', sequence, 'amount', amount::text,
                   'event_count', event_count, 'reversal_count', reversal_count)), '[]')
        from sums";
    /// Lines as an export has them, with the period. Text, so that numbers in metadata are kept to the digit.
    service EVENTS = "
        select jsonb_build_object('kind', 'usageEvent', 'data', jsonb_build_object(
                   'id', id, 'kind', kind, 'metric', metric, 'amount', amount::text, 'timestamp', occurred_at,
                   'periodStart', period_start, 'userId', user_id, 'idempotencyKey', idempotency_key,
                   'reverses', reverses, 'metadata', metadata, 'recordedAt', created_at))::text,
               metric, occurred_at, id
        from tenantry.tenant_usage
        where tenant_id = $1 and occurred_at >= $2 and occurred_at < $3 and (metric, occurred_at, id) > ($4, $5, $6)
        order by metric, occurred_at, id limit $7";
    service STAGE = "
        insert into tenantry.usage_archive_parts as a
            (tenant_id, month, part, event_count, first_at, last_at, file_name, digest, mark, sums, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (tenant_id, month, part) do update
        set event_count = excluded.event_count, first_at = excluded.first_at, last_at = excluded.last_at,
            file_name = excluded.file_name, digest = excluded.digest, mark = excluded.mark, sums = excluded.sums,
            created_at = excluded.created_at
        where a.state = 'staged'";
    service DETACH = "select tenant_id from tenantry.detach_usage_month($1) as tenant_id";
    service DROP = "select tenantry.drop_usage_month($1, $2)";
    service PARTS = "
        select tenant_id, month, part, event_count, file_name, digest
        from tenantry.usage_archive_parts
        where tenant_id = $1 and state = 'archived' order by month, part";
    service PART_SUMS = "
        select metric, period_start, sum(amount)::text, sum(event_count)::bigint, sum(reversal_count)::bigint
        from tenantry.usage_archives
        where tenant_id = $1 and month = $2 and part = $3
        group by 1, 2 order by 1, 2";
    service HAVE_LEFT = "
        select exists (
            select from tenantry.usage_archives
            where tenant_id = $1 and metric = any ($2) and period_start = $3
              and date_trunc('month', month + interval '40 days', 'UTC') > $4)";
    service LEFT_UNTIL = "
        select max(date_trunc('month', month + interval '40 days', 'UTC')) from tenantry.usage_archive_parts
        where tenant_id = $1 and state = 'archived'";
    service TAKE_LEASE = "
        insert into tenantry.retention_runs as r (name, lease_token, lease_until) values ($1, $2, $4)
        on conflict (name) do update set lease_token = excluded.lease_token, lease_until = excluded.lease_until
        where (r.lease_until is null or r.lease_until <= $3) and ($5::timestamptz is null or r.finished_at is null or r.finished_at <= $5)";
    service RENEW_LEASE = "
        update tenantry.retention_runs set lease_until = $3 where name = $1 and lease_token = $2";
    service RELEASE_LEASE = "
        update tenantry.retention_runs
        set lease_token = null, lease_until = null, finished_at = coalesce($3, finished_at)
        where name = $1 and lease_token = $2";
}

/// What is known of a month before it is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Number of the part that leaves next, from 1.
    pub part: i32,
    /// Why the month cannot leave; none where it can.
    pub obstacle: Option<String>,
}

/// What the events of a tenant's month come to.
#[derive(Debug, Clone)]
pub struct MonthSums {
    /// How many they are, corrections included.
    pub event_count: i64,
    /// Timestamp of the first.
    pub first_at: Option<Timestamp>,
    /// Timestamp of the last.
    pub last_at: Option<Timestamp>,
    /// By metric, period and segment, as they will be written.
    pub sums: Value,
}

/// A place among a tenant's events, in the order of (metric, timestamp, id).
#[derive(Debug, Clone)]
pub struct EventPlace {
    metric: String,
    occurred_at: Timestamp,
    id: Uuid,
}

/// A tenant's part of a month, as it is staged.
#[derive(Debug)]
pub struct NewPart<'a> {
    /// The tenant.
    pub tenant_id: Uuid,
    /// First instant of the month.
    pub month: Timestamp,
    /// Number of the part.
    pub part: i32,
    /// What its events come to.
    pub sums: &'a MonthSums,
    /// File below the archive folder, and SHA-256 of its lines; none where the events are not kept.
    pub file: Option<(&'a str, [u8; 32])>,
    /// What `usage_marks` said when the events were read.
    pub mark: &'a str,
}

/// A tenant's part of a month that has left.
#[derive(Debug, Clone)]
pub struct PartRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// First instant of the month.
    pub month: Timestamp,
    /// Number of the part.
    pub part: i32,
    /// How many events it had.
    pub event_count: i64,
    /// File below the archive folder, and SHA-256 of its lines; none where the events were not kept.
    pub file: Option<(String, [u8; 32])>,
}

/// What left of one metric and period in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumRow {
    /// The metric.
    pub metric: String,
    /// First instant of the period.
    pub period_start: Timestamp,
    /// Sum of amounts, in full digits.
    pub amount: String,
    /// How many events, corrections included.
    pub event_count: i64,
    /// How many of them are corrections.
    pub reversal_count: i64,
}

/// Names of the tables of attached months.
pub async fn months(tx: &Tx) -> Result<Vec<String>, StoreError> {
    tx.rows(&MONTHS, &[]).await?.iter().map(|row| row.col(0)).collect()
}

/// Names of the tables of months that were detached and are still there.
pub async fn detached(tx: &Tx) -> Result<Vec<String>, StoreError> {
    tx.rows(&DETACHED, &[]).await?.iter().map(|row| row.col(0)).collect()
}

/// Whether the month that begins at this instant can leave.
pub async fn inspect(tx: &Tx, month: Timestamp) -> Result<Inspected, StoreError> {
    let row = tx.one(&INSPECT, &[&month]).await?;
    Ok(Inspected { part: row.col(0)?, obstacle: row.col(1)? })
}

/// Those of these tenants with counters in the month, each with what its events rest on.
pub async fn marks(tx: &Tx, month: Timestamp, tenants: &[Uuid]) -> Result<Vec<(Uuid, String)>, StoreError> {
    tx.rows(&MARKS, &[&month, &tenants]).await?.iter().map(|row| Ok((row.col(0)?, row.col(1)?))).collect()
}

/// What a tenant's events in `[from, to)` come to.
pub async fn sums(tx: &Tx, tenant: Uuid, (from, to): (Timestamp, Timestamp)) -> Result<MonthSums, StoreError> {
    let row = tx.one(&SUMS, &[&tenant, &from, &to]).await?;
    Ok(MonthSums { event_count: row.col(0)?, first_at: row.col(1)?, last_at: row.col(2)?, sums: row.col(3)? })
}

/// A page of a tenant's events in `[from, to)` as lines of JSON, and the place of the last.
pub async fn events(
    tx: &Tx,
    tenant: Uuid,
    (from, to): (Timestamp, Timestamp),
    after: Option<&EventPlace>,
    limit: i64,
) -> Result<(Vec<String>, Option<EventPlace>), StoreError> {
    let (metric, at, id) = match after {
        Some(place) => (place.metric.as_str(), place.occurred_at, place.id),
        // No metric is empty, so this is before all of them.
        None => ("", from, Uuid::nil()),
    };
    let rows = tx.rows(&EVENTS, &[&tenant, &from, &to, &metric, &at, &id, &limit]).await?;
    let last = rows
        .last()
        .map(|row| Ok::<_, StoreError>(EventPlace { metric: row.col(1)?, occurred_at: row.col(2)?, id: row.col(3)? }))
        .transpose()?;
    let lines = rows.iter().map(|row| row.col(0)).collect::<Result<Vec<String>, StoreError>>()?;
    Ok((lines, last))
}

/// Notes what a tenant's month will leave behind. False where that part has left already.
pub async fn stage(tx: &Tx, part: &NewPart<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let (name, digest) = part.file.map(|(name, digest)| (name, digest.to_vec())).unzip();
    let sums = part.sums;
    let rows = tx
        .execute(
            &STAGE,
            &[
                &part.tenant_id,
                &part.month,
                &part.part,
                &sums.event_count,
                &sums.first_at,
                &sums.last_at,
                &name,
                &digest,
                &part.mark,
                &sums.sums,
                &now,
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// Takes a month out, if every tenant is staged as it is now; else the tenants that are not, and nothing was done.
pub async fn detach(tx: &Tx, month: Timestamp) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&DETACH, &[&month]).await?.iter().map(|row| row.col(0)).collect()
}

/// Drops the table of a month that was taken out, or says what it holds that was not archived so.
pub async fn drop_detached(tx: &Tx, month: Timestamp, part: i32) -> Result<Option<String>, StoreError> {
    tx.one(&DROP, &[&month, &part]).await?.col(0)
}

/// All parts of a tenant's usage that have left, in order.
pub async fn parts(tx: &Tx, tenant: Uuid) -> Result<Vec<PartRow>, StoreError> {
    let part = |row: &tokio_postgres::Row| {
        let file = match row.col::<Option<String>>(4)? {
            Some(name) => Some((name, bytes(row, 5, "digest of an archive")?)),
            None => None,
        };
        Ok(PartRow { tenant_id: row.col(0)?, month: row.col(1)?, part: row.col(2)?, event_count: row.col(3)?, file })
    };
    tx.rows(&PARTS, &[&tenant]).await?.iter().map(part).collect()
}

/// What a part's events came to, by metric and period.
pub async fn part_sums(tx: &Tx, part: &PartRow) -> Result<Vec<SumRow>, StoreError> {
    let sum = |row: &tokio_postgres::Row| {
        Ok(SumRow {
            metric: row.col(0)?,
            period_start: row.col(1)?,
            amount: row.col(2)?,
            event_count: row.col(3)?,
            reversal_count: row.col(4)?,
        })
    };
    tx.rows(&PART_SUMS, &[&part.tenant_id, &part.month, &part.part]).await?.iter().map(sum).collect()
}

/// Whether events of these metrics in a period left that may have happened at or after an instant.
pub async fn have_left(
    tx: &Tx,
    (tenant, period_start): (Uuid, Timestamp),
    metrics: &[&str],
    since: Timestamp,
) -> Result<bool, StoreError> {
    tx.one(&HAVE_LEFT, &[&tenant, &metrics, &period_start, &since]).await?.col(0)
}

/// The end of the last month of a tenant that has left; none where all its events are there.
pub async fn left_until(tx: &Tx, tenant: Uuid) -> Result<Option<Timestamp>, StoreError> {
    tx.one(&LEFT_UNTIL, &[&tenant]).await?.col(0)
}

/// Takes the lease until `until`, if nobody holds it and, where `ended_before` is given, the last run ended then or
/// earlier.
pub async fn take_lease(
    tx: &Tx,
    token: Uuid,
    (now, until): (Timestamp, Timestamp),
    ended_before: Option<Timestamp>,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&TAKE_LEASE, &[&RUN, &token, &now, &until, &ended_before]).await? == 1)
}

/// Holds the lease longer. False where somebody else took it over.
pub async fn renew_lease(tx: &Tx, token: Uuid, until: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&RENEW_LEASE, &[&RUN, &token, &until]).await? == 1)
}

/// Gives the lease back; `finished_at` where the run came to its end.
pub async fn release_lease(tx: &Tx, token: Uuid, finished_at: Option<Timestamp>) -> Result<(), StoreError> {
    tx.execute(&RELEASE_LEASE, &[&RUN, &token, &finished_at]).await?;
    Ok(())
}
