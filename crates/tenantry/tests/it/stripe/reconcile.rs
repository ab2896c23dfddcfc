//! Stripe and the database compared: what is different is found, and mended where that is asked for.

use tenantry::stripe_sync::reconcile::{Comparison, reconcile};
use uuid::Uuid;

use super::world::World;

async fn compared(world: &World, fix: bool) -> Comparison {
    let found = reconcile(&world.stripe, None, fix).await.unwrap();
    assert_eq!(found.failures, Vec::new());
    found
}

/// What is different, once without and once with mending; afterwards nothing is.
async fn is_found_and_mended(world: &World, damage: &str, tenant: Uuid, says: &str) {
    let touched = world.admin.execute(damage, &[&tenant]).await.unwrap();
    assert!(touched > 0, "{damage}: touches nothing");
    let found = compared(world, false).await;
    assert!(found.differences.iter().any(|one| one.what.contains(says) && !one.is_fixed), "{damage}: {found:?}");
    assert!(found.differences.iter().all(|one| one.tenant_id == tenant), "{found:?}");
    // Looking changes nothing.
    assert_eq!(compared(world, false).await.differences, found.differences, "{damage}");
    let fixed = compared(world, true).await;
    let whats =
        |compared: &Comparison| -> Vec<String> { compared.differences.iter().map(|one| one.what.clone()).collect() };
    assert_eq!(whats(&fixed), whats(&found), "{damage}");
    assert!(fixed.differences.iter().all(|one| one.is_fixed), "{fixed:?}");
    assert_eq!(compared(world, false).await.differences, Vec::new(), "after {damage}");
}

#[tokio::test]
async fn what_the_database_has_differently_is_found_and_becomes_what_stripe_says() {
    let world = World::new().await;
    let (tenant, other) = (world.user("ada@example.com").await, world.user("bea@example.com").await);
    world.buy(tenant, "pro").await;
    world.buy(other, "pro").await;
    assert_eq!(compared(&world, false).await, Comparison { customers: 2, ..Comparison::default() });
    for (damage, says) in [
        (
            "update tenantry.tenant_subscriptions set status = 'past_due' where tenant_id = $1 and ended_at is null",
            "status past_due",
        ),
        (
            "update tenantry.tenant_subscriptions set plan_id = 'team' where tenant_id = $1 and ended_at is null",
            "plan team becomes pro",
        ),
        ("update tenantry.tenant_subscriptions set quantity = 7 where tenant_id = $1 and ended_at is null", "seats 7"),
        (
            "update tenantry.tenant_subscriptions set current_period_end = current_period_end + interval '1 day'
             where tenant_id = $1 and ended_at is null",
            "the billing period",
        ),
        (
            "update tenantry.tenant_subscriptions set cancel_at = current_period_end, cancel_at_period_end = true
             where tenant_id = $1 and ended_at is null",
            "subscription.cancel_undone",
        ),
        (
            "update tenantry.tenant_subscriptions set access = 'fallback' where tenant_id = $1 and ended_at is null",
            "access is restored",
        ),
        ("update tenantry.invoices set status = 'open', amount_remaining = total where tenant_id = $1", "invoice in_"),
    ] {
        is_found_and_mended(&world, damage, tenant, says).await;
    }
    assert_eq!(world.standing(tenant).await, "pro active month full");
    world.finish().await;
}

#[tokio::test]
async fn what_no_webhook_told_is_found_and_followed() {
    let world = World::new().await;
    let tenant = world.user("ada@example.com").await;
    world.buy(tenant, "pro").await;
    let subscription = world.subscription(tenant).await;
    // Ended at Stripe, with every event lost.
    let mut deaf = world.control.switches();
    deaf.paused = true;
    world.control.set_switches(deaf);
    world.delete(&format!("/v1/subscriptions/{subscription}")).await;
    let found = compared(&world, false).await;
    assert!(found.differences.iter().any(|one| one.what.contains("the subscription to plan pro ended")), "{found:?}");
    assert_eq!(world.standing(tenant).await, "pro active month full");
    let fixed = compared(&world, true).await.differences;
    assert!(fixed.iter().any(|one| one.is_fixed && one.what.contains("ended")), "{fixed:?}");
    assert!(world.standing(tenant).await.starts_with("free active"), "{}", world.standing(tenant).await);
    assert_eq!(compared(&world, false).await.differences, Vec::new());
}
