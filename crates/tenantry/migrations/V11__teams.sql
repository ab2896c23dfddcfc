-- Teams: users who share the subscription of the team's owner. tenant_id is the owner's personal tenant.
--
--   teams         one row for each team
--   team_members  who is in it; its owner is not listed

-- A deleted tenant keeps its row, so a foreign key to its id alone would let its teams live on. This column is null
-- from the deletion on, and teams refer to it: neither order of the two statements, nor both at once, leaves a team
-- behind.
alter table tenantry.tenants
    add column live boolean generated always as (case when deleted_at is null then true end) stored,
    add constraint tenants_live_key unique (id, live);
comment on column tenantry.tenants.live is 'True until the tenant is deleted, then null: what must not outlive it refers to this.';

create table tenantry.teams (
    tenant_id    uuid not null,
    id           uuid not null,
    tenant_live  boolean not null default true,
    name         text not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    primary key (tenant_id, id),
    constraint teams_id_key unique (id),
    constraint teams_tenant_live foreign key (tenant_id, tenant_live) references tenantry.tenants (id, live),
    constraint teams_tenant_is_live check (tenant_live),
    constraint teams_name_length check (char_length(name) between 1 and 100)
);
create index teams_by_time on tenantry.teams (tenant_id, created_at, id);
comment on table tenantry.teams is 'Groups of users that share the subscription of tenant_id, the personal tenant of their owner.';
comment on column tenantry.teams.id is 'Unique over all tenants: a request names the team alone.';

create table tenantry.team_members (
    tenant_id   uuid not null,
    team_id     uuid not null,
    user_id     uuid not null references tenantry.users (id),
    created_at  timestamptz not null,
    primary key (tenant_id, team_id, user_id),
    foreign key (tenant_id, team_id) references tenantry.teams (tenant_id, id),
    constraint team_members_not_the_owner check (user_id <> tenant_id)
);
create index team_members_user on tenantry.team_members (user_id, team_id);
comment on table tenantry.team_members is 'Who uses the plan of a team''s owner. They manage nothing and are no members of the tenant.';

-- ---------------------------------------------------------------- who is in which team

create policy helper_looks_up on tenantry.team_members for select to tenantry_authz using (true);
grant select (tenant_id, team_id, user_id) on tenantry.team_members to tenantry_authz;

-- The teams that the caller was added to, looked up in the database as visible_tenants() does. Those that it owns
-- are visible with its tenant.
create function tenantry.visible_teams() returns setof uuid
    language sql stable security definer parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select team_id from tenantry.team_members where user_id = tenantry.current_user_id()
$$;

-- The tenants whose subscription the caller shares.
create function tenantry.shared_tenants() returns setof uuid
    language sql stable security definer parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select distinct tenant_id from tenantry.team_members where user_id = tenantry.current_user_id()
$$;

-- Ids only, for whoever takes a user out of all teams and then opens one tenant after the other.
create function tenantry.list_team_tenants(member uuid) returns setof uuid
    language sql stable security definer parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select distinct tenant_id from tenantry.team_members where user_id = member order by tenant_id
$$;

grant create on schema tenantry to tenantry_authz;
alter function tenantry.visible_teams() owner to tenantry_authz;
alter function tenantry.shared_tenants() owner to tenantry_authz;
alter function tenantry.list_team_tenants(uuid) owner to tenantry_authz;
revoke create on schema tenantry from tenantry_authz;
set role tenantry_authz;
revoke all on function tenantry.visible_teams(), tenantry.shared_tenants(), tenantry.list_team_tenants(uuid) from public;
grant execute on function tenantry.visible_teams(), tenantry.shared_tenants() to tenantry_user;
grant execute on function tenantry.list_team_tenants(uuid) to tenantry_service;
set role tenantry_owner;

-- ---------------------------------------------------------------- row security and privileges

do $$
declare
    team_table text;
begin
    foreach team_table in array array['teams', 'team_members'] loop
        execute format('alter table tenantry.%I enable row level security', team_table);
        execute format('alter table tenantry.%I force row level security', team_table);
        execute format($policy$
            create policy member_reads on tenantry.%I for select to tenantry_user
            using (tenant_id = any (array(select tenantry.visible_tenants())))
        $policy$, team_table);
        execute format($policy$
            create policy active_tenant on tenantry.%I as restrictive for select to tenantry_user
            using (
                nullif(current_setting('app.tenant_id', true), '') is null
                or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
            )
        $policy$, team_table);
        execute format($policy$
            create policy opened_tenants on tenantry.%I for all to tenantry_service
            using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
        $policy$, team_table);
        execute format('grant select on tenantry.%I to tenantry_user', team_table);
        execute format('grant select, insert on tenantry.%I to tenantry_service', team_table);
    end loop;
end
$$;

create policy team_reads on tenantry.teams for select to tenantry_user
    using (id = any (array(select tenantry.visible_teams())));
create policy team_reads on tenantry.team_members for select to tenantry_user
    using (team_id = any (array(select tenantry.visible_teams())));
-- The plan that a team shares; what was used of it is read by the service, which looks the membership up beside it.
create policy team_reads on tenantry.tenant_subscriptions for select to tenantry_user
    using (ended_at is null and tenant_id = any (array(select tenantry.shared_tenants())));

grant update (name, updated_at), delete on tenantry.teams to tenantry_service;
grant delete on tenantry.team_members to tenantry_service;
