-- Metrics that are more than a sum. usage_counters.aggregation says what total is of the events; it is written when the
-- counter is opened and stays. What the figure is made of, where it has parts, is kept beside it.

alter table tenantry.usage_counters
    add constraint usage_counters_aggregation check (
        aggregation in ('sum', 'max', 'last', 'peak') or aggregation ~ '^(unique:.+|percentile:[0-9]+:[0-9]+)$'
    );
comment on column tenantry.usage_counters.aggregation is
    'What total is of the events: sum; max or last of their amounts; unique:FIELD, how many values a field of their metadata has; peak, the highest sum of a UTC hour; percentile:PERCENT:MINUTES of the sums of slots. Only sums are added up without the row''s lock.';
comment on column tenantry.usage_counters.total is
    'What aggregation makes of the period''s events. Corrections and what they take back do not count.';
comment on table tenantry.usage_segment_amounts is
    'What segments that have ended added to the total; the current one has the counter''s total less these. Of the aggregation last there is none: all of it is priced by the last segment.';

create table tenantry.usage_parts (
    tenant_id     uuid not null,
    metric        text not null,
    period_start  timestamptz not null,
    part          text not null collate "C",
    amount        numeric not null,
    event_count   bigint not null,
    primary key (tenant_id, metric, period_start, part),
    constraint usage_parts_length check (octet_length(part) between 1 and 128)
) with (fillfactor = 70);
comment on table tenantry.usage_parts is
    'What the totals of unique, peak and percentile are made of; written in the transaction of the events under the counter''s lock.';
comment on column tenantry.usage_parts.part is
    'Of unique the value as JSON text, or sha256: and its digest where that is longer than 128 bytes; of peak and percentile the first second of the slot, since 1970.';
comment on column tenantry.usage_parts.amount is 'Sum of the amounts of the events that stand.';
comment on column tenantry.usage_parts.event_count is 'Events that stand: not taken back. A part without any stays, at 0.';

do $$
declare
    usage_table text := 'usage_parts';
begin
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
    execute format('grant select, insert, delete on tenantry.%I to tenantry_service', usage_table);
end
$$;

grant update (amount, event_count) on tenantry.usage_parts to tenantry_service;
