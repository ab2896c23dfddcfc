-- Deleting an account reaches teams and invitations, too.

-- An invitation to a deleted user forgets whom it was for.
grant update (email, email_key) on tenantry.invitations to tenantry_service;
create index invitations_by_email on tenantry.invitations (email_key);
create index invitations_by_user on tenantry.invitations (accepted_by);

-- The tenants that a user is in, whose teams it is in, that invited it, or that have entries about it. Ids only, for a
-- deletion that then opens them.
create policy helper_lists on tenantry.invitations for select to tenantry_authz using (true);
grant select (tenant_id, email_key, accepted_by) on tenantry.invitations to tenantry_authz;
set role tenantry_authz;
drop function tenantry.tenants_about(uuid);
-- What it listed is among those.
drop function tenantry.list_team_tenants(uuid);
set role tenantry_owner;
create function tenantry.tenants_about(asked uuid, address_key text) returns setof uuid
    language sql stable security definer parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select tenant_id from tenantry.tenant_members where user_id = asked
    union
    select tenant_id from tenantry.team_members where user_id = asked
    union
    select tenant_id from tenantry.invitations where email_key = address_key or accepted_by = asked
    union
    select tenant_id from tenantry.billing_events where subject_id = asked
$$;
grant create on schema tenantry to tenantry_authz;
alter function tenantry.tenants_about(uuid, text) owner to tenantry_authz;
revoke create on schema tenantry from tenantry_authz;
set role tenantry_authz;
revoke all on function tenantry.tenants_about(uuid, text) from public;
grant execute on function tenantry.tenants_about(uuid, text) to tenantry_service;
set role tenantry_owner;
