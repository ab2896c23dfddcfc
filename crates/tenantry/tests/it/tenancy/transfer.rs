//! Handing an organization over: to whom, by whom, and twice at once.

use std::sync::Arc;

use tenantry::tenancy::audit::Verdict;
use tenantry::tenancy::members::{self, MemberPatch};
use tenantry::tenancy::transfer::{Transfer, transfer};
use tenantry::tenancy::{Actor, TenancyError};
use tenantry_domain::permission::Role;
use tokio::sync::Barrier;
use uuid::Uuid;

use super::world::World;

async fn hand_over(world: &World, tenant: Uuid, actor: Actor, to: Uuid, from: Option<Uuid>) -> Result<(), String> {
    let done = transfer(&world.db, &world.env, actor, tenant, Transfer { to, from }, None).await;
    done.map(drop).map_err(|error| error.to_string())
}

/// Role by user, the owner of the tenant's row first.
async fn roles(world: &World, tenant: Uuid, users: &[Uuid]) -> Vec<String> {
    let sql = "select coalesce(m.role, 'none') || case when t.owner_id = u.id then ' *' else '' end
               from unnest($2::uuid[]) with ordinality as u (id, n)
               join tenantry.tenants t on t.id = $1
               left join tenantry.tenant_members m on m.tenant_id = $1 and m.user_id = u.id order by u.n";
    let rows = world.admin.query(sql, &[&tenant, &users]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_owner_becomes_an_admin_and_the_member_the_owner() {
    let world = World::new().await;
    let owner = world.user().await;
    let acme = world.organization(owner).await;
    let member = world.member_with(&acme, Role::Member, r#"{"viewUsage": false}"#).await;
    hand_over(&world, acme.id, Actor::User(owner), member, None).await.unwrap();
    assert_eq!(roles(&world, acme.id, &[owner, member]).await, ["admin", "owner *"]);
    let narrowed = "select count(*) from tenantry.tenant_members where permissions <> '{}'";
    assert_eq!(world.count(narrowed).await, 0);
    assert_eq!(world.deeds(acme.id).await.last().map(String::as_str), Some("tenant.transferred"));
    // Who handed over is no owner any more.
    let again = hand_over(&world, acme.id, Actor::User(owner), member, None).await.unwrap_err();
    assert!(again.contains("transferTenant"), "{again}");
    // And back.
    hand_over(&world, acme.id, Actor::User(member), owner, None).await.unwrap();
    assert_eq!(roles(&world, acme.id, &[owner, member]).await, ["owner *", "admin"]);
    assert!(matches!(world.chain(acme.id).await, Verdict::Intact { entries: 4, .. }));
}

#[tokio::test]
async fn only_a_member_takes_over_and_only_from_an_owner() {
    let world = World::new().await;
    let owner = world.user().await;
    let acme = world.organization(owner).await;
    let (admin, stranger) = (world.member(&acme, Role::Admin).await, world.user().await);
    let second = world.member(&acme, Role::Owner).await;
    for (actor, to, from, says) in [
        (Actor::User(owner), stranger, None, "names no member"),
        (Actor::User(owner), owner, None, "is the owner already"),
        (Actor::User(owner), admin, Some(second), "its own part only"),
        (Actor::User(admin), admin, None, "transferTenant"),
        (Actor::User(admin), stranger, None, "transferTenant"),
        (Actor::System, admin, None, "more than one owner"),
        (Actor::System, second, Some(admin), "names no owner"),
        (Actor::System, second, Some(stranger), "names no owner"),
    ] {
        let refusal = hand_over(&world, acme.id, actor, to, from).await.unwrap_err();
        assert!(refusal.contains(says), "{actor:?} {refusal}");
    }
    assert_eq!(roles(&world, acme.id, &[owner, second, admin]).await, ["owner *", "owner", "admin"]);
    let personal = hand_over(&world, owner, Actor::User(owner), admin, None).await.unwrap_err();
    assert!(personal.contains("stands for its user"), "{personal}");
    hand_over(&world, acme.id, Actor::System, admin, Some(second)).await.unwrap();
    assert_eq!(roles(&world, acme.id, &[owner, second, admin]).await, ["owner", "admin", "owner *"]);
}

const ROUNDS: usize = 1_000;

/// To two members at once, or to one while it leaves, is removed or demoted: one owner, whoever was first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_transfers_against_each_other_leave_one_owner_each() {
    let world = Arc::new(World::new().await);
    let owner = world.user().await;
    let acme = world.organization(owner).await;
    let (tenant, one, two) = (acme.id, world.user().await, world.user().await);
    let mut handed_over = 0;
    for round in 0..ROUNDS {
        let reset = "insert into tenantry.tenant_members (tenant_id, user_id, role, created_at, updated_at)
             select $1, id, role, now(), now() from unnest($2::uuid[], array['owner', 'admin', 'member']) as u (id, role)
             on conflict (tenant_id, user_id) do update set role = excluded.role";
        world.admin.execute(reset, &[&tenant, &[owner, one, two].as_slice()]).await.unwrap();
        let barrier = Arc::new(Barrier::new(2));
        let first = {
            let (world, barrier) = (world.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                transfer(&world.db, &world.env, Actor::User(owner), tenant, Transfer { to: one, from: None }, None)
                    .await
                    .map(drop)
            })
        };
        let second = {
            let (world, barrier) = (world.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let (db, env) = (&world.db, &world.env);
                match round % 4 {
                    0 => {
                        let to = Transfer { to: two, from: None };
                        transfer(db, env, Actor::User(owner), tenant, to, None).await.map(drop)
                    }
                    1 => members::leave(db, env, one, tenant, None).await.map(drop),
                    2 => members::remove(db, env, Actor::User(owner), tenant, one).await,
                    _ => {
                        let patch = MemberPatch { role: Some(Role::Member), permissions: None };
                        members::change(db, env, Actor::User(owner), tenant, one, &patch).await.map(drop)
                    }
                }
            })
        };
        let results = [first.await.unwrap(), second.await.unwrap()];
        for result in &results {
            use TenancyError::{Forbidden, Grant, Invalid, LastOwner, NotFound};
            assert!(
                matches!(result, Ok(()) | Err(Forbidden { .. } | Grant { .. } | Invalid { .. } | LastOwner | NotFound)),
                "round {round}: {result:?}"
            );
        }
        assert!(results.iter().any(Result::is_ok), "round {round}: {results:?}");
        handed_over += usize::from(results[0].is_ok());
        let owners =
            format!("select count(*) from tenantry.tenant_members where tenant_id = '{tenant}' and role = 'owner'");
        assert_eq!(world.count(&owners).await, 1, "round {round}: {results:?}");
    }
    assert!((ROUNDS / 10..ROUNDS).contains(&handed_over), "{handed_over}");
    assert!(matches!(world.chain(tenant).await, Verdict::Intact { .. }));
}
