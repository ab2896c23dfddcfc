-- What each tenant used. These tables grow without bound; what a later distribution by tenant_id needs
-- holds from here on: every key contains tenant_id, no foreign key leaves this family, no trigger.
--
--   usage_periods, usage_segments   when a tenant's months begin and end, and under which plan version
--   usage_counters                  the one row per (tenant, metric, period) that judges limits
--   usage_segment_amounts           what was used in segments that have ended
--   usage_keys                      every idempotency key ever accepted; never pruned
--   tenant_usage                    the events, by month; old months are detached
--   usage_rollups                   sums by hour and user, for reports
--   overage_charges                 what closed periods cost

create table tenantry.usage_periods (
    tenant_id     uuid not null,
    period_start  timestamptz not null,
    period_end    timestamptz not null,
    anchor        timestamptz not null,
    state         text not null default 'open',
    historic      boolean not null default false,
    closed_at     timestamptz,
    primary key (tenant_id, period_start),
    constraint usage_periods_bounds check (period_start < period_end),
    constraint usage_periods_state check (state in ('open', 'closing', 'closed'))
);
comment on table tenantry.usage_periods is
    'Half-open [period_start, period_end) in UTC; periods of a tenant never overlap. A row is made under the lock of the current subscription when the first event needs it.';
comment on column tenantry.usage_periods.anchor is 'The instant whose months these are; a day 29 to 31 comes back after a shorter month.';
comment on column tenantry.usage_periods.historic is 'Before the tenant was here: under the default plan, priced for display, never billed.';

create table tenantry.usage_segments (
    tenant_id              uuid not null,
    period_start           timestamptz not null,
    sequence               integer not null,
    started_at             timestamptz not null,
    plan_id                text not null,
    plan_version           integer not null,
    limits_plan_id         text not null,
    limits_plan_version    integer not null,
    primary key (tenant_id, period_start, sequence),
    foreign key (tenant_id, period_start) references tenantry.usage_periods (tenant_id, period_start),
    constraint usage_segments_sequence check (sequence >= 0)
);
comment on table tenantry.usage_segments is
    'A part of a period under one plan version, from started_at to the next segment (or the period''s end). An event counts in the segment that contains its timestamp.';
comment on column tenantry.usage_segments.limits_plan_id is
    'Whose limits apply: the same plan, or the default one while a payment is overdue beyond its grace. Pricing stays with plan_id.';

create table tenantry.usage_counters (
    tenant_id         uuid not null,
    metric            text not null,
    period_start      timestamptz not null,
    period_end        timestamptz not null,
    segment_sequence  integer not null,
    segment_start     timestamptz not null,
    closed            boolean not null default false,
    in_plan           boolean not null,
    included          numeric,
    hard_limit        numeric,
    total             numeric not null default 0,
    event_count       bigint not null default 0,
    refused_count     bigint not null default 0,
    primary key (tenant_id, metric, period_start),
    foreign key (tenant_id, period_start) references tenantry.usage_periods (tenant_id, period_start)
) with (fillfactor = 50);
comment on table tenantry.usage_counters is
    'The judge of limits. Locked row by row; everything that changes a limit, a segment or a period''s bounds changes these rows under the same locks.';
comment on column tenantry.usage_counters.segment_sequence is 'The current segment: events before segment_start also correct usage_segment_amounts.';
comment on column tenantry.usage_counters.included is 'Quantity in the plan for the period; NULL is unlimited.';
comment on column tenantry.usage_counters.hard_limit is 'No accepted event takes total above it; NULL is none. A metric that the plan does not name has 0.';
comment on column tenantry.usage_counters.event_count is 'Accepted events and reversals.';

create table tenantry.usage_segment_amounts (
    tenant_id     uuid not null,
    metric        text not null,
    period_start  timestamptz not null,
    sequence      integer not null,
    amount        numeric not null,
    primary key (tenant_id, metric, period_start, sequence),
    foreign key (tenant_id, metric, period_start) references tenantry.usage_counters (tenant_id, metric, period_start)
);
comment on table tenantry.usage_segment_amounts is
    'Used in segments that have ended; the current one has the counter''s total less these.';

create table tenantry.usage_keys (
    tenant_id        uuid not null,
    idempotency_key  text not null collate "C",
    content_hash     uuid not null,
    occurred_at      timestamptz not null,
    timestamp_given  boolean not null,
    reversed_by      text collate "C",
    primary key (tenant_id, idempotency_key),
    constraint usage_keys_key_length check (octet_length(idempotency_key) between 1 and 255)
);
comment on table tenantry.usage_keys is 'An event counts once for the tenant''s life: this table is never pruned.';
comment on column tenantry.usage_keys.content_hash is
    'First 16 bytes of SHA-256 over kind, metric and amount (or the reversed key): the same key with other content is a conflict.';
comment on column tenantry.usage_keys.timestamp_given is 'A timestamp that the server set is not compared when the key is sent again.';
comment on column tenantry.usage_keys.reversed_by is 'Key of the correction that took this event back; at most one.';

create table tenantry.tenant_usage (
    tenant_id        uuid not null,
    id               uuid not null,
    user_id          uuid,
    metric           text not null,
    amount           numeric not null,
    occurred_at      timestamptz not null,
    period_start     timestamptz not null,
    period_end       timestamptz not null,
    kind             text not null default 'usage',
    idempotency_key  text not null collate "C",
    reverses         text collate "C",
    metadata         jsonb not null,
    created_at       timestamptz not null,
    constraint tenant_usage_kind check (
        (kind = 'usage' and amount > 0 and reverses is null) or (kind = 'reversal' and amount < 0 and reverses is not null)
    ),
    constraint tenant_usage_scale check (scale(amount) <= 9)
) partition by range (occurred_at);
create index tenant_usage_by_metric on tenantry.tenant_usage (tenant_id, metric, occurred_at);
comment on table tenantry.tenant_usage is
    'Usage events. No unique index by design: usage_keys decides what counts once, so that a month can be detached.';
