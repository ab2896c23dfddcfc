//! A deletion against whatever makes the user somebody meanwhile, in parallel transactions.

use std::sync::Arc;

use futures::future::join_all;
use tenantry::tenancy::audit::Verdict;
use tenantry::tenancy::members::{self, MemberPatch, NewMember};
use tenantry::tenancy::organizations::{self, NewOrganization};
use tenantry::tenancy::{Actor, TenancyError, accounts, users};
use tenantry_domain::permission::{Overrides, Role};
use tokio::sync::Barrier;
use uuid::Uuid;

use super::world::World;

const ROUNDS: usize = 1_000;

/// Makes the user the only owner, or a member, or an owner of something new.
async fn make(world: &World, user: Uuid, (owner, tenant): (Uuid, Uuid), how: usize) -> Result<(), TenancyError> {
    let (db, env) = (&world.db, &world.env);
    match how {
        0 => {
            let patch = MemberPatch { role: Some(Role::Owner), permissions: None };
            members::change(db, env, Actor::User(owner), tenant, user, &patch).await?;
            members::leave(db, env, owner, tenant, None).await.map(drop)
        }
        1 => {
            let patch = MemberPatch { role: Some(Role::Owner), permissions: None };
            members::change(db, env, Actor::User(owner), tenant, user, &patch).await?;
            let patch = MemberPatch { role: Some(Role::Member), permissions: None };
            members::change(db, env, Actor::User(user), tenant, owner, &patch).await.map(drop)
        }
        2 => {
            let new = NewOrganization { name: "New".to_owned(), owner_id: Some(user), ..NewOrganization::default() };
            organizations::create(db, env, Actor::System, &new, None).await.map(drop)
        }
        _ => {
            // Out and in again: the deletion did not know that there would be anything to take it out of.
            members::remove(db, env, Actor::User(owner), tenant, user).await?;
            let new = NewMember { user_id: user, role: Role::Admin, permissions: Overrides::default() };
            members::add(db, env, Actor::User(owner), tenant, &new, None).await.map(drop)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deletion_races_with_being_made_the_only_owner_a_thousand_times() {
    let world = Arc::new(World::new().await);
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let (mut deleted, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let restore = "insert into tenantry.tenant_members (tenant_id, user_id, role, created_at, updated_at)
                       values ($1, $2, 'owner', now(), now())
                       on conflict (tenant_id, user_id) do update set role = 'owner'";
        world.admin.execute(restore, &[&tenant.id, &owner]).await.unwrap();
        let user = world.member(&tenant, Role::Admin).await;
        let barrier = Arc::new(Barrier::new(2));
        let made = tokio::spawn({
            let (world, barrier) = (world.clone(), barrier.clone());
            async move {
                barrier.wait().await;
                make(&world, user, (owner, tenant.id), round % 4).await
            }
        });
        let gone = tokio::spawn({
            let (world, barrier) = (world.clone(), barrier.clone());
            async move {
                barrier.wait().await;
                accounts::delete(&world.db, &world.env, Actor::User(user), user).await
            }
        });
        let (made, gone) = (made.await.unwrap(), gone.await.unwrap());
        let place = format!("round {round}: made {made:?}, gone {gone:?}");
        match &gone {
            Ok(()) => deleted += 1,
            Err(TenancyError::OnlyOwner(organizations)) => {
                assert_eq!(organizations.len(), 1, "{place}");
                refused += 1;
            }
            Err(error) => panic!("{place}: {error}"),
        }
        assert!(
            matches!(made, Ok(()) | Err(TenancyError::NotFound | TenancyError::LastOwner | TenancyError::Invalid(_))),
            "{place}"
        );
        let left = format!(
            "select count(*) from tenantry.tenant_members m join tenantry.users u on u.id = m.user_id
             where u.id = '{user}' and u.deleted_at is not null"
        );
        assert_eq!(world.count(&left).await, 0, "{place}: a deleted user is a member");
    }
    let ownerless = "select count(*) from tenantry.tenants t where deleted_at is null and not exists (
                         select from tenantry.tenant_members m where m.tenant_id = t.id and m.role = 'owner')";
    assert_eq!(world.count(ownerless).await, 0);
    assert_eq!(deleted + refused, ROUNDS);
    // Both ends were seen, so that it was a race.
    assert!(deleted > ROUNDS / 20 && refused > ROUNDS / 20, "{deleted} deleted, {refused} refused");
    assert!(matches!(world.chain(tenant.id).await, Verdict::Intact { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deletion_races_with_twenty_first_requests_a_thousand_times() {
    let world = Arc::new(World::new().await);
    let (mut seen_before, mut seen_after) = (0, 0);
    for round in 0..ROUNDS {
        let user = world.id();
        let barrier = Arc::new(Barrier::new(21));
        let requests = (0..20).map(|_| {
            let (world, barrier) = (world.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                users::ensure(&world.db, &world.env, Actor::User(user), user, Some("zelda@example.com")).await
            })
        });
        let requests = join_all(requests);
        let gone = tokio::spawn({
            let (world, barrier) = (world.clone(), barrier.clone());
            async move {
                barrier.wait().await;
                // Until there is somebody to delete.
                loop {
                    match accounts::delete(&world.db, &world.env, Actor::System, user).await {
                        Err(TenancyError::NotFound) => tokio::task::yield_now().await,
                        other => return other,
                    }
                }
            }
        });
        let mut firsts = 0;
        for request in requests.await {
            match request.unwrap() {
                Ok(is_first) => {
                    firsts += usize::from(is_first);
                    seen_before += 1;
                }
                Err(TenancyError::AccountDeleted) => seen_after += 1,
                Err(error) => panic!("round {round}: {error:?}"),
            }
        }
        gone.await.unwrap().unwrap();
        assert_eq!(firsts, 1, "round {round}");
        let kept = format!(
            "select (select count(*) from tenantry.users where id = '{user}' and deleted_at is not null and email is null)
                  + (select count(*) from tenantry.tenants where id = '{user}' and deleted_at is not null)
                  + 10 * (select count(*) from tenantry.tenant_members where user_id = '{user}')
                  + 10 * (select count(*) from tenantry.tenant_subscriptions where tenant_id = '{user}' and ended_at is null)"
        );
        assert_eq!(world.count(&kept).await, 2, "round {round}");
    }
    // Some came before the deletion and some after it, so that it was a race.
    assert!(seen_before > ROUNDS && seen_after > ROUNDS / 20, "{seen_before} before, {seen_after} after");
}

#[tokio::test]
async fn a_user_who_is_made_while_its_deletion_begins_is_deleted_whole() {
    let world = Arc::new(World::new().await);
    let user = world.id();
    // Whoever asks for the user waits here; the deletion has looked for its tenants by then, and found none.
    world.admin.batch_execute("begin; lock table tenantry.users in access exclusive mode").await.unwrap();
    let gone = tokio::spawn({
        let world = world.clone();
        async move { accounts::delete(&world.db, &world.env, Actor::System, user).await }
    });
    let waits = "select count(*) from pg_locks where not granted and relation = 'tenantry.users'::regclass";
    while world.count(waits).await == 0 {
        tokio::task::yield_now().await;
    }
    let made = format!(
        "insert into tenantry.users (id, created_at, updated_at) values ('{user}', now(), now());
         insert into tenantry.tenants (id, type, name, slug, owner_id, created_at, updated_at)
         values ('{user}', 'user', 'Personal', 'personal', '{user}', now(), now());
         insert into tenantry.tenant_members (tenant_id, user_id, role, created_at, updated_at)
         values ('{user}', '{user}', 'owner', now(), now());
         commit"
    );
    world.admin.batch_execute(&made).await.unwrap();
    gone.await.unwrap().unwrap();
    let left = format!(
        "select (select count(*) from tenantry.tenant_members where user_id = '{user}')
              + (select count(*) from tenantry.tenants where id = '{user}' and deleted_at is null)
              + (select count(*) from tenantry.users where id = '{user}' and deleted_at is null)"
    );
    assert_eq!(world.count(&left).await, 0);
    assert_eq!(world.deeds(user).await, ["user.deleted"]);
}
