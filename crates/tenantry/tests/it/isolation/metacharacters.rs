//! Attack 29: what looks like SQL, a JSON path or a terminal's control is stored and given back as text.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::world::{A, B, TwoTenants, insert};

const STRINGS: &[&str] = &[
    "'; select set_config('app.tenants', '00000000-0000-000b-0000-000000000001', false); --",
    "\\'; drop table tenantry.users; --",
    "$$; reset all; $$",
    "$1 :name ${name} {{name}} %s %1$s",
    "%_\\%",
    "$.* ? (@.secret != null)",
    "{\"$ne\": null}",
    "\",\"role\":\"owner\",\"x\":\"",
    "{a,b}\", NULL, (1,2)",
    "E'\\x00' U&'\\0041' \\u0041 /* -- */",
    "line\nbreak\r\ttab \u{1b}[2J \u{202e}over\u{202c} \u{feff}",
    "Ω≈ç√ 😀 e\u{301} \u{10ffff}",
];

/// Columns that hold text or JSON, of the tables that the service role inserts into.
const COLUMNS: &str = "
    select c.relname::text, a.attname::text, format_type(a.atttypid, null)
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'tenantry'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and a.attnum > 0 and not a.attisdropped
      and a.atttypid in ('text'::regtype, 'jsonb'::regtype, 'text[]'::regtype)
      and has_column_privilege('tenantry_service', c.oid, a.attnum, 'INSERT')
    order by 1, a.attnum";

/// Columns that hold words from a closed list, so that a constraint refuses every string above.
const CLOSED: &[&str] = &[
    "api_keys.scopes",
    "billing_events.actor",
    "billing_operations.kind",
    "billing_operations.state",
    "invitation_mails.state",
    "invitations.inviter",
    "invitations.role",
    "invitations.state",
    "invoices.currency",
    "notification_mails.state",
    "notifications.kind",
    "overage_charges.currency",
    "overage_charges.metric",
    "overage_charges.state",
    "security_events.severity",
    "stripe_charge_ways.way",
    "stripe_events.state",
    "stripe_invoice_items.target",
    "stripe_meter_prices.currency",
    "stripe_prices.billing_interval",
    "stripe_prices.currency",
    "tenant_members.role",
    "tenant_subscriptions.access",
    "tenant_subscriptions.billing_interval",
    "tenant_subscriptions.pending_interval",
    "tenant_subscriptions.plan_id",
    "tenant_subscriptions.provider",
    "tenant_usage.kind",
    "tenant_usage.reverses",
    "tenants.slug",
    "tenants.type",
    "usage_archive_parts.file_name",
    "usage_archive_parts.state",
    "usage_counters.aggregation",
    "usage_counters.dimensions",
    "usage_holds.metric",
    "usage_holds.state",
    "usage_periods.state",
    "usage_segment_amounts.metric",
    "webhook_deliveries.state",
    "webhook_endpoints.disabled_reason",
    "webhook_endpoints.previous_secret",
    "webhook_endpoints.secret",
    "webhook_endpoints.state",
    "webhook_endpoints.url",
];

#[tokio::test]
async fn attack_29_metacharacters_come_back_as_text() {
    let world = TwoTenants::new().await;
    let service = world.test.service_client().await;
    let opened = format!("{},{}", A.tenant, super::world::new_tenant(A, 1));
    let before = world.dump(B).await;
    let columns = world.admin.query(COLUMNS, &[]).await.unwrap();
    assert!(columns.len() > 30, "only {} columns", columns.len());
    let mut closed = Vec::new();
    for row in &columns {
        let (table, column, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (value, read) = match kind.as_str() {
            "text" => ("$1::text", column.clone()),
            "jsonb" => ("jsonb_build_object($1::text, $1::text)", format!("{column} ->> $1")),
            _ => ("array[$1::text]", format!("{column}[1]")),
        };
        let sql = format!("{} returning {read}", insert(&table, A, 1, &[(&column, value)]));
        for string in STRINGS {
            service.batch_execute(&format!("begin; set local app.tenants = '{opened}'")).await.unwrap();
            let parameters: &[&(dyn ToSql + Sync)] = &[string];
            match service.query_one(&sql, parameters).await {
                Ok(row) => assert_eq!(row.get::<_, &str>(0), *string, "{table}.{column}"),
                Err(error)
                    if [Some(&SqlState::CHECK_VIOLATION), Some(&SqlState::FOREIGN_KEY_VIOLATION)]
                        .contains(&error.code()) =>
                {
                    closed.push(format!("{table}.{column}"));
                    service.batch_execute("rollback").await.unwrap();
                    continue;
                }
                Err(error) => panic!("{sql}: {error:?}"),
            }
            let still: String = service.query_one("select current_setting('app.tenants')", &[]).await.unwrap().get(0);
            assert_eq!(still, opened);
            service.batch_execute("rollback").await.unwrap();
        }
    }
    let refusals = closed.len();
    closed.sort();
    closed.dedup();
    assert_eq!(closed, CLOSED);
    assert_eq!(refusals, CLOSED.len() * STRINGS.len(), "a constraint let some of the strings through");
    assert_eq!(world.dump(B).await, before);
}
