-- Views with the names and columns of the two shapes that subscriptions of users and of organizations had before, so
-- that code written against those can read here. Read-only, and with the rights of whoever reads: what a table does
-- not show its caller, no view does. docs/compatibility.md says what differs.

create view tenantry.subscriptions with (security_invoker = true) as
select s.id,
       t.id as user_id,
       null::text as stripe_subscription_id,
       null::text as stripe_customer_id,
       s.plan_id,
       s.status,
       s.billing_interval,
       s.current_period_start,
       s.current_period_end,
       s.cancel_at_period_end,
       s.metadata,
       s.created_at,
       s.updated_at
from tenantry.tenant_subscriptions s
join tenantry.tenants t on t.id = s.tenant_id
where t.type = 'user' and t.deleted_at is null and s.ended_at is null;
comment on view tenantry.subscriptions is 'The current subscription of each user''s own tenant.';
comment on column tenantry.subscriptions.stripe_subscription_id is
    'Always null: ids at Stripe are in a table that readers have no rights on.';
comment on column tenantry.subscriptions.stripe_customer_id is
    'Always null: ids at Stripe are in a table that readers have no rights on.';

create view tenantry.organizations with (security_invoker = true) as
select id, name, slug, owner_id, settings, created_at, updated_at
from tenantry.tenants
where type = 'organization' and deleted_at is null;
comment on view tenantry.organizations is 'Organizations; owner_id is who made it, roles are in organization_members.';

create view tenantry.organization_members with (security_invoker = true) as
select m.tenant_id as organization_id, m.user_id, m.role, m.permissions, m.created_at, m.updated_at
from tenantry.tenant_members m
join tenantry.tenants t on t.id = m.tenant_id
where t.type = 'organization' and t.deleted_at is null;
comment on view tenantry.organization_members is 'Who belongs to an organization, and as what.';

create view tenantry.organization_subscriptions with (security_invoker = true) as
select s.id,
       t.id as organization_id,
       null::text as stripe_subscription_id,
       null::text as stripe_customer_id,
       s.plan_id,
       s.status,
       s.billing_interval,
       s.current_period_start,
       s.current_period_end,
       s.cancel_at_period_end,
       s.metadata,
       s.created_at,
       s.updated_at
from tenantry.tenant_subscriptions s
join tenantry.tenants t on t.id = s.tenant_id
where t.type = 'organization' and t.deleted_at is null and s.ended_at is null;
comment on view tenantry.organization_subscriptions is 'The current subscription of each organization.';
comment on column tenantry.organization_subscriptions.stripe_subscription_id is
    'Always null: ids at Stripe are in a table that readers have no rights on.';
comment on column tenantry.organization_subscriptions.stripe_customer_id is
    'Always null: ids at Stripe are in a table that readers have no rights on.';

create view tenantry.usage_ledger with (security_invoker = true) as
select u.id,
       u.tenant_id,
       t.type as tenant_type,
       u.user_id,
       u.metric,
       u.amount,
       u.period_start,
       u.period_end,
       u.metadata,
       u.created_at
from tenantry.tenant_usage u
join tenantry.tenants t on t.id = u.tenant_id;
comment on view tenantry.usage_ledger is 'Usage events; a correction has a negative amount.';
comment on column tenantry.usage_ledger.user_id is 'Who used it, where that was said; tenant_id is who is billed.';

-- The current subscription of a user where its plan's limits hold. With the caller's rights: of another's id no row.
create function tenantry.get_user_active_subscription(user_uuid uuid) returns setof tenantry.subscriptions
    language sql stable security invoker parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select v.* from tenantry.subscriptions v
    where v.user_id = user_uuid
      and exists (
        select from tenantry.tenant_subscriptions s
        where s.tenant_id = v.user_id and s.id = v.id and s.access = 'full')
$$;
comment on function tenantry.get_user_active_subscription(uuid) is
    'The user''s own current subscription, none while a payment is overdue beyond its grace. Of another user''s id no row.';
revoke all on function tenantry.get_user_active_subscription(uuid) from public;

grant select on tenantry.subscriptions, tenantry.organizations, tenantry.organization_members,
    tenantry.organization_subscriptions, tenantry.usage_ledger
    to tenantry_user;
grant execute on function tenantry.get_user_active_subscription(uuid) to tenantry_user;
