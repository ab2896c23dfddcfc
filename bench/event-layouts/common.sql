-- Roles, the batch generator and the seed that every layout is filled from.
-- Variables: seed_rows.
\set ON_ERROR_STOP 1
create role bench_service login;
create schema bench;
grant usage on schema bench to bench_service;

-- The tenants; ids are spread at random, as neighbours in time are not neighbours in the key.
create table bench.tenants (i int primary key, id uuid not null);
insert into bench.tenants select i, md5('tenant ' || i)::uuid from generate_series(0, 9999) i;

-- One client's batch, as the arrays that a program would send, sorted by (tenant, key).
--   tenant_count     events are spread over this many tenants at random
--   each_tenant_once instead: event n goes to tenant n (as many distinct tenants as events, at most 10,000)
--   ordered          keys grow with time per connection; else random. 36 characters both
--   by_hash          sorted by the 16-byte hash of the key instead of the key
create type bench.arrays as (
    tenant uuid[], key text[], hash uuid[], content uuid[], id uuid[], usr uuid[], metric text[], amount numeric[],
    at timestamptz[], metadata jsonb[], tenants text
);
create function bench.batch(client int, size int, tenant_count int, each_tenant_once boolean, ordered boolean, by_hash boolean)
returns bench.arrays language plpgsql as $$
declare
    now_us bigint := (extract(epoch from clock_timestamp()) * 1000000)::bigint;
    now_ms text := lpad(to_hex(now_us / 1000), 12, '0');
    month_start timestamptz := date_trunc('month', now());
    b bench.arrays;
begin
    with raw as (
        select n,
               case when each_tenant_once then n % 10000 else floor(random() * tenant_count)::int end as t,
               gen_random_uuid() as hash, gen_random_uuid() as content, gen_random_uuid()::text as chance,
               floor(random() * 10)::int as u, floor(random() * 2)::int as m,
               (1 + floor(random() * 5000))::numeric / 10 as amount,
               greatest(month_start, now() - random() * interval '1 hour') as at
        from generate_series(0, size - 1) n
    ), named as (
        select t.id as tenant,
               case when ordered
                    then 'event-' || lpad(client::text, 4, '0') || '-' || lpad(now_us::text, 19, '0') || '-' || lpad(n::text, 5, '0')
                    else overlay(chance placing '4' from 15 for 1) end as key,
               r.hash, r.content, (now_ms || '7' || substr(replace(chance, '-', ''), 14))::uuid as id,
               md5(t.i || ':' || u)::uuid as usr,
               case m when 0 then 'context_tokens' else 'generated_tokens' end as metric,
               r.amount, r.at,
               jsonb_build_object('organizationId', t.id, 'userRole', 'member', 'trace', n) as metadata
        from raw r join bench.tenants t on t.i = r.t
        order by t.id, case when by_hash then r.hash end,
                 case when ordered then lpad(n::text, 5, '0') else chance end collate "C"
    )
    select array_agg(s.tenant), array_agg(s.key), array_agg(s.hash), array_agg(s.content), array_agg(s.id),
           array_agg(s.usr), array_agg(s.metric), array_agg(s.amount), array_agg(s.at), array_agg(s.metadata),
           string_agg(distinct s.tenant::text, ',')
    into b
    from named s;
    return b;
end
$$;

-- The generator alone: what every figure contains beside the work itself.
create function bench.generate(client int, tenant_count int) returns int language plpgsql as $$
declare b bench.arrays := bench.batch(client, 1000, tenant_count, false, false, false);
begin
    return array_length(b.key, 1);
end
$$;

-- Earlier events of 10,000 tenants in equal parts over five months, the last of them the current one
-- up to an hour ago. Rows are in order of time.
create unlogged table bench.seed as
select t.id as tenant_id, s.key_random, s.key_ordered, s.hash, s.content,
       (lpad(to_hex((extract(epoch from s.at) * 1000)::bigint), 12, '0') || '7' || substr(md5(s.n::text), 14))::uuid as id,
       md5(t.i || ':' || (s.n % 10))::uuid as user_id,
       case s.n % 2 when 0 then 'context_tokens' else 'generated_tokens' end as metric,
       (1 + s.n % 5000)::numeric / 10 as amount, s.at as occurred_at,
       jsonb_build_object('organizationId', t.id, 'userRole', 'member', 'trace', s.n % 1000) as metadata
from (
    select n, floor(random() * 10000)::int as t, gen_random_uuid() as hash, gen_random_uuid() as content,
           gen_random_uuid()::text as key_random,
           'event-' || lpad((n % 2)::text, 4, '0') || '-' || lpad(((extract(epoch from at) * 1000000)::bigint)::text, 19, '0')
               || '-' || lpad((n % 100000)::text, 5, '0') as key_ordered,
           at
    from (
        select n, m.month_start + (n % m.per_month) / m.per_month::float8 * m.length as at
        from generate_series(0, :seed_rows - 1) n
        cross join lateral (
            select :seed_rows / 5 as per_month,
                   date_trunc('month', now()) - (4 - n / (:seed_rows / 5)) * interval '1 month' as month_start
        ) a
        cross join lateral (
            select a.per_month, a.month_start,
                   case when n / (:seed_rows / 5) = 4
                        then greatest(now() - interval '1 hour' - a.month_start, interval '1 second')
                        else interval '28 days' end as length
        ) m
    ) timed
) s
join bench.tenants t on t.i = s.t;
grant select on bench.tenants to bench_service;
