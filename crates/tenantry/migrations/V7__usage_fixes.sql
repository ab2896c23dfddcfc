-- Usage: late plan changes and anchors, finding the event behind a key, and telling historic counters apart.

-- Until here a period could be moved only by its end, and a segment not at all.
grant update (anchor) on tenantry.usage_periods to tenantry_service;
grant update (started_at) on tenantry.usage_segments to tenantry_service;
comment on column tenantry.usage_segments.started_at is
    'Never before the segment with the sequence before it. At or after the period''s end where a new anchor ended the period first: then the segment holds nothing.';

-- Reads look for periods and counters within this length before an instant instead of through a tenant's whole life.
alter table tenantry.usage_periods
    add constraint usage_periods_length check (period_end - period_start <= interval '31 days');

alter table tenantry.usage_counters add column historic boolean not null default false;
comment on column tenantry.usage_counters.historic is 'As of its period: before the tenant was here. Only service keys and imports count there.';

-- The owner is held to row security as well, and these are rows of all tenants.
alter table tenantry.usage_counters no force row level security;
alter table tenantry.usage_periods no force row level security;
alter table tenantry.usage_keys no force row level security;
alter table tenantry.tenant_usage no force row level security;

update tenantry.usage_counters c set historic = true
from tenantry.usage_periods p
where p.tenant_id = c.tenant_id and p.period_start = c.period_start and p.historic;

-- With it the index of tenant_usage leads from a key to its event.
alter table tenantry.usage_keys add column metric text;
update tenantry.usage_keys k set metric = u.metric
from tenantry.tenant_usage u
where u.tenant_id = k.tenant_id and u.occurred_at = k.occurred_at and u.idempotency_key = k.idempotency_key;
alter table tenantry.usage_keys alter column metric set not null;
comment on column tenantry.usage_keys.metric is 'Of the event; of a correction the metric of what it takes back.';

alter table tenantry.usage_counters force row level security;
alter table tenantry.usage_periods force row level security;
alter table tenantry.usage_keys force row level security;
alter table tenantry.tenant_usage force row level security;

comment on column tenantry.tenant_usage.period_end is
    'As it was when the event was recorded or moved. A new anchor may end the period earlier: usage_periods has the end, found by period_start.';
comment on column tenantry.overage_charges.overage_amount is
    'Quantity above what the plan that prices the last segment includes, at that moment. Limits may be another plan''s.';
