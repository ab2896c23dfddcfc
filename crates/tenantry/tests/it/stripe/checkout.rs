//! Buying: one customer, one session, and nothing before the payment.

use serde_json::json;
use tenantry::billing::operations::Asked;
use tenantry::billing::plan_choice::Wish;
use tenantry::stripe_sync::operations::Outcome;
use tenantry::tenancy::Actor;
use tenantry_domain::permission::Role;

use super::world::{FAILS_LATER, START, World, at, wish};

fn checkout(wish: Wish) -> Asked {
    Asked::Checkout(wish)
}

#[tokio::test]
async fn a_person_buys_a_plan() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    assert_eq!(world.use_up(user, "a", "calls", "70").await, "accepted 70");
    world.move_to(at("2026-01-20T08:30:00Z")).await;
    let asked = checkout(wish("pro", None));
    let answer = match world.ask_as(Actor::User(user), user, &asked).await.unwrap() {
        Outcome::Done(answer) => answer,
        other => panic!("{other:?}"),
    };
    let customer = world.get(&format!("/v1/customers/{}", world.customer(user).await)).await;
    assert_eq!(customer["email"], "ada@example.com");
    let id = user.to_string();
    assert_eq!(customer["metadata"], json!({ "tenant_id": id, "tenant_type": "user", "owner_id": id }));
    let session = world.get(&format!("/v1/checkout/sessions/{}", answer["sessionId"].as_str().unwrap())).await;
    assert_eq!(session["url"], answer["url"]);
    assert_eq!(session["client_reference_id"], id);
    assert_eq!(session["success_url"], "https://app.example/billing?success=true");
    assert_eq!(session["cancel_url"], "https://app.example/billing?canceled=true");
    let notes = &session["metadata"];
    for (name, value) in [("tenant_id", &*id), ("tenant_type", "user"), ("user_id", &*id), ("plan_id", "pro")] {
        assert_eq!(notes[name], value, "{name}");
    }

    // Nothing before the payment.
    world.work().await;
    assert_eq!(world.standing(user).await, "free active month full");
    assert_eq!(world.subscriptions(user).await.len(), 0);

    world.control.pay_session(answer["sessionId"].as_str().unwrap(), super::world::VISA).await.unwrap();
    world.work().await;
    assert_eq!(world.standing(user).await, "pro active month full");
    let row = world.current(user).await;
    assert_eq!(row["anchor"], "2026-01-20T08:30:00+00:00");
    assert_eq!(row["current_period_start"], "2026-01-20T08:30:00+00:00");
    assert_eq!(row["current_period_end"], "2026-02-20T08:30:00+00:00");
    assert_eq!(world.segments(user).await, ["01-15 01-15T10:00:00 free/free", "01-20 01-20T08:30:00 pro/pro"]);
    // A new period, from 0, with the plan's limit.
    assert_eq!(world.use_up(user, "b", "calls", "300").await, "accepted 300");
    assert_eq!(world.use_up(user, "c", "calls", "1").await, "refused 300");
    let found = &world.subscriptions(user).await[0];
    assert_eq!(found["billing_mode"]["type"], "flexible");
    assert_eq!(found["metadata"]["tenant_id"], id);
    assert_eq!(found["metadata"]["plan_id"], "pro");
    let told = world.notices(user).await;
    for kind in ["plan_changed", "payment_succeeded"] {
        assert_eq!(told.iter().filter(|one| *one == kind).count(), 1, "{kind} in {told:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_organization_buys_a_plan_per_seat() {
    let world = World::new().await;
    let (tenant, owner) = world.organization("owner@example.com").await;
    let buyer = world.member(tenant, "money@example.com", Role::BillingAdmin).await;
    let plain = world.member(tenant, "plain@example.com", Role::Member).await;
    let asked = checkout(wish("team", Some("year")));
    world.ask_as(Actor::User(plain), tenant, &asked).await.unwrap_err();
    let answer = match world.ask_as(Actor::User(buyer), tenant, &asked).await.unwrap() {
        Outcome::Done(answer) => answer,
        other => panic!("{other:?}"),
    };
    let customer = world.get(&format!("/v1/customers/{}", world.customer(tenant).await)).await;
    assert_eq!(customer["name"], "Acme");
    // No billing address is set: who buys gets the bills.
    assert_eq!(customer["email"], "money@example.com");
    assert_eq!(customer["metadata"]["tenant_type"], "organization");
    assert_eq!(customer["metadata"]["owner_id"], owner.to_string());
    let session = answer["sessionId"].as_str().unwrap();
    world.control.pay_session(session, super::world::VISA).await.unwrap();
    world.work().await;
    assert_eq!(world.standing(tenant).await, "team active year full");
    let row = world.current(tenant).await;
    assert_eq!(row["quantity"], 3);
    assert_eq!(row["current_period_end"], "2027-01-15T10:00:00+00:00");
    // Usage goes by the month under a yearly price too.
    let period = "select period_end::text from tenantry.usage_periods where tenant_id = $1";
    assert_eq!(world.texts(tenant, period).await, ["2026-02-15 10:00:00+00"]);
    assert_eq!(world.invoices(tenant).await[0]["amount_paid"], 3 * 15_000);
    world.finish().await;
}

#[tokio::test]
async fn a_declined_card_leaves_nothing() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    let answer = world.done(user, &checkout(wish("pro", None))).await;
    let session = answer["sessionId"].as_str().unwrap();
    for card in ["4000000000000002", "4000000000009995", FAILS_LATER] {
        world.control.pay_session(session, card).await.unwrap_err();
        world.work().await;
        assert_eq!(world.standing(user).await, "free active month full");
    }
    assert_eq!(world.subscriptions(user).await.len(), 0);
    // The same page still takes another card.
    world.control.pay_session(session, super::world::VISA).await.unwrap();
    world.work().await;
    assert_eq!(world.standing(user).await, "pro active month full");
    world.finish().await;
}

