-- What tenants let their usage cost, and from which amounts on they want to be told.

create table tenantry.spend_caps (
    tenant_id     uuid not null references tenantry.tenants (id),
    id            uuid not null,
    metric        text,
    amount_minor  bigint not null,
    created_at    timestamptz not null,
    updated_at    timestamptz not null,
    primary key (tenant_id, id),
    constraint spend_caps_once unique nulls not distinct (tenant_id, metric),
    constraint spend_caps_amount check (amount_minor >= 0)
);
comment on table tenantry.spend_caps is
    'No accepted event takes the accrued overage of a period above it. Changed under the locks of the subscription and of every counter of the tenant, as the counters'' sure_limit follows.';
comment on column tenantry.spend_caps.metric is 'What it is about; NULL is all metrics together.';
comment on column tenantry.spend_caps.amount_minor is 'Minor units of the currency that the catalog charges in.';

create table tenantry.spend_alerts (
    tenant_id     uuid not null references tenantry.tenants (id),
    id            uuid not null,
    metric        text,
    amount_minor  bigint not null,
    created_at    timestamptz not null,
    primary key (tenant_id, id),
    constraint spend_alerts_once unique nulls not distinct (tenant_id, metric, amount_minor),
    constraint spend_alerts_amount check (amount_minor > 0)
);
comment on table tenantry.spend_alerts is
    'A notice is raised when the accrued overage of a period reaches it: once for each alert and period.';
comment on column tenantry.spend_alerts.metric is 'What it is about; NULL is all metrics together.';
comment on column tenantry.spend_alerts.amount_minor is 'Minor units of the currency that the catalog charges in.';

comment on column tenantry.usage_counters.sure_limit is
    'Up to this total events are judged by hard_limit alone; above it one by one, under locks. Set where a spend cap or alert concerns the counter: what the plan that prices it includes, since up to there nothing costs anything. NULL: no such bound.';

do $$
declare
    spend_table text;
begin
    foreach spend_table in array array['spend_caps', 'spend_alerts'] loop
        execute format('alter table tenantry.%I enable row level security', spend_table);
        execute format('alter table tenantry.%I force row level security', spend_table);
        execute format($policy$
            create policy member_reads on tenantry.%I for select to tenantry_user
            using (tenant_id = any (array(select tenantry.visible_tenants())))
        $policy$, spend_table);
        execute format($policy$
            create policy active_tenant on tenantry.%I as restrictive for select to tenantry_user
            using (
                nullif(current_setting('app.tenant_id', true), '') is null
                or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
            )
        $policy$, spend_table);
        execute format($policy$
            create policy opened_tenants on tenantry.%I for all to tenantry_service
            using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
        $policy$, spend_table);
        execute format('grant select on tenantry.%I to tenantry_user', spend_table);
        execute format('grant select, insert, delete on tenantry.%I to tenantry_service', spend_table);
    end loop;
end
$$;
grant update (amount_minor, updated_at) on tenantry.spend_caps to tenantry_service;
