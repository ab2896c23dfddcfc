-- What happened (audit, refusals), what is still to be done (jobs), what was already answered (idempotency).

create table tenantry.billing_events (
    tenant_id      uuid not null references tenantry.tenants (id),
    sequence       bigint not null,
    id             uuid not null,
    type           text not null,
    actor          text not null,
    actor_id       uuid,
    subject_id     uuid,
    created_at     timestamptz not null,
    payload        jsonb,
    payload_salt   bytea not null,
    payload_hash   bytea not null,
    previous_hash  bytea not null,
    hash           bytea not null,
    primary key (tenant_id, sequence),
    constraint billing_events_sequence check (sequence > 0),
    constraint billing_events_actor check (actor in ('user', 'key', 'service_key', 'system')),
    constraint billing_events_hashes check (
        octet_length(payload_salt) = 16 and octet_length(payload_hash) = 32
        and octet_length(previous_hash) = 32 and octet_length(hash) = 32
    )
);
comment on table tenantry.billing_events is
    'Audit trail, append-only, hash-chained per tenant. The chained part holds ids only; what is personal is in payload, of which only the salted hash is chained.';

create table tenantry.security_events (
    tenant_id          uuid not null references tenantry.tenants (id),
    id                 uuid not null,
    type               text not null,
    severity           text not null,
    user_id            uuid,
    key_id             uuid,
    needed_permission  text,
    role               text,
    request_id         text,
    address            text,
    details            jsonb not null default '{}',
    created_at         timestamptz not null,
    primary key (tenant_id, id),
    constraint security_events_severity check (severity in ('info', 'warning', 'critical'))
);
comment on table tenantry.security_events is
    'Refused attempts. tenant_id is the tenant the actor belongs to (its own personal one when it tried a foreign tenant), never the one it tried to reach.';

create table tenantry.jobs (
    tenant_id    uuid not null,
    id           uuid not null,
    kind         text not null,
    dedupe_key   text not null,
    payload      jsonb not null default '{}',
    run_at       timestamptz not null,
    attempts     integer not null default 0,
    lease_token  uuid,
    lease_until  timestamptz,
    last_error   text,
    finished_at  timestamptz,
    created_at   timestamptz not null,
    primary key (tenant_id, id),
    constraint jobs_dedupe_key unique (tenant_id, kind, dedupe_key)
);
create index jobs_due on tenantry.jobs (run_at) where finished_at is null;
comment on table tenantry.jobs is 'Side effects, written in the transaction that causes them; a worker leases, runs and finishes them.';
comment on column tenantry.jobs.dedupe_key is 'The same effect asked for twice is one row, also after it finished.';

create table tenantry.idempotency_keys (
    scope_hash    bytea primary key,
    request_hash  bytea not null,
    status        smallint not null,
    response      jsonb not null,
    created_at    timestamptz not null,
    expires_at    timestamptz not null,
    constraint idempotency_keys_hashes check (octet_length(scope_hash) = 32 and octet_length(request_hash) = 32)
);
create index idempotency_keys_expiry on tenantry.idempotency_keys (expires_at);
comment on column tenantry.idempotency_keys.scope_hash is 'SHA-256 of caller, tenant context, method, route and key: no caller can name another''s row.';

alter table tenantry.billing_events enable row level security;
alter table tenantry.billing_events force row level security;
create policy member_reads on tenantry.billing_events for select to tenantry_user
    using (tenant_id = any (array(select tenantry.visible_tenants())));
create policy active_tenant on tenantry.billing_events as restrictive for select to tenantry_user
    using (
        nullif(current_setting('app.tenant_id', true), '') is null
        or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
    );
create policy opened_tenants on tenantry.billing_events for all to tenantry_service
    using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
    with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])));

alter table tenantry.security_events enable row level security;
alter table tenantry.security_events force row level security;
create policy member_reads on tenantry.security_events for select to tenantry_user
    using (tenant_id = any (array(select tenantry.visible_tenants())));
create policy active_tenant on tenantry.security_events as restrictive for select to tenantry_user
    using (
        nullif(current_setting('app.tenant_id', true), '') is null
        or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
    );
create policy opened_tenants on tenantry.security_events for all to tenantry_service
    using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
    with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])));

alter table tenantry.jobs enable row level security;
alter table tenantry.jobs force row level security;
-- A queue (reason: a worker claims the next due job of any tenant, then opens that one tenant).
create policy queue on tenantry.jobs for all to tenantry_service using (true) with check (true);

alter table tenantry.idempotency_keys enable row level security;
alter table tenantry.idempotency_keys force row level security;
-- A lookup table (reason: the scope hash already names one caller in one tenant context).
create policy lookup on tenantry.idempotency_keys for all to tenantry_service using (true) with check (true);

grant select on tenantry.billing_events, tenantry.security_events to tenantry_user;
grant select, insert on tenantry.billing_events, tenantry.security_events to tenantry_service;
grant select, insert, delete on tenantry.jobs, tenantry.idempotency_keys to tenantry_service;
grant update (run_at, attempts, lease_token, lease_until, last_error, finished_at) on tenantry.jobs to tenantry_service;
