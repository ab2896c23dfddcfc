-- Keys that are replaced while both work, and how often a key may ask.

alter table tenantry.api_keys
    add column requests_per_minute integer,
    add column replaced_by uuid,
    add constraint api_keys_requests_per_minute check (requests_per_minute between 1 and 1000000),
    add constraint api_keys_replaced_by check (replaced_by <> id);
comment on column tenantry.api_keys.requests_per_minute is 'Requests that each replica answers in a minute; NULL: as many as come. Never changes.';
comment on column tenantry.api_keys.replaced_by is 'The key that this one was rotated to; expires_at is the end of the overlap.';

grant select (requests_per_minute, replaced_by) on tenantry.api_keys to tenantry_user;
grant update (expires_at, replaced_by) on tenantry.api_keys to tenantry_service;
