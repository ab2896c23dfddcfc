//! Statements of the benchmark: the same work done in the ways that others do it, in a schema of its own.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

/// Makes the benchmark's schema anew: a twin of the event table without forced row security, and the tables of an
/// application that counts by summing, or by one transaction for each event.
pub async fn prepare(admin: &Client) -> Result<(), Error> {
    admin
        .batch_execute(
            "drop schema if exists tenantry_bench cascade;
             create schema tenantry_bench;
             create table tenantry_bench.twin (like tenantry.tenant_usage including all);
             create table tenantry_bench.twin_keys (like tenantry.usage_keys including all);
             create table tenantry_bench.events (
                 tenant_id uuid not null, idempotency_key text not null, metric text not null,
                 amount numeric not null, occurred_at timestamptz not null,
                 primary key (tenant_id, idempotency_key)
             );
             create index on tenantry_bench.events (tenant_id, metric, occurred_at);
             create table tenantry_bench.counters (
                 tenant_id uuid not null, metric text not null, total numeric not null, hard_limit numeric not null,
                 primary key (tenant_id, metric)
             );",
        )
        .await
}

/// Takes the benchmark's schema away.
pub async fn remove(admin: &Client) -> Result<(), Error> {
    admin.batch_execute("drop schema if exists tenantry_bench cascade").await
}

/// What a database says of itself.
#[derive(Debug)]
pub struct Facts {
    /// Its version.
    pub version: String,
    /// Settings that matter for speed and safety, by name.
    pub settings: Vec<(String, String)>,
}

/// Version and settings.
pub async fn facts(admin: &Client) -> Result<Facts, Error> {
    let version = admin.query_one("select current_setting('server_version')", &[]).await?.try_get(0)?;
    let rows = admin
        .query(
            "select name, current_setting(name) from pg_settings
             where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_compression',
                            'max_wal_size', 'checkpoint_timeout', 'autovacuum', 'data_checksums')
             order by name",
            &[],
        )
        .await?;
    let settings = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?;
    Ok(Facts { version, settings })
}

