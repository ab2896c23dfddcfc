-- Who is invited: by e-mail address, with the role that waits, and the mails that carry the token.
--
--   invitations        one row for each invitation; the token is stored as a hash
--   invitation_mails   one row for each mail; the token stands there until the mail is sent or no use any more

create table tenantry.invitations (
    tenant_id       uuid not null references tenantry.tenants (id),
    id              uuid not null,
    email           text not null,
    email_key       text not null,
    role            text not null,
    permissions     jsonb not null default '{}',
    token_hash      bytea not null,
    state           text not null default 'pending',
    inviter         text not null,
    inviter_id      uuid,
    created_at      timestamptz not null,
    expires_at      timestamptz not null,
    accepted_at     timestamptz,
    accepted_by     uuid,
    revoked_at      timestamptz,
    primary key (tenant_id, id),
    constraint invitations_email_length check (char_length(email) between 3 and 320),
    constraint invitations_role check (role in ('admin', 'billing_admin', 'member')),
    constraint invitations_permissions check (jsonb_typeof(permissions) = 'object'),
    constraint invitations_token_hash check (octet_length(token_hash) = 32),
    constraint invitations_state check (state in ('pending', 'accepted', 'revoked', 'expired')),
    constraint invitations_inviter check (inviter in ('user', 'key', 'service_key', 'system')),
    constraint invitations_inviter_id check ((inviter = 'system') = (inviter_id is null)),
    constraint invitations_accepted check (
        (state = 'accepted') = (accepted_at is not null) and (accepted_at is null) = (accepted_by is null)
    ),
    constraint invitations_revoked check ((state = 'revoked') = (revoked_at is not null))
);
create unique index invitations_pending_key on tenantry.invitations (tenant_id, email_key) where state = 'pending';
create index invitations_by_address on tenantry.invitations (tenant_id, email_key);
create index invitations_by_time on tenantry.invitations (tenant_id, created_at, id);
comment on table tenantry.invitations is 'Invitations of people who are no members yet, by e-mail address.';
comment on column tenantry.invitations.email_key is 'The address with its ASCII letters small: what is compared.';
comment on column tenantry.invitations.token_hash is 'SHA-256 of the 32 random bytes of the newest token; older tokens are dead.';
comment on column tenantry.invitations.state is
    'pending until somebody does something: past expires_at a pending one has expired, whatever stands here.';
comment on column tenantry.invitations.inviter is
    'Who vouches for it: who invited, or sent it again last. Without the authority for the role it is dead.';

create table tenantry.invitation_mails (
    tenant_id      uuid not null,
    id             uuid not null,
    invitation_id  uuid not null,
    token          text,
    state          text not null default 'pending',
    attempts       integer not null default 0,
    lease_token    uuid,
    lease_until    timestamptz,
    last_error     text,
    sent_at        timestamptz,
    created_at     timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, invitation_id) references tenantry.invitations (tenant_id, id),
    constraint invitation_mails_state check (state in ('pending', 'sent', 'kept', 'failed', 'canceled')),
    constraint invitation_mails_token check (token is null or state in ('pending', 'kept')),
    constraint invitation_mails_unsent check (token is not null or state <> 'pending'),
    constraint invitation_mails_sent check ((state = 'sent') = (sent_at is not null))
);
create index invitation_mails_by_invitation on tenantry.invitation_mails (tenant_id, invitation_id, created_at);
comment on table tenantry.invitation_mails is
    'A mail to the address of an invitation. Leased before it is sent, marked after, like other mails.';
comment on column tenantry.invitation_mails.token is
    'In the clear, since the mail says it. No tenant reads it; gone once the mail is sent, given up, or no use any more.';
comment on column tenantry.invitation_mails.state is
    'kept: no mail server is configured; canceled: the invitation was over, or sent anew, before the mail was sent.';

-- ---------------------------------------------------------------- row security and privileges

do $$
declare
    invitation_table text;
begin
    foreach invitation_table in array array['invitations', 'invitation_mails'] loop
        execute format('alter table tenantry.%I enable row level security', invitation_table);
        execute format('alter table tenantry.%I force row level security', invitation_table);
        execute format($policy$
            create policy member_reads on tenantry.%I for select to tenantry_user
            using (tenant_id = any (array(select tenantry.visible_tenants())))
        $policy$, invitation_table);
        execute format($policy$
            create policy active_tenant on tenantry.%I as restrictive for select to tenantry_user
            using (
                nullif(current_setting('app.tenant_id', true), '') is null
                or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
            )
        $policy$, invitation_table);
        execute format($policy$
            create policy opened_tenants on tenantry.%I for all to tenantry_service
            using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
        $policy$, invitation_table);
        execute format('grant select, insert on tenantry.%I to tenantry_service', invitation_table);
    end loop;
end
$$;

-- Readers see neither tokens nor leases.
grant select (tenant_id, id, email, email_key, role, permissions, state, inviter, inviter_id, created_at, expires_at,
              accepted_at, accepted_by, revoked_at)
    on tenantry.invitations to tenantry_user;
grant select (tenant_id, id, invitation_id, state, attempts, sent_at, created_at)
    on tenantry.invitation_mails to tenantry_user;

grant update (token_hash, state, inviter, inviter_id, expires_at, accepted_at, accepted_by, revoked_at)
    on tenantry.invitations to tenantry_service;
grant update (token, state, attempts, lease_token, lease_until, last_error, sent_at) on tenantry.invitation_mails
    to tenantry_service;
