//! Every table of the schema, tried by a member of A and by the service opened for A: nothing of B is seen or changed.

use tenantry::storage::migrate::SERVICE_ROLE;

use super::world::{A, Attempts, B, OUTSIDER, Outcome, Settings, TwoTenants, insert, new_tenant, writable};

/// Tables that readers have no business with.
const UNREADABLE: &[&str] = &[
    "billing_operations",
    "development_clock",
    "idempotency_keys",
    "jobs",
    "retention_runs",
    "stripe_cursors",
    "stripe_customers",
    "stripe_events",
    "stripe_charge_ways",
    "stripe_invoice_items",
    "stripe_meter_prices",
    "stripe_prices",
    "stripe_subscriptions",
];

/// Tables where the service role sees every row, with the reason.
const LOOKUPS: &[(&str, &str)] = &[
    ("api_keys", "a key is found by its id before any tenant is open"),
    ("development_clock", "one clock for the deployment"),
    ("idempotency_keys", "the scope hash is the authorization"),
    ("jobs", "a worker claims the next job of any tenant"),
    ("plan_versions", "the catalog belongs to no tenant"),
    ("retention_runs", "a month leaves for all tenants at once"),
    ("stripe_cursors", "a sweep goes over all tenants"),
    ("stripe_customers", "an event names a customer before any tenant is open"),
    ("stripe_events", "an event arrives before its tenant is known"),
    ("stripe_meter_prices", "the catalog belongs to no tenant"),
    ("stripe_prices", "the catalog belongs to no tenant"),
    ("users", "users are looked up before any tenant of theirs is known"),
];

/// Tables whose rows the service changes in this one way, and in no other.
const ONE_CHANGE: &[(&str, &str)] = &[("billing_events", "payload = null, payload_salt = null")];

/// Tables that the service only reads, with the reason.
const ONLY_READ: &[(&str, &str)] = &[("usage_archives", "detach_usage_month writes them, with the month that leaves")];

/// What a reader sees of a tenant's rows.
#[derive(Clone, Copy, PartialEq)]
enum Sees {
    Own,
    Nothing,
}

