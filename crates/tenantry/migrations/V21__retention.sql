-- Usage events that are old leave, month by month; what they came to stays.
--
--   usage_archive_parts   for each tenant and month: what left, and into which file
--   usage_archives        the sums that the events had, so that the books can still be proven
--   retention_runs        who is at it, and when it was last done
--
-- A month leaves in three steps, each of which can be done again after a crash: every tenant's part is staged (its file
-- is durable by then); in one transaction the partition is detached and the staged sums begin to count; the detached
-- table is compared with them once more and dropped.

create table tenantry.usage_archive_parts (
    tenant_id    uuid not null,
    month        timestamptz not null,
    part         integer not null,
    state        text not null default 'staged',
    event_count  bigint not null,
    first_at     timestamptz,
    last_at      timestamptz,
    file_name    text,
    digest       bytea,
    mark         text not null,
    sums         jsonb,
    created_at   timestamptz not null,
    primary key (tenant_id, month, part),
    constraint usage_archive_parts_state check (state in ('staged', 'archived')),
    constraint usage_archive_parts_part check (part > 0),
    constraint usage_archive_parts_month check (month = date_trunc('month', month, 'UTC')),
    constraint usage_archive_parts_file check ((file_name is null) = (digest is null))
);
comment on table tenantry.usage_archive_parts is
    'What left of a tenant''s month. A staged row says nothing yet: its events are still in tenant_usage.';
comment on column tenantry.usage_archive_parts.month is 'First instant of the month, in UTC, in which the events happened.';
comment on column tenantry.usage_archive_parts.part is
    'Counts from 1. A further one where events of the month came after it had left, and left in their turn.';
comment on column tenantry.usage_archive_parts.file_name is 'Below the archive folder; NULL where the events were not kept.';
comment on column tenantry.usage_archive_parts.digest is 'SHA-256 of the file''s lines before they were compressed.';
comment on column tenantry.usage_archive_parts.mark is
    'tenantry.usage_marks when the events were read: while it is the same, so are the events.';
comment on column tenantry.usage_archive_parts.sums is 'What becomes usage_archives; NULL from then on.';

create table tenantry.usage_archives (
    tenant_id       uuid not null,
    metric          text not null,
    period_start    timestamptz not null,
    month           timestamptz not null,
    part            integer not null,
    sequence        integer not null,
    amount          numeric not null,
    event_count     bigint not null,
    reversal_count  bigint not null,
    primary key (tenant_id, metric, period_start, month, part, sequence),
    foreign key (tenant_id, month, part) references tenantry.usage_archive_parts (tenant_id, month, part)
);
comment on table tenantry.usage_archives is
    'Sums of the events that left: with the events that are there they are what counters, rollups, keys and segments say.';
comment on column tenantry.usage_archives.sequence is 'The segment of the period in which the events lay.';
comment on column tenantry.usage_archives.event_count is 'Events and reversals; reversal_count are the latter.';

create table tenantry.retention_runs (
    name         text primary key,
    lease_token  uuid,
    lease_until  timestamptz,
    finished_at  timestamptz
);
comment on table tenantry.retention_runs is 'Which process lets old usage leave, so that replicas do it once a day.';

-- ---------------------------------------------------------------- what the events of a month rest on

-- One mark for each of these tenants with a counter whose period touches the month. Whatever is recorded, corrected or
-- moved there changes a counter in the same transaction, and segments say where amounts belong.
create function tenantry.usage_marks(month timestamptz, tenants uuid[]) returns table (tenant_id uuid, mark text)
    language sql stable
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
as $$
    with counters as (
        select c.tenant_id,
               string_agg(format('%s %s %s %s %s', c.period_start, c.period_end, c.event_count, c.total, c.metric),
                          E'\n' order by c.period_start, c.metric) as lines
        from tenantry.usage_counters c
        where c.tenant_id = any ($2) and c.period_start < $1 + interval '1 month' and c.period_end > $1
        group by c.tenant_id
    ), segments as (
        select s.tenant_id,
               string_agg(format('%s %s %s', s.period_start, s.sequence, s.started_at),
                          E'\n' order by s.period_start, s.sequence) as lines
        from tenantry.usage_segments s
        join tenantry.usage_periods p on p.tenant_id = s.tenant_id and p.period_start = s.period_start
        where s.tenant_id = any ($2) and p.period_start < $1 + interval '1 month' and p.period_end > $1
        group by s.tenant_id
    )
    select c.tenant_id, encode(sha256(convert_to(concat(c.lines, E'\n\n', s.lines), 'UTF8')), 'hex')
    from counters c left join segments s on s.tenant_id = c.tenant_id
