-- Holds: quota that is reserved before work of unknown size, and settled with what the work used.

create table tenantry.usage_holds (
    tenant_id         uuid not null,
    id                uuid not null,
    metric            text not null,
    period_start      timestamptz not null,
    amount            numeric not null,
    state             text not null default 'open',
    user_id           uuid,
    metadata          jsonb not null,
    created_at        timestamptz not null,
    expires_at        timestamptz not null,
    settled_at        timestamptz,
    committed_amount  numeric,
    primary key (tenant_id, id),
    foreign key (tenant_id, metric, period_start)
        references tenantry.usage_counters (tenant_id, metric, period_start),
    constraint usage_holds_state check (state in ('open', 'committed', 'released', 'expired')),
    constraint usage_holds_amount check (amount > 0 and scale(amount) <= 9),
    constraint usage_holds_settled check ((state = 'open') = (settled_at is null)),
    constraint usage_holds_committed check ((state = 'committed') = (committed_amount is not null))
);
-- The open ones of a counter, by when they expire.
create index usage_holds_open on tenantry.usage_holds (tenant_id, metric, period_start, expires_at) where state = 'open';
comment on table tenantry.usage_holds is
    'Reservations. usage_counters.held is the sum of those that are open; a row changes under its counter''s lock.';
comment on column tenantry.usage_holds.period_start is
    'The period in which it was taken, and in which it settles. A new anchor moves open holds as it moves events.';
comment on column tenantry.usage_holds.state is
    'Once it is no longer open it never changes again. One that is past expires_at counts no more, also where it still says open.';
comment on column tenantry.usage_holds.metadata is 'Of the event that it becomes; organizationId and userRole are of when it was taken.';
comment on column tenantry.usage_holds.settled_at is 'Of one that expired: when it did, which is expires_at.';
comment on column tenantry.usage_holds.committed_amount is
    'What was used; the event has the key hold:<id>. May be less or more than amount.';

alter table tenantry.usage_holds enable row level security;
alter table tenantry.usage_holds force row level security;
create policy member_reads on tenantry.usage_holds for select to tenantry_user
    using (tenant_id = any (array(select tenantry.visible_tenants())));
create policy active_tenant on tenantry.usage_holds as restrictive for select to tenantry_user
    using (
        nullif(current_setting('app.tenant_id', true), '') is null
        or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
    );
create policy opened_tenants on tenantry.usage_holds for all to tenantry_service
    using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
    with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])));
grant select on tenantry.usage_holds to tenantry_user;
grant select, insert on tenantry.usage_holds to tenantry_service;
grant update (period_start, state, settled_at, committed_amount) on tenantry.usage_holds to tenantry_service;
