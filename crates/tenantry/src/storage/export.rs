//! Everything that a tenant has, in parts and pages, for its owner to take along. Stripe's ids, hashes of keys and secrets
//! of webhooks are not in it.

use serde_json::Value;
use uuid::Uuid;

use super::row::Column as _;
use super::{Query, StoreError, Tx};
use crate::query;

/// A part of an export.
pub struct Part {
    /// What its lines are called.
    pub kind: &'static str,
    page: &'static Query,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A line, and the place after which the next page begins.
#[derive(Debug)]
pub struct Line {
    /// What is exported.
    pub data: Value,
    /// Its place in the order of the part.
    pub place: Value,
}

/// The parts in their order.
pub static PARTS: &[Part] = &[
    Part { kind: "tenant", page: &TENANT },
    Part { kind: "member", page: &MEMBERS },
    Part { kind: "invitation", page: &INVITATIONS },
    Part { kind: "team", page: &TEAMS },
    Part { kind: "key", page: &KEYS },
    Part { kind: "subscription", page: &SUBSCRIPTIONS },
    Part { kind: "period", page: &PERIODS },
    Part { kind: "usageEvent", page: &USAGE },
    Part { kind: "usageArchive", page: &USAGE_ARCHIVES },
    Part { kind: "charge", page: &CHARGES },
    Part { kind: "invoice", page: &INVOICES },
    Part { kind: "spendCap", page: &SPEND_CAPS },
    Part { kind: "spendAlert", page: &SPEND_ALERTS },
    Part { kind: "notification", page: &NOTIFICATIONS },
    Part { kind: "billingEvent", page: &AUDIT },
];

query! {
    both SPEND_CAPS = "
        select jsonb_build_object('metric', metric, 'amountCents', amount_minor, 'createdAt', created_at,
                   'updatedAt', updated_at),
               jsonb_build_array(id)
        from tenantry.spend_caps
        where tenant_id = $1 and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both SPEND_ALERTS = "
        select jsonb_build_object('id', id, 'metric', metric, 'amountCents', amount_minor, 'createdAt', created_at),
               jsonb_build_array(id)
        from tenantry.spend_alerts
        where tenant_id = $1 and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both TENANT = "
        select jsonb_build_object('id', id, 'type', type, 'name', name, 'slug', slug, 'ownerId', owner_id,
                   'settings', settings, 'createdAt', created_at, 'updatedAt', updated_at),
               jsonb_build_array(id)
        from tenantry.tenants
        where id = $1 and deleted_at is null and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both MEMBERS = "
        select jsonb_build_object('userId', m.user_id, 'email', u.email, 'role', m.role, 'permissions', m.permissions,
                   'createdAt', m.created_at, 'updatedAt', m.updated_at),
               jsonb_build_array(m.user_id)
        from tenantry.tenant_members m join tenantry.users u on u.id = m.user_id
        where m.tenant_id = $1 and ($2::jsonb is null or m.user_id > ($2 ->> 0)::uuid)
        order by m.user_id limit $3";
    both INVITATIONS = "
        select jsonb_build_object('id', id, 'email', email, 'role', role, 'permissions', permissions, 'state', state,
                   'inviter', inviter, 'inviterId', inviter_id, 'createdAt', created_at, 'expiresAt', expires_at,
                   'acceptedAt', accepted_at, 'acceptedBy', accepted_by, 'revokedAt', revoked_at),
               jsonb_build_array(id)
        from tenantry.invitations
        where tenant_id = $1 and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both TEAMS = "
        select jsonb_build_object('id', t.id, 'name', t.name, 'createdAt', t.created_at,
                   'members', array(select m.user_id from tenantry.team_members m
                                    where m.tenant_id = t.tenant_id and m.team_id = t.id order by m.user_id)),
               jsonb_build_array(t.id)
        from tenantry.teams t
        where t.tenant_id = $1 and ($2::jsonb is null or t.id > ($2 ->> 0)::uuid)
        order by t.id limit $3";
    both KEYS = "
        select jsonb_build_object('id', id, 'name', name, 'prefix', prefix, 'scopes', scopes, 'createdBy', created_by,
                   'createdAt', created_at, 'expiresAt', expires_at, 'revokedAt', revoked_at,
                   'lastUsedAt', last_used_at, 'requestsPerMinute', requests_per_minute, 'replacedBy', replaced_by),
               jsonb_build_array(id)
        from tenantry.api_keys
        where tenant_id = $1 and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both SUBSCRIPTIONS = "
        select jsonb_build_object('id', id, 'planId', plan_id, 'planVersion', plan_version, 'status', status,
                   'billingInterval', billing_interval, 'currentPeriodStart', current_period_start,
                   'currentPeriodEnd', current_period_end, 'quantity', quantity, 'createdAt', created_at,
                   'endedAt', ended_at),
               jsonb_build_array(id)
        from tenantry.tenant_subscriptions
        where tenant_id = $1 and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both PERIODS = "
        select jsonb_build_object('start', period_start, 'end', period_end, 'state', state, 'historic', historic),
               jsonb_build_array(period_start)
        from tenantry.usage_periods
        where tenant_id = $1 and ($2::jsonb is null or period_start > ($2 ->> 0)::timestamptz)
        order by period_start limit $3";
    // Without an `or`, whatever the plan: each page begins at its place in the index.
    both USAGE = "
        select jsonb_build_object('id', id, 'kind', kind, 'metric', metric, 'amount', amount::text, 'timestamp', occurred_at,
                   'userId', user_id, 'idempotencyKey', idempotency_key, 'reverses', reverses, 'metadata', metadata,
                   'recordedAt', created_at),
               jsonb_build_array(metric, occurred_at, id)
        from tenantry.tenant_usage
        where tenant_id = $1
          and (metric, occurred_at, id) > (
              coalesce($2::jsonb ->> 0, ''), coalesce(($2 ->> 1)::timestamptz, '-infinity'),
              coalesce(($2 ->> 2)::uuid, '00000000-0000-0000-0000-000000000000'))
        order by metric, occurred_at, id limit $3";
    both USAGE_ARCHIVES = "
        select jsonb_build_object('month', to_char(month at time zone 'UTC', 'YYYY-MM'), 'part', part, 'events', event_count,
                   'first', first_at, 'last', last_at, 'file', file_name, 'sha256', encode(digest, 'hex'),
                   'archivedAt', created_at),
               jsonb_build_array(month, part)
        from tenantry.usage_archive_parts
        where tenant_id = $1 and state = 'archived'
          and ($2::jsonb is null or (month, part) > (($2 ->> 0)::timestamptz, ($2 ->> 1)::integer))
        order by month, part limit $3";
    both CHARGES = "
        select jsonb_build_object('id', id, 'metric', metric, 'periodStart', billing_period_start, 'sequence', sequence,
                   'overage', overage_amount::text, 'amount', charge_amount_cents, 'currency', currency, 'state', state,
                   'inputs', inputs, 'createdAt', created_at),
               jsonb_build_array(id)
        from tenantry.overage_charges
        where tenant_id = $1 and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both INVOICES = "
        select jsonb_build_object('id', id, 'number', number, 'status', status, 'currency', currency,
                   'subtotal', subtotal, 'tax', tax, 'total', total, 'amountPaid', amount_paid,
                   'periodStart', period_start, 'periodEnd', period_end, 'lines', lines, 'taxes', taxes,
                   'customerAddress', customer_address, 'customerTaxIds', customer_tax_ids,
                   'hostedInvoiceUrl', hosted_invoice_url, 'invoicePdf', invoice_pdf, 'createdAt', created_at,
                   'paidAt', paid_at),
               jsonb_build_array(id)
        from tenantry.invoices
        where tenant_id = $1 and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both NOTIFICATIONS = "
        select jsonb_build_object('id', id, 'kind', kind, 'data', data, 'createdAt', created_at), jsonb_build_array(id)
        from tenantry.notifications
        where tenant_id = $1 and ($2::jsonb is null or id > ($2 ->> 0)::uuid)
        order by id limit $3";
    both AUDIT = "
        select jsonb_build_object('id', id, 'sequence', sequence, 'type', type, 'actor', actor, 'actorId', actor_id,
                   'subjectId', subject_id, 'createdAt', created_at, 'payload', payload),
               jsonb_build_array(sequence)
        from tenantry.billing_events
        where tenant_id = $1 and ($2::jsonb is null or sequence > ($2 ->> 0)::bigint)
        order by sequence limit $3";
}

impl Part {
    /// The lines after a place.
    pub async fn page(
        &self,
        tx: &Tx,
        tenant: Uuid,
        after: Option<&Value>,
        limit: i64,
    ) -> Result<Vec<Line>, StoreError> {
        let rows = tx.rows(self.page, &[&tenant, &after, &limit]).await?;
        rows.iter().map(|row| Ok(Line { data: row.col(0)?, place: row.col(1)? })).collect()
    }
}
