//! What somebody does at Stripe past us: in its dashboard, by another program, or at the same moment.

use serde_json::{Value, json};
use tenantry::billing::operations::{Asked, OperationError};
use tenantry::storage::StoreError;
use tenantry::storage::stripe::{customers, events};
use tenantry::stripe_sync::reconcile::reconcile;
use tenantry::tenancy::Actor;
use tenantry::write_tx;
use tenantry_sandbox::{DunningEnd, FaultAction, FaultRule};
use uuid::Uuid;

use super::metered::{Ledger, charges, is_paid_once, metered};
use super::world::{VISA, World, at, settings, wish};

async fn statuses(world: &World, tenant: Uuid) -> Vec<String> {
    world.texts(tenant, "select status from tenantry.invoices where tenant_id = $1 order by status").await
}

#[tokio::test]
async fn a_price_of_somebody_else_ends_the_plan_and_ours_begins_it_again_once() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    let item = world.subscriptions(user).await[0]["items"]["data"][0].clone();
    let (item, ours) = (item["id"].as_str().unwrap(), item["price"]["id"].as_str().unwrap());
    let product = world.post("/v1/products", &[("name", "Consulting")]).await;
    let product = product["id"].as_str().unwrap();
    let form = [("currency", "usd"), ("unit_amount", "100"), ("product", product), ("recurring[interval]", "month")];
    let other = world.post("/v1/prices", &form).await;
    let path = format!("/v1/subscriptions/{}", world.subscription(user).await);
    for (price, standing) in
        [(other["id"].as_str().unwrap(), "free active month full"), (ours, "pro active month full")]
    {
        let form = [("items[0][id]", item), ("items[0][price]", price), ("proration_behavior", "none")];
        world.post(&path, &form).await;
        world.work().await;
        assert_eq!(world.standing(user).await, standing);
    }
    world.advance("2d").await;
    assert_eq!(world.audit(user, "subscription.started").await.len(), 2);
    world.done(user, &Asked::Upgrade(wish("scale", None), None)).await;
    assert_eq!(world.standing(user).await, "scale active month full");
    world.finish().await;
}

#[tokio::test]
async fn what_is_told_late_of_a_deleted_customer_ends_nothing_of_the_next_one() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    let first = world.customer(user).await;
    world.delete(&format!("/v1/customers/{first}")).await;
    world.work().await;
    assert_eq!(world.standing(user).await, "free active month full");
    world.advance("1d").await;
    world.buy(user, "pro").await;
    assert_ne!(world.customer(user).await, first);
    let now = world.now();
    let again: Result<u64, StoreError> =
        write_tx!(world.db, "test_revive", &[], |tx| events::revive_since(tx, at("2026-01-01T00:00:00Z"), now).await);
    assert!(again.unwrap() > 5);
    world.work().await;
    assert_eq!(world.standing(user).await, "pro active month full");
    assert_eq!(world.audit(user, "subscription.ended").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_draft_that_was_deleted_is_void_here_too() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    let customer = world.customer(user).await;
    let mut drafts = Vec::new();
    for _ in 0..2 {
        drafts.push(world.post("/v1/invoices", &[("customer", customer.as_str())]).await["id"].clone());
    }
    world.work().await;
    assert_eq!(statuses(&world, user).await, ["draft", "draft", "paid"]);
    world.delete(&format!("/v1/invoices/{}", drafts[0].as_str().unwrap())).await;
    world.work().await;
    assert_eq!(statuses(&world, user).await.iter().filter(|status| *status == "void").count(), 1);
    // Of the other one every event is lost.
    world.delete(&format!("/v1/invoices/{}", drafts[1].as_str().unwrap())).await;
    let what = format!("invoice {} is draft here and gone at Stripe", drafts[1].as_str().unwrap());
    for fix in [false, true] {
        let found = reconcile(&world.stripe, None, fix).await.unwrap().differences;
        assert_eq!(
            found.iter().map(|one| (one.what.as_str(), one.is_fixed)).collect::<Vec<_>>(),
            [(what.as_str(), fix)]
        );
    }
    assert_eq!(reconcile(&world.stripe, None, false).await.unwrap().differences, []);
    assert_eq!(statuses(&world, user).await, ["paid", "void", "void"]);
}

#[tokio::test]
async fn no_charge_goes_on_a_draft_that_nobody_finalizes() {
    let world = metered(settings()).await;
    world.control.set_dunning_end(DunningEnd::Unpaid).await;
    let tenant = world.user("payer@example.com").await;
    world.buy(tenant, "basic").await;
    world.use_card(tenant, "pm_card_chargeCustomerFail").await;
    world.advance("1mo").await;
    world.advance("25d").await;
    assert_eq!(world.standing(tenant).await, "basic unpaid month fallback");
    // Restored in the middle of the third month, and what is used now is billed with its end.
    world.advance("1mo").await;
    world.advance("1mo").await;
    let drafts: Vec<Value> =
        world.invoices(tenant).await.into_iter().filter(|invoice| invoice["status"] == "draft").collect();
    assert!(drafts.len() > 1, "{}", drafts.len());
    world.use_card(tenant, "pm_card_visa").await;
    for invoice in world.invoices(tenant).await.iter().filter(|invoice| invoice["status"] == "open") {
        world.post(&format!("/v1/invoices/{}/pay", invoice["id"].as_str().unwrap()), &[]).await;
    }
    let newest = format!("/v1/invoices/{}", drafts[0]["id"].as_str().unwrap());
    world.post(&format!("{newest}/finalize"), &[]).await;
    world.post(&format!("{newest}/pay"), &[]).await;
    world.work().await;
    assert_eq!(world.standing(tenant).await, "basic active month full");
    let mut ledger = Ledger::default();
    ledger.spend(&world, tenant, "tokens", "120", world.now()).await;
    // Nobody works for two hours behind the end of the period: its own draft is final.
    world.move_to(world.later("1mo")).await;
    world.move_to(world.later("2h")).await;
    world.work().await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed next"]);
    world.advance("1mo").await;
    world.advance("2h").await;
    is_paid_once(&world, tenant, 45).await;
    world.finish().await;
}

