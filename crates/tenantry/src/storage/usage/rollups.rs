//! Sums of days and of dimensions' values: written with late events, folded from hours, moved with events.
//!
//! A counter's row says what stands in them ([`RolledUp`]), and all of it changes under the lock of that row: who
//! holds the lock knows where an event belongs, and who reads counter and sums in one snapshot reads the truth.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::commit::RollupColumns;
use super::dimensions;
use super::facts::column;
use crate::query;
use crate::storage::{Query, StoreError, Tx};

/// Which sums the events of a counter are in, beside those by hour and user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledUp {
    /// Goes up with every change of the others.
    pub version: i32,
    /// Hours before it are in the sums of days; a whole UTC hour.
    pub folded_until: Timestamp,
    /// Names of the dimensions that events are summed by; most often none.
    pub dimensions: Vec<String>,
    /// Events from it on are summed by them; a whole UTC hour.
    pub dimensions_since: Option<Timestamp>,
}

impl RolledUp {
    pub(super) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            version: row.try_get("rollups_version").map_err(column)?,
            folded_until: row.try_get("folded_until").map_err(column)?,
            dimensions: row.try_get::<_, Option<Vec<String>>>("dimensions").map_err(column)?.unwrap_or_default(),
            dimensions_since: row.try_get("dimensions_since").map_err(column)?,
        })
    }

    /// Whether what happened at this instant is in the sums of days.
    pub fn is_folded(&self, at: Timestamp) -> bool {
        at < self.folded_until
    }

    /// The dimensions that what happened at this instant is summed by.
    pub fn dimensions_at(&self, at: Timestamp) -> &[String] {
        if self.dimensions_since.is_some_and(|since| since <= at) { &self.dimensions } else { &[] }
    }
}

/// Columns of what events add to the sums by value; one for each event and dimension.
#[derive(Debug, Default)]
pub struct DimensionColumns<'a> {
    /// Tenant of each.
    pub tenant_id: Vec<Uuid>,
    /// Metric of each.
    pub metric: Vec<&'a str>,
    /// First instant of the period.
    pub period_start: Vec<Timestamp>,
    /// Name of the dimension.
    pub dimension: Vec<&'a str>,
    /// First instant of the UTC hour, or of the UTC day.
    pub span: Vec<Timestamp>,
    /// What the event's metadata has under that name; null where it has nothing.
    pub value: Vec<&'a serde_json::Value>,
    /// The amount; negative for a correction.
    pub amount: Vec<Decimal>,
}

/// What a group of events adds to sums that most events are not in.
#[derive(Debug, Default)]
pub struct FurtherSums<'a> {
    /// By day and user; `hour` is the first of the day. Of events in hours that are folded.
    pub days: RollupColumns<'a>,
    /// By user alone, of the same; `hour` is not looked at.
    pub users: RollupColumns<'a>,
    /// By hour alone, of the same; without users.
    pub totals: RollupColumns<'a>,
    /// By hour and value.
    pub dimensions: DimensionColumns<'a>,
    /// By day and value, of events in hours that are folded.
    pub dimension_days: DimensionColumns<'a>,
}

/// A counter: tenant, metric, first instant of its period.
pub type CounterKey = (Uuid, String, Timestamp);

