//! Teams below HTTP: what a deletion calls, what the database keeps, and who meets whom.

use futures::future::join_all;
use tenantry::storage::teams::TeamRow;
use tenantry::storage::{Login, Query, StoreError, tenants};
use tenantry::tenancy::{Actor, TenancyError, accounts, audit, teams};
use tenantry::write_tx;
use uuid::Uuid;

use super::world::World;

static WAITS: Query =
    Query { name: "waits", login: Login::Service, sql: "select count(*) from pg_locks where pid = $1 and not granted" };

async fn team(world: &World, owner: Uuid) -> TeamRow {
    teams::create(&world.db, &world.env, owner, "Research", None).await.unwrap().done().unwrap()
}

async fn add(world: &World, team: &TeamRow, user: Uuid) -> Result<(), TenancyError> {
    teams::add_member(&world.db, &world.env, team.tenant_id, team, user, None).await.map(drop)
}

async fn delete_user(world: &World, user: Uuid) -> Result<(), TenancyError> {
    accounts::delete(&world.db, &world.env, Actor::System, user).await
}

#[tokio::test]
async fn a_deleted_user_is_in_no_team_and_owns_none() {
    let world = World::new().await;
    let (ada, bea, cleo) = (world.user().await, world.user().await, world.user().await);
    let (first, second, beas) = (team(&world, ada).await, team(&world, ada).await, team(&world, bea).await);
    for (team, user) in [(&first, bea), (&second, bea), (&first, cleo), (&beas, ada), (&beas, cleo)] {
        add(&world, team, user).await.unwrap();
    }
    delete_user(&world, bea).await.unwrap();
    let rest = "select count(*) from tenantry.team_members";
    assert_eq!(world.count(rest).await, 1, "Cleo in Ada's first team");
    assert_eq!(world.count("select count(*) from tenantry.teams").await, 2);
    for tenant in [ada, bea] {
        assert!(matches!(world.chain(tenant).await, audit::Verdict::Intact { .. }));
    }
    let of = |deeds: Vec<String>, kind: &str| deeds.iter().filter(|deed| *deed == kind).count();
    assert_eq!(of(world.deeds(ada).await, "team_member.removed"), 2);
    assert_eq!(of(world.deeds(bea).await, "team.deleted"), 1);
    // Nobody puts the user back.
    let refused = add(&world, &first, bea).await;
    assert!(matches!(refused, Err(TenancyError::Invalid(_))), "{refused:?}");
}

#[tokio::test]
async fn the_database_keeps_no_team_of_a_tenant_that_is_gone() {
    let world = World::new().await;
    let ada = world.user().await;
    team(&world, ada).await;
    let now = world.env.clock.now();
    let gone: Result<(), StoreError> = write_tx!(world.db, "test_delete", &[ada], |tx| {
        let held = tenants::lock(tx, ada).await?.unwrap();
        tenants::delete(tx, &held, now).await
    });
    assert_eq!(gone.unwrap_err().constraint(), Some("teams_tenant_live"));
    delete_user(&world, ada).await.unwrap();
    let sql = "insert into tenantry.teams (tenant_id, id, name, created_at, updated_at)
               values ($1, gen_random_uuid(), 'Late', now(), now())";
    let late = world.admin.execute(sql, &[&ada]).await.unwrap_err();
    assert_eq!(late.as_db_error().unwrap().constraint(), Some("teams_tenant_live"));
    let sql = "insert into tenantry.teams (tenant_id, id, tenant_live, name, created_at, updated_at)
               values ($1, gen_random_uuid(), $2, 'Late', now(), now())";
    for live in [Some(false), None] {
        let late = world.admin.execute(sql, &[&ada, &live]).await.unwrap_err();
        assert!(late.as_db_error().is_some_and(|error| error.code().code().starts_with("23")), "{late:?}");
    }
}

/// The row lock of the deletion and the key's check meet in the database itself: no code of ours is between them.
#[tokio::test]
async fn a_team_that_is_made_while_its_tenant_is_deleted_waits_and_is_refused() {
    let world = World::new().await;
    let ada = world.user().await;
    let now = world.env.clock.now();
    let deleting = world.db.begin("test_delete", &[ada]).await.unwrap();
    let held = tenants::lock(&deleting, ada).await.unwrap().unwrap();
    tenants::delete(&deleting, &held, now).await.unwrap();
    // Not through the operation, which would wait for the tenant's lock anyway.
    let sql = format!(
        "insert into tenantry.teams (tenant_id, id, name, created_at, updated_at)
         values ('{ada}', gen_random_uuid(), 'Late', now(), now())"
    );
    let process: i32 = world.admin.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let (late, ()) = tokio::join!(world.admin.execute(&sql, &[]), async {
        while deleting.one(&WAITS, &[&process]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        deleting.commit().await.unwrap();
    });
    assert_eq!(late.unwrap_err().as_db_error().unwrap().constraint(), Some("teams_tenant_live"));
    assert_eq!(world.count("select count(*) from tenantry.teams").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_added_at_once_for_the_last_places_fill_a_team_exactly() {
    let world = World::new().await;
    let ada = world.user().await;
    let team = team(&world, ada).await;
    let sql = "with made as (
                   insert into tenantry.users
                   select gen_random_uuid(), null, now(), now() from generate_series(1, 97) returning id)
               insert into tenantry.team_members select $1, $2, id, now() from made";
    // The rows of users are made by the same statement: the foreign key is checked at its end.
    world.admin.execute(sql, &[&ada, &team.id]).await.unwrap();
    let mut users = Vec::new();
    for _ in 0..12 {
        users.push(world.user().await);
    }
    let added = join_all(users.into_iter().map(|user| {
        let (db, env, team) = (world.db.clone(), world.env.clone(), team.clone());
        tokio::spawn(async move { teams::add_member(&db, &env, ada, &team, user, None).await.map(drop) })
    }))
    .await;
    let (fit, others): (Vec<_>, Vec<_>) = added.into_iter().map(Result::unwrap).partition(Result::is_ok);
    assert_eq!(fit.len(), 3);
    for refused in others {
        assert!(matches!(refused, Err(TenancyError::TeamLimit { limit: 100, .. })), "{refused:?}");
    }
    assert_eq!(world.count("select count(*) from tenantry.team_members").await, 100);
}

/// Whoever is first: added and then taken out with the deletion, or deleted and then not found.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_who_is_deleted_while_being_added_ends_in_no_team() {
    let world = World::new().await;
    let ada = world.user().await;
    let team = team(&world, ada).await;
    for _ in 0..30 {
        let user = world.user().await;
        let (db, env, of) = (world.db.clone(), world.env.clone(), team.clone());
        let adding = tokio::spawn(async move { teams::add_member(&db, &env, ada, &of, user, None).await.map(drop) });
        delete_user(&world, user).await.unwrap();
        let added = adding.await.unwrap();
        assert!(matches!(added, Ok(()) | Err(TenancyError::Invalid(_))), "{added:?}");
        assert_eq!(world.count("select count(*) from tenantry.team_members").await, 0);
    }
}

#[tokio::test]
async fn two_who_add_each_other_at_once_do_not_wait_for_each_other() {
    let world = World::new().await;
    let (ada, bea) = (world.user().await, world.user().await);
    let (first, second) = (team(&world, ada).await, team(&world, bea).await);
    for _ in 0..20 {
        let (one, other) = tokio::join!(add(&world, &first, bea), add(&world, &second, ada));
        one.unwrap();
        other.unwrap();
        for (team, user) in [(&first, bea), (&second, ada)] {
            teams::remove_member(&world.db, &world.env, user, team, user).await.unwrap();
        }
    }
}
