-- What ties tenants to Stripe: customers, subscriptions, prices, the inbox of events, intents, mirrored invoices.
--
-- Stripe's ids of customers, subscriptions and invoice items stay in tables that the user-facing role cannot read.
-- Only the sync writes what Stripe says, each time the whole state of one customer under that customer's lease.

alter table tenantry.tenant_subscriptions
    add column provider text,
    add column quantity integer not null default 1,
    add column trial_end timestamptz,
    add column cancel_at timestamptz,
    add column past_due_since timestamptz,
    add column access text not null default 'full',
    add column pending_plan_id text,
    add column pending_interval text,
    add column pending_at timestamptz,
    add constraint tenant_subscriptions_provider check (provider in ('stripe')),
    add constraint tenant_subscriptions_pending_interval check (pending_interval in ('month', 'year')),
    add constraint tenant_subscriptions_quantity check (quantity > 0),
    add constraint tenant_subscriptions_access check (access in ('full', 'fallback')),
    add constraint tenant_subscriptions_pending check (
        (pending_plan_id is null) = (pending_at is null) and (pending_plan_id is null) = (pending_interval is null));
comment on column tenantry.tenant_subscriptions.provider is 'Who states its plan, status and billing period: Stripe, or (null) we, for a free plan.';
comment on column tenantry.tenant_subscriptions.quantity is 'Seats that are paid for; 1 where the plan is not per seat.';
comment on column tenantry.tenant_subscriptions.cancel_at is 'When it ends, where a cancellation is pending.';
comment on column tenantry.tenant_subscriptions.past_due_since is 'First time that a payment was seen overdue; access is kept for the configured grace from here.';
comment on column tenantry.tenant_subscriptions.access is 'full: limits of its plan; fallback: limits of the default plan, because of its status. Prices stay those of its plan.';
comment on column tenantry.tenant_subscriptions.pending_plan_id is 'Plan that it changes to at pending_at.';
grant update (provider, quantity, trial_end, cancel_at, past_due_since, access, pending_plan_id, pending_interval, pending_at)
    on tenantry.tenant_subscriptions to tenantry_service;

-- ---------------------------------------------------------------- customers and subscriptions

create table tenantry.stripe_customers (
    tenant_id    uuid not null references tenantry.tenants (id),
    customer_id  text not null,
    lease_token  uuid,
    lease_until  timestamptz,
    synced_at    timestamptz,
    created_at   timestamptz not null,
    ended_at     timestamptz,
    primary key (tenant_id, customer_id),
    constraint stripe_customers_customer_key unique (customer_id)
);
create unique index stripe_customers_current_key on tenantry.stripe_customers (tenant_id) where ended_at is null;
comment on table tenantry.stripe_customers is 'The customer at Stripe that stands for a tenant (ended_at is null), and those that were deleted there.';
comment on column tenantry.stripe_customers.lease_token is
    'Who reads this customer from Stripe or writes to it right now. A write of what was read is conditional on the token, so that an older state never follows a newer one.';

create table tenantry.stripe_subscriptions (
    tenant_id               uuid not null references tenantry.tenants (id),
    stripe_subscription_id  text not null,
    subscription_id         uuid not null,
    customer_id             text not null,
    item_id                 text not null,
    price_id                text not null,
    schedule_id             text,
    status                  text not null,
    created_at              timestamptz not null,
    updated_at              timestamptz not null,
    primary key (tenant_id, stripe_subscription_id),
    foreign key (tenant_id, subscription_id) references tenantry.tenant_subscriptions (tenant_id, id)
);
comment on table tenantry.stripe_subscriptions is 'Which subscription at Stripe a row of tenant_subscriptions stands for; a subscription that ended is never revived.';

-- ---------------------------------------------------------------- prices

create table tenantry.stripe_prices (
    price_id          text primary key,
    product_id        text not null,
    plan_id           text not null,
    billing_interval  text not null,
    currency          text not null,
    unit_amount       bigint not null,
    current           boolean not null,
    created_at        timestamptz not null,
    constraint stripe_prices_interval check (billing_interval in ('month', 'year')),
    constraint stripe_prices_currency check (currency ~ '^[a-z]{3}$'),
    constraint stripe_prices_amount check (unit_amount >= 0)
);
create unique index stripe_prices_current_key on tenantry.stripe_prices (plan_id, billing_interval) where current;
comment on table tenantry.stripe_prices is
    'Every price at Stripe that stands or stood for a plan: when an amount changes the lookup key moves to a new price, and who pays the old one keeps it.';
