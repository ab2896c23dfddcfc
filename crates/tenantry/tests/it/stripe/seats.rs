//! Seats follow members.

use serde_json::Value;
use tenantry::billing::operations::Asked;
use tenantry_domain::permission::Role;
use tenantry_sandbox::FaultRule;
use uuid::Uuid;

use super::world::{VISA, World, wish};

/// Quantities at Stripe and here.
async fn seats(world: &World, tenant: Uuid) -> (i64, i64) {
    let item = world.subscriptions(tenant).await[0]["items"]["data"][0].clone();
    (item["quantity"].as_i64().unwrap(), world.current(tenant).await["quantity"].as_i64().unwrap())
}

#[tokio::test]
async fn seats_follow_members() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    world.buy(tenant, "team").await;
    assert_eq!(seats(&world, tenant).await, (1, 1));
    let first = world.member(tenant, "a@example.com", Role::Member).await;
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (2, 2));
    // Three changes at once come to one.
    world.member(tenant, "b@example.com", Role::Member).await;
    world.member(tenant, "c@example.com", Role::Member).await;
    world.leave(tenant, first).await;
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (3, 3));
    let changes = world.audit(tenant, "subscription.seats_changed").await;
    assert_eq!(changes.len(), 2, "{changes:?}");
    // What a seat more costs for the rest of the month comes with the next invoice.
    world.advance("1mo").await;
    let invoice = &world.invoices(tenant).await[0];
    assert_eq!(invoice["lines"]["data"].as_array().unwrap().len(), 5, "{invoice:#}");
    world.finish().await;
}

#[tokio::test]
async fn who_joins_while_a_page_is_open_or_a_change_is_pending_gets_a_seat() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    let answer = world.done(tenant, &Asked::Checkout(wish("team", None))).await;
    world.member(tenant, "a@example.com", Role::Member).await;
    world.work().await;
    world.control.pay_session(answer["sessionId"].as_str().unwrap(), VISA).await.unwrap();
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (2, 2));

    // Another plan: one seat where it is not per seat, one for each member where it is.
    world.done(tenant, &Asked::Upgrade(wish("scale", None), None)).await;
    assert_eq!(seats(&world, tenant).await, (1, 1));
    world.done(tenant, &Asked::Downgrade(wish("team", None))).await;
    world.member(tenant, "b@example.com", Role::Member).await;
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (1, 1));
    world.advance("1mo 1d").await;
    assert_eq!(world.standing(tenant).await, "team active month full");
    assert_eq!(seats(&world, tenant).await, (3, 3));
    world.finish().await;
}

#[tokio::test]
async fn a_seat_whose_call_got_lost_is_brought_later() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    world.buy(tenant, "team").await;
    for executed in [false, true] {
        world.member(tenant, &format!("{executed}@example.com"), Role::Member).await;
        let path = format!("/v1/subscriptions/{}", world.subscription(tenant).await);
        let fault = FaultRule { executed, ..FaultRule::status(500, 3) }.only("POST", &path);
        world.control.add_fault(fault);
        world.work_undelivered().await;
        // Somebody joins while the change is still under way.
        world.member(tenant, &format!("{executed}.2@example.com"), Role::Member).await;
        world.work().await;
        world.advance("10m").await;
        assert_eq!(world.control.faults(), []);
    }
    assert_eq!(seats(&world, tenant).await, (5, 5));
    assert_eq!(world.current(tenant).await["pending_plan_id"], Value::Null);
    world.finish().await;
}
