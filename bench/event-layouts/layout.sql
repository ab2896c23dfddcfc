-- One layout in a schema of its own.
-- Variables: schema; layout (a, a2, b, b2); filled (0 or 1); ordered (0 or 1).
\set ON_ERROR_STOP 1
select :'layout' in ('a', 'a2') as one_table, :'layout' in ('a2', 'b2') as hashed, :filled = 1 as filled, :ordered = 1 as ordered \gset
create schema :schema;
grant usage on schema :schema to bench_service;
set search_path = :schema;
-- Filling: indexes are built afterwards; a key index that grew by random keys is about 70 % full.
\if :ordered
\set key_fill 90
\set seed_key key_ordered
\else
\set key_fill 70
\set seed_key key_random
\endif

create table usage_counters (
    tenant_id uuid, metric text, period_start timestamptz, hard_limit numeric, total numeric not null default 0,
    event_count bigint not null default 0,
    primary key (tenant_id, metric, period_start)
) with (fillfactor = 50);
insert into usage_counters
select id, metric, date_trunc('month', now()), 1e15 from bench.tenants, (values ('context_tokens'), ('generated_tokens')) m (metric);

create table usage_rollups (
    tenant_id uuid, metric text, period_start timestamptz, hour timestamptz, user_id uuid,
    amount numeric not null, event_count bigint not null,
    primary key (tenant_id, metric, period_start, hour, user_id)
) with (fillfactor = 70);

\if :one_table
create table tenant_usage (
    tenant_id uuid not null, id uuid not null, user_id uuid, metric text not null, amount numeric not null,
    occurred_at timestamptz not null, period_start timestamptz not null, period_end timestamptz not null,
    kind text not null default 'usage', idempotency_key text not null collate "C", metadata jsonb not null,
    created_at timestamptz not null, timestamp_given boolean not null default true,
    reversed_by text collate "C"
);
    \if :hashed
    alter table tenant_usage add column key_hash uuid not null;
    \endif
\else
create table tenant_usage (
    tenant_id uuid not null, id uuid not null, user_id uuid, metric text not null, amount numeric not null,
    occurred_at timestamptz not null, period_start timestamptz not null, period_end timestamptz not null,
    kind text not null default 'usage', idempotency_key text not null collate "C", metadata jsonb not null,
    created_at timestamptz not null
) partition by range (occurred_at);
select format('create table tenant_usage_%s partition of tenant_usage for values from (%L) to (%L)',
              to_char(m, 'YYYY_MM'), m, m + interval '1 month')
from generate_series(date_trunc('month', now()) - interval '4 months', date_trunc('month', now()), interval '1 month') m
\gexec
    \if :hashed
    create table usage_keys (
        tenant_id uuid not null, key_hash uuid not null, content_hash uuid not null, occurred_at timestamptz not null,
        timestamp_given boolean not null default true, reversed_by uuid);
    \else
    create table usage_keys (
        tenant_id uuid not null, idempotency_key text not null collate "C", content_hash uuid not null,
        occurred_at timestamptz not null, timestamp_given boolean not null default true, reversed_by text collate "C");
    \endif
\endif

\if :filled
    \if :one_table
        \if :hashed
        insert into tenant_usage (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, idempotency_key, metadata, created_at, key_hash)
        select tenant_id, id, user_id, metric, amount, occurred_at, date_trunc('month', occurred_at),
               date_trunc('month', occurred_at) + interval '1 month', :seed_key, metadata, occurred_at, hash from bench.seed;
        \else
        insert into tenant_usage (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, idempotency_key, metadata, created_at)
        select tenant_id, id, user_id, metric, amount, occurred_at, date_trunc('month', occurred_at),
               date_trunc('month', occurred_at) + interval '1 month', :seed_key, metadata, occurred_at from bench.seed;
        \endif
    \else
        insert into tenant_usage (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, idempotency_key, metadata, created_at)
        select tenant_id, id, user_id, metric, amount, occurred_at, date_trunc('month', occurred_at),
               date_trunc('month', occurred_at) + interval '1 month', :seed_key, metadata, occurred_at from bench.seed;
        \if :hashed
        insert into usage_keys (tenant_id, key_hash, content_hash, occurred_at) select tenant_id, hash, content, occurred_at from bench.seed;
        \else
        insert into usage_keys (tenant_id, idempotency_key, content_hash, occurred_at) select tenant_id, :seed_key, content, occurred_at from bench.seed;
        \endif
    \endif
