//! Where charges go: the open draft, the next invoice, one of their own, or nowhere yet.

use tenantry::billing::operations::Asked;
use tenantry::stripe_sync::error::SyncError;
use tenantry::stripe_sync::overage;
use tenantry_sandbox::{FaultAction, FaultRule};
use tenantry_stripe::StripeError;
use uuid::Uuid;

use super::metered::{Ledger, charges, is_paid_once, items, lines, metered};
use super::world::{World, settings, wish};

/// A tenant on `basic` from now on, with 20 tokens above what is included.
async fn with_overage() -> (World, Uuid, Ledger) {
    let world = metered(settings()).await;
    let tenant = world.user("payer@example.com").await;
    world.buy(tenant, "basic").await;
    let mut ledger = Ledger::default();
    world.move_to(world.later("1d")).await;
    ledger.spend(&world, tenant, "tokens", "120", world.now()).await;
    (world, tenant, ledger)
}

#[tokio::test]
async fn on_the_open_draft_of_the_renewal() {
    let (world, tenant, _) = with_overage().await;
    world.advance("30d").await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed draft"]);
    let item = &items(&world, tenant).await[0];
    let draft = &world.invoices(tenant).await[0];
    assert_eq!((&draft["status"], &draft["billing_reason"]), (&"draft".into(), &"subscription_cycle".into()));
    assert_eq!(item["invoice"], draft["id"]);
    assert_eq!(item["description"], "20 tokens above the included quantity, 2026-01-15 to 2026-02-15");
    assert_eq!((item["amount"].as_i64(), &item["currency"]), (Some(45), &"usd".into()));
    let second = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(item["period"]["start"], second("2026-01-15T10:00:00Z"));
    assert_eq!(item["period"]["end"], second("2026-02-15T10:00:00Z"));
    let charge = world.texts(tenant, "select id::text from tenantry.overage_charges where tenant_id = $1").await;
    let notes = &item["metadata"];
    assert_eq!(notes["charge_id"].as_str(), charge.first().map(String::as_str));
    assert_eq!(notes["tenant_id"], tenant.to_string());
    assert_eq!(
        (&notes["metric"], &notes["quantity"], &notes["sequence"]),
        (&"tokens".into(), &"20".into(), &"0".into())
    );
    assert_eq!(notes["rate"], "basic: flat 2.25 (minor units)");
    assert_eq!(
        (&notes["period_start"], &notes["period_end"]),
        (&"2026-01-15T10:00:00Z".into(), &"2026-02-15T10:00:00Z".into())
    );
    world.advance("2h").await;
    is_paid_once(&world, tenant, 45).await;
    world.finish().await;
}

#[tokio::test]
async fn on_the_next_invoice_once_the_draft_is_final() {
    let (world, tenant, mut ledger) = with_overage().await;
    // Nobody works for two hours behind the end of the period.
    world.move_to(world.later("30d")).await;
    world.move_to(world.later("2h")).await;
    world.work().await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed next"]);
    assert!(items(&world, tenant).await[0]["invoice"].is_null());
    // A correction of what is billed gives back.
    ledger.take_back(&world, tenant, 0).await;
    ledger.spend(&world, tenant, "tokens", "101", "2026-01-20T00:00:00Z".parse().unwrap()).await;
    world.work().await;
    let item = items(&world, tenant).await.pop().unwrap();
    assert!(item["description"].as_str().unwrap().starts_with("Adjustment to "), "{item}");
    world.advance("1mo").await;
    let lines = lines(&world, tenant).await;
    assert!(lines.iter().any(|line| line.2 < 0), "{lines:?}");
    is_paid_once(&world, tenant, 2).await;
    world.finish().await;
}

#[tokio::test]
async fn on_an_invoice_of_its_own_when_the_subscription_ends() {
    let (world, tenant, _) = with_overage().await;
    world.done(tenant, &Asked::Cancel).await;
    world.advance("30d").await;
    world.advance("3h").await;
    assert!(world.standing(tenant).await.starts_with("free "));
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed own"]);
    let own = &world.invoices(tenant).await[0];
    assert_eq!((&own["billing_reason"], &own["status"]), (&"manual".into(), &"paid".into()));
    is_paid_once(&world, tenant, 45).await;
    world.finish().await;
}

/// A worker made the invoice, died, and Stripe finalized it meanwhile.
#[tokio::test]
async fn an_invoice_of_its_own_that_became_final_empty_is_followed_by_another() {
    let (world, tenant, _) = with_overage().await;
    world.done(tenant, &Asked::Cancel).await;
    world.advance("29d").await;
    world.control.add_fault(FaultRule::status(500, 3).only("POST", "/v1/invoiceitems"));
    world.move_to(world.later("1d")).await;
    world.work().await;
    world.move_to(world.later("31m")).await;
    world.work().await;
    assert!(charges(&world, tenant).await.len() == 1 && items(&world, tenant).await.is_empty());
    world.move_to(world.later("2h")).await;
    world.advance("3h").await;
    is_paid_once(&world, tenant, 45).await;
    world.finish().await;
}

/// Ended at once, with an item that waits for an invoice that will not come.
#[tokio::test]
async fn what_waits_when_the_subscription_is_ended_at_once_is_billed() {
    let (world, tenant, _) = with_overage().await;
    world.move_to(world.later("30d")).await;
    world.move_to(world.later("2h")).await;
    world.work().await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed next"]);
    world.delete(&format!("/v1/subscriptions/{}", world.subscription(tenant).await)).await;
    world.advance("3h").await;
    is_paid_once(&world, tenant, 45).await;
    world.finish().await;
}