#[tokio::test]
async fn a_reader_sees_its_tenants_and_nothing_else() {
    let world = TwoTenants::new().await;
    for (number, column) in [(8, "revoked_at"), (9, "expires_at")] {
        let sql =
            insert("api_keys", A, number, &[(column, "now() - interval '1 second'"), ("name", &format!("'{column}'"))]);
        world.admin.batch_execute(&sql).await.unwrap();
    }
    world
        .admin
        .batch_execute(&insert("api_keys", A, 7, &[("tenant_id", "null"), ("name", "'service'")]))
        .await
        .unwrap();
    let key = async |name: &str| {
        let sql = "select id::text from tenantry.api_keys where name = $1";
        world.admin.query_one(sql, &[&name]).await.unwrap().get::<_, String>(0)
    };
    let (revoked, expired, service) = (key("revoked_at").await, key("expires_at").await, key("service").await);
    let [user, own_key, active, foreign] = [A.user, A.key, A.tenant, B.tenant].map(|id| id.to_string());
    let (outsider, unknown) = (OUTSIDER.to_string(), "00000000-0000-0000-0000-000000000000".to_owned());
    let claims = format!(r#"{{"sub": "{user}", "role": "tenantry_user"}}"#);
    let scopes: &[(Settings<'_>, Sees)] = &[
        (&[("app.user_id", &user)], Sees::Own),
        (&[("app.user_id", &user), ("app.tenant_id", &active)], Sees::Own),
        (&[("app.user_id", &user), ("app.tenants", &foreign)], Sees::Own),
        (&[("app.key_id", &own_key)], Sees::Own),
        (&[("app.key_id", &own_key), ("app.tenant_id", &active)], Sees::Own),
        (&[("request.jwt.claims", &claims)], Sees::Own),
        (&[("app.user_id", &user), ("app.tenant_id", &foreign)], Sees::Nothing),
        (&[("app.key_id", &own_key), ("app.tenant_id", &foreign)], Sees::Nothing),
        (&[("app.user_id", &user), ("app.tenant_id", &unknown)], Sees::Nothing),
        (&[], Sees::Nothing),
        (&[("app.tenant_id", &active)], Sees::Nothing),
        (&[("app.tenants", &active)], Sees::Nothing),
        (&[("app.user_id", "")], Sees::Nothing),
        (&[("app.user_id", "nobody"), ("app.tenant_id", &active)], Sees::Nothing),
        (&[("app.key_id", "nothing"), ("app.tenant_id", &active)], Sees::Nothing),
        (&[("request.jwt.claims", "")], Sees::Nothing),
        (&[("request.jwt.claims", "{}")], Sees::Nothing),
        // Who is named first counts: claims do not add to it.
        (&[("app.user_id", &outsider), ("request.jwt.claims", &claims)], Sees::Nothing),
        (&[("app.user_id", &unknown)], Sees::Nothing),
        (&[("app.user_id", &active)], Sees::Nothing),
        (&[("app.key_id", &user)], Sees::Nothing),
        (&[("app.key_id", &revoked)], Sees::Nothing),
        (&[("app.key_id", &expired)], Sees::Nothing),
        (&[("app.key_id", &service)], Sees::Nothing),
        (&[("app.key_id", &service), ("app.tenant_id", &active)], Sees::Nothing),
    ];
    for (settings, sees) in scopes {
        let attempts = Attempts::new(&world.test.logins.user, settings).await;
        for table in &world.tables {
            let Some((of_a, of_b, all)) = attempts.seen(table).await else {
                assert!(UNREADABLE.contains(&table.name.as_str()), "{} cannot be read", table.name);
                continue;
            };
            let place = format!("{} under {settings:?}", table.name);
            assert!(!UNREADABLE.contains(&table.name.as_str()), "{place}: can be read");
            assert_eq!(of_b, 0, "{place}: rows of B are seen");
            if !table.is_owned() || table.is_view {
                continue;
            }
            assert_eq!(all - of_a, i64::from(table.name == "users" && all > of_a && *sees == Sees::Nothing), "{place}");
            match sees {
                Sees::Own => assert!(of_a > 0, "{place}: the own rows are not seen"),
                // Somebody sees himself wherever he stands.
                Sees::Nothing if table.name == "users" => {}
                Sees::Nothing => assert_eq!(of_a, 0, "{place}: rows of A are seen"),
            }
        }
    }
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let world = TwoTenants::new().await;
    let before = (world.dump(A).await, world.dump(B).await);
    let user = A.user.to_string();
    let attempts = Attempts::new(&world.test.logins.user, &[("app.user_id", &user)]).await;
    for table in world.tables.iter().filter(|table| !table.is_view) {
        let name = &table.name;
        let column = super::samples::sample(name).unwrap()[0].0;
        for side in [A, B] {
            for sql in [
                insert(name, side, 1, &[]),
                format!("{} on conflict do nothing", insert(name, side, 0, &[])),
                format!("update tenantry.{name} set {column} = {column} where {}", table.of(side)),
                format!("delete from tenantry.{name} where {}", table.of(side)),
                format!("select from tenantry.{name} for update"),
            ] {
                assert_eq!(attempts.run(&sql, "commit").await, Outcome::Denied, "{sql}");
            }
        }
    }
    assert_eq!((world.dump(A).await, world.dump(B).await), before);
}

#[tokio::test]
async fn the_service_sees_the_tenants_it_was_opened_for() {
    let world = TwoTenants::new().await;
    let [a, b] = [A.tenant, B.tenant].map(|id| id.to_string());
    let (both, user) = (format!("{a},{b}"), A.user.to_string());
    let scopes: &[(Settings<'_>, (bool, bool))] = &[
        (&[], (false, false)),
        (&[("app.tenants", "")], (false, false)),
        (&[("app.tenants", &a)], (true, false)),
        (&[("app.tenants", &b)], (false, true)),
        (&[("app.tenants", &both)], (true, true)),
        // What readers are judged by says nothing here.
        (&[("app.user_id", &user), ("app.tenant_id", &a)], (false, false)),
        (&[("app.tenants", &a), ("app.tenant_id", &b)], (true, false)),
    ];
    for (settings, opened) in scopes {
        let attempts = Attempts::new(&world.test.logins.service, settings).await;
        for table in world.tables.iter().filter(|table| !table.is_view) {
            let place = format!("{} under {settings:?}", table.name);
            let (of_a, of_b, all) = attempts.seen(table).await.unwrap_or_else(|| panic!("{place}: cannot be read"));
            if LOOKUPS.iter().any(|(lookup, _)| *lookup == table.name) {
                assert!(all > 0, "{place}: no lookup is needed where nothing is seen");
            } else {
                assert_eq!((of_a > 0, of_b > 0), *opened, "{place}");
                assert_eq!(all, of_a + of_b, "{place}: rows of a third tenant");
            }
        }
    }
}

#[tokio::test]
async fn the_service_opened_for_one_tenant_changes_no_other() {
    let world = TwoTenants::new().await;
    let before = world.dump(B).await;
    let [a, b] = [A.tenant, B.tenant].map(|id| id.to_string());
    let opened_for_a = Attempts::new(&world.test.logins.service, &[("app.tenants", &a)]).await;
    let opened_for_none = Attempts::new(&world.test.logins.service, &[]).await;
    let news = format!("{a},{},{b}", new_tenant(A, 1));
    let opened_for_new = Attempts::new(&world.test.logins.service, &[("app.tenants", &news)]).await;
    for table in world.tables.iter().filter(|table| !table.is_view) {
        let name = &table.name;
        // The same row is let in where it belongs, so that what refuses it elsewhere is whose it is.
        let own = insert(name, A, 1, &[]);
        let is_only_read = ONLY_READ.iter().any(|(known, _)| known == name);
        let due = if is_only_read { Outcome::Denied } else { Outcome::Rows(1) };
        assert_eq!(opened_for_new.run(&own, "rollback").await, due, "{own}");
        if LOOKUPS.iter().any(|(lookup, _)| lookup == name) {
            continue;
        }
        let (columns, may_delete) = writable(&world.admin, SERVICE_ROLE, name).await;
        for attempts in [&opened_for_a, &opened_for_none] {
            for sql in [insert(name, B, 1, &[]), insert(name, B, 0, &[])] {
                assert_eq!(attempts.run(&sql, "commit").await, Outcome::Denied, "{sql}");
            }
            let upsert = format!("{} on conflict do nothing", insert(name, B, 0, &[]));
            assert_eq!(attempts.run(&upsert, "commit").await, Outcome::Denied, "{upsert}");
            for column in &columns {
                let sql = format!("update tenantry.{name} set {column} = {column} where {}", table.of(B));
                assert_eq!(attempts.run(&sql, "commit").await, Outcome::Rows(0), "{sql}");
            }
            let delete = format!("delete from tenantry.{name} where {}", table.of(B));
            let due = if may_delete { Outcome::Rows(0) } else { Outcome::Denied };
            assert_eq!(attempts.run(&delete, "commit").await, due, "{delete}");
        }
        if let Some((_, change)) = ONE_CHANGE.iter().find(|(known, _)| known == name) {
            let sql = format!("update tenantry.{name} set {change} where {}", table.of(A));
            assert_eq!(opened_for_a.run(&sql, "rollback").await, Outcome::Rows(1), "{sql}");
            continue;
        }
        for column in &columns {
            let sql = format!("update tenantry.{name} set {column} = {column} where {}", table.of(A));
            assert_eq!(opened_for_a.run(&sql, "rollback").await, Outcome::Rows(1), "{sql}");
        }
    }
    assert_eq!(world.dump(B).await, before);
}
