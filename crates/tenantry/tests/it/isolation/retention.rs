//! A month on its way out: nobody reads or writes its table, and the functions that move it are the service's alone.

use tenantry::storage::migrate::{SERVICE_ROLE, USER_ROLE, check_serving_role};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::invariants::faults;
use crate::support::TestDb;

const TABLE: &str = "usage_detached_2026_03_1";

/// A database in which March was taken out with an event in it that nobody staged, since no counter knows of it.
async fn with_a_detached_month() -> (TestDb, Client) {
    let test = TestDb::new().await;
    let (admin, service) = (test.admin_client().await, test.service_client().await);
    let event = "select tenantry.ensure_usage_month('2026-03-01Z');
                 insert into tenantry.tenant_usage (tenant_id, id, metric, amount, occurred_at, period_start, period_end,
                     idempotency_key, metadata, created_at)
                 values (gen_random_uuid(), gen_random_uuid(), 'calls', 1, '2026-03-02Z', '2026-03-01Z', '2026-04-01Z', 'k',
                     '{}', now())";
    admin.batch_execute(event).await.unwrap();
    let rows = service.query("select tenantry.detach_usage_month('2026-03-01Z')", &[]).await.unwrap();
    assert!(rows.is_empty());
    (test, admin)
}

#[tokio::test]
async fn a_detached_month_is_closed_to_everybody() {
    let (test, admin) = with_a_detached_month().await;
    for client in [test.user_client().await, test.service_client().await] {
        for statement in [
            format!("select * from tenantry.{TABLE}"),
            format!("select tenant_id from tenantry.{TABLE}"),
            format!("insert into tenantry.{TABLE} select * from tenantry.tenant_usage"),
            format!("update tenantry.{TABLE} set amount = 2"),
            format!("delete from tenantry.{TABLE}"),
            format!("truncate tenantry.{TABLE}"),
            format!("drop table tenantry.{TABLE}"),
            format!(
                "alter table tenantry.tenant_usage attach partition tenantry.{TABLE}
                     for values from ('2026-03-01Z') to ('2026-04-01Z')"
            ),
        ] {
            let error = client.batch_execute(&statement).await.unwrap_err();
            assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
        }
    }
    // Its rows are there.
    let sql = format!("select count(*) from tenantry.{TABLE}");
    assert_eq!(admin.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0), 1);
    // Beside the owner's policy nothing of it breaks an invariant, and a server starts.
    let mut found = faults(&admin).await;
    assert_eq!(found.remove("no_policy_is_always_true"), Some(vec![format!("{TABLE}.retention")]));
    assert!(found.is_empty(), "{found:#?}");
    check_serving_role(&test.logins.user, USER_ROLE).await.unwrap();
    check_serving_role(&test.logins.service, SERVICE_ROLE).await.unwrap();
}

#[tokio::test]
async fn a_table_that_holds_what_was_not_archived_is_kept() {
    let (test, admin) = with_a_detached_month().await;
    let service = test.service_client().await;
    let drop = "select tenantry.drop_usage_month('2026-03-01Z', 1)";
    let difference: Option<String> = service.query_one(drop, &[]).await.unwrap().get(0);
    let difference = difference.unwrap();
    assert!(
        difference.starts_with("calls of tenant ") && difference.ends_with("the table holds 1 in 1 events"),
        "{difference}"
    );
    admin.batch_execute(&format!("delete from tenantry.{TABLE}")).await.unwrap();
    assert_eq!(service.query_one(drop, &[]).await.unwrap().get::<_, Option<String>>(0), None);
    let is_gone = format!("select to_regclass('tenantry.{TABLE}') is null");
    assert!(admin.query_one(&is_gone, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn only_the_service_moves_months_and_only_whole_ones_that_are_there() {
    let test = TestDb::new().await;
    let (user, service) = (test.user_client().await, test.service_client().await);
    let calls = [
        "select tenantry.detach_usage_month('2026-03-01Z')",
        "select tenantry.drop_usage_month('2026-03-01Z', 1)",
        "select tenantry.inspect_usage_month('2026-03-01Z')",
        "select tenantry.usage_marks('2026-03-01Z', '{}')",
        "select * from tenantry.retention_runs",
    ];
    for call in calls {
        let error = user.query(call, &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{call}: {error:?}");
    }
    for (call, state) in [
        (calls[0], &SqlState::UNDEFINED_TABLE),
        ("select tenantry.detach_usage_month(null)", &SqlState::UNDEFINED_TABLE),
        ("select tenantry.detach_usage_month('infinity')", &SqlState::UNDEFINED_TABLE),
        ("select tenantry.inspect_usage_month('2026-03-02Z')", &SqlState::INVALID_PARAMETER_VALUE),
        ("select tenantry.inspect_usage_month(null)", &SqlState::INVALID_PARAMETER_VALUE),
        (
            "insert into tenantry.usage_archives values (gen_random_uuid(), 'calls', now(), now(), 1, 0, 1, 1, 0)",
            &SqlState::INSUFFICIENT_PRIVILEGE,
        ),
        ("update tenantry.usage_archive_parts set state = 'archived'", &SqlState::INSUFFICIENT_PRIVILEGE),
        ("delete from tenantry.usage_archive_parts", &SqlState::INSUFFICIENT_PRIVILEGE),
    ] {
        let error = service.query(call, &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(state), "{call}: {error:?}");
    }
    // In the middle of a month that is there.
    service.query("select tenantry.ensure_usage_month('2026-03-01Z')", &[]).await.unwrap();
    let error = service.query("select tenantry.detach_usage_month('2026-03-02Z')", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE));
}
