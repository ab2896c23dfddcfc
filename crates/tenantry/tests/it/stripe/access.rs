//! What a status gives: the plan's limits or the default plan's, told each time it changes.

use serde_json::{Value, json};
use tenantry::billing::operations::Asked;
use tenantry::storage::StoreError;
use tenantry::storage::stripe::events;
use tenantry::write_tx;
use tenantry_sandbox::DunningEnd;
use uuid::Uuid;

use super::world::{World, at, wish};

/// A tenant on `pro` whose renewal of 15 February fails.
async fn overdue(world: &World) -> Uuid {
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.use_card(user, "pm_card_chargeCustomerFail").await;
    world.advance("1mo 2h").await;
    assert_eq!(world.standing(user).await, "pro past_due month full");
    user
}

/// Pays what is open with a card that works, as somebody does on the portal's page.
async fn pay(world: &World, tenant: Uuid) {
    world.use_card(tenant, "pm_card_visa").await;
    for invoice in world.invoices(tenant).await.iter().filter(|invoice| invoice["status"] == "open") {
        world.post(&format!("/v1/invoices/{}/pay", invoice["id"].as_str().unwrap()), &[]).await;
    }
    world.work().await;
}

#[tokio::test]
async fn an_overdue_payment_keeps_the_plan_for_the_grace_and_not_longer() {
    let world = World::new().await;
    let user = overdue(&world).await;
    assert_eq!(world.use_up(user, "a", "calls", "150").await, "accepted 150");
    let told = world.notices_of(user, "payment_failed").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["amount"], json!({ "minor": 2900, "currency": "usd" }));
    assert_eq!(told[0]["accessUntil"], "2026-02-18T11:00:00Z");
    // The draft of 10:00 was asked for an hour later; three days from there.
    world.advance("70h").await;
    assert_eq!(world.now(), at("2026-02-18T10:00:00Z"));
    assert_eq!(world.standing(user).await, "pro past_due month full");
    world.advance("59m 59s").await;
    assert_eq!(world.use_up(user, "b", "calls", "1").await, "accepted 151");
    world.advance("1s").await;
    assert_eq!(world.standing(user).await, "pro past_due month fallback");
    assert_eq!(world.use_up(user, "c", "calls", "1").await, "refused 151");
    assert_eq!(world.segments(user).await.last().unwrap(), "02-15 02-18T11:00:00 pro/free");
    assert_eq!(world.audit(user, "access.").await, ["access.narrowed"]);

    pay(&world, user).await;
    assert_eq!(world.standing(user).await, "pro active month full");
    assert_eq!(world.use_up(user, "d", "calls", "149").await, "accepted 300");
    assert_eq!(world.audit(user, "access.").await, ["access.narrowed", "access.restored"]);
    let told = world.notices_of(user, "access_changed").await;
    let limits: Vec<&Value> = told.iter().map(|one| &one["limits"]["id"]).collect();
    assert_eq!(limits, ["free", "pro"]);
    assert_eq!(world.current(user).await["past_due_since"], Value::Null);
    world.finish().await;
}

#[tokio::test]
async fn webhooks_that_come_late_make_the_grace_no_longer() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.use_card(user, "pm_card_chargeCustomerFail").await;
    world.move_to(world.later("1mo 2d")).await;
    // Two days later somebody looks for the first time.
    world.work().await;
    assert_eq!(world.current(user).await["past_due_since"], "2026-02-15T11:00:00+00:00");
    world.advance("1d 2h").await;
    assert_eq!(world.standing(user).await, "pro past_due month fallback");
    world.finish().await;
}

