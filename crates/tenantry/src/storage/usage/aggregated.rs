//! Counters that are no sums: their parts, and their figures computed from the events.
//!
//! An event stands if it is usage and was not taken back. Figures are of the events that stand; each aggregation has one
//! statement that says what it is, over the index of a metric's events.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::metric::Aggregation;
use uuid::Uuid;

use super::facts::column;
use crate::query;
use crate::storage::{StoreError, Tx};

/// (tenant, metric, first instant of the period).
pub type CounterKey<'a> = (Uuid, &'a str, Timestamp);

/// Columns of changes of parts; of each part one.
#[derive(Debug, Default)]
pub struct PartColumns {
    /// Tenant of each.
    pub tenant_id: Vec<Uuid>,
    /// Metric of each.
    pub metric: Vec<String>,
    /// First instant of the period.
    pub period_start: Vec<Timestamp>,
    /// The part.
    pub part: Vec<String>,
    /// What is added; negative for what is taken back.
    pub amount: Vec<Decimal>,
    /// How many events more stand.
    pub event_count: Vec<i64>,
}

query! {
    both MAX = "
        select coalesce(max(u.amount), 0)
        from tenantry.tenant_usage u
        join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
        where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
          and u.kind = 'usage' and k.reversed_by is null and ($5::uuid is null or u.user_id = $5)";
    both LAST = "
        select coalesce((
            select u.amount
            from tenantry.tenant_usage u
            join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
            where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
              and u.kind = 'usage' and k.reversed_by is null and ($5::uuid is null or u.user_id = $5)
            order by u.occurred_at desc, u.id desc
            limit 1), 0)";
    both UNIQUE = "
        select count(distinct (u.metadata -> $6::text)::text)
                   filter (where jsonb_typeof(u.metadata -> $6::text) in ('string', 'number', 'boolean'))::numeric
        from tenantry.tenant_usage u
        join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
        where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
          and u.kind = 'usage' and k.reversed_by is null and ($5::uuid is null or u.user_id = $5)";
    /// Slots of $6 seconds, of which the $7 highest are free.
    both SLOTS = "
        select coalesce((
            select sum(u.amount) as amount
            from tenantry.tenant_usage u
            join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
            where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
              and u.kind = 'usage' and k.reversed_by is null and ($5::uuid is null or u.user_id = $5)
            group by floor(extract(epoch from u.occurred_at) / $6::bigint)
            order by amount desc
            limit 1 offset $7::bigint), 0)";
    service GREATEST = "
        select u.amount
        from tenantry.tenant_usage u
        join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
        where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
          and u.kind = 'usage' and k.reversed_by is null
        order by u.amount desc
        limit $5";
    service LATEST = "
        select u.occurred_at, u.id, u.amount
        from tenantry.tenant_usage u
        join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
        where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
          and u.kind = 'usage' and k.reversed_by is null
        order by u.occurred_at desc, u.id desc
        limit $5";
    service LAST_IDS = "
        select distinct on (u.occurred_at) u.occurred_at, u.id
        from tenantry.tenant_usage u
        where u.tenant_id = $1 and u.metric = $2 and u.occurred_at = any ($3)
        order by u.occurred_at, u.id desc";
    service HIGHEST_SLOTS = "
        select wanted.tenant_id, wanted.metric, wanted.period_start, highest.part, highest.amount
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[])
            as wanted (tenant_id, metric, period_start, most)
        cross join lateral (
            select p.part, p.amount from tenantry.usage_parts p
            where p.tenant_id = wanted.tenant_id and p.metric = wanted.metric and p.period_start = wanted.period_start
            order by p.amount desc limit wanted.most
        ) as highest";
    service PARTS = "
        select p.tenant_id, p.metric, p.period_start, p.part, p.amount, p.event_count
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[])
            as wanted (tenant_id, metric, period_start, part)
        join tenantry.usage_parts p on p.tenant_id = wanted.tenant_id and p.metric = wanted.metric
            and p.period_start = wanted.period_start and p.part = wanted.part";
    service ADD_PARTS = "
        insert into tenantry.usage_parts as p (tenant_id, metric, period_start, part, amount, event_count)
        select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::numeric[], $6::bigint[])
        on conflict (tenant_id, metric, period_start, part) do update
        set amount = p.amount + excluded.amount, event_count = p.event_count + excluded.event_count";
    service DROP_PARTS = "
        delete from tenantry.usage_parts where tenant_id = $1 and metric = $2 and period_start = $3";
    service REBUILD_VALUES = "
        insert into tenantry.usage_parts (tenant_id, metric, period_start, part, amount, event_count)
        select $1::uuid, $2::text, $3::timestamptz,
               case when octet_length(value) <= 128 then value
                    else 'sha256:' || encode(sha256(convert_to(value, 'UTF8')), 'hex') end, sum(amount), count(*)
        from (
            select (u.metadata -> $5::text)::text as value, u.amount
            from tenantry.tenant_usage u
            join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
            where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
              and u.kind = 'usage' and k.reversed_by is null
        ) as standing
        where value is not null
        group by 4";
    service REBUILD_SLOTS = "
        insert into tenantry.usage_parts (tenant_id, metric, period_start, part, amount, event_count)
        select $1::uuid, $2::text, $3::timestamptz, (floor(extract(epoch from u.occurred_at) / $5::bigint) * $5::bigint)::bigint::text,
               sum(u.amount), count(*)
        from tenantry.tenant_usage u
        join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
        where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
          and u.kind = 'usage' and k.reversed_by is null
        group by 4";
    /// How many events before $4 stand of each of these values.
    service VALUES_UNTIL = "
        select part, count(*)
        from (
            select case when octet_length(value) <= 128 then value
                        else 'sha256:' || encode(sha256(convert_to(value, 'UTF8')), 'hex') end as part
            from (
                select (u.metadata -> $5::text)::text as value
                from tenantry.tenant_usage u
                join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
                where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
                  and u.kind = 'usage' and k.reversed_by is null
            ) as standing
        ) as parts
        where part = any ($6)
        group by part";
    /// The sums of slots of $5 seconds, of the events before $4 that stand.
    service SLOTS_UNTIL = "
        select (floor(extract(epoch from u.occurred_at) / $5::bigint) * $5::bigint)::bigint::text, sum(u.amount)
        from tenantry.tenant_usage u
        join tenantry.usage_keys k on k.tenant_id = u.tenant_id and k.idempotency_key = u.idempotency_key
        where u.tenant_id = $1 and u.metric = $2 and u.occurred_at >= $3 and u.occurred_at < $4
          and u.kind = 'usage' and k.reversed_by is null
        group by 1";
    /// What a percentile is at the least and at the most, whatever the slot that is named: what it is without that, and
    /// the next higher sum, none where the highest slot is not free.
    service AROUND = "
        select wanted.tenant_id, wanted.metric, wanted.period_start, wanted.part,
               coalesce(around.sums[case when wanted.free > 0 then 2 else 1 end], 0),
               case when wanted.free > 0 then coalesce(around.sums[1], 0) end
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::bigint[])
            as wanted (tenant_id, metric, period_start, part, free)
        cross join lateral (
            select array_agg(amount order by amount desc) as sums
            from (
                select p.amount from tenantry.usage_parts p
                where p.tenant_id = wanted.tenant_id and p.metric = wanted.metric
                  and p.period_start = wanted.period_start and p.part <> wanted.part
                order by p.amount desc
                limit case when wanted.free > 0 then 2 else 1 end offset greatest(wanted.free - 1, 0)
            ) as two
        ) as around";
    service SET_TOTAL = "
        update tenantry.usage_counters set total = $4
        where tenant_id = $1 and metric = $2 and period_start = $3";
    service SET_SEGMENT_AMOUNTS = "
        insert into tenantry.usage_segment_amounts as s (tenant_id, metric, period_start, sequence, amount)
        select $1::uuid, $2::text, $3::timestamptz, sequence, amount from unnest($4::int[], $5::numeric[]) as ended (sequence, amount)
        on conflict (tenant_id, metric, period_start, sequence) do update set amount = excluded.amount";
}