comment on column tenantry.stripe_prices.unit_amount is 'Minor units of currency for one billing interval (and seat).';

-- ---------------------------------------------------------------- inbox

create table tenantry.stripe_events (
    id            text primary key,
    type          text not null,
    api_version   text,
    object_id     text,
    customer_id   text,
    payload       jsonb not null,
    created_at    timestamptz not null,
    received_at   timestamptz not null,
    state         text not null default 'pending',
    run_at        timestamptz not null,
    attempts      integer not null default 0,
    lease_token   uuid,
    lease_until   timestamptz,
    last_error    text,
    finished_at   timestamptz,
    constraint stripe_events_state check (state in ('pending', 'done', 'dead'))
);
create index stripe_events_due on tenantry.stripe_events (run_at) where state = 'pending';
create index stripe_events_received on tenantry.stripe_events (received_at);
comment on table tenantry.stripe_events is
    'Inbox: what Stripe told us, each event once. An event is a hint that wakes a sync, never the data that is written.';
comment on column tenantry.stripe_events.created_at is 'As Stripe says, to the second; never an order.';
comment on column tenantry.stripe_events.state is 'dead: failed too often; `tenantry stripe events` shows it, `tenantry stripe replay` runs it again.';

create table tenantry.stripe_cursors (
    name        text primary key,
    position    timestamptz not null,
    updated_at  timestamptz not null
);
comment on table tenantry.stripe_cursors is 'How far a periodic sweep over Stripe got.';

-- ---------------------------------------------------------------- intents

create table tenantry.billing_operations (
    tenant_id    uuid not null references tenantry.tenants (id),
    id           uuid not null,
    kind         text not null,
    state        text not null default 'running',
    request      jsonb not null,
    outcome      jsonb,
    actor        text not null,
    actor_id     uuid,
    created_at   timestamptz not null,
    finished_at  timestamptz,
    primary key (tenant_id, id),
    constraint billing_operations_kind check (kind in ('checkout', 'upgrade', 'downgrade', 'cancel', 'resume', 'seats', 'adopt')),
    constraint billing_operations_state check (state in ('running', 'succeeded', 'failed')),
    constraint billing_operations_outcome check (
        (state = 'running') = (finished_at is null) and (state = 'running') = (outcome is null))
);
create unique index billing_operations_one_running on tenantry.billing_operations (tenant_id) where state = 'running';
comment on table tenantry.billing_operations is
    'What somebody asked for that needs Stripe: committed before the first call, done by the request or, if that dies, by a worker under the same idempotency keys. One at a time for each tenant.';
comment on column tenantry.billing_operations.outcome is 'The answer, or (failed) the problem that the caller is told.';

-- ---------------------------------------------------------------- invoices

create table tenantry.invoices (
    tenant_id             uuid not null references tenantry.tenants (id),
    id                    uuid not null,
    stripe_invoice_id     text not null,
    number                text,
    status                text not null,
    billing_reason        text,
    currency              text not null,
    subtotal              bigint not null,
    tax                   bigint not null,
    total                 bigint not null,
    amount_due            bigint not null,
    amount_paid           bigint not null,
    amount_remaining      bigint not null,
    period_start          timestamptz not null,
    period_end            timestamptz not null,
    lines                 jsonb not null,
    taxes                 jsonb not null default '[]',
    customer_address      jsonb,
    customer_tax_ids      jsonb not null default '[]',
    automatic_tax_status  text,
    hosted_invoice_url    text,
    invoice_pdf           text,
    attempt_count         integer not null default 0,
    next_payment_attempt  timestamptz,
    created_at            timestamptz not null,
    finalized_at          timestamptz,
    paid_at               timestamptz,
    updated_at            timestamptz not null,
    primary key (tenant_id, id),
    constraint invoices_stripe_key unique (tenant_id, stripe_invoice_id),
    constraint invoices_currency check (currency ~ '^[a-z]{3}$')
);
create index invoices_newest on tenantry.invoices (tenant_id, created_at desc, id desc);
comment on table tenantry.invoices is 'Mirror of Stripe''s invoices, as the sync last read them. Amounts are minor units of currency.';
comment on column tenantry.invoices.customer_address is 'As it was when the invoice was finalized.';

-- ---------------------------------------------------------------- overage at Stripe

alter table tenantry.overage_charges drop constraint overage_charges_state;
alter table tenantry.overage_charges
    add column billed_at timestamptz,
    add constraint overage_charges_state check (state in ('unbilled', 'carried', 'billed'));
