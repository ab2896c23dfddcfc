//! Statements of the benchmark of reports: a tenant with much usage, made by SQL and taken away again.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::{Client, Error};
use uuid::Uuid;

/// The usage that is made.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Whose it is.
    pub tenant: Uuid,
    /// First instant of the period; a midnight.
    pub start: Timestamp,
    /// First instant after it; a midnight.
    pub end: Timestamp,
    /// Events, spread evenly over time, three metrics, users and values.
    pub events: i64,
    /// Users.
    pub users: i32,
    /// Values of the dimension.
    pub values: i32,
}

/// Whether this login may write rows of any tenant.
pub async fn is_past_row_security(admin: &Client) -> Result<bool, Error> {
    let sql = "select rolsuper or rolbypassrls from pg_roles where rolname = current_user";
    admin.query_one(sql, &[]).await?.try_get(0)
}

/// Makes the period with its events, and the sums that recording them would have written: of hours, not of days. The
/// first metric is one that the catalog declares a dimension for, if there is one. The events have no keys.
pub async fn fill(admin: &Client, load: &Load) -> Result<(), Error> {
    for at in [load.start, load.end] {
        admin.execute("select tenantry.ensure_usage_month($1)", &[&at]).await?;
    }
    admin.batch_execute("begin").await?;
    let filled = async {
        events(admin, load).await?;
        sums(admin, load).await
    };
    let filled = filled.await;
    admin.batch_execute(if filled.is_ok() { "commit" } else { "rollback" }).await?;
    filled?;
    analyze(admin).await
}

/// The period, its segment and its events.
async fn events(admin: &Client, load: &Load) -> Result<(), Error> {
    let Load { tenant, start, end, events, users, values } = load;
    let period = "insert into tenantry.usage_periods (tenant_id, period_start, period_end, anchor, historic)
         values ($1, $2, $3, $2, true)";
    admin.execute(period, &[tenant, start, end]).await?;
    let segment = "insert into tenantry.usage_segments
         select $1, $2, 0, $2, plan_id, version, plan_id, version
         from tenantry.plan_versions where current and is_default";
    admin.execute(segment, &[tenant, start]).await?;
    let recorded = "insert into tenantry.tenant_usage
             (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, idempotency_key, metadata,
              created_at)
         select $1::uuid, gen_random_uuid(), users.ids[(n / 3) % $5 + 1], metrics.names[n % 3 + 1],
                (n % 1000 + 1) * 0.125, $2::timestamptz + ($3::timestamptz - $2::timestamptz) * (n::float8 / $4::bigint),
                $2, $3, 'bench-' || n, jsonb_build_object(metrics.dimension, 'value ' || (n / 7) % $6::int), $3
         from generate_series(0, $4::bigint - 1) n
         cross join (select array_agg(md5($1::uuid::text || i)::uuid) as ids from generate_series(1, $5::int) i) users
         cross join (
             select array[coalesce(min(metric), 'bench_0'), 'bench_1', 'bench_2'] as names,
                    coalesce(min(names[1]), 'model') as dimension
             from (select metric, names from tenantry.usage_dimensions where names <> '{}' order by 1 limit 1) d
         ) metrics";
    admin.execute(recorded, &[tenant, start, end, events, users, values]).await?;
    Ok(())
}

