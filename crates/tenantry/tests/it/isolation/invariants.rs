//! The schema as migrated keeps every check, but for the exceptions named here.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::checks::{CHECKS, violations};
use crate::support::TestDb;

/// Deliberate exceptions: check, what it says, why that is right. One that is no longer needed fails the test.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("tables_name_their_tenant", "users", "people belong to tenants through tenant_members; own policies"),
    ("tables_name_their_tenant", "plan_versions", "the catalog belongs to no tenant"),
    ("tables_name_their_tenant", "idempotency_keys", "the scope hash names one caller in one tenant context"),
    ("tables_name_their_tenant", "stripe_prices", "the catalog belongs to no tenant"),
    ("tables_name_their_tenant", "stripe_meter_prices", "the catalog belongs to no tenant"),
    ("tables_name_their_tenant", "stripe_events", "an event arrives before its tenant is known"),
    ("tables_name_their_tenant", "stripe_cursors", "a sweep goes over all tenants"),
    ("tables_name_their_tenant", "development_clock", "one clock for the deployment"),
    ("tables_name_their_tenant", "retention_runs", "a month leaves for all tenants at once"),
    ("tenant_column_is_not_null", "api_keys", "a service key has no tenant"),
    ("unique_indexes_contain_the_tenant", "tenantry.api_keys_pkey", "a key is found by its id alone"),
    ("unique_indexes_contain_the_tenant", "tenantry.tenants_slug_key", "slugs are global; no input to authorization"),
    (
        "unique_indexes_contain_the_tenant",
        "tenantry.stripe_customers_customer_key",
        "a customer at Stripe is one tenant's; an event names it before any tenant is open",
    ),
    ("unique_indexes_contain_the_tenant", "tenantry.teams_id_key", "a request names a team alone"),
    ("no_policy_is_always_true", "users.lookup", "users are looked up before any tenant of theirs is known"),
    ("no_policy_is_always_true", "api_keys.lookup", "a key is found by its id before any tenant is open"),
    ("no_policy_is_always_true", "plan_versions.lookup", "the catalog belongs to no tenant"),
    ("no_policy_is_always_true", "jobs.queue", "a worker claims the next job of any tenant, then opens that one"),
    ("no_policy_is_always_true", "idempotency_keys.lookup", "the scope hash is the authorization"),
    ("no_policy_is_always_true", "stripe_customers.lookup", "an event names a customer before any tenant is open"),
    ("no_policy_is_always_true", "stripe_prices.lookup", "the catalog belongs to no tenant"),
    ("no_policy_is_always_true", "stripe_meter_prices.lookup", "the catalog belongs to no tenant"),
    ("no_policy_is_always_true", "stripe_events.lookup", "an event arrives before its tenant is known"),
    ("no_policy_is_always_true", "stripe_cursors.lookup", "a sweep goes over all tenants"),
    ("no_policy_is_always_true", "development_clock.lookup", "one clock for the deployment"),
    ("no_policy_is_always_true", "retention_runs.lookup", "a month leaves for all tenants at once"),
    ("no_policy_is_always_true", "usage_archive_parts.retention", "detach_usage_month: a month is everybody's"),
    ("no_policy_is_always_true", "usage_archives.retention", "detach_usage_month writes the sums of all tenants"),
    ("no_policy_is_always_true", "usage_counters.retention", "detach_usage_month compares what events rest on"),
    ("no_policy_is_always_true", "usage_periods.retention", "detach_usage_month refuses where one is open"),
    ("no_policy_is_always_true", "usage_segments.retention", "detach_usage_month compares what events rest on"),
    ("no_policy_is_always_true", "tenant_members.helper_looks_up", "the membership helper decides on these rows"),
    ("no_policy_is_always_true", "api_keys.helper_looks_up", "the membership helper decides on these rows"),
    ("no_policy_is_always_true", "team_members.helper_looks_up", "the helpers of teams decide on these rows"),
    ("no_policy_is_always_true", "tenants.helper_lists", "ids only, for sweeps that then open one tenant"),
    ("no_policy_is_always_true", "invitations.helper_lists", "ids only, for a deletion that then opens the tenants"),
    ("no_policy_is_always_true", "billing_events.helper_lists", "ids only, for a deletion that then opens the tenants"),
    ("readers_see_no_secrets", "billing_events.hash", "the chain can be verified by its readers"),
    ("readers_see_no_secrets", "billing_events.payload_hash", "the chain can be verified by its readers"),
    ("readers_see_no_secrets", "billing_events.payload_salt", "the chain can be verified by its readers"),
    ("readers_see_no_secrets", "billing_events.previous_hash", "the chain can be verified by its readers"),
    ("readers_see_no_secrets", "usage_keys.content_hash", "a hash of what tenant_usage shows"),
    ("the_membership_helper_reads_little", "tenant_members.tenant_id", "membership"),
    ("the_membership_helper_reads_little", "tenant_members.user_id", "membership"),
    ("the_membership_helper_reads_little", "api_keys.id", "whose key it is"),
    ("the_membership_helper_reads_little", "api_keys.tenant_id", "whose key it is"),
    ("the_membership_helper_reads_little", "api_keys.revoked_at", "whether it works"),
    ("the_membership_helper_reads_little", "api_keys.expires_at", "whether it works"),
    ("the_membership_helper_reads_little", "tenants.id", "tenantry.list_tenants"),
    ("the_membership_helper_reads_little", "billing_events.tenant_id", "tenantry.tenants_about"),
    ("the_membership_helper_reads_little", "billing_events.subject_id", "tenantry.tenants_about"),
    ("the_membership_helper_reads_little", "invitations.tenant_id", "tenantry.tenants_about"),
    ("the_membership_helper_reads_little", "invitations.email_key", "tenantry.tenants_about"),
    ("the_membership_helper_reads_little", "invitations.accepted_by", "tenantry.tenants_about"),
    ("the_membership_helper_reads_little", "team_members.tenant_id", "whose subscription is shared"),
    ("the_membership_helper_reads_little", "team_members.team_id", "membership of a team"),
    ("the_membership_helper_reads_little", "team_members.user_id", "membership of a team"),
    (
        "other_schemas_are_closed",
        "tenantry_service may SELECT tenantry_meta.migrations",
        "a server compares its version with the schema's",
    ),
    (
        "other_schemas_are_closed",
        "tenantry_user may SELECT tenantry_meta.migrations",
        "a server compares its version with the schema's",
    ),
    ("definer_functions_are_listed", "visible_tenants", "the one membership helper"),
    ("definer_functions_are_listed", "visible_teams", "membership of teams, as visible_tenants is of tenants"),
    ("definer_functions_are_listed", "shared_tenants", "whose subscription the caller shares by a team"),
    ("definer_functions_are_listed", "list_tenants", "ids of tenants, for the service role"),
    ("definer_functions_are_listed", "tenants_about", "ids of tenants that know a user, for the service role"),
    ("definer_functions_are_listed", "ensure_usage_month", "only the owner may make a partition"),
    ("definer_functions_are_listed", "inspect_usage_month", "whether a period of any tenant keeps a month"),
    ("definer_functions_are_listed", "detach_usage_month", "only the owner may take a partition out"),
    ("definer_functions_are_listed", "drop_usage_month", "only the owner may drop a table"),
];