$$;
revoke all on function tenantry.usage_marks(timestamptz, uuid[]) from public;
grant execute on function tenantry.usage_marks(timestamptz, uuid[]) to tenantry_service;

-- ---------------------------------------------------------------- row security and privileges

do $$
declare
    archive_table text;
begin
    foreach archive_table in array array['usage_archive_parts', 'usage_archives'] loop
        execute format('alter table tenantry.%I enable row level security', archive_table);
        execute format('alter table tenantry.%I force row level security', archive_table);
        execute format($policy$
            create policy member_reads on tenantry.%I for select to tenantry_user
            using (tenant_id = any (array(select tenantry.visible_tenants())))
        $policy$, archive_table);
        execute format($policy$
            create policy active_tenant on tenantry.%I as restrictive for select to tenantry_user
            using (
                nullif(current_setting('app.tenant_id', true), '') is null
                or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
            )
        $policy$, archive_table);
        execute format($policy$
            create policy opened_tenants on tenantry.%I for all to tenantry_service
            using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
        $policy$, archive_table);
        -- The functions below are the owner's, and what leaves is the month of all tenants.
        execute format('create policy retention on tenantry.%I for all to tenantry_owner using (true) with check (true)', archive_table);
        execute format('grant select on tenantry.%I to tenantry_user, tenantry_service', archive_table);
    end loop;
end
$$;
-- Sums are written by detach_usage_month and by nobody else.
grant insert on tenantry.usage_archive_parts to tenantry_service;
grant update (event_count, first_at, last_at, file_name, digest, mark, sums, created_at)
    on tenantry.usage_archive_parts to tenantry_service;

create policy retention on tenantry.usage_periods for select to tenantry_owner using (true);
create policy retention on tenantry.usage_segments for select to tenantry_owner using (true);
create policy retention on tenantry.usage_counters for select to tenantry_owner using (true);

alter table tenantry.retention_runs enable row level security;
alter table tenantry.retention_runs force row level security;
create policy lookup on tenantry.retention_runs for all to tenantry_service using (true) with check (true);
grant select, insert on tenantry.retention_runs to tenantry_service;
grant update (lease_token, lease_until, finished_at) on tenantry.retention_runs to tenantry_service;

-- ---------------------------------------------------------------- how a month leaves

-- Which part is next, and why the month cannot leave; NULL where it can. Definer: a month is everybody's.
create function tenantry.inspect_usage_month(month timestamptz, out part integer, out obstacle text)
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
as $$
declare
    many bigint;
    first_open timestamptz;
begin
    if $1 is null or $1 <> date_trunc('month', $1) then
        raise exception '% is not the beginning of a month', $1 using errcode = 'invalid_parameter_value';
    end if;
    select coalesce(max(a.part), 0) + 1 into part
    from tenantry.usage_archive_parts a where a.month = $1 and a.state = 'archived';
    select count(*), min(p.period_start) into many, first_open
    from tenantry.usage_periods p
    where p.period_start < $1 + interval '1 month' and p.period_end > $1 and p.state <> 'closed' and not p.historic;
    if many > 0 then
        obstacle := format('%s of the periods that touch it are not closed yet, the first from %s', many, first_open);
        return;
    end if;
    -- What else than a sum a counter is can only be told from its events.
    select count(*) into many
    from tenantry.usage_counters c
    where c.period_start < $1 + interval '1 month' and c.period_end > $1 and c.aggregation <> 'sum';
    if many > 0 then
        obstacle := format('%s of its counters are no sums, so that a late event could not be counted without the others', many);
    end if;
end
$$;
revoke all on function tenantry.inspect_usage_month(timestamptz) from public;
grant execute on function tenantry.inspect_usage_month(timestamptz) to tenantry_service;

-- Lets a month leave. Gives the tenants that are not staged as they are now, a thousand at most, and does nothing where
-- there are any. Definer: only the owner may take a table out. It takes what ingest waits behind last and for an instant;
-- the caller sets lock_timeout.
create function tenantry.detach_usage_month(month timestamptz) returns setof uuid
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
as $$
declare
    child text := 'tenant_usage_' || to_char($1, 'YYYY_MM');
    next_part integer;
    obstacle text;
    tenants uuid[];
    leaving text;