/// The figure that a metric's events of `[from, to)` make, all of them or one user's. Reads the events.
pub async fn figure(
    tx: &Tx,
    aggregation: &Aggregation,
    (tenant, metric): (Uuid, &str),
    (from, to): (Timestamp, Timestamp),
    (only, free): (Option<Uuid>, i64),
) -> Result<Decimal, StoreError> {
    let row = match aggregation {
        Aggregation::Sum => return Err(StoreError::corrupt("aggregation", "a sum is read from the rollups")),
        Aggregation::Max => tx.one(&MAX, &[&tenant, &metric, &from, &to, &only]).await?,
        Aggregation::Last => tx.one(&LAST, &[&tenant, &metric, &from, &to, &only]).await?,
        Aggregation::Unique { field } => tx.one(&UNIQUE, &[&tenant, &metric, &from, &to, &only, field]).await?,
        Aggregation::Peak | Aggregation::Percentile { .. } => {
            let width = aggregation.slot_seconds();
            tx.one(&SLOTS, &[&tenant, &metric, &from, &to, &only, &width, &free]).await?
        }
    };
    row.try_get(0).map_err(column)
}

/// The largest amounts of the events of a period, the largest first.
pub async fn greatest(
    tx: &Tx,
    (tenant, metric, start): CounterKey<'_>,
    end: Timestamp,
    limit: i64,
) -> Result<Vec<Decimal>, StoreError> {
    let rows = tx.rows(&GREATEST, &[&tenant, &metric, &start, &end, &limit]).await?;
    rows.iter().map(|row| row.try_get(0).map_err(column)).collect()
}