\endif

select case when :'one_table' then 'tenant_usage' else 'usage_keys' end as key_table,
       case when :'hashed' then 'key_hash' else 'idempotency_key' end as key_column \gset
alter table :key_table add constraint once primary key (tenant_id, :key_column) with (fillfactor = :key_fill);
alter index once reset (fillfactor);
create index tenant_usage_by_metric on tenant_usage (tenant_id, metric, occurred_at) with (fillfactor = 80);

-- Row security, forced, under a role that owns nothing. No grant on partitions.
select format('alter table %I.%I enable row level security', :'schema', relname),
       format('alter table %I.%I force row level security', :'schema', relname)
from pg_class where relnamespace = :'schema'::regnamespace and relkind in ('r', 'p')
\gexec
select format($p$create policy opened_tenants on %I for all to bench_service
    using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
    with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))$p$, relname)
from pg_class where relnamespace = :'schema'::regnamespace and relkind in ('r', 'p') and not relispartition
\gexec
select format('grant select, insert on %I to bench_service', relname)
from pg_class where relnamespace = :'schema'::regnamespace and relkind in ('r', 'p') and not relispartition
\gexec
grant update (total, event_count) on usage_counters to bench_service;
grant update (amount, event_count) on usage_rollups to bench_service;

-- One group commit: events first, sums in the program, rollups, counters last. The statements stand as a
-- client would send them; a batch here has no duplicates, so a key that does not come back is a fault.
\if :one_table
    \if :hashed
create function insert_events(b bench.arrays, month_start timestamptz) returns int language plpgsql as $$
declare accepted uuid[];
begin
    with ins as (
        insert into tenant_usage (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, idempotency_key, metadata, created_at, key_hash)
        select tenant, id, usr, metric, amount, at, month_start, month_start + interval '1 month', key, metadata, now(), hash
        from unnest(b.tenant, b.id, b.usr, b.metric, b.amount, b.at, b.key, b.metadata, b.hash)
             as e (tenant, id, usr, metric, amount, at, key, metadata, hash)
        on conflict do nothing returning key_hash
    ) select array_agg(key_hash) into accepted from ins;
    return array_length(accepted, 1);
end $$;
    \else
create function insert_events(b bench.arrays, month_start timestamptz) returns int language plpgsql as $$
declare accepted text[];
begin
    with ins as (
        insert into tenant_usage (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, idempotency_key, metadata, created_at)
        select tenant, id, usr, metric, amount, at, month_start, month_start + interval '1 month', key, metadata, now()
        from unnest(b.tenant, b.id, b.usr, b.metric, b.amount, b.at, b.key, b.metadata)
             as e (tenant, id, usr, metric, amount, at, key, metadata)
        on conflict do nothing returning idempotency_key
    ) select array_agg(idempotency_key) into accepted from ins;
    return array_length(accepted, 1);
end $$;
    \endif
\else
    \if :hashed
create function insert_events(b bench.arrays, month_start timestamptz) returns int language plpgsql as $$
declare accepted uuid[];
begin
    with ins as (
        insert into usage_keys (tenant_id, key_hash, content_hash, occurred_at)
        select tenant, hash, content, at from unnest(b.tenant, b.hash, b.content, b.at) as e (tenant, hash, content, at)
        on conflict do nothing returning key_hash
    ) select array_agg(key_hash) into accepted from ins;
    insert into tenant_usage (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, idempotency_key, metadata, created_at)
    select tenant, id, usr, metric, amount, at, month_start, month_start + interval '1 month', key, metadata, now()
    from unnest(b.tenant, b.id, b.usr, b.metric, b.amount, b.at, b.key, b.metadata)
         as e (tenant, id, usr, metric, amount, at, key, metadata);
    return array_length(accepted, 1);
