-- What is personal can be taken out of the audit trail for good, and a user can be deleted.

-- Users before the trail, as whoever serves locks them: a migration that waited the other way round would end in a deadlock.

-- ---------------------------------------------------------------- deleted users

alter table tenantry.users add column deleted_at timestamptz;
alter table tenantry.users
    add constraint users_deleted_without_email check (deleted_at is null or email is null);
comment on column tenantry.users.deleted_at is
    'When the account was deleted. The row stays, without anything personal, so that the id is never anybody again.';
grant update (deleted_at) on tenantry.users to tenantry_service;
-- Nobody comes back: a row with deleted_at is neither changed nor locked.
create policy deleted_for_good on tenantry.users as restrictive for update to tenantry_service
    using (deleted_at is null)
    with check (deleted_at is null or email is null);

-- ---------------------------------------------------------------- blanked payloads

-- The chain holds ids and the salted hash of the payload, never the payload: how an entry is hashed stays as it was,
-- so old chains verify as before. A blanked payload loses its salt too; with the salt left, an e-mail address could be
-- found by trying. Rows of the time before are not looked at.
alter table tenantry.billing_events alter column payload_salt drop not null;
alter table tenantry.billing_events
    add constraint billing_events_blanked check ((payload is null) = (payload_salt is null)) not valid;
comment on column tenantry.billing_events.payload is 'What is personal, and all else about the deed; null once it was blanked.';
comment on column tenantry.billing_events.payload_hash is
    'SHA-256 of payload_salt and the canonical payload. Kept when the payload is blanked: the chain goes over it.';

-- The one change that an entry may see: its payload goes, with its salt, once and for all.
create policy blanking_only on tenantry.billing_events as restrictive for update to tenantry_service
    using (payload is not null)
    with check (payload is null and payload_salt is null);
grant update (payload, payload_salt) on tenantry.billing_events to tenantry_service;

-- A mail that was kept or sent forgets whom it was for.
grant update (address) on tenantry.notification_mails to tenantry_service;

-- The tenants that a user is in, or that have entries about the user. Ids only, for a deletion that then opens them.
-- Under the authz role, since the service role sees the tenants it was opened for and no others.
create policy helper_lists on tenantry.billing_events for select to tenantry_authz using (true);
grant select (tenant_id, subject_id) on tenantry.billing_events to tenantry_authz;
create function tenantry.tenants_about(asked uuid) returns setof uuid
    language sql stable security definer parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select tenant_id from tenantry.tenant_members where user_id = asked
    union
    select tenant_id from tenantry.billing_events where subject_id = asked
$$;
grant create on schema tenantry to tenantry_authz;
alter function tenantry.tenants_about(uuid) owner to tenantry_authz;
revoke create on schema tenantry from tenantry_authz;
set role tenantry_authz;
revoke all on function tenantry.tenants_about(uuid) from public;
grant execute on function tenantry.tenants_about(uuid) to tenantry_service;
set role tenantry_owner;
