//! Every statement of the binary, planned as the login that runs it.

use std::collections::BTreeSet;

use tenantry::storage::{Login, QUERIES, Query};
use tokio_postgres::Client;

use crate::support::TestDb;

/// Why a statement would fail, if it would: its text, its types or a privilege.
///
/// Preparing checks names and types only; privileges are checked when a plan is started, as EXPLAIN does.
async fn fault(client: &Client, login: &str, query: &Query) -> Option<String> {
    let named = |error: &tokio_postgres::Error| {
        let text = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
        Some(format!("{} as {login}: {text}", query.name))
    };
    let parameters = match client.prepare(query.sql).await {
        Ok(statement) => statement.params().len(),
        Err(error) => return named(&error),
    };
    let arguments = if parameters == 0 { String::new() } else { format!("({})", vec!["null"; parameters].join(", ")) };
    let sql = format!("prepare tried as {}; explain execute tried{arguments}", query.sql);
    let outcome = client.batch_execute(&sql).await;
    // Absent where preparing failed.
    let _ = client.batch_execute("deallocate tried").await;
    outcome.err().and_then(|error| named(&error))
}

async fn faults(test: &TestDb, queries: &[&Query]) -> Vec<String> {
    let (user, service) = (test.user_client().await, test.service_client().await);
    for client in [&user, &service] {
        // The plan must hold for any parameter, not be folded away for the nulls given here.
        client.batch_execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    }
    let mut found = Vec::new();
    for query in queries {
        if query.login != Login::Service {
            found.extend(fault(&user, "tenantry_user", query).await);
        }
        if query.login != Login::User {
            found.extend(fault(&service, "tenantry_service", query).await);
        }
    }
    found
}

#[tokio::test]
async fn every_statement_prepares() {
    let test = TestDb::new().await;
    let queries: Vec<&Query> = QUERIES.iter().copied().collect();
    let names: BTreeSet<&str> = queries.iter().map(|query| query.name).collect();
    assert!(queries.len() > 50, "only {} statements registered themselves", queries.len());
    assert_eq!(names.len(), queries.len(), "two statements have one name");
    let faults = faults(&test, &queries).await;
    assert!(faults.is_empty(), "{} of {} statements fail:\n{}", faults.len(), queries.len(), faults.join("\n"));
}

#[tokio::test]
async fn a_statement_that_would_fail_is_named() {
    let wrong = |name, login, sql| Query { name, login, sql };
    let queries = [
        wrong("no_such_column", Login::Service, "select colour from tenantry.users where id = $1"),
        wrong("users_do_not_write", Login::Both, "delete from tenantry.tenant_members where tenant_id = $1"),
        wrong("tenants_do_not_move", Login::Service, "update tenantry.tenant_members set tenant_id = $1"),
        wrong("users_do_not_list_tenants", Login::User, "select tenantry.list_tenants($1, $2)"),
    ];
    let test = TestDb::new().await;
    let found = faults(&test, &queries.iter().collect::<Vec<_>>()).await;
    assert_eq!(found.len(), queries.len(), "{found:#?}");
    for (query, fault) in queries.iter().zip(&found) {
        assert!(fault.starts_with(query.name), "{fault}");
    }
    assert!(found[1].contains("as tenantry_user: permission denied"), "{}", found[1]);
}
