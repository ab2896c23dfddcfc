-- Who exists and who belongs where: users, tenants, members, API keys, and the one function that
-- tells which tenants a caller may see.
--
-- Roles (made by `tenantry migrate` before this file runs, because roles belong to the whole server):
--   tenantry_owner    NOLOGIN, owns the schema and everything in it; row security is FORCED, so it sees nothing
--   tenantry_authz    NOLOGIN, owns the membership helper only
--   tenantry_user     login, reads for users and tenant keys
--   tenantry_service  login, writes, ingest, workers
--
-- Settings (SET LOCAL, built from parsed UUIDs only):
--   app.user_id, app.key_id   who asks; looked up in the tables below, never trusted alone
--   app.tenant_id             the active tenant; narrows, never permits
--   app.tenants               the tenants a service transaction was opened for, comma separated

create schema tenantry;
revoke all on schema tenantry from public;
grant usage on schema tenantry to tenantry_authz, tenantry_user, tenantry_service;

-- ---------------------------------------------------------------- users

create table tenantry.users (
    id          uuid primary key,
    email       text,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    constraint users_email_length check (char_length(email) between 3 and 320)
);
comment on table tenantry.users is 'People as the identity provider names them; id is the subject of their tokens.';

-- ---------------------------------------------------------------- tenants

create table tenantry.tenants (
    id          uuid primary key,
    type        text not null,
    name        text not null,
    slug        text not null,
    owner_id    uuid not null references tenantry.users (id),
    settings    jsonb not null default '{}',
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    deleted_at  timestamptz,
    constraint tenants_type check (type in ('user', 'organization')),
    constraint tenants_personal_id check (type <> 'user' or id = owner_id),
    constraint tenants_name_length check (char_length(name) between 1 and 200),
    constraint tenants_slug_form check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and char_length(slug) between 3 and 48)
);
create unique index tenants_slug_key on tenantry.tenants (slug) where deleted_at is null;
create index tenants_owner on tenantry.tenants (owner_id);
comment on table tenantry.tenants is 'Who is billed: a user (id = user id) or an organization.';
comment on column tenantry.tenants.owner_id is 'Who created it; roles are in tenant_members.';
comment on column tenantry.tenants.slug is 'For people and URLs; never a key, never an input to authorization.';

-- ---------------------------------------------------------------- members

create table tenantry.tenant_members (
    tenant_id    uuid not null references tenantry.tenants (id),
    user_id      uuid not null references tenantry.users (id),
    role         text not null,
    permissions  jsonb not null default '{}',
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    primary key (tenant_id, user_id),
    constraint tenant_members_role check (role in ('owner', 'admin', 'billing_admin', 'member')),
    constraint tenant_members_permissions check (jsonb_typeof(permissions) = 'object')
);
create index tenant_members_user on tenantry.tenant_members (user_id, tenant_id);
comment on column tenantry.tenant_members.permissions is 'Overrides of the role''s row: permission name to boolean.';

-- ---------------------------------------------------------------- API keys

create table tenantry.api_keys (
    id            uuid primary key,
    tenant_id     uuid references tenantry.tenants (id),
    name          text not null,
    prefix        text not null,
    secret_hash   bytea not null,
    scopes        text[] not null,
    created_by    uuid,
    created_at    timestamptz not null,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    constraint api_keys_secret_hash check (octet_length(secret_hash) = 32),
    constraint api_keys_name_length check (char_length(name) between 1 and 100),
    constraint api_keys_scopes check (
        scopes <@ array['manageBilling', 'viewBilling', 'manageMembers', 'viewUsage', 'recordUsage']
    )
);
create index api_keys_tenant on tenantry.api_keys (tenant_id, created_at);
comment on column tenantry.api_keys.tenant_id is 'NULL for a service key, which names the tenant in each request.';
comment on column tenantry.api_keys.secret_hash is 'SHA-256 of the 32 random secret bytes; the secret itself is shown once.';

-- ---------------------------------------------------------------- who asks