/// What is wrong beyond the exceptions, and which exceptions are no longer needed.
pub(super) async fn faults(client: &Client) -> BTreeMap<&'static str, Vec<String>> {
    let mut found = violations(client).await;
    for (check, text, _) in EXCEPTIONS {
        assert!(CHECKS.iter().any(|known| known.name == *check), "an exception names the unknown check {check}");
        let texts = found.entry(check).or_default();
        match texts.iter().position(|violation| violation == text) {
            Some(index) => drop(texts.remove(index)),
            None => texts.push(format!("the exception for {text} is no longer needed")),
        }
    }
    found.retain(|_, texts| !texts.is_empty());
    found
}

#[tokio::test]
async fn attack_28_the_migrated_schema_keeps_every_invariant() {
    let test = TestDb::new().await;
    let found = faults(&test.admin_client().await).await;
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn attack_28_the_invariants_hold_after_a_month_of_usage_was_added() {
    let test = TestDb::new().await;
    let (admin, service) = (test.admin_client().await, test.service_client().await);
    let row = service.query_one("select tenantry.ensure_usage_month('2031-02-03T04:05:06Z')", &[]).await.unwrap();
    let child: String = row.get(0);
    let is_there: bool = admin
        .query_one("select relispartition from pg_class where oid = ('tenantry.' || $1::text)::regclass", &[&child])
        .await
        .unwrap()
        .get(0);
    assert!(is_there);
    let found = faults(&admin).await;
    assert!(found.is_empty(), "{found:#?}");
}
