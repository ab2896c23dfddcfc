-- Indexes for what came before, by themselves: building one holds up who writes to its table, and nobody else.

-- Which entries are about a user, in whatever tenant.
create index billing_events_subject on tenantry.billing_events (subject_id, tenant_id);
-- Pages of the security log, the newest first.
create index security_events_by_time on tenantry.security_events (tenant_id, created_at, id);
-- Others with the same address, looked for when an account is deleted.
create index users_by_email on tenantry.users (lower(email));