#[tokio::test]
async fn a_preview_of_long_ago_is_no_price() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.advance("14d").await;
    let shown_at = world.later("-61m");
    let year = Asked::Upgrade(wish("pro", Some("year")), Some(shown_at));
    let refused = world.ask_as(Actor::System, user, &year).await.unwrap_err();
    assert!(matches!(refused, OperationError::PreviewOver), "{refused}");
    world.done(user, &Asked::Upgrade(wish("pro", Some("year")), Some(world.later("-59m")))).await;
    world.finish().await;
}

#[tokio::test]
async fn a_checkout_that_is_paid_while_another_is_asked_for_is_the_only_one() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    let first = world.done(user, &Asked::Checkout(wish("pro", None))).await;
    world.control.add_fault(FaultRule::new(FaultAction::HangMs(300), false, 1).only("GET", "/v1/checkout/sessions"));
    let pay = async {
        while !world.control.faults().is_empty() {
            tokio::task::yield_now().await;
        }
        world.control.pay_session(first["sessionId"].as_str().unwrap(), VISA).await.unwrap();
    };
    let asked = Asked::Checkout(wish("scale", None));
    let (trouble, ()) = tokio::join!(world.refused(user, &asked), pay);
    assert_eq!(trouble.code, "already_subscribed");
    world.work().await;
    assert_eq!(world.standing(user).await, "pro active month full");
    world.finish().await;
}

#[tokio::test]
async fn a_declined_upgrade_leaves_a_change_to_come() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "scale").await;
    world.done(user, &Asked::Downgrade(wish("pro", None))).await;
    world.use_card(user, "pm_card_chargeCustomerFail").await;
    world.advance("3d").await;
    let trouble = world.refused(user, &Asked::Upgrade(wish("scale", Some("year")), None)).await;
    assert_eq!(trouble.code, "card_declined");
    world.work().await;
    let row = world.current(user).await;
    assert_eq!((&row["pending_plan_id"], &row["pending_at"]), (&json!("pro"), &json!("2026-02-15T10:00:00+00:00")));
    world.use_card(user, "pm_card_visa").await;
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "pro active month full");
    world.finish().await;
}

/// The phases of the tenant's schedule at Stripe.
async fn phases(world: &World, tenant: Uuid) -> Vec<Value> {
    let schedule = world.subscriptions(tenant).await[0]["schedule"].as_str().unwrap().to_owned();
    world.get(&format!("/v1/subscription_schedules/{schedule}")).await["phases"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_downgrade_leaves_the_trial() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy_with(user, &wish("starter", Some("year")), VISA).await;
    let ends = world.subscriptions(user).await[0]["trial_end"].clone();
    assert!(ends.is_i64(), "{ends}");
    world.done(user, &Asked::Downgrade(wish("starter", Some("month")))).await;
    assert_eq!(phases(&world, user).await[0]["trial_end"], ends);
    world.finish().await;
}

#[tokio::test]
async fn a_downgrade_leaves_what_else_is_bought() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "scale").await;
    let subscription = world.subscription(user).await;
    let product = world.post("/v1/products", &[("name", "Support")]).await;
    let product = product["id"].as_str().unwrap();
    let form = [("currency", "usd"), ("unit_amount", "100"), ("product", product), ("recurring[interval]", "month")];
    let support = world.post("/v1/prices", &form).await["id"].clone();
    let item = [("items[0][price]", support.as_str().unwrap()), ("items[0][quantity]", "3")];
    world.post(&format!("/v1/subscriptions/{subscription}"), &item).await;
    world.work().await;
    world.done(user, &Asked::Downgrade(wish("pro", None))).await;
    for phase in phases(&world, user).await {
        let items = phase["items"].as_array().unwrap();
        let of_it: Vec<&Value> =
            items.iter().filter(|item| item["price"] == support).map(|item| &item["quantity"]).collect();
        assert_eq!((items.len(), of_it), (2, vec![&json!(3)]), "{phase}");
    }
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "pro active month full");
    world.finish().await;
}

#[tokio::test]
async fn a_lease_goes_on_while_it_is_used() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    let customer = world.customer(user).await;
    let token = world.env.ids.uuid_v7(world.now());
    let span = (world.now(), world.later("60s"));
    let held: Result<bool, StoreError> =
        write_tx!(world.db, "test_lease", &[], |tx| customers::take_lease(tx, &customer, token, span).await);
    assert!(held.unwrap());
    for (pause, holds) in [("50s", true), ("50s", true), ("61s", false)] {
        world.move_to(world.later(pause)).await;
        let now = world.now();
        let held: Result<bool, StoreError> =
            write_tx!(world.db, "test_lease", &[], |tx| customers::hold_lease(tx, &customer, token, now).await);
        assert_eq!(held.unwrap(), holds, "after {pause}");
    }
}