-- The user of this transaction: app.user_id, or the subject of a PostgREST token. Anything that is no
-- UUID is nobody: a missing or malformed user sees 0 rows, never an error.
create function tenantry.current_user_id() returns uuid
    language sql stable parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select case when claimed ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then claimed::uuid end
    from (
        select coalesce(
            nullif(current_setting('app.user_id', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
        ) as claimed
    ) as caller
$$;
revoke all on function tenantry.current_user_id() from public;

create function tenantry.current_key_id() returns uuid
    language sql stable parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select case when claimed ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then claimed::uuid end
    from (select current_setting('app.key_id', true) as claimed) as caller
$$;
revoke all on function tenantry.current_key_id() from public;

-- The tenants the caller may see, looked up in the database. SECURITY DEFINER under a role of its own:
-- under the table owner, forced row security would hide the members from the helper itself.
create function tenantry.visible_tenants() returns setof uuid
    language sql stable security definer parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select tenant_id from tenantry.tenant_members where user_id = tenantry.current_user_id()
    union
    select tenant_id from tenantry.api_keys
    where id = tenantry.current_key_id()
      and tenant_id is not null
      and revoked_at is null
      and (expires_at is null or expires_at > now())
$$;
revoke all on function tenantry.visible_tenants() from public;
grant create on schema tenantry to tenantry_authz;
alter function tenantry.visible_tenants() owner to tenantry_authz;
revoke create on schema tenantry from tenantry_authz;
grant execute on function tenantry.current_user_id(), tenantry.current_key_id()
    to tenantry_authz, tenantry_user, tenantry_service;
set role tenantry_authz;
revoke all on function tenantry.visible_tenants() from public;
grant execute on function tenantry.visible_tenants() to tenantry_user;
set role tenantry_owner;

-- ---------------------------------------------------------------- row security

alter table tenantry.users enable row level security;
alter table tenantry.users force row level security;
create policy self_and_co_members on tenantry.users for select to tenantry_user
    using (
        id = (select tenantry.current_user_id())
        or id in (select user_id from tenantry.tenant_members)
    );
-- Users are nobody's tenant: a lookup table for the service role (reason: first sight and adding a
-- member by id happen before any tenant of that user is known).
create policy lookup on tenantry.users for all to tenantry_service using (true) with check (true);

alter table tenantry.tenants enable row level security;
alter table tenantry.tenants force row level security;
create policy member_reads on tenantry.tenants for select to tenantry_user
    using (id = any (array(select tenantry.visible_tenants())));
create policy active_tenant on tenantry.tenants as restrictive for select to tenantry_user
    using (
        nullif(current_setting('app.tenant_id', true), '') is null
        or id = nullif(current_setting('app.tenant_id', true), '')::uuid
    );
create policy opened_tenants on tenantry.tenants for all to tenantry_service
    using (id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
    with check (id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])));

alter table tenantry.tenant_members enable row level security;
alter table tenantry.tenant_members force row level security;
create policy helper_looks_up on tenantry.tenant_members for select to tenantry_authz using (true);
create policy member_reads on tenantry.tenant_members for select to tenantry_user
    using (tenant_id = any (array(select tenantry.visible_tenants())));
create policy active_tenant on tenantry.tenant_members as restrictive for select to tenantry_user
    using (
        nullif(current_setting('app.tenant_id', true), '') is null
        or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
    );
create policy opened_tenants on tenantry.tenant_members for all to tenantry_service
    using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
    with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])));

alter table tenantry.api_keys enable row level security;
alter table tenantry.api_keys force row level security;
create policy helper_looks_up on tenantry.api_keys for select to tenantry_authz using (true);
create policy member_reads on tenantry.api_keys for select to tenantry_user
    using (tenant_id = any (array(select tenantry.visible_tenants())));
create policy active_tenant on tenantry.api_keys as restrictive for select to tenantry_user
    using (
        nullif(current_setting('app.tenant_id', true), '') is null
        or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
    );
-- A lookup table for the service role (reason: a key is found by its id before any tenant is open, and
-- service keys have no tenant).
create policy lookup on tenantry.api_keys for all to tenantry_service using (true) with check (true);

-- ---------------------------------------------------------------- privileges
-- tenant_id and ids are in no UPDATE grant: a row never moves between tenants.

grant select (tenant_id, user_id) on tenantry.tenant_members to tenantry_authz;
grant select (id, tenant_id, revoked_at, expires_at) on tenantry.api_keys to tenantry_authz;

grant select on tenantry.users, tenantry.tenants, tenantry.tenant_members to tenantry_user;
grant select (id, tenant_id, name, prefix, scopes, created_by, created_at, expires_at, revoked_at, last_used_at)
    on tenantry.api_keys to tenantry_user;

grant select, insert on tenantry.users, tenantry.tenants, tenantry.tenant_members, tenantry.api_keys
    to tenantry_service;
grant update (email, updated_at) on tenantry.users to tenantry_service;
grant update (name, slug, owner_id, settings, updated_at, deleted_at) on tenantry.tenants to tenantry_service;
grant update (role, permissions, updated_at), delete on tenantry.tenant_members to tenantry_service;
grant update (name, revoked_at, last_used_at) on tenantry.api_keys to tenantry_service;

-- ---------------------------------------------------------------- all tenants

-- Ids only, for proofs and sweeps that then open one tenant after the other. Under the authz role, since the
-- service role sees the tenants it was opened for and no others.
create policy helper_lists on tenantry.tenants for select to tenantry_authz using (true);
grant select (id) on tenantry.tenants to tenantry_authz;
create function tenantry.list_tenants(after uuid, how_many bigint) returns setof uuid
    language sql stable security definer parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select id from tenantry.tenants
    where after is null or id > after
    order by id
    limit how_many
$$;
grant create on schema tenantry to tenantry_authz;
alter function tenantry.list_tenants(uuid, bigint) owner to tenantry_authz;
revoke create on schema tenantry from tenantry_authz;
set role tenantry_authz;
revoke all on function tenantry.list_tenants(uuid, bigint) from public;
grant execute on function tenantry.list_tenants(uuid, bigint) to tenantry_service;
set role tenantry_owner;