#[tokio::test]
async fn a_free_tenants_overage_waits_for_the_first_paid_subscription() {
    let world = metered(settings()).await;
    let tenant = world.user("free@example.com").await;
    let mut ledger = Ledger::default();
    for _ in 0..2 {
        ledger.spend(&world, tenant, "tokens", "60", world.now()).await;
        world.advance("1mo").await;
        world.advance("2h").await;
    }
    // 10 above at 4 cents.
    assert_eq!(charges(&world, tenant).await, ["tokens 0 40 carried", "tokens 0 40 carried"]);
    let told = world.notices_of(tenant, "overage_carried").await;
    let amounts: Vec<_> = told.iter().map(|data| data["amount"]["minor"].clone()).collect();
    assert_eq!(amounts, [40, 40], "{told:?}");
    world.buy(tenant, "basic").await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 40 billed next", "tokens 0 40 billed next"]);
    world.advance("1mo").await;
    world.advance("2h").await;
    is_paid_once(&world, tenant, 80).await;
    assert_eq!(world.notices_of(tenant, "overage_carried").await.len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_trial_without_a_card_carries_until_there_is_one() {
    let world = metered(settings()).await;
    let tenant = world.user("trial@example.com").await;
    // The customer is made; the subscription by hand, since the page always asks for a card.
    world.done(tenant, &Asked::Checkout(wish("tried", None))).await;
    let customer = world.customer(tenant).await;
    let sql =
        "select price_id from tenantry.stripe_prices where plan_id = 'tried' and current and $1::uuid is not null";
    let price = world.texts(tenant, sql).await.remove(0);
    let form = [("customer", customer.as_str()), ("items[0][price]", &price), ("trial_period_days", "7")];
    world.post("/v1/subscriptions", &form).await;
    world.work().await;
    assert!(world.standing(tenant).await.starts_with("tried trialing"), "{}", world.standing(tenant).await);
    let mut ledger = Ledger::default();
    ledger.spend(&world, tenant, "tokens", "120", world.now()).await;
    world.advance("7d").await;
    world.advance("3h").await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 carried"]);
    assert_eq!(world.notices_of(tenant, "overage_carried").await.len(), 1);
    // A card comes, and the renewal that failed is paid with it.
    world.use_card(tenant, "pm_card_visa").await;
    world.advance("1mo").await;
    world.advance("3h").await;
    is_paid_once(&world, tenant, 45).await;
    assert_eq!(world.notices_of(tenant, "overage_carried").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn two_workers_at_once_bill_once() {
    let (world, tenant, _) = with_overage().await;
    world.move_to(world.later("30d")).await;
    tenantry::usage::closing::close_ended(&world.db, &world.env, tenant).await.unwrap();
    let bill = || overage::bill_tenant(&world.stripe, tenant);
    let done = tokio::join!(bill(), bill(), bill(), bill());
    let done = [done.0, done.1, done.2, done.3].map(Result::unwrap);
    assert!(done.contains(&true), "{done:?}");
    assert_eq!(items(&world, tenant).await.len(), 1);
    world.advance("2h").await;
    is_paid_once(&world, tenant, 45).await;
    world.finish().await;
}

/// The slow one saw the draft open, the other one saw it final. The first key is the same, so Stripe lets only one of
/// them make the item.
#[tokio::test]
async fn two_workers_that_chose_differently_bill_once() {
    let (world, tenant, _) = with_overage().await;
    world.move_to(world.later("30d")).await;
    tenantry::usage::closing::close_ended(&world.db, &world.env, tenant).await.unwrap();
    world.control.add_fault(FaultRule::new(FaultAction::HangMs(1400), false, 1).only("POST", "/v1/invoiceitems"));
    let slow = overage::bill_tenant(&world.stripe, tenant);
    let other = async {
        while !world.control.faults().is_empty() {
            tokio::task::yield_now().await;
        }
        // The slow one's lease is over, and so is the draft.
        world.move_to(world.later("2h")).await;
        loop {
            match overage::bill_tenant(&world.stripe, tenant).await {
                // Stripe is still busy with the slow one's; a worker tries again too.
                Err(SyncError::Stripe(StripeError::Conflict(_))) => {}
                done => return done,
            }
        }
    };
    let (slow, other) = tokio::join!(slow, other);
    assert!(other.unwrap());
    assert!(slow.is_err(), "the slow one notes nothing: {slow:?}");
    assert_eq!(items(&world, tenant).await.len(), 1);
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed next"]);
    world.advance("1mo").await;
    world.advance("2h").await;
    is_paid_once(&world, tenant, 45).await;
    world.finish().await;
}

#[tokio::test]
async fn an_item_that_was_made_without_a_note_is_found() {
    let (world, tenant, _) = with_overage().await;
    world.move_to(world.later("30d")).await;
    world.control.add_fault(FaultRule::new(FaultAction::Drop, true, 3).only("POST", "/v1/invoiceitems"));
    tenantry::usage::closing::close_ended(&world.db, &world.env, tenant).await.unwrap();
    overage::bill_tenant(&world.stripe, tenant).await.unwrap_err();
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 unbilled"]);
    assert_eq!(items(&world, tenant).await.len(), 1);
    // Stripe forgets the key, and the draft is final.
    world.move_to(world.later("25h")).await;
    world.work().await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed draft"]);
    is_paid_once(&world, tenant, 45).await;
    world.finish().await;
}