query! {
    service ADD_DAYS = "
        insert into tenantry.usage_day_rollups as r (tenant_id, metric, period_start, day, user_id, amount, event_count)
        select * from unnest(
            $1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::uuid[], $6::numeric[], $7::bigint[])
        on conflict (tenant_id, metric, period_start, day, user_id) do update
        set amount = r.amount + excluded.amount, event_count = r.event_count + excluded.event_count";
    service ADD_USERS = "
        insert into tenantry.usage_user_totals as r (tenant_id, metric, period_start, user_id, amount, event_count)
        select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::numeric[], $6::bigint[])
        on conflict (tenant_id, metric, period_start, user_id) do update
        set amount = r.amount + excluded.amount, event_count = r.event_count + excluded.event_count";
    service ADD_TOTALS = "
        insert into tenantry.usage_hour_totals as r (tenant_id, metric, period_start, hour, amount, event_count)
        select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::numeric[], $6::bigint[])
        on conflict (tenant_id, metric, period_start, hour) do update
        set amount = r.amount + excluded.amount, event_count = r.event_count + excluded.event_count";
    /// Counters with hours before $2 that are not folded.
    service UNFOLDED = "
        select tenant_id, metric, period_start from tenantry.usage_counters
        where tenant_id = any ($1) and folded_until < period_end and folded_until < $2
        order by tenant_id, metric, period_start
        limit $3";
    service LOCK_UNFOLDED = "
        select folded_until from tenantry.usage_counters
        where tenant_id = $1 and metric = $2 and period_start = $3 and folded_until < period_end and folded_until < $4
        for update";
    /// The first hour that has sums, and the hour of the $6th of them.
    service HOURS_TO_FOLD = "
        with hours as (
            (select hour from tenantry.usage_rollups
             where tenant_id = $1 and metric = $2 and period_start = $3 and hour >= $4 and hour < $5
             order by hour limit $6)
            union all
            (select by_value.hour
             from tenantry.usage_counters c
             cross join unnest(c.dimensions) as named (dimension)
             cross join lateral (
                 select r.hour from tenantry.usage_dimension_rollups r
                 where r.tenant_id = c.tenant_id and r.metric = c.metric and r.period_start = c.period_start
                   and r.dimension = named.dimension and r.hour >= $4 and r.hour < $5
                 order by r.hour limit $6
             ) by_value
             where c.tenant_id = $1 and c.metric = $2 and c.period_start = $3
             order by by_value.hour limit $6)
        )
        select min(hour), (select hour from hours order by hour offset $6 - 1 limit 1) from hours";
    service FOLD_USERS = "
        insert into tenantry.usage_day_rollups as d (tenant_id, metric, period_start, day, user_id, amount, event_count)
        select tenant_id, metric, period_start, date_trunc('day', hour, 'UTC'), user_id, sum(amount),
               sum(event_count)::bigint
        from tenantry.usage_rollups
        where tenant_id = $1 and metric = $2 and period_start = $3 and hour >= $4 and hour < $5
        group by 1, 2, 3, 4, 5
        order by 4, 5
        on conflict (tenant_id, metric, period_start, day, user_id) do update
        set amount = d.amount + excluded.amount, event_count = d.event_count + excluded.event_count";
    service FOLD_USER_TOTALS = "
        insert into tenantry.usage_user_totals as t (tenant_id, metric, period_start, user_id, amount, event_count)
        select tenant_id, metric, period_start, user_id, sum(amount), sum(event_count)::bigint
        from tenantry.usage_rollups
        where tenant_id = $1 and metric = $2 and period_start = $3 and hour >= $4 and hour < $5
        group by 1, 2, 3, 4
        order by 4
        on conflict (tenant_id, metric, period_start, user_id) do update
        set amount = t.amount + excluded.amount, event_count = t.event_count + excluded.event_count";
    service FOLD_TOTALS = "
        insert into tenantry.usage_hour_totals (tenant_id, metric, period_start, hour, amount, event_count)
        select tenant_id, metric, period_start, hour, sum(amount), sum(event_count)::bigint
        from tenantry.usage_rollups
        where tenant_id = $1 and metric = $2 and period_start = $3 and hour >= $4 and hour < $5
        group by 1, 2, 3, 4
        order by 4";
    service SET_FOLDED = "
        update tenantry.usage_counters set folded_until = $4, rollups_version = rollups_version + 1
        where tenant_id = $1 and metric = $2 and period_start = $3";
    /// Days are folded anew from the one that contains $4 on.
    service UNFOLD = "
        update tenantry.usage_counters
        set folded_until = date_trunc('day', $4::timestamptz, 'UTC'), rollups_version = rollups_version + 1
        where tenant_id = $1 and metric = $2 and period_start = any ($3)
          and folded_until > date_trunc('day', $4::timestamptz, 'UTC')";
    service DROP_DAYS = "
        delete from tenantry.usage_day_rollups
        where tenant_id = $1 and metric = $2 and period_start = any ($3)
          and day >= date_trunc('day', $4::timestamptz, 'UTC')";
    service DROP_USERS = "
        delete from tenantry.usage_user_totals where tenant_id = $1 and metric = $2 and period_start = any ($3)";
    service REBUILD_USERS = "
        insert into tenantry.usage_user_totals (tenant_id, metric, period_start, user_id, amount, event_count)
        select tenant_id, metric, period_start, user_id, sum(amount), sum(event_count)::bigint
        from tenantry.usage_day_rollups
        where tenant_id = $1 and metric = $2 and period_start = any ($3)
        group by 1, 2, 3, 4
        order by 3, 4";
    service DROP_TOTALS = "
        delete from tenantry.usage_hour_totals
        where tenant_id = $1 and metric = $2 and period_start = any ($3)
          and hour >= date_trunc('day', $4::timestamptz, 'UTC')";
}

/// A statement with its parameters.
pub(super) type Ready<'a> = (&'static Query, Vec<&'a (dyn ToSql + Sync)>);