/// The latest events of a period, the latest first: timestamp, id and amount.
pub async fn latest(
    tx: &Tx,
    (tenant, metric, start): CounterKey<'_>,
    end: Timestamp,
    limit: i64,
) -> Result<Vec<(Timestamp, Uuid, Decimal)>, StoreError> {
    tx.rows(&LATEST, &[&tenant, &metric, &start, &end, &limit])
        .await?
        .iter()
        .map(|row| {
            Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?))
        })
        .collect()
}

/// The highest id of a metric's events at each of these instants, of those where there are events.
pub async fn last_ids(
    tx: &Tx,
    (tenant, metric): (Uuid, &str),
    at: &[Timestamp],
) -> Result<Vec<(Timestamp, Uuid)>, StoreError> {
    tx.rows(&LAST_IDS, &[&tenant, &metric, &at])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?)))
        .collect()
}

/// A part of a counter.
#[derive(Debug, Clone)]
pub struct PartRow {
    /// (tenant, metric, first instant of the period).
    pub key: (Uuid, String, Timestamp),
    /// The part.
    pub part: String,
}

fn part_of(row: &tokio_postgres::Row) -> Result<PartRow, StoreError> {
    Ok(PartRow {
        key: (row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?),
        part: row.try_get(3).map_err(column)?,
    })
}

