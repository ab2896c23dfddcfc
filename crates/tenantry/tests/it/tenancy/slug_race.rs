//! Two who want one slug at the same moment.

use std::sync::Arc;

use tenantry::tenancy::organizations::{self, NewOrganization, TenantPatch};
use tenantry::tenancy::{Actor, TenancyError};
use tokio::sync::Barrier;

use super::world::World;

const ROUNDS: usize = 1_000;

/// By a new organization that asks for it, by a name that leads to it, or by another organization that takes it over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slug_that_two_want_a_thousand_times_is_one_tenants_each_time() {
    let world = Arc::new(World::new().await);
    let (one, two) = (world.user().await, world.user().await);
    let other = world.organization(two).await.id;
    let (mut won, mut yielded) = (0, 0);
    for round in 0..ROUNDS {
        let slug = format!("wanted-{round}");
        let barrier = Arc::new(Barrier::new(2));
        let run = |user, how: usize| {
            let (world, barrier, slug) = (world.clone(), barrier.clone(), slug.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let (db, env, actor) = (&world.db, &world.env, Actor::User(user));
                match how {
                    0 => {
                        let new =
                            NewOrganization { name: "X".to_owned(), slug: Some(slug), ..NewOrganization::default() };
                        organizations::create(db, env, actor, &new, None).await.map(drop)
                    }
                    1 => {
                        let new = NewOrganization { name: slug, ..NewOrganization::default() };
                        organizations::create(db, env, actor, &new, None).await.map(drop)
                    }
                    _ => {
                        let patch = TenantPatch { slug: Some(slug), ..TenantPatch::default() };
                        organizations::patch(db, env, actor, other, &patch).await.map(drop)
                    }
                }
            })
        };
        let (first, second) = (run(one, round % 2), run(two, round / 2 % 3));
        let results = [first.await.unwrap(), second.await.unwrap()];
        for result in &results {
            assert!(matches!(result, Ok(()) | Err(TenancyError::SlugTaken(_))), "round {round}: {result:?}");
        }
        yielded += results.iter().filter(|result| result.is_err()).count();
        let sql = "select count(*) from tenantry.tenants where deleted_at is null and slug = $1";
        let holders: i64 = world.admin.query_one(sql, &[&slug]).await.unwrap().get(0);
        assert_eq!(holders, 1, "round {round}: {results:?}");
        // Who only named itself so got another slug; a slug that was asked for is given or refused.
        let (named, asked) = (round % 2 == 1, round / 2 % 3);
        if named && asked == 1 {
            assert!(results.iter().all(Result::is_ok), "round {round}: {results:?}");
        }
        won += results.iter().filter(|result| result.is_ok()).count();
    }
    assert_eq!(won + yielded, 2 * ROUNDS);
    assert!(yielded >= ROUNDS / 3, "{yielded} were refused");
}