/// Bytes of the tables of usage with their indexes, and the events in them: (keys, events, sums, number of events).
pub async fn sizes(admin: &Client) -> Result<(i64, i64, i64, i64), Error> {
    let row = admin
        .query_one(
            "select (select pg_total_relation_size('tenantry.usage_keys')),
                    (select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint from pg_inherits
                     where inhparent = 'tenantry.tenant_usage'::regclass),
                    (select sum(pg_total_relation_size(relation))::bigint
                     from unnest('{tenantry.usage_counters, tenantry.usage_rollups, tenantry.usage_day_rollups,
                                   tenantry.usage_user_totals, tenantry.usage_hour_totals,
                                   tenantry.usage_dimension_rollups, tenantry.usage_dimension_day_rollups,
                                   tenantry.usage_segment_amounts, tenantry.usage_parts}'::regclass[]) relation),
                    (select coalesce(sum(event_count), 0)::bigint from tenantry.usage_counters)",
            &[],
        )
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
}

/// Puts earlier events of this period and a counter in place.
pub async fn preload(admin: &Client, tenant: Uuid, events: i32, now: Timestamp) -> Result<(), Error> {
    admin
        .execute(
            "insert into tenantry_bench.events
             select $1, 'earlier-' || n, 'api_calls', 1, $3::timestamptz - n * interval '1 ms'
             from generate_series(1, $2::int) n",
            &[&tenant, &events, &now],
        )
        .await?;
    admin
        .execute(
            "insert into tenantry_bench.counters values ($1, 'api_calls', 0, 1000000000000)
             on conflict do nothing",
            &[&tenant],
        )
        .await?;
    admin.batch_execute("analyze tenantry_bench.events").await
}

/// One event in the naive way: insert, then sum the period.
#[derive(Debug)]
pub struct Naive {
    client: Client,
    insert: Statement,
    sum: Statement,
}

impl Naive {
    /// Prepares the statements.
    pub async fn new(client: Client) -> Result<Self, Error> {
        let insert = client
            .prepare("insert into tenantry_bench.events values ($1, $2, 'api_calls', $3, $4) on conflict do nothing")
            .await?;
        let sum = client
            .prepare(
                "select sum(amount) from tenantry_bench.events
                 where tenant_id = $1 and metric = 'api_calls' and occurred_at >= $2 and occurred_at < $3",
            )
            .await?;
        Ok(Self { client, insert, sum })
    }

    /// Records one event and answers the period's total.
    pub async fn record(
        &mut self,
        (tenant, key): (Uuid, &str),
        now: Timestamp,
        period: (Timestamp, Timestamp),
    ) -> Result<Option<Decimal>, Error> {
        let tx = self.client.transaction().await?;
        tx.execute(&self.insert, &[&tenant, &key, &Decimal::ONE, &now]).await?;
        let total = tx.query_one(&self.sum, &[&tenant, &period.0, &period.1]).await?.try_get(0)?;
        tx.commit().await?;
        Ok(total)
    }
}

/// One event in a transaction of its own, with a guarded counter.
#[derive(Debug)]
pub struct Single {
    client: Client,
    insert: Statement,
    count: Statement,
}

impl Single {
    /// Prepares the statements.
    pub async fn new(client: Client) -> Result<Self, Error> {
        let insert = client
            .prepare("insert into tenantry_bench.events values ($1, $2, 'api_calls', $3, $4) on conflict do nothing")
            .await?;
        let count = client
            .prepare(
                "update tenantry_bench.counters set total = total + $2
                 where tenant_id = $1 and metric = 'api_calls' and total + $2 <= hard_limit
                 returning total",
            )
            .await?;
        Ok(Self { client, insert, count })
    }

    /// Records one event below the limit.
    pub async fn record(&mut self, tenant: Uuid, key: &str, now: Timestamp) -> Result<bool, Error> {
        let tx = self.client.transaction().await?;
        tx.execute(&self.insert, &[&tenant, &key, &Decimal::ONE, &now]).await?;
        let counted = tx.query_opt(&self.count, &[&tenant, &Decimal::ONE]).await?.is_some();
        tx.commit().await?;
        Ok(counted)
    }
}

/// Copies rows into the twin of the event table and the twin of its keys, in one transaction. `rows` is (tenant, key)
/// in the order of the key; what is left out is the same for each row.
pub async fn copy(client: &mut Client, rows: &[(Uuid, String)], now: Timestamp) -> Result<u64, Error> {
    use futures::SinkExt as _;
    use std::fmt::Write as _;
    let (mut events, mut keys) = (String::new(), String::new());
    for (tenant, key) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(events, "{tenant}\t{tenant}\tapi_calls\t1\t{now}\t{now}\t{now}\tusage\t{key}\t{{}}\t{now}");
        let _ = writeln!(keys, "{tenant}\t{key}\t{tenant}\t{now}\tf\tapi_calls");
    }
    let tx = client.transaction().await?;
    let sink = tx
        .copy_in::<_, bytes::Bytes>(
            "copy tenantry_bench.twin_keys (tenant_id, idempotency_key, content_hash, occurred_at, timestamp_given,
                                            metric) from stdin",
        )
        .await?;
    futures::pin_mut!(sink);
    sink.send(keys.into()).await?;
    sink.finish().await?;
    let sink = tx
        .copy_in::<_, bytes::Bytes>(
            "copy tenantry_bench.twin (tenant_id, id, metric, amount, occurred_at, period_start, period_end, kind,
                                       idempotency_key, metadata, created_at) from stdin",
        )
        .await?;
    futures::pin_mut!(sink);
    sink.send(events.into()).await?;
    let copied = sink.finish().await?;
    tx.commit().await?;
    Ok(copied)
}
