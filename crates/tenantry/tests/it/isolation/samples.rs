//! A row for every table of the schema.

/// Parts of a sample row: a column and its value, in which `{t}`, `{u}`, `{k}` are the tenant, its user and its
/// key, `{n}` the row's number, `{new}` an id of its own, `{subscription}`, `{notice}`, `{endpoint}`, `{team}` those of
/// its tenant in row 0, and `{self}` the tenant's (or user's, key's) own id in row 0.
pub(super) type Sample = &'static [(&'static str, &'static str)];

const MONTH: &str = "date_trunc('month', now(), 'UTC')";
const NEXT: &str = "date_trunc('month', now(), 'UTC') + interval '1 month'";

/// A row of a table that belongs to a tenant; row 0 exists in the world, others may be inserted beside it.
pub(super) fn sample(table: &str) -> Option<Sample> {
    SAMPLES.iter().find(|(known, _)| *known == table).map(|(_, row)| *row)
}

const SAMPLES: &[(&str, Sample)] = &[
    ("users", &[("id", "{self}"), ("created_at", "now()"), ("updated_at", "now()")]),
    (
        "tenants",
        &[
            ("id", "{self}"),
            ("type", "'organization'"),
            ("name", "'Acme'"),
            ("slug", "'t-' || substr(md5({new}::text), 1, 12)"),
            ("owner_id", "{u}"),
            ("created_at", "now()"),
            ("updated_at", "now()"),
        ],
    ),
    (
        "tenant_members",
        &[
            ("tenant_id", "{t}"),
            ("user_id", "{member}"),
            ("role", "'member'"),
            ("created_at", "now()"),
            ("updated_at", "now()"),
        ],
    ),
    (
        "teams",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("name", "'Team {n}'"),
            ("created_at", "now()"),
            ("updated_at", "now()"),
        ],
    ),
    ("team_members", &[("tenant_id", "{t}"), ("team_id", "{team}"), ("user_id", "{member}"), ("created_at", "now()")]),
    (
        "api_keys",
        &[
            ("id", "{self}"),
            ("tenant_id", "{t}"),
            ("name", "'key'"),
            ("prefix", "'tk_'"),
            ("secret_hash", "sha256('{n}')"),
            ("scopes", "array['viewUsage']"),
            ("created_at", "now()"),
        ],
    ),
    (
        "plan_versions",
        &[
            ("plan_id", "'plan {n}'"),
            ("version", "1"),
            ("definition", "'{}'"),
            ("is_default", "false"),
            ("current", "false"),
            ("created_at", "now()"),
        ],
    ),
    (
        "tenant_subscriptions",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("plan_id", "'plan 0'"),
            ("plan_version", "1"),
            ("status", "'active'"),
            ("anchor", MONTH),
            ("current_period_start", MONTH),
            ("current_period_end", NEXT),
            ("created_at", "now()"),
            ("updated_at", "now()"),
            ("ended_at", "case when {n} > 0 then now() end"),
            ("pending_plan_id", "'plan 0'"),
            ("pending_interval", "'month'"),
            ("pending_at", "now()"),
        ],
    ),
    (
        "billing_events",
        &[
            ("tenant_id", "{t}"),
            ("sequence", "{n} + 1"),
            ("id", "{new}"),
            ("type", "'tenant.created'"),
            ("actor", "'system'"),
            ("created_at", "now()"),
            ("payload", "'{}'"),
            ("payload_salt", "substr(sha256('salt'), 1, 16)"),
            ("payload_hash", "sha256('payload')"),
            ("previous_hash", "sha256('previous')"),
            ("hash", "sha256('entry')"),
        ],
    ),
    (
        "security_events",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("type", "'insufficient_permissions'"),
            ("severity", "'warning'"),
            ("created_at", "now()"),
        ],
    ),
    (
        "jobs",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("kind", "'close_period'"),
            ("dedupe_key", "'key {n}'"),
            ("run_at", "now()"),
            ("created_at", "now()"),
        ],
    ),
    (
        "idempotency_keys",
        &[
            ("scope_hash", "sha256(({new}::text)::bytea)"),
            ("request_hash", "sha256('request')"),
            ("status", "201"),
            ("response", "'{}'"),
            ("created_at", "now()"),
            ("expires_at", "now() + interval '1 day'"),
        ],
    ),
    (
        "usage_periods",
        &[
            ("tenant_id", "{t}"),
            ("period_start", "date_trunc('month', now(), 'UTC') + {n} * interval '1 day'"),
            ("period_end", NEXT),
            ("anchor", MONTH),
        ],
    ),
    (
        "usage_segments",
        &[
            ("tenant_id", "{t}"),
            ("period_start", MONTH),
            ("sequence", "{n}"),
            ("started_at", MONTH),
            ("plan_id", "'plan 0'"),
            ("plan_version", "1"),
            ("limits_plan_id", "'plan 0'"),
            ("limits_plan_version", "1"),
        ],
    ),
    (
        "usage_counters",
        &[
            ("tenant_id", "{t}"),
            ("metric", "'metric {n}'"),
            ("period_start", MONTH),
            ("period_end", NEXT),
            ("segment_sequence", "0"),
            ("segment_start", MONTH),
            ("in_plan", "true"),
        ],
    ),
    (
        "usage_segment_amounts",
        &[
            ("tenant_id", "{t}"),
            ("metric", "'metric 0'"),
            ("period_start", MONTH),
            ("sequence", "{n}"),
            ("amount", "1"),
        ],
    ),
    (
        "usage_keys",
        &[
            ("tenant_id", "{t}"),
            ("idempotency_key", "'key {n}'"),
            ("content_hash", "{new}"),
            ("occurred_at", "now()"),
            ("timestamp_given", "false"),
            ("metric", "'metric 0'"),
        ],
    ),
    (
        "tenant_usage",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("metric", "'metric 0'"),
            ("amount", "1"),
            ("occurred_at", "now()"),
            ("period_start", MONTH),
            ("period_end", NEXT),
            ("idempotency_key", "'key {n}'"),
            ("metadata", "'{}'"),
            ("created_at", "now()"),
        ],
    ),
    (
        "usage_rollups",
        &[
            ("tenant_id", "{t}"),
            ("metric", "'metric {n}'"),
            ("period_start", MONTH),
            ("hour", MONTH),
            ("user_id", "{u}"),
            ("amount", "1"),
            ("event_count", "1"),
        ],
    ),
    (
        "overage_charges",
        &[
            ("tenant_id", "{t}"),
            ("metric", "'metric 0'"),
            ("billing_period_start", MONTH),
            ("sequence", "{n}"),
            ("id", "{new}"),
            ("tenant_type", "'organization'"),
            ("overage_amount", "1"),
            ("charge_amount_cents", "1"),
            ("currency", "'usd'"),
            ("inputs", "'{}'"),
            ("created_at", "now()"),
        ],
    ),
    (
        "stripe_customers",
        &[
            ("tenant_id", "{t}"),
            ("customer_id", "'cus_' || {new}::text"),
            ("created_at", "now()"),
            ("ended_at", "case when {n} > 0 then now() end"),
        ],
    ),
    (
        "stripe_subscriptions",
        &[
            ("tenant_id", "{t}"),
            ("stripe_subscription_id", "'sub_' || {new}::text"),
            ("subscription_id", "{subscription}"),
            ("customer_id", "'cus_1'"),
            ("item_id", "'si_1'"),
            ("price_id", "'price_1'"),
            ("status", "'active'"),
            ("created_at", "now()"),
            ("updated_at", "now()"),
        ],
    ),
    (
        "stripe_prices",
        &[
            ("price_id", "'price_' || {new}::text"),
            ("product_id", "'prod_1'"),
            ("plan_id", "'plan {n}'"),
            ("billing_interval", "'month'"),
            ("currency", "'usd'"),
            ("unit_amount", "2900"),
            ("current", "false"),
            ("created_at", "now()"),
        ],
    ),
    (
        "stripe_events",
        &[
            ("id", "'evt_' || {new}::text"),
            ("type", "'invoice.paid'"),
            ("payload", "'{}'"),
            ("created_at", "now()"),
            ("received_at", "now()"),
            ("run_at", "now()"),
        ],
    ),
    ("stripe_cursors", &[("name", "'cursor ' || {new}::text"), ("position", "now()"), ("updated_at", "now()")]),
    (
        "billing_operations",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("kind", "'checkout'"),
            ("state", "'succeeded'"),
            ("request", "'{}'"),
            ("outcome", "'{}'"),
            ("actor", "'system'"),
            ("created_at", "now()"),
            ("finished_at", "now()"),
        ],
    ),
    (
        "invoices",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("stripe_invoice_id", "'in_' || {new}::text"),
            ("status", "'paid'"),
            ("currency", "'usd'"),
            ("subtotal", "2900"),
            ("tax", "0"),
            ("total", "2900"),
            ("amount_due", "2900"),
            ("amount_paid", "2900"),
            ("amount_remaining", "0"),
            ("period_start", MONTH),
            ("period_end", NEXT),
            ("lines", "'[]'"),
            ("created_at", "now()"),
            ("updated_at", "now()"),
        ],
    ),
    (
        "stripe_invoice_items",
        &[
            ("tenant_id", "{t}"),
            ("charge_id", "{new}"),
            ("invoice_item_id", "'ii_1'"),
            ("target", "'draft'"),
            ("created_at", "now()"),
        ],
    ),
    ("development_clock", &[("id", "{new}"), ("offset_seconds", "0"), ("created_at", "now()")]),
    (
        "notifications",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("kind", "'test'"),
            ("dedupe_key", "'key {n}'"),
            ("data", "'{}'"),
            ("created_at", "now()"),
        ],
    ),
    (
        "notification_mails",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("notification_id", "{notice}"),
            ("address", "'a{n}@example.com'"),
            ("created_at", "now()"),
        ],
    ),
    (
        "webhook_endpoints",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("url", "'https://hooks.example.com/{n}'"),
            ("kinds", "'{}'"),
            ("secret", "'whsec_c2VjcmV0'"),
            ("created_at", "now()"),
            ("updated_at", "now()"),
        ],
    ),
    (
        "webhook_deliveries",
        &[
            ("tenant_id", "{t}"),
            ("id", "{new}"),
            ("endpoint_id", "{endpoint}"),
            ("notification_id", "case when {n} = 0 then {new} else {notice} end"),
            ("next_attempt_at", "now()"),
            ("created_at", "now()"),
        ],
    ),
];
