//! Attacks on the database by whoever got hold of a serving login's connection. Numbers are those of the list of
//! attacks that must fail.

use tenantry::storage::ReadScope;
use tokio_postgres::error::SqlState;

use super::samples::sample;
use super::world::{A, Attempts, B, Outcome, TwoTenants, insert};

#[tokio::test]
async fn attack_06_a_query_without_user_or_with_a_foreign_tenant_finds_no_row() {
    let world = TwoTenants::new().await;
    let scopes = [
        ReadScope::default(),
        ReadScope { tenant_id: Some(A.tenant), ..ReadScope::default() },
        ReadScope { user_id: Some(A.user), tenant_id: Some(B.tenant), key_id: None },
        ReadScope { key_id: Some(A.key), tenant_id: Some(B.tenant), user_id: None },
        // A user who names another tenant's key does not get further with it than the key does.
        ReadScope { user_id: None, key_id: Some(B.tenant), tenant_id: Some(A.tenant) },
    ];
    for scope in scopes {
        let tx = world.test.db.read("attack", scope).await.unwrap();
        for tenant in [A.tenant, B.tenant] {
            let place = format!("{scope:?} asks for {tenant}");
            assert_eq!(tenantry::storage::tenants::get(&tx, tenant).await.unwrap(), None, "{place}");
            assert_eq!(tenantry::storage::members::list(&tx, tenant, None, 10).await.unwrap(), [], "{place}");
            assert_eq!(tenantry::storage::keys::list(&tx, tenant, None, 10).await.unwrap(), [], "{place}");
            assert_eq!(tenantry::storage::audit::page(&tx, tenant, 0, 10).await.unwrap(), [], "{place}");
            assert_eq!(tenantry::storage::security::latest(&tx, tenant, 10).await.unwrap(), [], "{place}");
        }
        tx.rollback().await.unwrap();
    }
    // The same question is answered to who may ask it.
    let scope = ReadScope { user_id: Some(A.user), tenant_id: Some(A.tenant), key_id: None };
    let tx = world.test.db.read("attack", scope).await.unwrap();
    assert!(tenantry::storage::tenants::get(&tx, A.tenant).await.unwrap().is_some());
    assert_eq!(tenantry::storage::members::list(&tx, A.tenant, None, 10).await.unwrap().len(), 1);
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn attack_14_a_member_of_both_tenants_moves_no_row_from_one_to_the_other() {
    let world = TwoTenants::new().await;
    // The user of A is in B, too.
    let joined = format!("update tenantry.tenant_members set user_id = '{}' where tenant_id = '{}'", A.user, B.tenant);
    world.admin.batch_execute(&joined).await.unwrap();
    let before = (world.dump(A).await, world.dump(B).await);
    let (both, user) = (format!("{},{}", A.tenant, B.tenant), A.user.to_string());
    let service = Attempts::new(&world.test.logins.service, &[("app.tenants", &both)]).await;
    let reader = Attempts::new(&world.test.logins.user, &[("app.user_id", &user)]).await;
    for table in world.tables.iter().filter(|table| !table.is_view && table.is_owned()) {
        let name = &table.name;
        let column = if matches!(name.as_str(), "tenants" | "users") { "id" } else { "tenant_id" };
        assert!(sample(name).unwrap().iter().any(|(known, _)| *known == column));
        for sql in [
            format!("update tenantry.{name} set {column} = '{}' where {}", B.tenant, table.of(A)),
            format!("update tenantry.{name} set {column} = {column}"),
        ] {
            for attempts in [&service, &reader] {
                assert_eq!(attempts.run(&sql, "commit").await, Outcome::Denied, "{sql}");
            }
        }
    }
    assert_eq!((world.dump(A).await, world.dump(B).await), before);
}

/// What no serving login may do, whatever it has set.
const DENIED: &[&str] = &[
    "create table tenantry.mine (id int)",
    "create table public.mine (id int)",
    "create temporary table mine (id int)",
    "create schema mine",
    "create function public.mine() returns int language sql as 'select 1'",
    "create extension dblink",
    "create role mine",
    "create database mine",
    "set role tenantry_owner",
    "set role tenantry_authz",
    "set session authorization tenantry_owner",
    "alter role current_user bypassrls",
    "alter table tenantry.tenants disable row level security",
    "alter policy opened_tenants on tenantry.tenants using (true)",
    "drop policy opened_tenants on tenantry.tenants",
    "create policy wide on tenantry.tenants using (true)",
    "drop table tenantry.jobs",
    "alter function tenantry.visible_tenants() reset all",
    "truncate tenantry.tenant_usage",
    "truncate tenantry.billing_events",
    "do $$ begin lock table tenantry.tenants in access exclusive mode; end $$",
    "copy tenantry.tenants to '/tmp/tenants'",
    "copy tenantry.tenants to program 'cat'",
    "select pg_read_file('/etc/hosts')",
    "select pg_ls_dir('/')",
    "select * from pg_authid",
    "select * from pg_statistic",
    "select lo_create(0)",
    "select lo_from_bytea(0, 'x')",
    "select lo_import('/etc/hosts')",
    "select pg_reload_conf()",
    "alter system set row_security = off",
    "set session_replication_role = replica",
    "do language plpgsql $$ begin perform pg_read_file('/etc/hosts'); end $$",
    "explain analyze delete from tenantry.tenants",
];

/// The same of the tables that are there, and of a month of events.
fn denied_on(world: &TwoTenants, child: &str) -> Vec<String> {
    let mut statements = Vec::new();
    for table in world.tables.iter().filter(|table| !table.is_view) {
        let name = &table.name;
        statements.push(format!("truncate tenantry.{name}"));
        statements.push(format!(
            "create trigger t before update on tenantry.{name} execute function suppress_redundant_updates_trigger()"
        ));
    }
    statements.extend(
        ["select * from {}", "delete from {}", "truncate {}", "copy {} to stdout", "copy {} from stdin"]
            .map(|statement| statement.replace("{}", &format!("tenantry.{child}"))),
    );
    let into_parent = insert("tenant_usage", A, 1, &[]);
    statements.push(into_parent.replace("tenantry.tenant_usage", &format!("tenantry.{child}")));
    statements
}

#[tokio::test]
async fn attack_27_a_serving_login_cannot_leave_row_security() {
    let world = TwoTenants::new().await;
    let child = world.admin.query_one("select tenantry.ensure_usage_month(now())", &[]).await.unwrap();
    let admin: String = world.admin.query_one("select current_user::text", &[]).await.unwrap().get(0);
    let mut statements = denied_on(&world, child.get(0));
    statements.extend(DENIED.iter().map(|sql| (*sql).to_owned()));
    statements.push(format!("set role {admin}"));
    // Switched off, row security refuses instead of letting through.
    statements.extend(
        world
            .tables
            .iter()
            .filter(|table| table.is_owned())
            .map(|table| format!("begin; set local row_security = off; select count(*) from tenantry.{}", table.name)),
    );
    let denied = SqlState::INSUFFICIENT_PRIVILEGE;
    for login in [&world.test.logins.user, &world.test.logins.service] {
        let client = tenantry::storage::migrate::connect(login).await.unwrap();
        let settings = format!("set app.user_id = '{}'; set app.tenants = '{}'", A.user, A.tenant);
        client.batch_execute(&settings).await.unwrap();
        for sql in &statements {
            match client.batch_execute(sql).await {
                Ok(()) => panic!("{:?} may {sql}", login.get_user()),
                Err(error) => assert_eq!(error.code(), Some(&denied), "{:?}, {sql}: {error:?}", login.get_user()),
            }
            client.batch_execute("rollback").await.unwrap();
        }
        // Who may grant nothing gets a warning, which an error is not.
        for sql in
            ["grant select on tenantry.tenants to public", "revoke all on tenantry.tenants from tenantry_service"]
        {
            let _ = client.batch_execute(sql).await;
        }
        // Writing in bulk is refused to row security's subjects, or to who may not write at all.
        let error = client.batch_execute("copy tenantry.tenants from stdin").await.unwrap_err();
        assert!([Some(&denied), Some(&SqlState::FEATURE_NOT_SUPPORTED)].contains(&error.code()), "{error:?}");
    }
    // None of it left a mark on the schema.
    let faults = super::invariants::faults(&world.admin).await;
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn attack_27_statistics_and_errors_show_no_foreign_row() {
    let world = TwoTenants::new().await;
    world.admin.batch_execute("analyze").await.unwrap();
    let user = A.user.to_string();
    let attempts = Attempts::new(&world.test.logins.user, &[("app.user_id", &user)]).await;
    let rows =
        attempts.client.query("select tablename::text from pg_stats where schemaname = 'tenantry'", &[]).await.unwrap();
    assert!(rows.is_empty(), "{rows:?}");
    // A predicate that fails on every row it meets never meets a row of B: the policy is tried first.
    let sql = format!("select 1 / (case when id = '{}' then 0 else 1 end) from tenantry.tenants", B.tenant);
    assert_eq!(attempts.run(&sql, "rollback").await, Outcome::Rows(1));
    // Running into another tenant's row tells nothing of it.
    let service = world.test.service_client().await;
    service.batch_execute(&format!("set app.tenants = '{}'", A.tenant)).await.unwrap();
    let error = service.batch_execute(&insert("tenant_members", B, 0, &[])).await.unwrap_err();
    let text = format!("{:?}", error.as_db_error().unwrap());
    assert!(!text.contains(&B.user.to_string()), "{text}");
}

#[tokio::test]
async fn attack_30_logs_are_only_ever_added_to() {
    let world = TwoTenants::new().await;
    let before = (world.dump(A).await, world.dump(B).await);
    let (tenant, user) = (A.tenant.to_string(), A.user.to_string());
    let service = Attempts::new(&world.test.logins.service, &[("app.tenants", &tenant)]).await;
    let reader = Attempts::new(&world.test.logins.user, &[("app.user_id", &user)]).await;
    for log in ["billing_events", "security_events"] {
        let table = world.tables.iter().find(|table| table.name == log).unwrap();
        for sql in [
            format!("update tenantry.{log} set created_at = created_at - interval '1 day'"),
            format!("update tenantry.{log} set type = type"),
            format!("delete from tenantry.{log}"),
            format!("truncate tenantry.{log}"),
            format!("{} on conflict on constraint {log}_pkey do update set type = 'x'", insert(log, A, 0, &[])),
            format!("update tenantry.{log} set id = id"),
            format!("update tenantry.{log} set tenant_id = '{}'", B.tenant),
            insert(log, B, 1, &[]),
            insert(log, B, 1, &[("created_at", "now() - interval '1 year'")]),
        ] {
            for attempts in [&service, &reader] {
                assert_eq!(attempts.run(&sql, "commit").await, Outcome::Denied, "{sql}");
            }
        }
        // What is there already is not written over by what pretends to be older.
        let backdated = insert(log, A, 0, &[("created_at", "now() - interval '1 year'")]);
        assert!(matches!(service.run(&backdated, "commit").await, Outcome::Failed(error) if error.contains("_pkey")));
        assert_eq!(reader.run(&backdated, "commit").await, Outcome::Denied);
        for attempts in [&service, &reader] {
            assert_eq!(attempts.seen(table).await, Some((1, 0, 1)));
        }
    }
    assert_eq!((world.dump(A).await, world.dump(B).await), before);
}

#[tokio::test]
async fn attack_30_a_payload_is_blanked_or_stays_as_it_is() {
    let world = TwoTenants::new().await;
    let before = (world.dump(A).await, world.dump(B).await);
    let (tenant, user) = (A.tenant.to_string(), A.user.to_string());
    let service = Attempts::new(&world.test.logins.service, &[("app.tenants", &tenant)]).await;
    let reader = Attempts::new(&world.test.logins.user, &[("app.user_id", &user)]).await;
    for change in [
        "payload = '{\"x\": 1}'",
        "payload = payload",
        "payload = 'null'",
        "payload = null",
        "payload_salt = null",
        "payload_salt = payload_hash",
        "payload = null, payload_salt = sha256('x')",
        "payload = '{}', payload_salt = null",
        "payload = null, payload_salt = null, payload_hash = sha256('x')",
        "payload = null, payload_salt = null, created_at = now()",
    ] {
        let sql = format!("update tenantry.billing_events set {change}");
        for attempts in [&service, &reader] {
            assert_eq!(attempts.run(&sql, "commit").await, Outcome::Denied, "{sql}");
        }
    }
    let blank = "update tenantry.billing_events set payload = null, payload_salt = null";
    assert_eq!(reader.run(blank, "commit").await, Outcome::Denied);
    // Another tenant's entries are not seen, so that there is nothing to blank.
    let of_b = format!("{blank} where tenant_id = '{}'", B.tenant);
    assert_eq!(service.run(&of_b, "commit").await, Outcome::Rows(0));
    assert_eq!((world.dump(A).await, world.dump(B).await), before);
    assert_eq!(service.run(blank, "commit").await, Outcome::Rows(1));
    assert_eq!(world.dump(B).await, before.1);
    // What was blanked is not filled again.
    for change in
        ["payload = '{}', payload_salt = substr(sha256('salt'), 1, 16)", "payload = null, payload_salt = null"]
    {
        let sql = format!("update tenantry.billing_events set {change}");
        assert_eq!(service.run(&sql, "commit").await, Outcome::Rows(0), "{sql}");
    }
}

#[tokio::test]
async fn attack_21_a_deleted_account_is_not_revived() {
    let world = TwoTenants::new().await;
    let tenant = A.tenant.to_string();
    let service = Attempts::new(&world.test.logins.service, &[("app.tenants", &tenant)]).await;
    let of = format!("where id = '{}'", A.user);
    let keeps_email = format!("update tenantry.users set deleted_at = now(), email = 'a@example.com' {of}");
    assert_eq!(service.run(&keeps_email, "commit").await, Outcome::Denied);
    let delete = format!("update tenantry.users set deleted_at = now(), email = null {of}");
    assert_eq!(service.run(&delete, "commit").await, Outcome::Rows(1));
    for change in ["deleted_at = null", "email = 'a@example.com'", "updated_at = now()"] {
        let sql = format!("update tenantry.users set {change} {of}");
        assert_eq!(service.run(&sql, "commit").await, Outcome::Rows(0), "{sql}");
    }
    let remove = format!("delete from tenantry.users {of}");
    assert_eq!(service.run(&remove, "commit").await, Outcome::Denied);
}
