-- What tenants are told: notices, the mails and webhook deliveries that carry them, and where webhooks go.
--
--   notifications         one row for each notice, written in the transaction that causes it
--   notification_mails    one row for each notice and address
--   webhook_endpoints     where a tenant wants to be told, with the secrets that sign
--   webhook_deliveries    one row for each notice and endpoint

create table tenantry.notifications (
    tenant_id   uuid not null references tenantry.tenants (id),
    id          uuid not null,
    kind        text not null,
    dedupe_key  text not null,
    data        jsonb not null,
    created_at  timestamptz not null,
    primary key (tenant_id, id),
    constraint notifications_dedupe_key unique (tenant_id, kind, dedupe_key),
    constraint notifications_kind check (kind ~ '^[a-z]+(_[a-z]+)*$'),
    constraint notifications_dedupe_key_length check (char_length(dedupe_key) between 1 and 300),
    constraint notifications_data check (jsonb_typeof(data) = 'object')
);
create index notifications_by_time on tenantry.notifications (tenant_id, created_at, id);
comment on table tenantry.notifications is 'Notices to tenants. Who is told, and how, is decided by a job; the row says only what happened.';
comment on column tenantry.notifications.dedupe_key is 'The same notice raised twice is one row, for ever.';
comment on column tenantry.notifications.data is 'What the kind says of itself; money is integer minor units with a currency, quantities are strings.';

create table tenantry.notification_mails (
    tenant_id        uuid not null,
    id               uuid not null,
    notification_id  uuid not null,
    address          text not null,
    state            text not null default 'pending',
    attempts         integer not null default 0,
    lease_token      uuid,
    lease_until      timestamptz,
    last_error       text,
    sent_at          timestamptz,
    created_at       timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, notification_id) references tenantry.notifications (tenant_id, id),
    constraint notification_mails_once unique (tenant_id, notification_id, address),
    constraint notification_mails_state check (state in ('pending', 'sent', 'kept', 'failed')),
    constraint notification_mails_sent check ((state = 'sent') = (sent_at is not null)),
    constraint notification_mails_address_length check (char_length(address) between 3 and 320)
);
comment on table tenantry.notification_mails is
    'A mail to one address. The lease is taken before it is sent and the state is set after: a worker that dies in between sends it again, under the same Message-ID.';
comment on column tenantry.notification_mails.address is 'As it was when the notice was raised.';
comment on column tenantry.notification_mails.state is 'kept: no mail server is configured; failed: given up, last_error says why.';

create table tenantry.webhook_endpoints (
    tenant_id            uuid not null references tenantry.tenants (id),
    id                   uuid not null,
    url                  text not null,
    description          text not null default '',
    kinds                text[] not null,
    secret               text not null,
    previous_secret      text,
    previous_expires_at  timestamptz,
    state                text not null default 'enabled',
    disabled_reason      text,
    failing_since        timestamptz,
    created_at           timestamptz not null,
    updated_at           timestamptz not null,
    primary key (tenant_id, id),
    constraint webhook_endpoints_url check (url ~ '^https?://' and char_length(url) <= 2048),
    constraint webhook_endpoints_description_length check (char_length(description) <= 500),
    constraint webhook_endpoints_secret check (
        secret ~ '^whsec_[A-Za-z0-9+/]+=*$' and previous_secret ~ '^whsec_[A-Za-z0-9+/]+=*$'
    ),
    constraint webhook_endpoints_previous check ((previous_secret is null) = (previous_expires_at is null)),
    constraint webhook_endpoints_state check (state in ('enabled', 'disabled')),
    constraint webhook_endpoints_disabled_reason check (
        (state = 'disabled') = (disabled_reason is not null) and disabled_reason in ('by_hand', 'failing', 'gone')
    )
);
comment on table tenantry.webhook_endpoints is 'Where a tenant''s webhooks go. The secrets can be read by the service only: they sign.';
comment on column tenantry.webhook_endpoints.kinds is 'Kinds of notices that it gets; none listed: all.';
comment on column tenantry.webhook_endpoints.previous_expires_at is 'Until then both secrets sign.';
comment on column tenantry.webhook_endpoints.disabled_reason is
    'by_hand: a person did it; failing: nothing was delivered for five days; gone: it answered 410.';
