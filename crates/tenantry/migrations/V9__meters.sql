-- Overage through Stripe's billing meters: metered prices, the way that each charge takes, and the operation that brings
-- metered items to a subscription.

alter table tenantry.billing_operations drop constraint billing_operations_kind;
alter table tenantry.billing_operations add constraint billing_operations_kind
    check (kind in ('checkout', 'upgrade', 'downgrade', 'cancel', 'resume', 'seats', 'adopt', 'metered'));

alter table tenantry.stripe_invoice_items drop constraint stripe_invoice_items_target;
alter table tenantry.stripe_invoice_items add constraint stripe_invoice_items_target
    check (target in ('draft', 'next', 'own', 'meter'));
comment on table tenantry.stripe_invoice_items is 'The invoice item, or the meter event, that stands for a charge; written once.';
comment on column tenantry.stripe_invoice_items.invoice_item_id is 'Of a meter event its identifier, which is the charge''s id.';
comment on column tenantry.stripe_invoice_items.target is
    'Where it went: the open draft, the next invoice, an invoice of its own, or a meter that counts on the open draft.';

create table tenantry.stripe_meter_prices (
    price_id    text primary key,
    product_id  text not null,
    meter_id    text not null,
    plan_id     text not null,
    metric      text not null,
    currency    text not null,
    terms       jsonb not null,
    current     boolean not null,
    created_at  timestamptz not null,
    constraint stripe_meter_prices_currency check (currency ~ '^[a-z]{3}$')
);
create unique index stripe_meter_prices_current_key on tenantry.stripe_meter_prices (plan_id, metric) where current;
comment on table tenantry.stripe_meter_prices is
    'Every metered price at Stripe that expresses, or expressed, what a plan charges for a metric above what is included. One that was followed by another stays for the plan versions that have its terms.';
comment on column tenantry.stripe_meter_prices.terms is 'The overage terms of the plan that it expresses.';

create table tenantry.stripe_charge_ways (
    tenant_id    uuid not null references tenantry.tenants (id),
    charge_id    uuid not null,
    way          text not null,
    invoice_id   text,
    event_name   text,
    value        numeric,
    occurred_at  timestamptz,
    began_at     timestamptz not null,
    counted_at   timestamptz,
    doubted_at   timestamptz,
    primary key (tenant_id, charge_id),
    constraint stripe_charge_ways_way check (way in ('item', 'event')),
    constraint stripe_charge_ways_event check (
        way <> 'event' or (invoice_id is not null and event_name is not null and value is not null and occurred_at is not null))
);
create index stripe_charge_ways_invoice on tenantry.stripe_charge_ways (tenant_id, invoice_id) where way = 'event';
comment on table tenantry.stripe_charge_ways is
    'Whether a charge becomes an invoice item or a meter event: decided once, before the first call, since a call without an answer may have counted. Where overage is billed by items only there is no row.';
comment on column tenantry.stripe_charge_ways.way is
    'event becomes item where Stripe refused the event, or its invoice shows that it does not count.';
comment on column tenantry.stripe_charge_ways.invoice_id is 'The invoice on which the event counts.';
comment on column tenantry.stripe_charge_ways.value is 'Change of the quantity above included; negative takes back.';
comment on column tenantry.stripe_charge_ways.occurred_at is 'When the event happened, as Stripe is told: within the period of the invoice.';
comment on column tenantry.stripe_charge_ways.began_at is
    'Before the first call. Stripe knows the identifier for a day from then: later it is not sent again.';
comment on column tenantry.stripe_charge_ways.counted_at is 'When it was known to count.';
comment on column tenantry.stripe_charge_ways.doubted_at is 'When it was told that nobody can know whether it counts.';

alter table tenantry.stripe_charge_ways enable row level security;
alter table tenantry.stripe_charge_ways force row level security;
create policy opened_tenants on tenantry.stripe_charge_ways for all to tenantry_service
    using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
    with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])));
grant select, insert on tenantry.stripe_charge_ways to tenantry_service;
grant update (way, counted_at, doubted_at) on tenantry.stripe_charge_ways to tenantry_service;

-- The catalog belongs to no tenant.
alter table tenantry.stripe_meter_prices enable row level security;
alter table tenantry.stripe_meter_prices force row level security;
create policy lookup on tenantry.stripe_meter_prices for all to tenantry_service using (true) with check (true);
grant select, insert on tenantry.stripe_meter_prices to tenantry_service;
grant update (current) on tenantry.stripe_meter_prices to tenantry_service;
