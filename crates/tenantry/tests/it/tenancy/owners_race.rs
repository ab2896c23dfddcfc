//! Two owners against each other, in parallel transactions.

use tenantry::tenancy::audit::Verdict;
use tenantry::tenancy::members::{self, MemberPatch};
use tenantry::tenancy::{Actor, TenancyError};
use tenantry_domain::permission::Role;
use uuid::Uuid;

use super::world::World;

const ROUNDS: usize = 1_000;

/// One owner does something to another (or itself).
async fn strike(world: &World, tenant: Uuid, actor: Uuid, other: Uuid, how: usize) -> Result<(), TenancyError> {
    let (db, env) = (&world.db, &world.env);
    match how {
        0 => {
            let patch = MemberPatch { role: Some(Role::Member), permissions: None };
            members::change(db, env, Actor::User(actor), tenant, other, &patch).await.map(drop)
        }
        1 => members::remove(db, env, Actor::User(actor), tenant, other).await,
        _ => members::leave(db, env, actor, tenant, None).await.map(drop),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attack_20_two_owners_who_go_at_each_other_a_thousand_times_always_leave_one() {
    let world = std::sync::Arc::new(World::new().await);
    let (one, two) = (world.user().await, world.user().await);
    let tenant = world.organization(one).await.id;
    let mut done = 0;
    for round in 0..ROUNDS {
        world
            .admin
            .execute(
                "insert into tenantry.tenant_members (tenant_id, user_id, role, created_at, updated_at)
                 select $1, id, 'owner', now(), now() from unnest($2::uuid[]) as id
                 on conflict (tenant_id, user_id) do update set role = 'owner'",
                &[&tenant, &[one, two].as_slice()],
            )
            .await
            .unwrap();
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(2));
        let run = |actor, other, how| {
            let (world, barrier) = (world.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                strike(&world, tenant, actor, other, how).await
            })
        };
        let strikes = (run(one, two, round % 3), run(two, one, round / 3 % 3));
        let results = [strikes.0.await.unwrap(), strikes.1.await.unwrap()];
        for result in &results {
            assert!(
                matches!(
                    result,
                    Ok(()) | Err(TenancyError::LastOwner | TenancyError::NotFound | TenancyError::Forbidden { .. })
                ),
                "round {round}: {result:?}"
            );
        }
        done += results.iter().filter(|result| result.is_ok()).count();
        let owners = world
            .count(&format!(
                "select count(*) from tenantry.tenant_members where tenant_id = '{tenant}' and role = 'owner'"
            ))
            .await;
        assert_eq!(owners, 1, "round {round}: {results:?}");
    }
    // Both succeed only where one is demoted and then leaves.
    assert!((ROUNDS..2 * ROUNDS).contains(&done), "{done}");
    assert!(matches!(world.chain(tenant).await, Verdict::Intact { entries, .. } if entries == done as u64 + 1));
}
