//! The views of the older shapes: each shows its caller's rows, whoever it comes as, and takes nothing.

use uuid::Uuid;

use super::world::{A, Attempts, B, OUTSIDER, Outcome, Settings, Side, TwoTenants, insert};

/// The views with their columns, in the order in which code reads them.
const VIEWS: &[(&str, &str)] = &[
    ("organization_members", "organization_id user_id role permissions created_at updated_at"),
    (
        "organization_subscriptions",
        "id organization_id stripe_subscription_id stripe_customer_id plan_id status billing_interval \
         current_period_start current_period_end cancel_at_period_end metadata created_at updated_at",
    ),
    ("organizations", "id name slug owner_id settings created_at updated_at"),
    (
        "subscriptions",
        "id user_id stripe_subscription_id stripe_customer_id plan_id status billing_interval \
         current_period_start current_period_end cancel_at_period_end metadata created_at updated_at",
    ),
    ("usage_ledger", "id tenant_id tenant_type user_id metric amount period_start period_end metadata created_at"),
];

/// The two organizations, and for each user a tenant of its own with a subscription, a customer at Stripe and a use.
async fn world() -> TwoTenants {
    let world = TwoTenants::new().await;
    for side in [A, B] {
        let own = Side { tenant: side.user, ..side };
        let (id, user) = (format!("'{}'", own.tenant), "'user'");
        for sql in [
            insert("tenants", own, 1, &[("id", &id), ("type", user)]),
            insert("tenant_members", own, 0, &[("role", "'owner'")]),
            insert("tenant_subscriptions", own, 0, &[]),
            // One that ended.
            insert("tenant_subscriptions", own, 1, &[]),
            insert("stripe_customers", own, 0, &[]),
            insert("stripe_subscriptions", own, 0, &[]),
            insert("tenant_usage", own, 0, &[("user_id", &format!("'{}'", side.user))]),
        ] {
            world.admin.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }
    world
}

/// How many rows of a view are of a side, and how many there are.
async fn rows(attempts: &Attempts, view: &str, side: Side) -> (i64, i64) {
    let of = match view {
        "organizations" => "id in ($1, $2)",
        "organization_members" | "organization_subscriptions" => "organization_id in ($1, $2)",
        "subscriptions" => "user_id in ($1, $2)",
        _ => "tenant_id in ($1, $2)",
    };
    let sql = format!("select count(*) filter (where {of}), count(*) from tenantry.{view}");
    attempts.client.batch_execute(&attempts.begin).await.unwrap();
    let row = attempts.client.query_one(&sql, &[&side.tenant, &side.user]).await.unwrap();
    attempts.client.batch_execute("rollback").await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_view_shows_its_callers_rows_and_nobody_elses() {
    let world = world().await;
    for (side, other) in [(A, B), (B, A)] {
        let [user, key, tenant, own, foreign] =
            [side.user, side.key, side.tenant, side.user, other.tenant].map(|id| id.to_string());
        let claims = format!(r#"{{"sub": "{user}", "role": "authenticated"}}"#);
        let nested = format!(r#"{{"user": {{"sub": "{user}"}}}}"#);
        // Rows due of (the organization, the user's own tenant).
        let scopes: &[(Settings<'_>, (bool, bool))] = &[
            (&[("app.user_id", &user)], (true, true)),
            (&[("request.jwt.claims", &claims)], (true, true)),
            (&[("app.user_id", &user), ("app.tenant_id", &tenant)], (true, false)),
            (&[("request.jwt.claims", &claims), ("app.tenant_id", &own)], (false, true)),
            (&[("app.key_id", &key)], (true, false)),
            (&[("app.user_id", &user), ("app.tenant_id", &foreign)], (false, false)),
            (&[("request.jwt.claims", &nested)], (false, false)),
            (&[("request.jwt.claims", "no json")], (false, false)),
            (&[("app.tenants", &tenant)], (false, false)),
            (&[], (false, false)),
        ];
        for (settings, (organization, personal)) in scopes {
            let attempts = Attempts::new(&world.test.logins.user, settings).await;
            for (view, _) in VIEWS {
                let due = match *view {
                    "subscriptions" => i64::from(*personal),
                    "usage_ledger" => i64::from(*organization) + i64::from(*personal),
                    _ => i64::from(*organization),
                };
                assert_eq!(rows(&attempts, view, side).await, (due, due), "{view} under {settings:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_views_have_the_columns_of_the_older_shapes_and_no_id_of_stripes() {
    let world = world().await;
    let sql = "select c.relname::text, string_agg(a.attname, ' ' order by a.attnum)
               from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
               where c.relkind = 'v' and c.relnamespace = 'tenantry'::regnamespace group by 1 order by 1";
    let found: Vec<(String, String)> =
        world.admin.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let due: Vec<(String, String)> =
        VIEWS.iter().map(|(view, columns)| ((*view).to_owned(), (*columns).to_owned())).collect();
    assert_eq!(found, due);
    let user = A.user.to_string();
    let attempts = Attempts::new(&world.test.logins.user, &[("app.user_id", &user)]).await;
    attempts.client.batch_execute(&attempts.begin).await.unwrap();
    for view in ["subscriptions", "organization_subscriptions"] {
        let sql = format!("select stripe_subscription_id, stripe_customer_id, plan_id, status from tenantry.{view}");
        let row = attempts.client.query_one(&sql, &[]).await.unwrap();
        assert_eq!((row.get::<_, Option<String>>(0), row.get::<_, Option<String>>(1)), (None, None), "{view}");
        assert_eq!((row.get::<_, &str>(2), row.get::<_, &str>(3)), ("plan 0", "active"), "{view}");
        for column in ["stripe_subscription_id", "stripe_customer_id"] {
            let sql = "select col_description(('tenantry.' || $1::text)::regclass, attnum) from pg_attribute
                       where attrelid = ('tenantry.' || $1::text)::regclass and attname = $2";
            let comment: Option<String> = world.admin.query_one(sql, &[&view, &column]).await.unwrap().get(0);
            assert!(comment.is_some_and(|text| text.starts_with("Always null")), "{view}.{column}");
        }
    }
    let types = "select tenant_type, user_id from tenantry.usage_ledger order by 1";
    let found: Vec<(String, Option<Uuid>)> =
        attempts.client.query(types, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [("organization".to_owned(), None), ("user".to_owned(), Some(A.user))]);
    // What ended or was deleted is not there.
    attempts.client.batch_execute("rollback").await.unwrap();
    let gone = format!("update tenantry.tenants set deleted_at = now() where id in ('{}', '{}')", A.tenant, A.user);
    world
        .admin
        .batch_execute(&format!("delete from tenantry.team_members; delete from tenantry.teams; {gone}"))
        .await
        .unwrap();
    for (view, _) in VIEWS.iter().filter(|(view, _)| *view != "usage_ledger") {
        assert_eq!(rows(&attempts, view, A).await, (0, 0), "{view}");
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_view() {
    let world = world().await;
    let before = (world.dump(A).await, world.dump(B).await);
    let (user, tenants) = (A.user.to_string(), format!("{},{}", A.tenant, A.user));
    let reader = Attempts::new(&world.test.logins.user, &[("app.user_id", &user)]).await;
    let service = Attempts::new(&world.test.logins.service, &[("app.tenants", &tenants)]).await;
    for (view, columns) in VIEWS {
        let first = columns.split(' ').next().unwrap();
        for sql in [
            format!("insert into tenantry.{view} select * from tenantry.{view}"),
            format!("insert into tenantry.{view} ({first}) values ('{}')", A.tenant),
            format!("update tenantry.{view} set {first} = {first}"),
            format!("delete from tenantry.{view}"),
        ] {
            for attempts in [&reader, &service] {
                // A view over two tables has nowhere to write to, whoever asks; the others are refused by privilege.
                match attempts.run(&sql, "commit").await {
                    Outcome::Denied => {}
                    Outcome::Failed(text) if text.contains("SqlState(E55000)") && *view != "organizations" => {}
                    outcome => panic!("{sql}: {outcome:?}"),
                }
            }
        }
        // They are for readers.
        assert_eq!(service.run(&format!("select from tenantry.{view}"), "commit").await, Outcome::Denied, "{view}");
        assert!(matches!(reader.run(&format!("select from tenantry.{view}"), "commit").await, Outcome::Rows(1 | 2)));
    }
    assert_eq!((world.dump(A).await, world.dump(B).await), before);
}

/// As PostgREST comes: a role of its own that was granted the readers', and the claims of a token.
#[tokio::test]
async fn a_role_that_is_granted_the_readers_reads_by_its_claims() {
    let world = world().await;
    // Roles belong to the whole server: this one is of this test.
    world
        .admin
        .batch_execute("create role authenticated_by_claims; grant tenantry_user to authenticated_by_claims")
        .await
        .unwrap();
    let claims = format!(r#"{{"sub": "{}", "role": "authenticated_by_claims"}}"#, A.user);
    let count = async |claims: &str, view: &str| -> i64 {
        let sql = format!(
            "begin read only; set local role authenticated_by_claims; set local request.jwt.claims = '{claims}'"
        );
        world.admin.batch_execute(&sql).await.unwrap();
        let row = world.admin.query_one(&format!("select count(*) from tenantry.{view}"), &[]).await.unwrap();
        world.admin.batch_execute("rollback").await.unwrap();
        row.get(0)
    };
    let function = format!("get_user_active_subscription('{}')", A.user);
    for (view, due) in VIEWS
        .iter()
        .map(|(view, _)| (*view, if *view == "usage_ledger" { 2 } else { 1 }))
        .chain([(function.as_str(), 1)])
    {
        assert_eq!(count(&claims, view).await, due, "{view}");
        assert_eq!(count("{}", view).await, 0, "{view}");
    }
}

#[tokio::test]
async fn the_active_subscription_of_another_user_is_no_row() {
    let world = world().await;
    // B's user is in a team of A's user's, and sees the plan that it shares: not here.
    let own = Side { tenant: A.user, ..A };
    let team = "'00000000-0000-4000-8000-000000000001'";
    let member = format!("'{}'", B.user);
    for sql in [
        insert("teams", own, 1, &[("id", team)]),
        insert("team_members", own, 1, &[("team_id", team), ("user_id", &member)]),
    ] {
        world.admin.batch_execute(&sql).await.unwrap();
    }
    let active = async |settings: Settings<'_>, of: Uuid| -> Vec<Uuid> {
        let attempts = Attempts::new(&world.test.logins.user, settings).await;
        attempts.client.batch_execute(&attempts.begin).await.unwrap();
        let sql = "select user_id from tenantry.get_user_active_subscription($1)";
        attempts.client.query(sql, &[&of]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let (a, b, outsider) = (A.user.to_string(), B.user.to_string(), OUTSIDER.to_string());
    let claims = format!(r#"{{"sub": "{a}"}}"#);
    assert_eq!(active(&[("app.user_id", &a)], A.user).await, [A.user]);
    assert_eq!(active(&[("request.jwt.claims", &claims)], A.user).await, [A.user]);
    let nobody: &[(Settings<'_>, Uuid)] = &[
        (&[("app.user_id", &a)], B.user),
        (&[("request.jwt.claims", &claims)], B.user),
        (&[("app.user_id", &b)], A.user),
        (&[("app.user_id", &outsider)], A.user),
        (&[], A.user),
        // An organization is no user.
        (&[("app.user_id", &a)], A.tenant),
    ];
    for (settings, of) in nobody {
        assert_eq!(active(settings, *of).await, Vec::<Uuid>::new(), "{of} under {settings:?}");
    }
    let lost = format!("update tenantry.tenant_subscriptions set access = 'fallback' where tenant_id = '{}'", A.user);
    world.admin.batch_execute(&lost).await.unwrap();
    assert_eq!(active(&[("app.user_id", &a)], A.user).await, Vec::<Uuid>::new());
    let service = Attempts::new(&world.test.logins.service, &[("app.tenants", &a)]).await;
    let sql = format!("select tenantry.get_user_active_subscription('{}')", A.user);
    assert_eq!(service.run(&sql, "commit").await, Outcome::Denied);
}