create index overage_charges_open on tenantry.overage_charges (tenant_id) where state <> 'billed';
comment on column tenantry.overage_charges.state is
    'unbilled: not at Stripe yet; carried: waits for a subscription that can pay it; billed: an invoice item stands for it.';
grant update (state, billed_at) on tenantry.overage_charges to tenantry_service;

create table tenantry.stripe_invoice_items (
    tenant_id        uuid not null references tenantry.tenants (id),
    charge_id        uuid not null,
    invoice_item_id  text not null,
    target           text not null,
    created_at       timestamptz not null,
    primary key (tenant_id, charge_id),
    constraint stripe_invoice_items_target check (target in ('draft', 'next', 'own'))
);
comment on table tenantry.stripe_invoice_items is 'The invoice item that stands for a charge; written once.';
comment on column tenantry.stripe_invoice_items.target is 'Where it went: the open draft, the next invoice, or an invoice of its own.';

-- ---------------------------------------------------------------- the clock of development

create table tenantry.development_clock (
    id              uuid primary key,
    offset_seconds  bigint not null,
    created_at      timestamptz not null,
    constraint development_clock_forward check (offset_seconds >= 0)
);
comment on table tenantry.development_clock is
    'How far the sandbox''s clock was moved ahead, a row for each move; the largest holds, and every process of a development deployment follows it. Empty in production.';

-- ---------------------------------------------------------------- row security and privileges

do $$
declare
    tenant_table text;
    lookup_table text;
begin
    foreach tenant_table in array array['stripe_subscriptions', 'billing_operations', 'invoices', 'stripe_invoice_items'] loop
        execute format('alter table tenantry.%I enable row level security', tenant_table);
        execute format('alter table tenantry.%I force row level security', tenant_table);
        execute format($policy$
            create policy opened_tenants on tenantry.%I for all to tenantry_service
            using (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (tenant_id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
        $policy$, tenant_table);
        execute format('grant select, insert on tenantry.%I to tenantry_service', tenant_table);
    end loop;
    -- stripe_customers: an event names a customer before any tenant is known. The others belong to no tenant.
    foreach lookup_table in array array['stripe_customers', 'stripe_prices', 'stripe_events', 'stripe_cursors', 'development_clock'] loop
        execute format('alter table tenantry.%I enable row level security', lookup_table);
        execute format('alter table tenantry.%I force row level security', lookup_table);
        execute format('create policy lookup on tenantry.%I for all to tenantry_service using (true) with check (true)', lookup_table);
        execute format('grant select, insert on tenantry.%I to tenantry_service', lookup_table);
    end loop;
end
$$;

create policy member_reads on tenantry.invoices for select to tenantry_user
    using (tenant_id = any (array(select tenantry.visible_tenants())));
create policy active_tenant on tenantry.invoices as restrictive for select to tenantry_user
    using (
        nullif(current_setting('app.tenant_id', true), '') is null
        or tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
    );
grant select (tenant_id, id, number, status, billing_reason, currency, subtotal, tax, total, amount_due, amount_paid,
              amount_remaining, period_start, period_end, lines, taxes, customer_address, customer_tax_ids,
              automatic_tax_status, hosted_invoice_url, invoice_pdf, attempt_count, next_payment_attempt, created_at,
              finalized_at, paid_at, updated_at)
    on tenantry.invoices to tenantry_user;

grant update (lease_token, lease_until, synced_at, ended_at) on tenantry.stripe_customers to tenantry_service;
grant update (subscription_id, item_id, price_id, schedule_id, status, updated_at) on tenantry.stripe_subscriptions to tenantry_service;
grant update (current) on tenantry.stripe_prices to tenantry_service;
grant update (state, run_at, attempts, lease_token, lease_until, last_error, finished_at, customer_id) on tenantry.stripe_events
    to tenantry_service;
grant update (position, updated_at) on tenantry.stripe_cursors to tenantry_service;
grant update (state, outcome, finished_at) on tenantry.billing_operations to tenantry_service;
grant update (number, status, billing_reason, currency, subtotal, tax, total, amount_due, amount_paid, amount_remaining,
              period_start, period_end, lines, taxes, customer_address, customer_tax_ids, automatic_tax_status,
              hosted_invoice_url, invoice_pdf, attempt_count, next_payment_attempt, finalized_at, paid_at, updated_at)
    on tenantry.invoices to tenantry_service;