end $$;
    \else
create function insert_events(b bench.arrays, month_start timestamptz) returns int language plpgsql as $$
declare accepted text[];
begin
    with ins as (
        insert into usage_keys (tenant_id, idempotency_key, content_hash, occurred_at)
        select tenant, key, content, at from unnest(b.tenant, b.key, b.content, b.at) as e (tenant, key, content, at)
        on conflict do nothing returning idempotency_key
    ) select array_agg(idempotency_key) into accepted from ins;
    insert into tenant_usage (tenant_id, id, user_id, metric, amount, occurred_at, period_start, period_end, idempotency_key, metadata, created_at)
    select tenant, id, usr, metric, amount, at, month_start, month_start + interval '1 month', key, metadata, now()
    from unnest(b.tenant, b.id, b.usr, b.metric, b.amount, b.at, b.key, b.metadata)
         as e (tenant, id, usr, metric, amount, at, key, metadata);
    return array_length(accepted, 1);
end $$;
    \endif
\endif

create function ingest(client int, tenant_count int, each_tenant_once boolean, ordered boolean, by_hash boolean)
returns void language plpgsql as $$
declare
    b bench.arrays := bench.batch(client, 1000, tenant_count, each_tenant_once, ordered, by_hash);
    month_start timestamptz := date_trunc('month', now());
    r_tenant uuid[]; r_metric text[]; r_hour timestamptz[]; r_user uuid[]; r_amount numeric[]; r_count bigint[];
    c_tenant uuid[]; c_metric text[]; c_amount numeric[]; c_count bigint[];
    touched bigint;
begin
    perform set_config('app.tenants', b.tenants, true);

    if insert_events(b, month_start) is distinct from array_length(b.key, 1) then
        raise exception 'a batch of fresh keys met a duplicate';
    end if;

    select array_agg(s.tenant), array_agg(s.metric), array_agg(s.hour), array_agg(s.usr), array_agg(s.amount), array_agg(s.n)
    into r_tenant, r_metric, r_hour, r_user, r_amount, r_count
    from (select e.tenant, e.metric, date_trunc('hour', e.at) as hour, e.usr, sum(e.amount) as amount, count(*) as n
          from unnest(b.tenant, b.metric, b.at, b.usr, b.amount) as e (tenant, metric, at, usr, amount)
          group by 1, 2, 3, 4 order by 1, 2, 3, 4) s;
    select array_agg(s.tenant), array_agg(s.metric), array_agg(s.amount), array_agg(s.n)
    into c_tenant, c_metric, c_amount, c_count
    from (select e.tenant, e.metric, sum(e.amount) as amount, sum(e.n)::bigint as n
          from unnest(r_tenant, r_metric, r_amount, r_count) as e (tenant, metric, amount, n)
          group by 1, 2 order by 1, 2) s;

    insert into usage_rollups as r (tenant_id, metric, period_start, hour, user_id, amount, event_count)
    select tenant, metric, month_start, hour, usr, amount, n
    from unnest(r_tenant, r_metric, r_hour, r_user, r_amount, r_count) as e (tenant, metric, hour, usr, amount, n)
    on conflict (tenant_id, metric, period_start, hour, user_id) do update
    set amount = r.amount + excluded.amount, event_count = r.event_count + excluded.event_count;

    update usage_counters c set total = c.total + d.amount, event_count = c.event_count + d.n
    from unnest(c_tenant, c_metric, c_amount, c_count) as d (tenant, metric, amount, n)
    where c.tenant_id = d.tenant and c.metric = d.metric and c.period_start = month_start
      and c.total + d.amount <= c.hard_limit;
    get diagnostics touched = row_count;
    if touched <> array_length(c_tenant, 1) then
        raise exception 'a counter did not take its events';
    end if;
end
$$;
