//! A server refuses to start with a login that could get past row security.

use tenantry::storage::migrate::{self, SERVICE_ROLE, USER_ROLE, check_serving_role};
use tokio_postgres::Config;

use crate::support::{TestDb, cluster};

/// Why a login of this name is refused after these statements, in which `{role}` is the login.
async fn refusal(admin: &Config, role: &'static str, statements: &str) -> String {
    let client = migrate::connect(admin).await.unwrap();
    // Roles belong to the whole server: each test has one of its own name.
    let made = format!("create role {role} login noinherit password 'of the tests'");
    client.batch_execute(&made).await.unwrap();
    client.batch_execute(&statements.replace("{role}", role)).await.unwrap();
    let mut login = admin.clone();
    login.user(role).password("of the tests");
    match check_serving_role(&login, role).await {
        Ok(()) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

const GRANTS: &str = "grant usage on schema tenantry to {role}; ";

async fn refused(role: &'static str, statements: &str, because: &str) {
    let test = TestDb::new().await;
    let refusal = refusal(&test.admin, role, &format!("{GRANTS}{statements}")).await;
    assert!(refusal.starts_with("refusing to serve") && refusal.contains(because), "{refusal}");
}

#[tokio::test]
async fn the_two_logins_as_migrated_are_accepted() {
    let test = TestDb::new().await;
    check_serving_role(&test.logins.user, USER_ROLE).await.unwrap();
    check_serving_role(&test.logins.service, SERVICE_ROLE).await.unwrap();
    // What the refusals below add is what they are refused for.
    assert_eq!(refusal(&test.admin, "plain_login", GRANTS).await, "accepted");
}

#[tokio::test]
async fn the_login_of_the_other_role_is_refused() {
    let test = TestDb::new().await;
    let error = check_serving_role(&test.logins.service, USER_ROLE).await.unwrap_err().to_string();
    assert!(error.contains("the login is tenantry_service, not tenantry_user"), "{error}");
}

#[tokio::test]
async fn a_superuser_is_refused() {
    refused("super_login", "alter role {role} superuser", "is a superuser").await;
}

#[tokio::test]
async fn a_login_that_bypasses_row_security_is_refused() {
    refused("bypassing_login", "alter role {role} bypassrls", "may bypass row security").await;
}

#[tokio::test]
async fn a_login_that_makes_roles_databases_or_replicas_is_refused() {
    refused("role_making_login", "alter role {role} createrole", "may make roles").await;
    refused("database_making_login", "alter role {role} createdb", "may make roles, databases").await;
    refused("replicating_login", "alter role {role} replication", "databases or replicas").await;
}

#[tokio::test]
async fn a_member_of_the_owner_or_of_any_role_is_refused() {
    refused("owning_member", "grant tenantry_owner to {role}", "is a member of another role").await;
    refused("reading_member", "grant pg_read_all_data to {role}", "is a member of another role").await;
}

#[tokio::test]
async fn an_owner_of_a_table_is_refused() {
    refused("table_owner", "create table public.own (); alter table public.own owner to {role}", "owns tables").await;
}

#[tokio::test]
async fn a_table_without_forced_row_security_is_refused() {
    let due = "no forced row security";
    refused("reader_of_unforced", "alter table tenantry.jobs no force row level security", due).await;
    refused("reader_of_disabled", "alter table tenantry.users disable row level security", due).await;
    let child = "do $$ begin execute format('alter table tenantry.%I no force row level security',
        tenantry.ensure_usage_month('2030-01-01')); end $$";
    refused("reader_of_unforced_month", child, due).await;
}

#[tokio::test]
async fn a_login_that_creates_objects_is_refused() {
    refused("public_creator", "grant create on schema public to {role}", "create objects in the schema public").await;
    let temporary =
        "do $$ begin execute format('grant temporary on database %I to {role}', current_database()); end $$";
    refused("temporary_creator", temporary, "may make temporary tables").await;
}

#[tokio::test]
async fn a_database_without_the_schema_is_refused() {
    let empty = cluster::create_database(None).await;
    let refusal = refusal(&empty, "lost_login", "select 1").await;
    assert!(refusal.contains("the database has no schema tenantry: run `tenantry migrate`"), "{refusal}");
}
