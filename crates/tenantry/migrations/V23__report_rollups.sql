-- Reports that stay fast: sums of whole days, and sums by what events say of themselves.
--
--   usage_day_rollups             sums of usage_rollups by UTC day and user
--   usage_user_totals             sums of those by user, for whole periods
--   usage_hour_totals             sums of usage_rollups by UTC hour, of all users
--   usage_dimensions              which members of metadata each metric is summed by
--   usage_dimension_rollups       sums of events by UTC hour and value of a dimension
--   usage_dimension_day_rollups   sums of those by UTC day
--
-- What of a counter's events stands in them is a matter of its row, so that who holds its lock knows for sure: days
-- hold all hours before folded_until and none after it; dimensions hold all events from dimensions_since on.

alter table tenantry.usage_counters
    add column rollups_version integer not null default 0,
    add column folded_until timestamptz not null default '2000-01-01T00:00:00Z',
    add column dimensions text[],
    add column dimensions_since timestamptz,
    add column dimensions_pending boolean not null default false,
    add constraint usage_counters_dimensions check (
        (dimensions is null) = (dimensions_since is null) and (dimensions is not null or not dimensions_pending)
    );
comment on column tenantry.usage_counters.rollups_version is
    'Goes up with every change of the columns below, so that who read them can tell under the lock whether they still hold.';
comment on column tenantry.usage_counters.folded_until is
    'A whole UTC hour: sums of the hours before it are in usage_day_rollups too, and late events go into both. From 2000 on there is usage: none is folded.';
comment on column tenantry.usage_counters.dimensions is 'Members of metadata that its events are summed by, in order; NULL is none.';
comment on column tenantry.usage_counters.dimensions_since is
    'A whole UTC hour: events from it on are summed by the dimensions, earlier ones not (yet). 2000 is all, 2101 none.';
comment on column tenantry.usage_counters.dimensions_pending is 'Earlier events are still to be summed.';
-- Counters with days to fold are few: those of running periods.
create index usage_counters_unfolded on tenantry.usage_counters (tenant_id, folded_until) where folded_until < period_end;

create table tenantry.usage_day_rollups (
    tenant_id     uuid not null,
    metric        text not null,
    period_start  timestamptz not null,
    day           timestamptz not null,
    user_id       uuid not null,
    amount        numeric not null,
    event_count   bigint not null,
    -- Reports read the index alone. Rows are hardly ever changed, so that it costs nothing to keep sums in it.
    primary key (tenant_id, metric, period_start, day, user_id) include (amount, event_count)
);
comment on table tenantry.usage_day_rollups is
    'Sums of usage_rollups by UTC day and user, as far as the counter''s folded_until. Written under the counter''s lock.';
comment on column tenantry.usage_day_rollups.day is 'First instant of the UTC day; a day that two periods share has a row in each.';

create table tenantry.usage_user_totals (
    tenant_id     uuid not null,
    metric        text not null,
    period_start  timestamptz not null,
    user_id       uuid not null,
    amount        numeric not null,
    event_count   bigint not null,
    primary key (tenant_id, metric, period_start, user_id)
) with (fillfactor = 70);
comment on table tenantry.usage_user_totals is
    'Sums of all rows of usage_day_rollups of a period by user: most of a period is all of it less some days.';

create table tenantry.usage_hour_totals (
    tenant_id     uuid not null,
    metric        text not null,
    period_start  timestamptz not null,
    hour          timestamptz not null,
    amount        numeric not null,
    event_count   bigint not null,
    primary key (tenant_id, metric, period_start, hour) include (amount, event_count)
);
comment on table tenantry.usage_hour_totals is
    'Sums of usage_rollups by UTC hour, as far as the counter''s folded_until: they are not written with events of today.';

create table tenantry.usage_dimensions (
    metric   text primary key,
    names    text[] not null,
    version  integer not null default 1,
    settled  boolean not null default false
);
comment on table tenantry.usage_dimensions is 'What the catalog that was loaded last says; a metric that has no dimensions any more has an empty list.';
comment on column tenantry.usage_dimensions.settled is 'All counters of the metric are summed by these names.';

create table tenantry.usage_dimension_rollups (
    tenant_id     uuid not null,
    metric        text not null,
    period_start  timestamptz not null,
    dimension     text not null collate "C",
    hour          timestamptz not null,
    value         text not null collate "C",
    amount        numeric not null,
    event_count   bigint not null,
    primary key (tenant_id, metric, period_start, dimension, hour, value)
) with (fillfactor = 70);
comment on table tenantry.usage_dimension_rollups is
    'Sums of tenant_usage by UTC hour and value, from the counter''s dimensions_since on. A correction counts under the values of what it takes back.';
comment on column tenantry.usage_dimension_rollups.value is
    'The first 128 characters of a text, number or truth value; empty where metadata has none of these.';

create table tenantry.usage_dimension_day_rollups (
    tenant_id     uuid not null,
    metric        text not null,
    period_start  timestamptz not null,
    dimension     text not null collate "C",
    day           timestamptz not null,
    value         text not null collate "C",
    amount        numeric not null,
    event_count   bigint not null,
    primary key (tenant_id, metric, period_start, dimension, day, value) include (amount, event_count)
);
comment on table tenantry.usage_dimension_day_rollups is
    'Sums of usage_dimension_rollups by UTC day, as far as the counter''s folded_until.';

-- ---------------------------------------------------------------- row security and privileges

do $$
declare
    usage_table text;
begin
    foreach usage_table in array array[
        'usage_day_rollups', 'usage_user_totals', 'usage_hour_totals', 'usage_dimension_rollups',
        'usage_dimension_day_rollups'
    ] loop
        execute format('alter table tenantry.%I enable row level security', usage_table);
        execute format('alter table tenantry.%I force row level security', usage_table);
        execute format($policy$
            create policy member_reads on tenantry.%I for select to tenantry_user
            using (tenant_id = any (array(select tenantry.visible_tenants())))
        $policy$, usage_table);
        execute format($policy$
            create policy active_tenant on tenantry.%I as restrictive for select to tenantry_user
            using (
                (select nullif(current_setting('app.tenant_id', true), '')) is null
                or tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid)
            )
        $policy$, usage_table);
        execute format($policy$
            create policy opened_tenants on tenantry.%I for all to tenantry_service
            using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
        $policy$, usage_table);
        execute format('grant select on tenantry.%I to tenantry_user', usage_table);
        execute format('grant select, insert, update (amount, event_count), delete on tenantry.%I to tenantry_service', usage_table);
    end loop;
end
$$;

-- The same policy as elsewhere, asked once and not for each of the many rows that a report sums.
alter policy active_tenant on tenantry.usage_rollups using (
    (select nullif(current_setting('app.tenant_id', true), '')) is null
    or tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid)
);

alter table tenantry.usage_dimensions enable row level security;
alter table tenantry.usage_dimensions force row level security;
-- The catalog's (reason: it belongs to no tenant).
create policy any_caller_reads on tenantry.usage_dimensions for select to tenantry_user
    using ((select tenantry.current_user_id()) is not null or (select tenantry.current_key_id()) is not null);
create policy lookup on tenantry.usage_dimensions for all to tenantry_service using (true) with check (true);
grant select on tenantry.usage_dimensions to tenantry_user;
grant select, insert, update (names, version, settled) on tenantry.usage_dimensions to tenantry_service;

grant update (rollups_version, folded_until, dimensions, dimensions_since, dimensions_pending) on tenantry.usage_counters to tenantry_service;