#[tokio::test]
async fn checkouts_at_once_and_one_after_the_other_share_customer_and_session() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    let (asked, other) = (checkout(wish("pro", None)), checkout(wish("scale", None)));
    let (first, second) = tokio::join!(world.ask(tenant, &asked), world.ask(tenant, &asked));
    assert_eq!(first, second);
    assert_eq!(world.list("/v1/customers?limit=100").await.len(), 1);
    let third = world.ask(tenant, &asked).await;
    assert_eq!(first, third);
    assert_eq!(world.list("/v1/checkout/sessions?limit=100").await.len(), 1);
    // Another plan ends the older session: nobody can pay twice.
    let fourth = world.done(tenant, &other).await;
    let sessions = world.list("/v1/checkout/sessions?limit=100").await;
    let status: Vec<_> = sessions.iter().map(|session| session["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["open", "expired"]);
    world.control.pay_session(fourth["sessionId"].as_str().unwrap(), super::world::VISA).await.unwrap();
    world.work().await;
    assert_eq!(world.standing(tenant).await, "scale active month full");
    let error = world.ask_as(Actor::System, tenant, &asked).await.unwrap_err();
    assert!(error.to_string().contains("upgrade or downgrade"), "{error}");
    assert_eq!(world.list("/v1/customers?limit=100").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_session_that_was_paid_unheard_of_is_not_sold_again() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    let answer = world.done(user, &checkout(wish("pro", None))).await;
    world.control.pay_session(answer["sessionId"].as_str().unwrap(), super::world::VISA).await.unwrap();
    // No webhook came yet.
    let trouble = world.refused(user, &checkout(wish("scale", None))).await;
    assert_eq!(trouble.code, "already_subscribed");
    assert_eq!(world.standing(user).await, "pro active month full");
    world.finish().await;
}

#[tokio::test]
async fn a_trial_is_given_once() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "starter").await;
    assert_eq!(world.standing(user).await, "starter trialing month full");
    let row = world.current(user).await;
    assert_eq!(row["trial_end"], "2026-01-22T10:00:00+00:00");
    // Of a trial the periods count from its start.
    assert_eq!(row["anchor"], "2026-01-15T10:00:00+00:00");
    assert_eq!(world.use_up(user, "a", "calls", "150").await, "accepted 150");
    assert_eq!(world.invoices(user).await[0]["amount_paid"], 0);
    world.advance("6d").await;
    let ending = world.notices_of(user, "trial_ending").await;
    assert_eq!(ending.len(), 1);
    assert_eq!(ending[0]["amount"]["minor"], 900);
    world.advance("2d").await;
    assert_eq!(world.standing(user).await, "starter active month full");
    // With Stripe's new anchor a new period begins at 0.
    assert_eq!(world.current(user).await["anchor"], "2026-01-22T10:00:00+00:00");
    assert_eq!(world.use_up(user, "b", "calls", "200").await, "accepted 200");
    assert_eq!(world.invoices(user).await[0]["amount_paid"], 900);
    world.done(user, &Asked::Cancel).await;
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "free active month full");
    world.buy(user, "starter").await;
    assert_eq!(world.standing(user).await, "starter active month full");
    assert_eq!(world.invoices(user).await[0]["amount_paid"], 900);
    assert_eq!(at(START).as_second() % 60, 0);
    world.finish().await;
}
