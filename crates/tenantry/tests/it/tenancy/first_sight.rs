//! First sight of a user.

use futures::future::join_all;
use tenantry::storage::ReadScope;
use tenantry::tenancy::audit::Verdict;
use tenantry::tenancy::{Actor, TenancyError, users};

use super::world::World;

const ROUNDS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_first_requests_at_once_make_one_personal_tenant() {
    let world = World::new().await;
    for _ in 0..ROUNDS {
        let id = world.id();
        let requests = (0..20).map(|_| {
            let (db, env) = (world.db.clone(), world.env.clone());
            tokio::spawn(async move { users::ensure(&db, &env, Actor::User(id), id, Some("a@example.com")).await })
        });
        let firsts = join_all(requests).await.into_iter().filter(|first| *first.as_ref().unwrap().as_ref().unwrap());
        assert_eq!(firsts.count(), 1);
        let rows = world
            .admin
            .query_one(
                "select (select count(*) from tenantry.users where id = $1 and email = 'a@example.com'),
                        (select count(*) from tenantry.tenants where id = $1 and type = 'user' and owner_id = $1),
                        (select count(*) from tenantry.tenant_members where tenant_id = $1 and user_id = $1 and role = 'owner'),
                        (select count(*) from tenantry.tenant_subscriptions s where tenant_id = $1 and plan_id = 'free'
                            and status = 'active' and anchor = current_period_start and ended_at is null),
                        (select count(*) from tenantry.usage_periods where tenant_id = $1 and state = 'open'),
                        (select count(*) from tenantry.usage_segments where tenant_id = $1 and sequence = 0),
                        (select count(*) from tenantry.jobs j join tenantry.usage_periods p using (tenant_id)
                            where tenant_id = $1 and kind = 'close_period' and run_at = p.period_end + interval '30 minutes'),
                        (select count(*) from tenantry.billing_events where tenant_id = $1)",
                &[&id],
            )
            .await
            .unwrap();
        let counts: Vec<i64> = (0..8).map(|column| rows.get(column)).collect();
        assert_eq!(counts, [1; 8]);
        assert_eq!(world.chain(id).await, Verdict::Intact { entries: 1, blanked: 0 });
    }
}

#[tokio::test]
async fn a_changed_address_is_taken_over_and_a_missing_one_changes_nothing() {
    let world = World::new().await;
    let id = world.user().await;
    for (given, stored) in [
        (Some("new@example.com"), "new@example.com"),
        (None, "new@example.com"),
        (Some("newer@example.com"), "newer@example.com"),
    ] {
        assert!(!users::ensure(&world.db, &world.env, Actor::User(id), id, given).await.unwrap());
        let row = world.admin.query_one("select email from tenantry.users where id = $1", &[&id]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), stored);
    }
}

#[tokio::test]
async fn without_a_catalog_nobody_is_made() {
    let world = World::without_catalog().await;
    let id = world.id();
    let refused = users::ensure(&world.db, &world.env, Actor::User(id), id, None).await.unwrap_err();
    assert!(matches!(refused, TenancyError::NoCatalog));
    assert_eq!(world.count("select count(*) from tenantry.users").await, 0);
}

#[tokio::test]
async fn the_user_sees_the_personal_tenant_and_another_user_does_not() {
    let world = World::new().await;
    let (one, two) = (world.user().await, world.user().await);
    for (asks, sees) in [(one, 1), (two, 0)] {
        let scope = ReadScope { user_id: Some(asks), ..ReadScope::default() };
        let tx = world.db.read("test", scope).await.unwrap();
        let listed = tenantry::storage::members::memberships(&tx, one, None, 10).await.unwrap();
        assert_eq!(listed.len(), sees);
        let subscription = tenantry::storage::subscriptions::current(&tx, one).await.unwrap();
        assert_eq!(subscription.is_some(), sees == 1);
        tx.rollback().await.unwrap();
    }
}
