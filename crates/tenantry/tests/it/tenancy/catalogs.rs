//! Loading catalogs.

use futures::future::join_all;
use tenantry::billing::catalog_store::{self, LoadError, Loaded};
use tenantry_domain::plan::Plan;

use super::world::{World, catalog, plan};

async fn load(world: &World, plans: Vec<Plan>) -> Result<Loaded, LoadError> {
    catalog_store::load(&world.db, &world.env, &catalog(plans)).await
}

/// The current versions: plan, version, whether it is the default.
async fn current(world: &World) -> Vec<(String, i32, bool)> {
    let sql = "select plan_id, version, is_default from tenantry.plan_versions where current order by plan_id";
    let rows = world.admin.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

fn versions(of: &[(&str, i32, bool)]) -> Vec<(String, i32, bool)> {
    of.iter().map(|(plan, version, default)| ((*plan).to_owned(), *version, *default)).collect()
}

#[tokio::test]
async fn a_changed_plan_gets_the_next_version_and_the_others_keep_theirs() {
    let world = World::new().await;
    let (free, pro) = (plan("free", 0, true, false), plan("pro", 10, false, true));
    let again = load(&world, vec![free.clone(), pro.clone()]).await.unwrap();
    assert_eq!(again.unchanged, ["free", "pro"]);
    assert_eq!(world.count("select count(*) from tenantry.plan_versions").await, 2);
    let dearer = plan("pro", 11, false, true);
    let changed = load(&world, vec![free.clone(), dearer]).await.unwrap();
    assert_eq!(changed.changed, [("pro".to_owned(), 2)]);
    assert_eq!(current(&world).await, versions(&[("free", 1, true), ("pro", 2, false)]));
    // Back to what it was: that is a change too, so that the order of versions is the order of time.
    load(&world, vec![free, pro]).await.unwrap();
    assert_eq!(current(&world).await, versions(&[("free", 1, true), ("pro", 3, false)]));
}

#[tokio::test]
async fn a_plan_that_is_gone_is_kept_for_who_has_it_and_can_come_back() {
    let world = World::new().await;
    let (free, pro) = (plan("free", 0, true, false), plan("pro", 10, false, true));
    let gone = load(&world, vec![free.clone()]).await.unwrap();
    assert_eq!(gone.retired, ["pro"]);
    assert_eq!(current(&world).await, versions(&[("free", 1, true)]));
    assert_eq!(world.count("select count(*) from tenantry.plan_versions").await, 2);
    assert_eq!(load(&world, vec![free.clone()]).await.unwrap().retired, Vec::<String>::new());
    assert_eq!(load(&world, vec![free, pro]).await.unwrap().changed, [("pro".to_owned(), 1)]);
}

#[tokio::test]
async fn the_default_plan_moves_before_it_goes() {
    let world = World::new().await;
    let starter = plan("starter", 1, true, false);
    let refused = load(&world, vec![starter.clone()]).await.unwrap_err();
    assert!(matches!(&refused, LoadError::DefaultGone(plan) if plan == "free"), "{refused}");
    assert_eq!(current(&world).await, versions(&[("free", 1, true), ("pro", 1, false)]));
    load(&world, vec![plan("free", 0, false, false), starter.clone()]).await.unwrap();
    assert_eq!(current(&world).await, versions(&[("free", 2, false), ("starter", 1, true)]));
    load(&world, vec![starter]).await.unwrap();
    assert_eq!(current(&world).await, versions(&[("starter", 1, true)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_replicas_that_start_at_once_make_each_version_once() {
    let world = std::sync::Arc::new(World::without_catalog().await);
    for round in 1..=5 {
        let loads = join_all((0..8).map(|_| {
            let (world, rank) = (world.clone(), u32::try_from(round).unwrap());
            tokio::spawn(async move {
                load(&world, vec![plan("free", rank, true, false), plan("pro", 10 + rank, false, true)]).await
            })
        }))
        .await;
        let changed = loads.into_iter().filter(|load| !load.as_ref().unwrap().as_ref().unwrap().changed.is_empty());
        assert_eq!(changed.count(), 1);
        assert_eq!(current(&world).await, versions(&[("free", round, true), ("pro", round, false)]));
    }
}