impl FurtherSums<'_> {
    /// What adds them; nothing where nothing is due.
    pub(super) fn statements(&self) -> Vec<Ready<'_>> {
        let Self { days, users, totals, dimensions, dimension_days } = self;
        let mut ready: Vec<Ready<'_>> = Vec::new();
        if !days.tenant_id.is_empty() {
            ready.push((&ADD_DAYS, days.params().to_vec()));
            let RollupColumns { tenant_id, metric, period_start, user_id, amount, event_count, .. } = users;
            ready.push((&ADD_USERS, vec![tenant_id, metric, period_start, user_id, amount, event_count]));
            let RollupColumns { tenant_id, metric, period_start, hour, amount, event_count, .. } = totals;
            ready.push((&ADD_TOTALS, vec![tenant_id, metric, period_start, hour, amount, event_count]));
        }
        for (query, columns) in [(&dimensions::ADD_HOURS, dimensions), (&dimensions::ADD_DAYS, dimension_days)] {
            let DimensionColumns { tenant_id, metric, period_start, dimension, span, value, amount } = columns;
            if !tenant_id.is_empty() {
                ready.push((query, vec![tenant_id, metric, period_start, dimension, span, value, amount]));
            }
        }
        ready
    }
}

/// Adds to the sums that most events are not in. Runs under the counters' locks.
pub async fn add(tx: &Tx, sums: &FurtherSums<'_>) -> Result<(), StoreError> {
    for (query, params) in sums.statements() {
        tx.execute(query, &params).await?;
    }
    Ok(())
}

/// Counters of these tenants that have hours before `before` which are not in the sums of days; at most so many.
pub async fn unfolded(tx: &Tx, tenants: &[Uuid], before: Timestamp, most: i64) -> Result<Vec<CounterKey>, StoreError> {
    tx.rows(&UNFOLDED, &[&tenants, &before, &most]).await?.iter().map(key_of).collect()
}

pub(super) fn key_of(row: &Row) -> Result<CounterKey, StoreError> {
    Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?, row.try_get(2).map_err(column)?))
}

/// Locks a counter that has hours to fold; up to where it is folded, or none where there is nothing to do.
pub async fn lock_unfolded(tx: &Tx, key: &CounterKey, before: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let row = tx.opt(&LOCK_UNFOLDED, &[&key.0, &key.1, &key.2, &before]).await?;
    row.map(|row| row.try_get(0).map_err(column)).transpose()
}

/// Among the hours of a span that have sums: the first, and the one that holds the `most`th sum.
pub async fn hours_to_fold(
    tx: &Tx,
    key: &CounterKey,
    (since, until): (Timestamp, Timestamp),
    most: i64,
) -> Result<(Option<Timestamp>, Option<Timestamp>), StoreError> {
    let row = tx.one(&HOURS_TO_FOLD, &[&key.0, &key.1, &key.2, &since, &until, &most]).await?;
    Ok((row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?))
}

/// Adds the hours of `[since, until)` of a locked counter to the sums of days, up to which they were folded.
pub async fn fold(tx: &Tx, key: &CounterKey, (since, until): (Timestamp, Timestamp)) -> Result<(), StoreError> {
    tx.execute(&FOLD_USERS, &[&key.0, &key.1, &key.2, &since, &until]).await?;
    tx.execute(&FOLD_USER_TOTALS, &[&key.0, &key.1, &key.2, &since, &until]).await?;
    tx.execute(&FOLD_TOTALS, &[&key.0, &key.1, &key.2, &since, &until]).await?;
    tx.exactly_one(&SET_FOLDED, &[&key.0, &key.1, &key.2, &until]).await?;
    dimensions::fold(tx, key, (since, until)).await
}

/// After events of a metric moved between two periods, both counters locked and the hours rebuilt from `hour` on: the
/// days from there on are folded anew, the values are summed again.
pub async fn after_move(
    tx: &Tx,
    (tenant, metric): (Uuid, &str),
    periods: &[Timestamp],
    hour: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&UNFOLD, &[&tenant, &metric, &periods, &hour]).await?;
    tx.execute(&DROP_DAYS, &[&tenant, &metric, &periods, &hour]).await?;
    tx.execute(&DROP_USERS, &[&tenant, &metric, &periods]).await?;
    tx.execute(&REBUILD_USERS, &[&tenant, &metric, &periods]).await?;
    tx.execute(&DROP_TOTALS, &[&tenant, &metric, &periods, &hour]).await?;
    dimensions::after_move(tx, (tenant, metric), periods, hour).await
}
