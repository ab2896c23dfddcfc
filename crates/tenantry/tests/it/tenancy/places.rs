//! Plans that say how many members there may be.

use tenantry::billing::catalog_store;
use tenantry::storage::tenants::TenantRow;
use tenantry::tenancy::members::{self, NewMember};
use tenantry::tenancy::{Actor, TenancyError};
use tenantry_domain::permission::{Overrides, Role};
use tenantry_domain::plan::Plan;
use uuid::Uuid;

use super::world::{World, catalog, plan};

/// A plan with so many places.
fn with_places(plan: Plan, places: u32) -> Plan {
    Plan { max_members: Some(places), ..plan }
}

/// A world whose free plan has places for so many, and whose paid one has places for five.
pub(super) async fn world(free: u32) -> World {
    let world = World::without_catalog().await;
    let plans = vec![with_places(plan("free", 0, true, false), free), with_places(plan("pro", 10, false, true), 5)];
    catalog_store::load(&world.db, &world.env, &catalog(plans)).await.unwrap();
    world
}

async fn add(world: &World, tenant: &TenantRow, user_id: Uuid) -> Result<(), TenancyError> {
    let new = NewMember { user_id, role: Role::Member, permissions: Overrides::default() };
    let owner = Actor::User(tenant.owner_id);
    members::add(&world.db, &world.env, owner, tenant.id, &new, None).await.map(drop)
}

async fn count(world: &World, tenant: &TenantRow) -> i64 {
    world.count(&format!("select count(*) from tenantry.tenant_members where tenant_id = '{}'", tenant.id)).await
}

#[tokio::test]
async fn a_full_plan_takes_nobody_until_somebody_goes() {
    let world = world(3).await;
    let tenant = world.organization(world.user().await).await;
    let first = world.member(&tenant, Role::Member).await;
    world.member(&tenant, Role::Member).await;
    let late = world.user().await;
    let full = add(&world, &tenant, late).await.unwrap_err();
    assert!(matches!(&full, TenancyError::MembersFull { plan_id, places: 3 } if plan_id == "free"), "{full:?}");
    // Who is a member is told that, not that there is no place.
    assert!(matches!(add(&world, &tenant, first).await, Err(TenancyError::AlreadyMember)));
    assert_eq!(count(&world, &tenant).await, 3);
    members::leave(&world.db, &world.env, first, tenant.id, None).await.unwrap();
    add(&world, &tenant, late).await.unwrap();
    assert_eq!(count(&world, &tenant).await, 3);
    let deeds = world.deeds(tenant.id).await;
    assert_eq!(deeds.iter().filter(|deed| *deed == "member.added").count(), 3, "{deeds:?}");
}

#[tokio::test]
async fn the_plan_whose_limits_are_in_force_counts() {
    let world = world(2).await;
    let tenant = world.organization(world.user().await).await;
    let sets = async |what: &str| {
        let sql = format!("update tenantry.tenant_subscriptions set {what} where tenant_id = $1");
        world.admin.execute(&sql, &[&tenant.id]).await.unwrap();
    };
    sets("plan_id = 'pro'").await;
    for _ in 0..2 {
        world.member(&tenant, Role::Member).await;
    }
    // Unpaid: the members stay, and the default plan's places count.
    sets("access = 'fallback'").await;
    let late = world.user().await;
    let full = add(&world, &tenant, late).await.unwrap_err();
    assert!(matches!(&full, TenancyError::MembersFull { plan_id, places: 2 } if plan_id == "free"), "{full:?}");
    assert_eq!(count(&world, &tenant).await, 3);
    sets("access = 'full'").await;
    add(&world, &tenant, late).await.unwrap();
    // A change of the catalog waits for the next period, as for every other term.
    let plans = vec![with_places(plan("free", 0, true, false), 2), with_places(plan("pro", 10, false, true), 4)];
    catalog_store::load(&world.db, &world.env, &catalog(plans)).await.unwrap();
    add(&world, &tenant, world.user().await).await.unwrap();
    let full = add(&world, &tenant, world.user().await).await.unwrap_err();
    assert!(matches!(&full, TenancyError::MembersFull { plan_id, places: 5 } if plan_id == "pro"), "{full:?}");
}