/// Counters and sums by hour of the events.
async fn sums(admin: &Client, load: &Load) -> Result<(), Error> {
    let Load { tenant, end, .. } = load;
    let counters = "insert into tenantry.usage_counters
            (tenant_id, metric, period_start, period_end, segment_sequence, segment_start, historic, in_plan, total,
             event_count, dimensions, dimensions_since)
         select u.tenant_id, u.metric, u.period_start, $2, 0, u.period_start, true, true, sum(u.amount), count(*),
                d.names[1:1], case when d.names is not null then '2000-01-01T00:00:00Z'::timestamptz end
         from tenantry.tenant_usage u
         left join tenantry.usage_dimensions d on d.metric = u.metric and d.names <> '{}'
         where u.tenant_id = $1
         group by 1, 2, 3, d.names";
    admin.execute(counters, &[tenant, end]).await?;
    let hours = "insert into tenantry.usage_rollups
         select tenant_id, metric, period_start, date_trunc('hour', occurred_at, 'UTC'), user_id, sum(amount), count(*)
         from tenantry.tenant_usage where tenant_id = $1
         group by 1, 2, 3, 4, 5 order by 4, 2, 5";
    admin.execute(hours, &[tenant]).await?;
    let by_value = "insert into tenantry.usage_dimension_rollups
         select u.tenant_id, u.metric, u.period_start, c.dimensions[1], date_trunc('hour', u.occurred_at, 'UTC'),
                u.metadata ->> c.dimensions[1], sum(u.amount), count(*)
         from tenantry.tenant_usage u
         join tenantry.usage_counters c on c.tenant_id = u.tenant_id and c.metric = u.metric
             and c.period_start = u.period_start and c.dimensions is not null
         where u.tenant_id = $1
         group by 1, 2, 3, 4, 5, 6 order by 5, 6";
    admin.execute(by_value, &[tenant]).await?;
    Ok(())
}

/// Lets the planner know what is there, as time does.
pub async fn analyze(admin: &Client) -> Result<(), Error> {
    // One by one: several statements at once are a transaction, in which nothing can be vacuumed.
    for sql in [
        "vacuum (analyze) tenantry.usage_rollups",
        "vacuum (analyze) tenantry.usage_day_rollups",
        "vacuum (analyze) tenantry.usage_user_totals",
        "vacuum (analyze) tenantry.usage_hour_totals",
        "vacuum (analyze) tenantry.usage_dimension_rollups",
        "vacuum (analyze) tenantry.usage_dimension_day_rollups",
        "analyze tenantry.tenant_usage",
        "analyze tenantry.usage_counters",
    ] {
        admin.batch_execute(sql).await?;
    }
    Ok(())
}

/// The metric of the tenant that has a dimension, and the dimension.
pub async fn dimension(admin: &Client, tenant: Uuid) -> Result<Option<(String, String)>, Error> {
    let sql =
        "select metric, dimensions[1] from tenantry.usage_counters where tenant_id = $1 and dimensions is not null";
    admin.query_opt(sql, &[&tenant]).await?.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// Sums by hour and user, and by day and user, that the tenant has.
pub async fn count(admin: &Client, tenant: Uuid) -> Result<(i64, i64), Error> {
    let sql = "select (select count(*) from tenantry.usage_rollups where tenant_id = $1),
                      (select count(*) from tenantry.usage_day_rollups where tenant_id = $1)";
    let row = admin.query_one(sql, &[&tenant]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// The sum of a span, by metric and user from the events themselves, in all.
pub async fn naive(admin: &Client, tenant: Uuid, (from, to): (Timestamp, Timestamp)) -> Result<Decimal, Error> {
    let sql = "select coalesce(sum(amount), 0) from (
                   select metric, user_id, sum(amount) as amount from tenantry.tenant_usage
                   where tenant_id = $1 and occurred_at >= $2 and occurred_at < $3
                   group by metric, user_id) used";
    admin.query_one(sql, &[&tenant, &from, &to]).await?.try_get(0)
}

/// Takes all usage of the tenant away.
pub async fn remove(admin: &Client, tenant: Uuid) -> Result<(), Error> {
    for table in [
        "usage_dimension_day_rollups",
        "usage_dimension_rollups",
        "usage_day_rollups",
        "usage_user_totals",
        "usage_hour_totals",
        "usage_rollups",
        "tenant_usage",
        "usage_counters",
        "usage_segments",
        "usage_periods",
    ] {
        admin.execute(&format!("delete from tenantry.{table} where tenant_id = $1"), &[&tenant]).await?;
    }
    Ok(())
}