/// The highest slots of these counters, of each at most so many.
pub async fn highest_slots(
    tx: &Tx,
    keys: &[CounterKey<'_>],
    most: &[i64],
) -> Result<Vec<(PartRow, Decimal)>, StoreError> {
    let (tenants, metrics, starts) = columns_of(keys);
    tx.rows(&HIGHEST_SLOTS, &[&tenants, &metrics, &starts, &most])
        .await?
        .iter()
        .map(|row| Ok((part_of(row)?, row.try_get(4).map_err(column)?)))
        .collect()
}

/// How many events of each of these parts of counters stand; none of what is not there.
pub async fn standing(tx: &Tx, keys: &[CounterKey<'_>], parts: &[&str]) -> Result<Vec<(PartRow, i64)>, StoreError> {
    let (tenants, metrics, starts) = columns_of(keys);
    tx.rows(&PARTS, &[&tenants, &metrics, &starts, &parts])
        .await?
        .iter()
        .map(|row| Ok((part_of(row)?, row.try_get(5).map_err(column)?)))
        .collect()
}

/// The sums of each of these parts of counters that are made of slots; none of what is not there.
pub async fn sums_of(tx: &Tx, keys: &[CounterKey<'_>], parts: &[&str]) -> Result<Vec<(PartRow, Decimal)>, StoreError> {
    let (tenants, metrics, starts) = columns_of(keys);
    tx.rows(&PARTS, &[&tenants, &metrics, &starts, &parts])
        .await?
        .iter()
        .map(|row| Ok((part_of(row)?, row.try_get(4).map_err(column)?)))
        .collect()
}

/// What a percentile can be at the least and at the most, whatever is counted in one slot.
pub type Around = (Decimal, Option<Decimal>);

/// What these counters of percentiles can be, whatever is counted in a slot of each: the slot, and how many are free.
pub async fn around(
    tx: &Tx,
    keys: &[CounterKey<'_>],
    parts: &[&str],
    free: &[i64],
) -> Result<Vec<(PartRow, Around)>, StoreError> {
    let (tenants, metrics, starts) = columns_of(keys);
    tx.rows(&AROUND, &[&tenants, &metrics, &starts, &parts, &free])
        .await?
        .iter()
        .map(|row| Ok((part_of(row)?, (row.try_get(4).map_err(column)?, row.try_get(5).map_err(column)?))))
        .collect()
}

/// How many events of a period before an instant stand of each of these values of a field; none of what has none.
pub async fn values_until(
    tx: &Tx,
    (tenant, metric, start): CounterKey<'_>,
    until: Timestamp,
    (field, parts): (&str, &[&str]),
) -> Result<Vec<(String, i64)>, StoreError> {
    tx.rows(&VALUES_UNTIL, &[&tenant, &metric, &start, &until, &field, &parts])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?)))
        .collect()
}

/// The sums of a period's slots of so many seconds, of the events before an instant that stand.
pub async fn slots_until(
    tx: &Tx,
    (tenant, metric, start): CounterKey<'_>,
    until: Timestamp,
    width: i64,
) -> Result<Vec<(String, Decimal)>, StoreError> {
    tx.rows(&SLOTS_UNTIL, &[&tenant, &metric, &start, &until, &width])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?)))
        .collect()
}

fn columns_of<'a>(keys: &[CounterKey<'a>]) -> (Vec<Uuid>, Vec<&'a str>, Vec<Timestamp>) {
    let tenants = keys.iter().map(|key| key.0).collect();
    let metrics = keys.iter().map(|key| key.1).collect();
    (tenants, metrics, keys.iter().map(|key| key.2).collect())
}

/// Adds to parts of counters that are locked by this transaction.
pub async fn add_parts(tx: &Tx, parts: &PartColumns) -> Result<(), StoreError> {
    if parts.part.is_empty() {
        return Ok(());
    }
    tx.execute(
        &ADD_PARTS,
        &[&parts.tenant_id, &parts.metric, &parts.period_start, &parts.part, &parts.amount, &parts.event_count],
    )
    .await?;
    Ok(())
}

/// Makes the parts of a locked counter anew from the events of its period.
pub async fn rebuild_parts(
    tx: &Tx,
    aggregation: &Aggregation,
    (tenant, metric, start): CounterKey<'_>,
    end: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&DROP_PARTS, &[&tenant, &metric, &start]).await?;
    if let Aggregation::Unique { field } = aggregation {
        tx.execute(&REBUILD_VALUES, &[&tenant, &metric, &start, &end, field]).await?;
    }
    if let Some(width) = aggregation.slot_seconds() {
        tx.execute(&REBUILD_SLOTS, &[&tenant, &metric, &start, &end, &width]).await?;
    }
    Ok(())
}

/// Writes the total of a locked counter.
pub async fn set_total(tx: &Tx, (tenant, metric, start): CounterKey<'_>, total: Decimal) -> Result<(), StoreError> {
    tx.exactly_one(&SET_TOTAL, &[&tenant, &metric, &start, &total]).await
}

/// Writes what the ended segments of a locked counter added: (sequence, amount).
pub async fn set_segment_amounts(
    tx: &Tx,
    (tenant, metric, start): CounterKey<'_>,
    ended: &[(i32, Decimal)],
) -> Result<(), StoreError> {
    let (sequences, amounts): (Vec<i32>, Vec<Decimal>) = ended.iter().copied().unzip();
    tx.execute(&SET_SEGMENT_AMOUNTS, &[&tenant, &metric, &start, &sequences, &amounts]).await?;
    Ok(())
}