comment on column tenantry.webhook_endpoints.failing_since is 'First failure after the last success.';

create table tenantry.webhook_deliveries (
    tenant_id         uuid not null,
    id                uuid not null,
    endpoint_id       uuid not null,
    notification_id   uuid not null,
    state             text not null default 'pending',
    attempts          integer not null default 0,
    next_attempt_at   timestamptz,
    lease_token       uuid,
    lease_until       timestamptz,
    last_status       integer,
    last_error        text,
    response_snippet  text,
    created_at        timestamptz not null,
    finished_at       timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, endpoint_id) references tenantry.webhook_endpoints (tenant_id, id),
    foreign key (tenant_id, notification_id) references tenantry.notifications (tenant_id, id),
    constraint webhook_deliveries_once unique (tenant_id, notification_id, endpoint_id),
    constraint webhook_deliveries_state check (state in ('pending', 'succeeded', 'failed', 'dead')),
    constraint webhook_deliveries_next check ((state in ('pending', 'failed')) = (next_attempt_at is not null)),
    constraint webhook_deliveries_finished check ((state in ('succeeded', 'dead')) = (finished_at is not null)),
    constraint webhook_deliveries_snippet_length check (char_length(response_snippet) <= 1024)
);
create index webhook_deliveries_by_endpoint on tenantry.webhook_deliveries (tenant_id, endpoint_id, created_at, id);
comment on table tenantry.webhook_deliveries is
    'A notice on its way to an endpoint. The lease is taken before the request and the state is set after it.';
comment on column tenantry.webhook_deliveries.state is
    'failed: the last attempt did, another follows at next_attempt_at; dead: no attempt follows unless it is replayed.';
comment on column tenantry.webhook_deliveries.attempts is 'Requests begun, counted anew after a replay.';
comment on column tenantry.webhook_deliveries.response_snippet is 'The first characters of the last answer''s body.';

-- ---------------------------------------------------------------- row security and privileges

do $$
declare
    notice_table text;
begin
    foreach notice_table in array array[
        'notifications', 'notification_mails', 'webhook_endpoints', 'webhook_deliveries'
    ] loop
        execute format('alter table tenantry.%I enable row level security', notice_table);
        execute format('alter table tenantry.%I force row level security', notice_table);
        execute format($policy$
            create policy member_reads on tenantry.%I for select to tenantry_user
            using (tenant_id = any (array(select tenantry.visible_tenants())))
        $policy$, notice_table);
        execute format($policy$
            create policy active_tenant on tenantry.%I as restrictive for select to tenantry_user
            using (
                nullif(current_setting('app.tenant_id', true), '') is null
                or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
            )
        $policy$, notice_table);
        execute format($policy$
            create policy opened_tenants on tenantry.%I for all to tenantry_service
            using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
        $policy$, notice_table);
        execute format('grant select, insert on tenantry.%I to tenantry_service', notice_table);
    end loop;
end
$$;

-- Readers see neither secrets nor leases.
grant select on tenantry.notifications to tenantry_user;
grant select (tenant_id, id, notification_id, address, state, attempts, last_error, sent_at, created_at)
    on tenantry.notification_mails to tenantry_user;
grant select (tenant_id, id, url, description, kinds, previous_expires_at, state, disabled_reason, failing_since,
              created_at, updated_at)
    on tenantry.webhook_endpoints to tenantry_user;
grant select (tenant_id, id, endpoint_id, notification_id, state, attempts, next_attempt_at, last_status, last_error,
              response_snippet, created_at, finished_at)
    on tenantry.webhook_deliveries to tenantry_user;

grant update (state, attempts, lease_token, lease_until, last_error, sent_at) on tenantry.notification_mails
    to tenantry_service;
grant update (url, description, kinds, secret, previous_secret, previous_expires_at, state, disabled_reason,
              failing_since, updated_at), delete
    on tenantry.webhook_endpoints to tenantry_service;
grant update (state, attempts, next_attempt_at, lease_token, lease_until, last_status, last_error, response_snippet,
              finished_at), delete
    on tenantry.webhook_deliveries to tenantry_service;
