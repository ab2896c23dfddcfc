//! Each invariant sees its own fault: the schema is broken that way in a transaction, which is then undone.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::checks::CHECKS;
use super::invariants::faults;
use crate::support::TestDb;

/// A fault, and the checks that see it: these and no others.
const MUTATIONS: &[(&str, &[&str])] = &[
    ("alter table tenantry.tenants disable row level security", &["row_security_is_enabled_and_forced"]),
    ("alter table tenantry.usage_keys no force row level security", &["row_security_is_enabled_and_forced"]),
    (
        "do $$ begin execute format('alter table tenantry.%s no force row level security',
            tenantry.ensure_usage_month(now())); end $$",
        &["row_security_is_enabled_and_forced"],
    ),
    (
        "create table tenantry.notes (id uuid primary key)",
        &["row_security_is_enabled_and_forced", "tables_name_their_tenant"],
    ),
    ("alter table tenantry.tenants rename column id to key", &["tables_name_their_tenant", "the_membership_helper_reads_little", "unique_indexes_contain_the_tenant"]),
    ("alter table tenantry.jobs drop constraint jobs_pkey, alter tenant_id drop not null", &["tenant_column_is_not_null"]),
    ("drop index tenantry.tenant_usage_by_metric", &["an_index_leads_with_the_tenant"]),
    (
        "drop index tenantry.tenant_usage_by_metric;
         create index on tenantry.tenant_usage (metric, tenant_id)",
        &["an_index_leads_with_the_tenant"],
    ),
    ("create unique index on tenantry.security_events (request_id)", &["unique_indexes_contain_the_tenant"]),
    ("drop index tenantry.tenants_slug_key", &["unique_indexes_contain_the_tenant"]),
    (
        "create unique index k on tenantry.tenant_subscriptions (id);
         alter table tenantry.security_events add foreign key (key_id) references tenantry.tenant_subscriptions (id)",
        &["unique_indexes_contain_the_tenant", "foreign_keys_contain_the_tenant"],
    ),
    (
        "alter table tenantry.users add foreign key (id) references tenantry.tenants (id)",
        &["foreign_keys_contain_the_tenant"],
    ),
    (
        "alter table tenantry.jobs add foreign key (tenant_id) references tenantry.tenants (id) on delete cascade",
        &["nothing_cascades"],
    ),
    (
        "alter table tenantry.usage_keys add foreign key (tenant_id) references tenantry.tenants (id)",
        &["usage_can_be_distributed"],
    ),
    (
        "create function pg_temp.nothing() returns trigger language plpgsql as 'begin return new; end';
         create trigger watch before insert on tenantry.usage_counters for each row execute function pg_temp.nothing()",
        &["usage_can_be_distributed"],
    ),
    ("drop policy member_reads on tenantry.billing_events", &["granted_commands_have_a_policy"]),
    ("grant delete on tenantry.plan_versions to tenantry_user", &["granted_commands_have_a_policy", "readers_only_read"]),
    (
        "drop policy active_tenant on tenantry.usage_rollups",
        &["readers_are_narrowed_to_the_active_tenant"],
    ),
    (
        "drop policy active_tenant on tenantry.usage_rollups;
         create policy active_tenant on tenantry.usage_rollups for select to tenantry_user
            using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)",
        &["readers_are_narrowed_to_the_active_tenant", "policies_of_tenant_tables_are_the_known_ones"],
    ),
    (
        "create policy wide on tenantry.tenant_usage for select
            using (tenant_id = any (array(select tenantry.visible_tenants())))",
        &["no_policy_is_for_everybody"],
    ),
    ("create policy wide on tenantry.tenants for select to tenantry_user using (true)", &["no_policy_is_always_true"]),
    ("create policy wide on tenantry.usage_counters to tenantry_service using (true)", &["no_policy_is_always_true"]),
    (
        "create policy wide on tenantry.usage_keys for insert to tenantry_service with check (true)",
        &["no_policy_is_always_true"],
    ),
    (
        "create policy wide on tenantry.usage_keys to tenantry_service using (tenant_id is not null)",
        &["policies_of_tenant_tables_are_the_known_ones"],
    ),
    (
        "create policy wide on tenantry.tenants for update to tenantry_service
            using (id in (select unnest(string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[])))
            with check (slug <> '')",
        &["policies_of_tenant_tables_are_the_known_ones"],
    ),
    ("drop policy blanking_only on tenantry.billing_events", &["payloads_are_only_blanked"]),
    (
        "alter policy blanking_only on tenantry.billing_events with check (payload is null)",
        &["payloads_are_only_blanked", "policies_of_tenant_tables_are_the_known_ones"],
    ),
    (
        "drop policy blanking_only on tenantry.billing_events;
         create policy blanking_only on tenantry.billing_events for update to tenantry_service
            using (payload is not null) with check (payload is null and payload_salt is null)",
        &["payloads_are_only_blanked", "policies_of_tenant_tables_are_the_known_ones"],
    ),
    ("grant update (payload_hash) on tenantry.billing_events to tenantry_service", &["logs_are_only_added_to"]),
    ("grant delete on tenantry.security_events to tenantry_service", &["logs_are_only_added_to"]),
    ("drop policy deleted_for_good on tenantry.users", &["deleted_users_stay_deleted"]),
    (
        "create policy team_reads on tenantry.invoices for select to tenantry_user
            using (tenant_id = any (array(select tenantry.shared_tenants())))",
        &["policies_of_tenant_tables_are_the_known_ones"],
    ),
    (
        "drop policy team_reads on tenantry.tenant_subscriptions;
         create policy team_reads on tenantry.tenant_subscriptions for select to tenantry_user
            using (tenant_id = any (array(select tenantry.shared_tenants())))",
        &["policies_of_tenant_tables_are_the_known_ones"],
    ),
    ("grant update (tenant_id) on tenantry.jobs to tenantry_service", &["rows_do_not_move_between_tenants"]),
    ("grant update on tenantry.tenants to tenantry_service", &["rows_do_not_move_between_tenants"]),
    ("grant update (id) on tenantry.users to tenantry_service", &["rows_do_not_move_between_tenants"]),
    (
        "grant update (role) on tenantry.tenant_members to tenantry_user",
        &["granted_commands_have_a_policy", "readers_only_read"],
    ),
    (
        "grant insert on tenantry.billing_events to tenantry_user",
        &["granted_commands_have_a_policy", "readers_only_read"],
    ),
    ("grant select (secret_hash) on tenantry.api_keys to tenantry_user", &["readers_see_no_secrets"]),
    ("grant select (previous_secret) on tenantry.webhook_endpoints to tenantry_user", &["readers_see_no_secrets"]),
    ("grant select (email) on tenantry.users to tenantry_authz", &["the_membership_helper_reads_little"]),
    ("grant delete on tenantry.tenants to tenantry_authz", &["the_membership_helper_reads_little"]),
    ("grant truncate on tenantry.billing_events to tenantry_service", &["nobody_truncates_or_refers"]),
    ("grant references (id) on tenantry.users to tenantry_user", &["nobody_truncates_or_refers"]),
    ("grant trigger on tenantry.jobs to tenantry_service", &["nobody_truncates_or_refers"]),
    (
        "grant select on all tables in schema tenantry to tenantry_service",
        &["partitions_are_granted_to_nobody", "views_are_only_read"],
    ),
    (
        "do $$ begin execute format('grant select (tenant_id) on tenantry.%s to tenantry_user',
            tenantry.ensure_usage_month(now())); end $$",
        &["partitions_are_granted_to_nobody"],
    ),
    ("grant usage on schema tenantry to public", &["nothing_is_granted_to_everybody"]),
    ("grant select (plan_id) on tenantry.plan_versions to public", &["nothing_is_granted_to_everybody", "the_membership_helper_reads_little"]),
    ("grant execute on function tenantry.current_key_id() to public", &["nothing_is_granted_to_everybody"]),
    (
        "create function tenantry.one() returns int language sql set search_path = pg_catalog, pg_temp as 'select 1'",
        &["nothing_is_granted_to_everybody"],
    ),
    (
        "alter default privileges for role tenantry_owner grant select on tables to public",
        &["nothing_is_granted_to_everybody"],
    ),
    (
        "create sequence tenantry.numbers; grant usage on sequence tenantry.numbers to tenantry_service",
        &["sequences_are_granted_to_nobody"],
    ),
    (
        "create table public.copies (id uuid); grant select on public.copies to tenantry_user",
        &["other_schemas_are_closed"],
    ),
    (
        "create function tenantry.one() returns int language sql security definer set search_path = pg_catalog, pg_temp
            as 'select 1';
         revoke all on function tenantry.one() from public; alter function tenantry.one() owner to tenantry_owner",
        &["definer_functions_are_listed"],
    ),
    ("alter function tenantry.visible_tenants() owner to current_user", &["definer_functions_belong_to_no_superuser"]),
    ("alter function tenantry.visible_tenants() reset search_path", &["functions_pin_their_search_path"]),
    (
        "alter function tenantry.ensure_usage_month set search_path = tenantry, public",
        &["functions_pin_their_search_path"],
    ),
    (
        "create view tenantry.wide as select id from tenantry.tenants; alter view tenantry.wide owner to tenantry_owner",
        &["views_run_as_their_caller"],
    ),
    ("alter view tenantry.usage_ledger reset (security_invoker)", &["views_run_as_their_caller"]),
    ("alter view tenantry.subscriptions owner to current_user", &["views_belong_to_the_owner"]),
    ("grant insert on tenantry.organizations to tenantry_user", &["views_are_only_read"]),
    ("grant update (role) on tenantry.organization_members to tenantry_user", &["views_are_only_read"]),
    ("grant select on tenantry.usage_ledger to tenantry_service", &["views_are_only_read"]),
    ("grant select on tenantry.subscriptions to public", &["nothing_is_granted_to_everybody", "views_are_only_read"]),
    (
        "create or replace view tenantry.organization_subscriptions with (security_invoker = true) as
         select s.id, s.tenant_id as organization_id, x.stripe_subscription_id, x.customer_id as stripe_customer_id,
                s.plan_id, s.status, s.billing_interval, s.current_period_start, s.current_period_end,
                s.cancel_at_period_end, s.metadata, s.created_at, s.updated_at
         from tenantry.tenant_subscriptions s join tenantry.stripe_subscriptions x on x.subscription_id = s.id",
        &["views_show_only_what_readers_may_read"],
    ),
    (
        "create view tenantry.wide with (security_invoker = false) as select id from tenantry.tenants;
         alter view tenantry.wide owner to tenantry_owner",
        &["views_run_as_their_caller"],
    ),
    (
        "create materialized view tenantry.copies as select id from tenantry.tenants;
         grant select on tenantry.copies to tenantry_user",
        &["nothing_readable_is_without_row_security"],
    ),
    ("alter role tenantry_service bypassrls", &["roles_have_no_powers"]),
    ("alter role tenantry_user createrole", &["roles_have_no_powers"]),
    ("alter role tenantry_owner login", &["roles_have_no_powers"]),
    ("grant pg_read_all_data to tenantry_user", &["serving_roles_are_in_no_role"]),
    ("grant tenantry_authz to tenantry_service", &["serving_roles_are_in_no_role"]),
    ("alter function tenantry.current_key_id() owner to tenantry_service", &["serving_roles_own_nothing"]),
    ("grant create on schema tenantry to tenantry_service", &["serving_roles_create_nothing"]),
    ("grant create on schema public to public", &["serving_roles_create_nothing"]),
    (
        "do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$",
        &["serving_roles_create_nothing"],
    ),
];

#[tokio::test]
async fn attack_28_every_invariant_sees_the_schema_broken_its_way() {
    let test = TestDb::new().await;
    let admin = test.admin_client().await;
    let mut report = String::new();
    let mut unseen: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
    for (mutation, expected) in MUTATIONS {
        admin.batch_execute("begin").await.unwrap();
        if let Err(error) = admin.batch_execute(mutation).await {
            let _ = writeln!(report, "{mutation}\n    cannot be applied: {error:?}");
        } else {
            let found = faults(&admin).await;
            let seen: BTreeSet<&str> = found.keys().copied().collect();
            if seen != expected.iter().copied().collect() {
                let _ = writeln!(report, "{mutation}\n    due {expected:?}\n    found {found:?}");
            }
            unseen.retain(|check| !seen.contains(check));
        }
        admin.batch_execute("rollback").await.unwrap();
    }
    assert!(report.is_empty(), "{report}");
    assert!(unseen.is_empty(), "no mutation for {unseen:?}");
    // Nothing of it stayed.
    let found = faults(&admin).await;
    assert!(found.is_empty(), "{found:#?}");
}