#[tokio::test]
async fn a_subscription_that_is_given_up_falls_back() {
    let world = World::new().await;
    world.control.set_dunning_end(DunningEnd::Unpaid).await;
    let user = overdue(&world).await;
    world.advance("20d").await;
    assert_eq!(world.standing(user).await, "pro unpaid month fallback");
    assert_eq!(world.use_up(user, "a", "calls", "101").await, "refused 0");
    assert_eq!(world.audit(user, "access.").await, ["access.narrowed"]);
    assert_eq!(world.notices_of(user, "payment_failed").await.len(), 4);
    pay(&world, user).await;
    assert_eq!(world.standing(user).await, "pro active month full");
    assert_eq!(world.notices_of(user, "access_changed").await.len(), 2);
    // A second time it is told again.
    world.use_card(user, "pm_card_chargeCustomerFail").await;
    world.advance("1mo").await;
    assert_eq!(world.notices_of(user, "access_changed").await.len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn a_new_period_does_not_bring_the_limits_of_an_unpaid_plan_back() {
    let world = World::new().await;
    world.control.set_dunning_end(DunningEnd::Unpaid).await;
    let user = overdue(&world).await;
    world.advance("30d").await;
    assert_eq!(world.standing(user).await, "pro unpaid month fallback");
    assert_eq!(world.use_up(user, "a", "calls", "101").await, "refused 0");
    assert_eq!(world.use_up(user, "b", "calls", "100").await, "accepted 100");
    assert_eq!(world.segments(user).await.last().unwrap(), "03-15 03-15T10:00:00 pro/free");
    world.finish().await;
}

#[tokio::test]
async fn no_payment_revives_what_was_cancelled() {
    let world = World::new().await;
    let user = overdue(&world).await;
    let open = world.invoices(user).await[0]["id"].as_str().unwrap().to_owned();
    world.advance("20d").await;
    assert_eq!(world.standing(user).await, "free active month full");
    assert_eq!(world.audit(user, "subscription.ended").await.len(), 1);
    assert_eq!(world.notices_of(user, "subscription_canceled").await.len(), 1);
    // The debt is paid after all.
    let customer = world.customer(user).await;
    let card = world.post("/v1/payment_methods/pm_card_visa/attach", &[("customer", &customer)]).await;
    let card = card["id"].as_str().unwrap();
    world.post(&format!("/v1/invoices/{open}/pay"), &[("payment_method", card)]).await;
    world.work().await;
    assert_eq!(world.standing(user).await, "free active month full");
    let told = world.notices(user).await;
    // And everything is told once more.
    let now = world.now();
    let again: Result<u64, StoreError> =
        write_tx!(world.db, "test_revive", &[], |tx| events::revive_since(tx, at("2026-01-01T00:00:00Z"), now).await);
    assert!(again.unwrap() > 20);
    world.work().await;
    assert_eq!(world.standing(user).await, "free active month full");
    assert_eq!(world.notices(user).await, told);
    assert_eq!(world.audit(user, "subscription.ended").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_paused_trial_falls_back_until_it_goes_on() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "starter").await;
    let path = format!("/v1/subscriptions/{}", world.subscription(user).await);
    let form = [("trial_settings[end_behavior][missing_payment_method]", "pause"), ("default_payment_method", "")];
    world.post(&path, &form).await;
    world.advance("8d").await;
    assert_eq!(world.standing(user).await, "starter paused month fallback");
    assert_eq!(world.use_up(user, "a", "calls", "101").await, "refused 0");
    world.use_card(user, "pm_card_visa").await;
    world.post(&format!("{path}/resume"), &[]).await;
    world.work().await;
    assert_eq!(world.standing(user).await, "starter active month full");
    assert_eq!(world.audit(user, "access.").await, ["access.narrowed", "access.restored"]);
    world.finish().await;
}

#[tokio::test]
async fn what_nobody_knows_yet_is_stored_and_harmless() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    let told = world.notices(user).await;
    let (customer, subscription) = (world.customer(user).await, world.subscription(user).await);
    let strange = json!({ "id": subscription, "object": "subscription", "customer": customer, "status": "levitating" });
    world.control.emit("customer.subscription.updated", strange.clone()).await;
    world.control.emit("customer.subscription.levitated", strange).await;
    world.control.emit("wormhole.opened", json!({ "object": "wormhole" })).await;
    world.control.emit("invoice.paid", json!({ "id": "in_nobodys", "object": "invoice", "customer": customer })).await;
    world.control.emit("invoice_payment.paid", json!({ "object": "invoice_payment", "invoice": "in_nobodys" })).await;
    world.control.emit("customer.updated", json!({ "id": "cus_nobodys", "object": "customer" })).await;
    world.control.emit("invoice.paid", json!(["no", "object"])).await;
    world.work().await;
    assert_eq!(world.standing(user).await, "pro active month full");
    assert_eq!(world.notices(user).await, told);
    assert_eq!(world.count("select count(*) from tenantry.stripe_events where type like 'wormhole%'").await, 1);
    world.done(user, &Asked::Upgrade(wish("scale", None), None)).await;
    world.finish().await;
}
