-- What a tenant has: versions of the plan catalog, and one current subscription per tenant.

create table tenantry.plan_versions (
    plan_id     text not null,
    version     integer not null,
    definition  jsonb not null,
    is_default  boolean not null,
    current     boolean not null,
    created_at  timestamptz not null,
    primary key (plan_id, version),
    constraint plan_versions_version check (version > 0)
);
create unique index plan_versions_current_key on tenantry.plan_versions (plan_id) where current;
create unique index plan_versions_default_key on tenantry.plan_versions (is_default) where current and is_default;
comment on table tenantry.plan_versions is
    'Every version of every plan that was ever loaded; definition is the plan as the catalog file gave it. Append-only but for "current".';

create table tenantry.tenant_subscriptions (
    tenant_id             uuid not null references tenantry.tenants (id),
    id                    uuid not null,
    plan_id               text not null,
    plan_version          integer not null,
    status                text not null,
    billing_interval      text not null default 'month',
    anchor                timestamptz not null,
    current_period_start  timestamptz not null,
    current_period_end    timestamptz not null,
    cancel_at_period_end  boolean not null default false,
    metadata              jsonb not null default '{}',
    created_at            timestamptz not null,
    updated_at            timestamptz not null,
    ended_at              timestamptz,
    primary key (tenant_id, id),
    foreign key (plan_id, plan_version) references tenantry.plan_versions (plan_id, version),
    constraint tenant_subscriptions_interval check (billing_interval in ('month', 'year')),
    constraint tenant_subscriptions_period check (current_period_start < current_period_end)
);
create unique index tenant_subscriptions_current_key on tenantry.tenant_subscriptions (tenant_id) where ended_at is null;
comment on table tenantry.tenant_subscriptions is 'The current subscription of a tenant (ended_at is null) and those before it.';
comment on column tenantry.tenant_subscriptions.status is
    'As Stripe names it, an open set: active, trialing, past_due, ...; a free plan is always active.';
comment on column tenantry.tenant_subscriptions.anchor is 'Usage periods are months from this instant (UTC).';
comment on column tenantry.tenant_subscriptions.current_period_start is
    'Billing period as Stripe states it; of a free plan the usage period. Moved on when the next one opens.';

alter table tenantry.plan_versions enable row level security;
alter table tenantry.plan_versions force row level security;
-- The catalog belongs to no tenant: any caller who is somebody may read it.
create policy any_caller_reads on tenantry.plan_versions for select to tenantry_user
    using ((select tenantry.current_user_id()) is not null or (select tenantry.current_key_id()) is not null);
create policy lookup on tenantry.plan_versions for all to tenantry_service using (true) with check (true);

alter table tenantry.tenant_subscriptions enable row level security;
alter table tenantry.tenant_subscriptions force row level security;
create policy member_reads on tenantry.tenant_subscriptions for select to tenantry_user
    using (tenant_id = any (array(select tenantry.visible_tenants())));
create policy active_tenant on tenantry.tenant_subscriptions as restrictive for select to tenantry_user
    using (
        nullif(current_setting('app.tenant_id', true), '') is null
        or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
    );
create policy opened_tenants on tenantry.tenant_subscriptions for all to tenantry_service
    using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
    with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])));

grant select on tenantry.plan_versions, tenantry.tenant_subscriptions to tenantry_user;
grant select, insert on tenantry.plan_versions, tenantry.tenant_subscriptions to tenantry_service;
grant update (current) on tenantry.plan_versions to tenantry_service;
grant update (plan_id, plan_version, status, billing_interval, anchor, current_period_start, current_period_end,
              cancel_at_period_end, metadata, updated_at, ended_at)
    on tenantry.tenant_subscriptions to tenantry_service;
