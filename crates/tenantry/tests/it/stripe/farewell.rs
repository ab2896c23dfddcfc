//! Deleting organizations that have, or are about to have, something to do with Stripe.

use serde_json::Value;
use tenantry::billing::operations::{Asked, begin};
use tenantry::tenancy::organizations::delete;
use tenantry::tenancy::{Actor, TenancyError};
use uuid::Uuid;

use super::metered::{Ledger, charges, metered};
use super::world::{VISA, World, settings, wish};

async fn deleted(world: &World, actor: Actor, tenant: Uuid) -> Result<(), TenancyError> {
    delete(&world.db, &world.env, actor, tenant).await
}

/// Statuses of all subscriptions that the tenant's customer ever had at Stripe.
async fn at_stripe(world: &World, customer: &str) -> Vec<String> {
    let found = world.list(&format!("/v1/subscriptions?customer={customer}&status=all")).await;
    found.iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn use_that_is_on_no_invoice_yet_keeps_a_tenant() {
    let world = metered(settings()).await;
    let (tenant, owner) = world.organization("owner@example.com").await;
    let mut ledger = Ledger::default();
    // 50 are included.
    ledger.spend(&world, tenant, "tokens", "50", world.now()).await;
    let (other, other_owner) = world.organization("other@example.com").await;
    ledger.spend(&world, other, "tokens", "50", world.now()).await;
    deleted(&world, Actor::User(other_owner), other).await.unwrap();

    ledger.spend(&world, tenant, "tokens", "0.5", world.now()).await;
    let refused = |result: Result<(), TenancyError>| match result {
        Err(TenancyError::UnbilledUsage(metrics)) => metrics.join(" "),
        other => format!("{other:?}"),
    };
    assert_eq!(refused(deleted(&world, Actor::User(owner), tenant).await), "tokens");
    // Once the period is closed it is carried, since nobody can pay it: that keeps no tenant.
    world.advance("32d").await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 2 carried"]);
    let unbilled = "update tenantry.overage_charges set state = $2 where tenant_id = $1";
    world.admin.execute(unbilled, &[&tenant, &"unbilled"]).await.unwrap();
    assert_eq!(refused(deleted(&world, Actor::User(owner), tenant).await), "tokens");
    world.admin.execute(unbilled, &[&tenant, &"carried"]).await.unwrap();
    deleted(&world, Actor::User(owner), tenant).await.unwrap();
    // What was open goes on to its end without a tenant.
    world.advance("2mo").await;
    world.finish().await;
}

#[tokio::test]
async fn attack_26_a_tenant_that_pays_is_not_deleted_and_one_that_paid_may_go() {
    let world = metered(settings()).await;
    let (tenant, owner) = world.organization("owner@example.com").await;
    world.buy(tenant, "basic").await;
    world.work().await;
    let mut ledger = Ledger::default();
    ledger.spend(&world, tenant, "tokens", "120", world.now()).await;
    let paid = deleted(&world, Actor::User(owner), tenant).await;
    assert!(matches!(paid, Err(TenancyError::ActiveSubscription(plan)) if plan == "basic"));
    world.done(tenant, &Asked::Cancel).await;
    world.advance("32d").await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed own"]);
    deleted(&world, Actor::User(owner), tenant).await.unwrap();
    world.advance("2mo").await;
    world.finish().await;
}

#[tokio::test]
async fn a_checkout_of_a_deleted_tenant_cannot_be_paid_any_more() {
    let world = World::new().await;
    let (tenant, owner) = world.organization("owner@example.com").await;
    let answer = world.done(tenant, &Asked::Checkout(wish("pro", None))).await;
    let session = answer["sessionId"].as_str().unwrap();
    deleted(&world, Actor::User(owner), tenant).await.unwrap();
    world.work().await;
    assert_eq!(world.get(&format!("/v1/checkout/sessions/{session}")).await["status"], "expired");
    assert!(world.control.pay_session(session, VISA).await.is_err());
    world.finish().await;
}

#[tokio::test]
async fn what_was_bought_while_the_tenant_was_deleted_is_not_paid_for_on() {
    for worker_is_first in [true, false] {
        let world = World::new().await;
        let (tenant, owner) = world.organization("owner@example.com").await;
        let answer = world.done(tenant, &Asked::Checkout(wish("pro", None))).await;
        world.control.pay_session(answer["sessionId"].as_str().unwrap(), VISA).await.unwrap();
        let customer = world.customer(tenant).await;
        // Nobody has told us yet.
        assert_eq!(world.standing(tenant).await, "free active month full");
        deleted(&world, Actor::User(owner), tenant).await.unwrap();
        assert_eq!(at_stripe(&world, &customer).await, ["active"]);
        if worker_is_first {
            world.work_undelivered().await;
        } else {
            let done = "update tenantry.jobs set finished_at = now() where kind = 'leave_stripe'";
            assert_eq!(world.admin.execute(done, &[]).await.unwrap(), 1);
            world.work().await;
        }
        assert_eq!(at_stripe(&world, &customer).await, ["canceled"], "{worker_is_first}");
        world.finish().await;
        let current: Value = world
            .admin
            .query_one(
                "select count(*)::int from tenantry.tenant_subscriptions where tenant_id = $1 and ended_at is null",
                &[&tenant],
            )
            .await
            .map(|row| row.get::<_, i32>(0).into())
            .unwrap();
        assert_eq!(current, 0);
    }
}

#[tokio::test]
async fn a_tenant_with_an_operation_under_way_stays() {
    let world = World::new().await;
    let (tenant, owner) = world.organization("owner@example.com").await;
    let asked = Asked::Checkout(wish("pro", None));
    let begun = begin(&world.db, &world.env, Actor::User(owner), tenant, &asked, None).await;
    drop(begun.unwrap());
    let refused = deleted(&world, Actor::User(owner), tenant).await;
    assert!(matches!(refused, Err(TenancyError::Conflict(_))), "{refused:?}");
}