begin
    perform pg_advisory_xact_lock(hashtext('tenantry.ensure_usage_month'));
    if not exists (select from pg_inherits where inhrelid = to_regclass('tenantry.' || child)
                   and inhparent = 'tenantry.tenant_usage'::regclass) then
        raise exception 'there is no month % of usage', $1 using errcode = 'undefined_table';
    end if;
    -- From here on nothing is recorded in this month. Everything else goes on.
    execute format('lock table tenantry.%I in share mode', child);
    select i.part, i.obstacle into next_part, obstacle from tenantry.inspect_usage_month($1) i;
    if obstacle is not null then
        raise exception 'usage of % stays: %', $1, obstacle using errcode = 'object_not_in_prerequisite_state';
    end if;
    -- Whoever stages at the same time waits, and then finds that the month has left.
    perform from tenantry.usage_archive_parts a
    where a.month = $1 and a.state = 'staged' order by a.tenant_id, a.part for update;
    select array_agg(distinct c.tenant_id) into tenants
    from tenantry.usage_counters c
    where c.period_start < $1 + interval '1 month' and c.period_end > $1;
    return query
        select m.tenant_id from tenantry.usage_marks($1, tenants) m
        where not exists (
            select from tenantry.usage_archive_parts a
            where a.tenant_id = m.tenant_id and a.month = $1 and a.part = next_part and a.state = 'staged' and a.mark = m.mark)
        limit 1000;
    if found then
        return;
    end if;
    -- Nothing left of it, or a run that was broken off.
    delete from tenantry.usage_archive_parts a
    where a.month = $1 and a.state = 'staged' and (a.event_count = 0 or a.part <> next_part);
    insert into tenantry.usage_archives
        (tenant_id, metric, period_start, month, part, sequence, amount, event_count, reversal_count)
    select a.tenant_id, s.metric, s.period_start, a.month, a.part, s.sequence, s.amount, s.event_count, s.reversal_count
    from tenantry.usage_archive_parts a
    cross join lateral jsonb_to_recordset(a.sums) as s (
        metric text, period_start timestamptz, sequence integer, amount numeric, event_count bigint, reversal_count bigint)
    where a.month = $1 and a.part = next_part and a.state = 'staged';
    update tenantry.usage_archive_parts a set state = 'archived', sums = null
    where a.month = $1 and a.part = next_part and a.state = 'staged';
    leaving := format('usage_detached_%s_%s', to_char($1, 'YYYY_MM'), next_part);
    execute format('alter table tenantry.tenant_usage detach partition tenantry.%I', child);
    execute format('alter table tenantry.%I rename to %I', child, leaving);
    -- It keeps its forced row security, and nobody has a right on it. The owner compares it before it is dropped.
    execute format('create policy retention on tenantry.%I for select to tenantry_owner using (true)', leaving);
end
$$;
revoke all on function tenantry.detach_usage_month(timestamptz) from public;
grant execute on function tenantry.detach_usage_month(timestamptz) to tenantry_service;

-- Drops the table of a month that left, if it holds what was archived. Gives the first difference and keeps the table
-- where there is one; NULL where it is gone.
create function tenantry.drop_usage_month(month timestamptz, part integer) returns text
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
as $$
declare
    leaving text := format('usage_detached_%s_%s', to_char($1, 'YYYY_MM'), $2);
    difference text;
begin
    if to_regclass('tenantry.' || quote_ident(leaving)) is null then
        return null;
    end if;
    execute format($compare$
        with events as (
            select tenant_id, metric, period_start, sum(amount) as amount, count(*) as event_count,
                   count(*) filter (where kind = 'reversal') as reversal_count
            from tenantry.%I group by 1, 2, 3
        ), archived as (
            select tenant_id, metric, period_start, sum(amount) as amount, sum(event_count) as event_count,
                   sum(reversal_count) as reversal_count
            from tenantry.usage_archives where month = $1 and part = $2 group by 1, 2, 3
        )
        select format('%%s of tenant %%s in the period from %%s: archived %%s in %%s events, the table holds %%s in %%s events', metric,
                      tenant_id, period_start, coalesce(a.amount, 0), coalesce(a.event_count, 0), coalesce(e.amount, 0),
                      coalesce(e.event_count, 0))
        from events e full join archived a using (tenant_id, metric, period_start)
        where e.amount is distinct from a.amount or e.event_count is distinct from a.event_count
           or e.reversal_count is distinct from a.reversal_count
        limit 1
    $compare$, leaving) into difference using $1, $2;
    if difference is null then
        execute format('drop table tenantry.%I', leaving);
    end if;
    return difference;
end
$$;
revoke all on function tenantry.drop_usage_month(timestamptz, integer) from public;
grant execute on function tenantry.drop_usage_month(timestamptz, integer) to tenantry_service;