comment on column tenantry.tenant_usage.occurred_at is 'The event''s timestamp, UTC, microseconds; created_at is when it was answered.';

create table tenantry.usage_rollups (
    tenant_id     uuid not null,
    metric        text not null,
    period_start  timestamptz not null,
    hour          timestamptz not null,
    user_id       uuid not null,
    amount        numeric not null,
    event_count   bigint not null,
    primary key (tenant_id, metric, period_start, hour, user_id)
) with (fillfactor = 70);
comment on table tenantry.usage_rollups is 'Sums of tenant_usage by UTC hour and user, written in the transaction of the events under the counter''s lock.';
comment on column tenantry.usage_rollups.user_id is 'The nil UUID where an event names no user.';

create table tenantry.overage_charges (
    tenant_id             uuid not null,
    metric                text not null,
    billing_period_start  timestamptz not null,
    sequence              integer not null,
    id                    uuid not null,
    tenant_type           text not null,
    overage_amount        numeric not null,
    charge_amount_cents   bigint not null,
    currency              text not null,
    inputs                jsonb not null,
    state                 text not null default 'unbilled',
    created_at            timestamptz not null,
    primary key (tenant_id, metric, billing_period_start, sequence),
    foreign key (tenant_id, metric, billing_period_start)
        references tenantry.usage_counters (tenant_id, metric, period_start),
    constraint overage_charges_state check (state in ('unbilled', 'billed')),
    constraint overage_charges_currency check (currency ~ '^[a-z]{3}$'),
    constraint overage_charges_amount check (charge_amount_cents <> 0)
);
comment on table tenantry.overage_charges is
    'Sequence 0 is the closing of the period; later ones adjust it for late events and corrections. Their sum is round(price(total)).';
comment on column tenantry.overage_charges.charge_amount_cents is 'Minor units of currency; negative gives back.';
comment on column tenantry.overage_charges.overage_amount is 'Quantity above included at that moment.';
comment on column tenantry.overage_charges.inputs is 'What the price was computed from: segments, plan versions, totals, charges so far.';

-- ---------------------------------------------------------------- months of events

-- Makes the partition for the month of the given instant, if there is none. Definer: only the owner may
-- create tables. ATTACH takes a weaker lock on the parent than CREATE ... PARTITION OF, so ingest goes on.
create function tenantry.ensure_usage_month(at timestamptz) returns text
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
as $$
declare
    month_start timestamptz := date_trunc('month', at);
    child text := 'tenant_usage_' || to_char(date_trunc('month', at), 'YYYY_MM');
begin
    if at < '2000-01-01' or at >= '2101-01-01' then
        raise exception 'usage is kept from 2000 to 2100, not at %', at using errcode = 'datetime_field_overflow';
    end if;
    perform pg_advisory_xact_lock(hashtext('tenantry.ensure_usage_month'));
    if to_regclass('tenantry.' || child) is null then
        execute format('create table tenantry.%I (like tenantry.tenant_usage including defaults including constraints)', child);
        execute format('alter table tenantry.%I enable row level security', child);
        execute format('alter table tenantry.%I force row level security', child);
        execute format('revoke all on tenantry.%I from public', child);
        execute format(
            'alter table tenantry.tenant_usage attach partition tenantry.%I for values from (%L) to (%L)',
            child, month_start, month_start + interval '1 month');
    end if;
    return child;
end
$$;
revoke all on function tenantry.ensure_usage_month(timestamptz) from public;
grant execute on function tenantry.ensure_usage_month(timestamptz) to tenantry_service;

-- ---------------------------------------------------------------- row security and privileges

do $$
declare
    usage_table text;
begin
    foreach usage_table in array array[
        'usage_periods', 'usage_segments', 'usage_counters', 'usage_segment_amounts', 'usage_keys',
        'tenant_usage', 'usage_rollups', 'overage_charges'
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
                nullif(current_setting('app.tenant_id', true), '') is null
                or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
            )
        $policy$, usage_table);
        execute format($policy$
            create policy opened_tenants on tenantry.%I for all to tenantry_service
            using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
        $policy$, usage_table);
        execute format('grant select on tenantry.%I to tenantry_user', usage_table);
        execute format('grant select, insert on tenantry.%I to tenantry_service', usage_table);
    end loop;
end
$$;

grant update (period_end, state, closed_at) on tenantry.usage_periods to tenantry_service;
grant update (plan_id, plan_version, limits_plan_id, limits_plan_version) on tenantry.usage_segments to tenantry_service;
grant update (period_end, segment_sequence, segment_start, closed, in_plan, included, hard_limit, total, event_count, refused_count)
    on tenantry.usage_counters to tenantry_service;
grant update (amount) on tenantry.usage_segment_amounts to tenantry_service;
grant update (reversed_by) on tenantry.usage_keys to tenantry_service;
grant update (period_start, period_end) on tenantry.tenant_usage to tenantry_service;
grant update (amount, event_count), delete on tenantry.usage_rollups to tenantry_service;
grant update (state) on tenantry.overage_charges to tenantry_service;
