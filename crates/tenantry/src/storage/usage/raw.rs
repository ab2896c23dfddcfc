//! The events themselves: sums of them, the first and the last, and all of them one after the other.

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::facts::column;
use crate::query;
use crate::storage::{StoreError, Tx};

/// Tenant, metric, first instant of the period.
pub type CounterKey<'a> = (Uuid, &'a str, Timestamp);

/// What events add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SumRow {
    /// Sum of amounts.
    pub total: Decimal,
    /// How many events, corrections included.
    pub events: i64,
    /// How many of them are corrections.
    pub corrections: i64,
}

/// An event, as far as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its id.
    pub id: Uuid,
    /// Its timestamp.
    pub occurred_at: Timestamp,
    /// Its idempotency key.
    pub key: String,
}

/// An event as a digest reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRow {
    /// Its timestamp.
    pub occurred_at: Timestamp,
    /// Its idempotency key.
    pub key: String,
    /// `usage` or `reversal`.
    pub kind: String,
    /// Its amount, without zeros at the end.
    pub amount: String,
}

query! {
    /// Amounts of a metric that is no sum may come to more than any total: cut where a decimal ends.
    both SUM = "
        select least(coalesce(sum(amount), 0), 79000000000000000000), count(*), count(*) filter (where kind = 'reversal')
        from tenantry.tenant_usage
        where tenant_id = $1 and metric = $2 and period_start = $3 and occurred_at >= $4 and occurred_at < $5";
    both FIRST = "
        select id, occurred_at, idempotency_key from tenantry.tenant_usage
        where tenant_id = $1 and metric = $2 and period_start = $3 and occurred_at >= $3 and occurred_at < $4
        order by occurred_at, idempotency_key limit 1";
    both LAST = "
        select id, occurred_at, idempotency_key from tenantry.tenant_usage
        where tenant_id = $1 and metric = $2 and period_start = $3 and occurred_at >= $3 and occurred_at < $4
        order by occurred_at desc, idempotency_key desc limit 1";
    both LINES = "
        select occurred_at, idempotency_key, kind, trim_scale(amount)::text from tenantry.tenant_usage
        where tenant_id = $1 and metric = $2 and period_start = $3 and occurred_at >= $3 and occurred_at < $4
        order by occurred_at, idempotency_key";
    /// A month has a partition from its first event on, until it is detached; one that came back after its events had
    /// left has sums of theirs.
    both MONTHS_ELSEWHERE = "
        select to_char(month, 'YYYY-MM')
        from generate_series(date_trunc('month', $1::timestamptz at time zone 'UTC'),
                             ($2::timestamptz at time zone 'UTC') - interval '1 microsecond', interval '1 month') as month
        where not exists (
            select from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'tenantry.tenant_usage'::regclass
              and c.relname = 'tenant_usage_' || to_char(month, 'YYYY_MM'))
           or exists (select from tenantry.usage_archives a
                      where a.tenant_id = $3 and a.metric = $4 and a.period_start = $5 and a.month = month at time zone 'UTC')
        order by 1";
    both COUNTED = "
        select event_count, aggregation, period_end from tenantry.usage_counters
        where tenant_id = $1 and metric = $2 and period_start = $3";
}

/// The sum of a counter's events in `[from, to)`, whose timestamps lie in its period.
pub async fn sum(tx: &Tx, key: CounterKey<'_>, (from, to): (Timestamp, Timestamp)) -> Result<SumRow, StoreError> {
    let row = tx.one(&SUM, &[&key.0, &key.1, &key.2, &from, &to]).await?;
    Ok(SumRow {
        total: row.try_get(0).map_err(column)?,
        events: row.try_get(1).map_err(column)?,
        corrections: row.try_get(2).map_err(column)?,
    })
}

/// The first and the last event of a counter whose period ends at `end`, by timestamp and key; none where it has none.
pub async fn ends(
    tx: &Tx,
    key: CounterKey<'_>,
    end: Timestamp,
) -> Result<(Option<EventRow>, Option<EventRow>), StoreError> {
    let of = |row: tokio_postgres::Row| -> Result<EventRow, StoreError> {
        Ok(EventRow {
            id: row.try_get(0).map_err(column)?,
            occurred_at: row.try_get(1).map_err(column)?,
            key: row.try_get(2).map_err(column)?,
        })
    };
    let first = tx.opt(&FIRST, &[&key.0, &key.1, &key.2, &end]).await?;
    let last = tx.opt(&LAST, &[&key.0, &key.1, &key.2, &end]).await?;
    Ok((first.map(of).transpose()?, last.map(of).transpose()?))
}

/// All events of a counter whose period ends at `end`, by timestamp and key (in the order of its bytes).
pub async fn lines(
    tx: &Tx,
    key: CounterKey<'_>,
    end: Timestamp,
) -> Result<impl Stream<Item = Result<LineRow, StoreError>> + use<>, StoreError> {
    let rows = tx.stream(&LINES, &[&key.0, &key.1, &key.2, &end]).await?;
    Ok(rows.map(|row| {
        let row = row?;
        Ok(LineRow {
            occurred_at: row.try_get(0).map_err(column)?,
            key: row.try_get(1).map_err(column)?,
            kind: row.try_get(2).map_err(column)?,
            amount: row.try_get(3).map_err(column)?,
        })
    }))
}

/// The months (UTC) of `[from, to)` whose events are not all in the table: nothing was used in them, or they left.
pub async fn months_elsewhere(
    tx: &Tx,
    key: CounterKey<'_>,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<String>, StoreError> {
    tx.rows(&MONTHS_ELSEWHERE, &[&from, &to, &key.0, &key.1, &key.2])
        .await?
        .iter()
        .map(|row| row.try_get(0).map_err(column))
        .collect()
}

/// A counter, as far as it is needed to read its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedRow {
    /// How many events it has accepted.
    pub events: i64,
    /// What its total is of them.
    pub aggregation: String,
    /// First instant after its period.
    pub period_end: Timestamp,
}

/// A counter; none where there is no such.
pub async fn counted(tx: &Tx, key: CounterKey<'_>) -> Result<Option<CountedRow>, StoreError> {
    let row = tx.opt(&COUNTED, &[&key.0, &key.1, &key.2]).await?;
    row.map(|row| {
        Ok(CountedRow {
            events: row.try_get(0).map_err(column)?,
            aggregation: row.try_get(1).map_err(column)?,
            period_end: row.try_get(2).map_err(column)?,
        })
    })
    .transpose()
}
