//! Sums by what events say of themselves: what the catalog declares, and the sums of each counter.
//!
//! What an event's value is stands in three statements (events as they come, events of before, the proof) in the same
//! words, and always in SQL: the database keeps numbers in a form of its own.

use jiff::Timestamp;
use uuid::Uuid;

use super::facts::column;
use super::rollups::{CounterKey, key_of};
use crate::query;
use crate::storage::{StoreError, Tx};

/// A metric of which not all counters are known to have the dimensions that the catalog declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The metric.
    pub metric: String,
    /// Which declaration.
    pub version: i32,
}

/// A locked counter whose dimensions are not what they should be, or whose earlier events are still to be summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undescribed {
    /// Names that its events are summed by; none is none.
    pub has: Option<Vec<String>>,
    /// Names that the catalog declares.
    pub wanted: Option<Vec<String>>,
    /// Events from it on are summed.
    pub since: Option<Timestamp>,
    /// First instant after the counter's period.
    pub period_end: Timestamp,
}

/// What a counter's events are summed by.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// The names; none is none.
    pub names: Option<&'a [String]>,
    /// Events from it on are summed.
    pub since: Option<Timestamp>,
    /// Earlier ones are still to come.
    pub pending: bool,
}

query! {
    /// $1 is an object: names by metric. Metrics that are not in it have none.
    service DECLARE = "
        with wanted as (
            select d.key as metric, array(select jsonb_array_elements_text(d.value)) as names from jsonb_each($1::jsonb) d
        )
        insert into tenantry.usage_dimensions as d (metric, names)
        select metric, coalesce(w.names, '{}') from wanted w full join tenantry.usage_dimensions k using (metric)
        where coalesce(w.names, '{}') <> coalesce(k.names, '{}')
        on conflict (metric) do update set names = excluded.names, version = d.version + 1, settled = false";
    service UNSETTLED = "select metric, version from tenantry.usage_dimensions where not settled order by metric";
    service SETTLE = "
        update tenantry.usage_dimensions set settled = true where metric = $1 and version = $2 and not settled";
    service UNDESCRIBED = "
        select c.tenant_id, c.metric, c.period_start
        from tenantry.usage_dimensions d
        join tenantry.usage_counters c on c.metric = d.metric and c.tenant_id = any ($1)
        where not d.settled and (c.dimensions is distinct from nullif(d.names, '{}') or c.dimensions_pending)
        order by 1, 2, 3
        limit $2";
    service LOCK_UNDESCRIBED = "
        select c.dimensions, nullif(d.names, '{}'), c.dimensions_since, c.period_end
        from tenantry.usage_counters c
        join tenantry.usage_dimensions d on d.metric = c.metric
        where c.tenant_id = $1 and c.metric = $2 and c.period_start = $3
          and (c.dimensions is distinct from nullif(d.names, '{}') or c.dimensions_pending)
        for update of c";
    service DESCRIBE = "
        update tenantry.usage_counters
        set dimensions = $4, dimensions_since = $5, dimensions_pending = $6, rollups_version = rollups_version + 1
        where tenant_id = $1 and metric = $2 and period_start = $3";
    service DROP_HOURS = "
        delete from tenantry.usage_dimension_rollups
        where tenant_id = $1 and metric = $2 and period_start = any ($3) and hour >= $4";
    service DROP_DAYS = "
        delete from tenantry.usage_dimension_day_rollups
        where tenant_id = $1 and metric = $2 and period_start = any ($3)
          and day >= date_trunc('day', $4::timestamptz, 'UTC')";
    /// When the newest event of $3 to $4 happened, the one that comes $5 before it, and the oldest.
    service EVENTS_BEFORE = "
        select (select occurred_at from tenantry.tenant_usage
                where tenant_id = $1 and metric = $2 and occurred_at >= $3 and occurred_at < $4
                order by occurred_at desc limit 1),
               (select occurred_at from tenantry.tenant_usage
                where tenant_id = $1 and metric = $2 and occurred_at >= $3 and occurred_at < $4
                order by occurred_at desc offset $5 limit 1),
               (select occurred_at from tenantry.tenant_usage
                where tenant_id = $1 and metric = $2 and occurred_at >= $3 and occurred_at < $4
                order by occurred_at limit 1)";
    service ARE_KEPT = "
        select (select coalesce(sum(r.event_count), 0) from tenantry.usage_rollups r
                where r.tenant_id = $1 and r.metric = $2 and r.period_start = $3 and r.hour >= $4 and r.hour < $5)
             = (select count(*) from tenantry.usage_counters c
                join tenantry.tenant_usage u on u.tenant_id = c.tenant_id and u.metric = c.metric
                    and u.period_start = c.period_start
                    and u.occurred_at >= c.period_start and u.occurred_at < c.period_end
                where c.tenant_id = $1 and c.metric = $2 and c.period_start = $3
                  and u.occurred_at >= $4 and u.occurred_at < $5)";
    service LAST_HOUR = "
        select max(hour) from tenantry.usage_rollups where tenant_id = $1 and metric = $2 and period_start = $3";
    /// Events of some periods between two hours; a correction counts under the values of what it takes back.
    service SUM_EVENTS = "
        insert into tenantry.usage_dimension_rollups as r
            (tenant_id, metric, period_start, dimension, hour, value, amount, event_count)
        select tenant_id, metric, period_start, dimension, hour,
               coalesce(case when jsonb_typeof(value) in ('string', 'number', 'boolean')
                             then left(value #>> '{}', 128) end, ''),
               sum(amount), count(*)
        from (
            select u.tenant_id, u.metric, u.period_start, d.name as dimension,
                   date_trunc('hour', u.occurred_at, 'UTC') as hour, u.amount,
                   case u.kind when 'usage' then u.metadata else (
                       select o.metadata
                       from tenantry.usage_keys k
                       join tenantry.tenant_usage o on o.tenant_id = k.tenant_id and o.metric = k.metric
                           and o.occurred_at = k.occurred_at and o.idempotency_key = k.idempotency_key
                       where k.tenant_id = u.tenant_id and k.idempotency_key = u.reverses
                   ) end -> d.name as value
            from tenantry.usage_counters c
            join tenantry.tenant_usage u on u.tenant_id = c.tenant_id and u.metric = c.metric
                and u.period_start = c.period_start
                and u.occurred_at >= c.period_start and u.occurred_at < c.period_end
            cross join unnest(c.dimensions) as d (name)
            where c.tenant_id = $1 and c.metric = $2 and c.period_start = any ($3)
              and u.occurred_at >= $4 and u.occurred_at >= c.dimensions_since and u.occurred_at < $5
        ) described
        group by 1, 2, 3, 4, 5, 6
        order by 1, 2, 3, 4, 5, 6";
    service ADD_HOURS = "
        insert into tenantry.usage_dimension_rollups as r
            (tenant_id, metric, period_start, dimension, hour, value, amount, event_count)
        select tenant_id, metric, period_start, dimension, hour,
               coalesce(case when jsonb_typeof(value) in ('string', 'number', 'boolean')
                             then left(value #>> '{}', 128) end, ''),
               sum(amount), count(*)
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::jsonb[], $7::numeric[])
            as described (tenant_id, metric, period_start, dimension, hour, value, amount)
        group by 1, 2, 3, 4, 5, 6
        order by 1, 2, 3, 4, 5, 6
        on conflict (tenant_id, metric, period_start, dimension, hour, value) do update
        set amount = r.amount + excluded.amount, event_count = r.event_count + excluded.event_count";
    service ADD_DAYS = "
        insert into tenantry.usage_dimension_day_rollups as r
            (tenant_id, metric, period_start, dimension, day, value, amount, event_count)
        select tenant_id, metric, period_start, dimension, day,
               coalesce(case when jsonb_typeof(value) in ('string', 'number', 'boolean')
                             then left(value #>> '{}', 128) end, ''),
               sum(amount), count(*)
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::jsonb[], $7::numeric[])
            as described (tenant_id, metric, period_start, dimension, day, value, amount)
        group by 1, 2, 3, 4, 5, 6
        order by 1, 2, 3, 4, 5, 6
        on conflict (tenant_id, metric, period_start, dimension, day, value) do update
        set amount = r.amount + excluded.amount, event_count = r.event_count + excluded.event_count";
    /// As far as the counter is folded. The index has the hours of one dimension together, so that each dimension is looked
    /// at by itself.
    service FOLD = "
        insert into tenantry.usage_dimension_day_rollups as d
            (tenant_id, metric, period_start, dimension, day, value, amount, event_count)
        select r.tenant_id, r.metric, r.period_start, r.dimension, date_trunc('day', r.hour, 'UTC'), r.value,
               sum(r.amount), sum(r.event_count)::bigint
        from tenantry.usage_counters c
        cross join unnest(c.dimensions) as named (dimension)
        join tenantry.usage_dimension_rollups r on r.tenant_id = c.tenant_id and r.metric = c.metric
            and r.period_start = c.period_start and r.dimension = named.dimension
        where c.tenant_id = $1 and c.metric = $2 and c.period_start = $3
          and r.hour >= $4 and r.hour < $5 and r.hour < c.folded_until
        group by 1, 2, 3, 4, 5, 6
        order by 4, 5, 6
        on conflict (tenant_id, metric, period_start, dimension, day, value) do update
        set amount = d.amount + excluded.amount, event_count = d.event_count + excluded.event_count";
}

/// First instant of usage: a span from here on is everything.
pub const ALWAYS: Timestamp = Timestamp::constant(946_684_800, 0);
/// First instant after usage: a span from here on is nothing.
pub const NEVER: Timestamp = Timestamp::constant(4_133_980_800, 0);

/// Writes what the catalog declares, names by metric; the catalog must be locked. Metrics whose names changed are not
/// settled any more.
pub async fn declare(tx: &Tx, names: &serde_json::Value) -> Result<(), StoreError> {
    tx.execute(&DECLARE, &[names]).await?;
    Ok(())
}

/// Metrics of which not all counters are known to be as declared.
pub async fn unsettled(tx: &Tx) -> Result<Vec<Unsettled>, StoreError> {
    let rows = tx.rows(&UNSETTLED, &[]).await?;
    let unsettled = rows
        .iter()
        .map(|row| Ok(Unsettled { metric: row.try_get(0).map_err(column)?, version: row.try_get(1).map_err(column)? }));
    unsettled.collect()
}

/// All counters of a metric are as this declaration says; nothing is done where a later one came.
pub async fn settle(tx: &Tx, metric: &Unsettled) -> Result<(), StoreError> {
    tx.execute(&SETTLE, &[&metric.metric, &metric.version]).await?;
    Ok(())
}

/// Counters of these tenants that are not as declared, or not yet; at most so many.
pub async fn undescribed(tx: &Tx, tenants: &[Uuid], most: i64) -> Result<Vec<CounterKey>, StoreError> {
    tx.rows(&UNDESCRIBED, &[&tenants, &most]).await?.iter().map(key_of).collect()
}

/// Locks a counter that is not as declared; none where it is.
pub async fn lock_undescribed(tx: &Tx, key: &CounterKey) -> Result<Option<Undescribed>, StoreError> {
    let row = tx.opt(&LOCK_UNDESCRIBED, &[&key.0, &key.1, &key.2]).await?;
    row.map(|row| {
        Ok(Undescribed {
            has: row.try_get(0).map_err(column)?,
            wanted: row.try_get(1).map_err(column)?,
            since: row.try_get(2).map_err(column)?,
            period_end: row.try_get(3).map_err(column)?,
        })
    })
    .transpose()
}

/// Writes what the events of a locked counter are summed by.
pub async fn describe(tx: &Tx, key: &CounterKey, described: Described<'_>) -> Result<(), StoreError> {
    let Described { names, since, pending } = described;
    tx.exactly_one(&DESCRIBE, &[&key.0, &key.1, &key.2, &names, &since, &pending]).await
}

/// Forgets all sums by value of a locked counter.
pub async fn drop_sums(tx: &Tx, key: &CounterKey) -> Result<(), StoreError> {
    let periods = [key.2];
    tx.execute(&DROP_HOURS, &[&key.0, &key.1, &periods.as_slice(), &ALWAYS]).await?;
    tx.execute(&DROP_DAYS, &[&key.0, &key.1, &periods.as_slice(), &ALWAYS]).await?;
    Ok(())
}

/// When some events of a counter happened.
#[derive(Debug, Clone, Copy)]
pub struct EventsBefore {
    /// The newest.
    pub newest: Option<Timestamp>,
    /// The one so many before it.
    pub earlier: Option<Timestamp>,
    /// The oldest that is kept.
    pub oldest: Option<Timestamp>,
}

/// The events of a counter before an instant, at most the end of its period; `earlier` comes `most` before the newest.
pub async fn events_before(
    tx: &Tx,
    key: &CounterKey,
    before: Timestamp,
    most: i64,
) -> Result<EventsBefore, StoreError> {
    let row = tx.one(&EVENTS_BEFORE, &[&key.0, &key.1, &key.2, &before, &most]).await?;
    Ok(EventsBefore {
        newest: row.try_get(0).map_err(column)?,
        earlier: row.try_get(1).map_err(column)?,
        oldest: row.try_get(2).map_err(column)?,
    })
}

/// Whether all events that a counter counted between two hours are still there.
pub async fn are_kept(tx: &Tx, key: &CounterKey, (since, until): (Timestamp, Timestamp)) -> Result<bool, StoreError> {
    tx.one(&ARE_KEPT, &[&key.0, &key.1, &key.2, &since, &until]).await?.try_get(0).map_err(column)
}

/// The last hour that a counter counted anything in.
pub async fn last_hour(tx: &Tx, key: &CounterKey) -> Result<Option<Timestamp>, StoreError> {
    tx.one(&LAST_HOUR, &[&key.0, &key.1, &key.2]).await?.try_get(0).map_err(column)
}

/// Sums events of before, between two hours of a locked counter that has no sums there.
pub async fn sum_events(tx: &Tx, key: &CounterKey, (since, until): (Timestamp, Timestamp)) -> Result<(), StoreError> {
    tx.execute(&SUM_EVENTS, &[&key.0, &key.1, &[key.2].as_slice(), &since, &until]).await?;
    fold(tx, key, (since, until)).await
}

/// Adds the hours of a span to the days, as far as the locked counter is folded.
pub(super) async fn fold(tx: &Tx, key: &CounterKey, (since, until): (Timestamp, Timestamp)) -> Result<(), StoreError> {
    tx.execute(&FOLD, &[&key.0, &key.1, &key.2, &since, &until]).await?;
    Ok(())
}

pub(super) async fn after_move(
    tx: &Tx,
    (tenant, metric): (Uuid, &str),
    periods: &[Timestamp],
    hour: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&DROP_DAYS, &[&tenant, &metric, &periods, &hour]).await?;
    tx.execute(&DROP_HOURS, &[&tenant, &metric, &periods, &hour]).await?;
    tx.execute(&SUM_EVENTS, &[&tenant, &metric, &periods, &hour, &NEVER]).await?;
    Ok(())
}
