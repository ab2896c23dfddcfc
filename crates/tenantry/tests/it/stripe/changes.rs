//! Changes of plan: up at once, down with the next period, each once however often it is asked for.

use serde_json::{Value, json};
use tenantry::billing::operations::{Asked, OperationError};
use tenantry::stripe_sync::operations::preview::{Previewed, preview};
use tenantry::stripe_sync::operations::{Outcome, portal};
use tenantry::stripe_sync::{Settings, UpgradeCharge};
use tenantry::tenancy::Actor;
use tenantry_domain::permission::Role;

use super::world::{World, at, settings, wish};

fn up(plan: &str) -> Asked {
    Asked::Upgrade(wish(plan, None), None)
}

fn down(plan: &str) -> Asked {
    Asked::Downgrade(wish(plan, None))
}

/// Amounts and descriptions of an invoice's lines.
fn lines(invoice: &Value) -> Vec<(i64, String)> {
    let line = |line: &Value| (line["amount"].as_i64().unwrap(), line["description"].as_str().unwrap().to_owned());
    invoice["lines"]["data"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn an_upgrade_is_charged_now_as_it_was_previewed() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    assert_eq!(world.use_up(user, "a", "calls", "250").await, "accepted 250");
    world.move_to(at("2026-01-25T10:00:00Z")).await;
    let shown_at = world.now();
    let Previewed::Invoice(shown) = preview(&world.stripe, user, ("scale", "month"), shown_at).await.unwrap() else {
        panic!("no preview");
    };
    // A while passes before it is decided.
    world.move_to(at("2026-01-25T10:20:00Z")).await;
    let answer = world.done(user, &Asked::Upgrade(wish("scale", None), Some(shown_at))).await;
    assert_eq!(answer, json!({ "planId": "scale", "billingInterval": "month", "effectiveAt": "2026-01-25T10:00:00Z" }));
    let charged = &world.invoices(user).await[0];
    assert_eq!(charged["amount_paid"], shown.total);
    assert_eq!(charged["status"], "paid");
    let shown_lines: Vec<(i64, String)> =
        shown.lines.data.iter().map(|line| (line.amount, line.description.clone().unwrap_or_default())).collect();
    assert_eq!(lines(charged), shown_lines);
    assert_eq!(world.standing(user).await, "scale active month full");
    assert_eq!(
        world.segments(user).await,
        ["01-15 01-15T10:00:00 pro/pro", "01-15 01-25T10:00:00 scale/scale"],
        "the segment begins where prorations do"
    );
    // Totals go on.
    assert_eq!(world.use_up(user, "b", "calls", "700").await, "accepted 950");
    assert_eq!(world.use_up(user, "c", "calls", "51").await, "refused 950");
    world.work().await;
    assert_eq!(world.current(user).await["anchor"], "2026-01-15T10:00:00+00:00");
    let told = world.notices_of(user, "plan_changed").await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[1]["from"]["id"], &told[1]["to"]["id"]), (&json!("pro"), &json!("scale")));
    world.finish().await;
}

#[tokio::test]
async fn an_upgrade_waits_for_the_next_invoice_where_that_is_configured() {
    let world = World::with(Settings { upgrade_charge: UpgradeCharge::NextInvoice, ..settings() }).await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.advance("10d").await;
    world.done(user, &up("scale")).await;
    assert_eq!(world.standing(user).await, "scale active month full");
    assert_eq!(world.invoices(user).await.len(), 1);
    world.advance("1mo").await;
    assert_eq!(lines(&world.invoices(user).await[0]).len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn a_declined_upgrade_changes_nothing() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.use_card(user, "pm_card_chargeCustomerFail").await;
    world.advance("3d").await;
    let trouble = world.refused(user, &up("scale")).await;
    assert_eq!(trouble.code, "card_declined");
    assert_eq!(trouble.figures, json!({ "declineCode": "generic_decline" }));
    world.work().await;
    assert_eq!(world.standing(user).await, "pro active month full");
    assert_eq!(world.segments(user).await, ["01-15 01-15T10:00:00 pro/pro"]);
    assert_eq!(world.subscriptions(user).await[0]["items"]["data"][0]["price"]["lookup_key"], "tenantry_pro_month");
    // With a card that pays it can be asked for again.
    world.use_card(user, "pm_card_visa").await;
    world.done(user, &up("scale")).await;
    assert_eq!(world.standing(user).await, "scale active month full");
    world.finish().await;
}

#[tokio::test]
async fn an_upgrade_whose_card_must_be_confirmed_waits_for_its_holder() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.use_card(user, "pm_card_authenticationRequired").await;
    world.advance("3d").await;
    let trouble = world.refused(user, &up("scale")).await;
    assert_eq!(trouble.code, "authentication_required");
    let url = trouble.figures["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http"), "{url}");
    world.work().await;
    assert_eq!(world.standing(user).await, "pro active month full");
    // Asked again it is the same page.
    let again = world.refused(user, &up("scale")).await;
    assert_eq!(again.code, "authentication_required");
    let open: Vec<Value> =
        world.invoices(user).await.into_iter().filter(|invoice| invoice["status"] == "open").collect();
    assert_eq!(open.len(), 1, "asked twice, one page to pay");
    let customer = world.customer(user).await;
    let paid_by = world.post("/v1/payment_methods/pm_card_visa/attach", &[("customer", &customer)]).await;
    let method = paid_by["id"].as_str().unwrap().to_owned();
    let invoice = open[0]["id"].as_str().unwrap();
    world.post(&format!("/v1/invoices/{invoice}/pay"), &[("payment_method", &method)]).await;
    world.work().await;
    assert_eq!(world.standing(user).await, "scale active month full");
    world.finish().await;
}

#[tokio::test]
async fn months_become_years_at_once_and_years_months_with_their_end() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.use_up(user, "a", "calls", "250").await;
    world.move_to(at("2026-01-25T10:00:00Z")).await;
    world.done(user, &Asked::Upgrade(wish("pro", Some("year")), None)).await;
    assert_eq!(world.standing(user).await, "pro active year full");
    let row = world.current(user).await;
    assert_eq!(row["anchor"], "2026-01-25T10:00:00+00:00");
    assert_eq!(row["current_period_end"], "2027-01-25T10:00:00+00:00");
    assert_eq!(world.use_up(user, "b", "calls", "300").await, "accepted 300");
    let error = world.ask_as(Actor::System, user, &Asked::Upgrade(wish("pro", Some("month")), None)).await;
    assert!(error.unwrap_err().to_string().contains("downgrade"));
    world.work().await;
    world.done(user, &Asked::Downgrade(wish("pro", Some("month")))).await;
    assert_eq!(world.current(user).await["pending_at"], "2027-01-25T10:00:00+00:00");
    world.advance("1y").await;
    assert_eq!(world.standing(user).await, "pro active month full");
    assert_eq!(world.current(user).await["pending_at"], Value::Null);
    world.finish().await;
}

#[tokio::test]
async fn a_downgrade_takes_effect_with_the_next_period() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "scale").await;
    world.advance("3d").await;
    let answer = world.done(user, &down("pro")).await;
    assert_eq!(answer["effectiveAt"], "2026-02-15T10:00:00Z");
    let row = world.current(user).await;
    assert_eq!(world.standing(user).await, "scale active month full");
    assert_eq!(row["pending_plan_id"], "pro");
    assert_eq!(row["pending_interval"], "month");
    assert_eq!(row["pending_at"], "2026-02-15T10:00:00+00:00");
    assert_eq!(world.use_up(user, "a", "calls", "900").await, "accepted 900");
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "pro active month full");
    assert_eq!(world.current(user).await["pending_plan_id"], Value::Null);
    assert_eq!(world.invoices(user).await[0]["amount_paid"], 2900);
    assert_eq!(world.use_up(user, "b", "calls", "301").await, "refused 0");
    let told = world.notices_of(user, "plan_changed").await;
    assert_eq!(told.len(), 2, "{told:?}");
    // The schedule lets go: nothing stands in the way of another change.
    world.advance("1mo").await;
    world.done(user, &up("scale")).await;
    assert_eq!(world.standing(user).await, "scale active month full");
    world.finish().await;
}

#[tokio::test]
async fn a_downgrade_can_be_taken_back_or_replaced() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "scale").await;
    world.done(user, &down("pro")).await;
    world.done(user, &Asked::Resume).await;
    assert_eq!(world.current(user).await["pending_plan_id"], Value::Null);
    let error = world.ask_as(Actor::System, user, &Asked::Resume).await.unwrap_err();
    assert!(matches!(error, OperationError::NothingToResume), "{error}");
    world.done(user, &down("pro")).await;
    world.done(user, &down("team")).await;
    assert_eq!(world.current(user).await["pending_plan_id"], "team");
    // An upgrade replaces it too.
    world.done(user, &Asked::Upgrade(wish("scale", Some("year")), None)).await;
    assert_eq!(world.current(user).await["pending_plan_id"], Value::Null);
    assert_eq!(world.standing(user).await, "scale active year full");
    // And so does a cancellation.
    world.done(user, &down("pro")).await;
    world.done(user, &Asked::Cancel).await;
    let row = world.current(user).await;
    assert_eq!((&row["pending_plan_id"], &row["cancel_at_period_end"]), (&Value::Null, &json!(true)));
    world.finish().await;
}

#[tokio::test]
async fn a_cancellation_takes_effect_with_the_period_and_can_be_taken_back() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    let answer = world.done(user, &Asked::Cancel).await;
    assert_eq!(answer["cancelAt"], "2026-02-15T10:00:00Z");
    assert_eq!(world.current(user).await["cancel_at_period_end"], true);
    let error = world.ask_as(Actor::System, user, &up("scale")).await.unwrap_err();
    assert!(error.to_string().contains("resume"), "{error}");
    world.done(user, &Asked::Resume).await;
    assert_eq!(world.current(user).await["cancel_at_period_end"], false);
    assert_eq!(world.current(user).await["cancel_at"], Value::Null);
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "pro active month full");
    // To the free plan is a cancellation too.
    world.done(user, &down("free")).await;
    assert_eq!(world.current(user).await["cancel_at"], "2026-03-15T10:00:00+00:00");
    world.use_up(user, "a", "calls", "200").await;
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "free active month full");
    assert_eq!(world.use_up(user, "b", "calls", "101").await, "refused 0");
    let told = world.notices(user).await;
    for (kind, times) in [("cancellation_scheduled", 2), ("subscription_canceled", 1)] {
        assert_eq!(told.iter().filter(|one| *one == kind).count(), times, "{kind} in {told:?}");
    }
    assert_eq!(world.audit(user, "subscription.ended").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn to_leave_and_come_back_within_a_period_gives_no_second_allowance() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.use_up(user, "a", "calls", "290").await;
    world.move_to(at("2026-01-20T00:00:00Z")).await;
    // Ended at once, in Stripe's dashboard.
    let path = format!("/v1/subscriptions/{}", world.subscription(user).await);
    world.delete(&path).await;
    world.work().await;
    assert_eq!(world.standing(user).await, "free active month full");
    assert_eq!(world.use_up(user, "b", "calls", "1").await, "refused 290");
    world.move_to(at("2026-01-22T00:00:00Z")).await;
    world.buy(user, "pro").await;
    assert_eq!(world.standing(user).await, "pro active month full");
    assert_eq!(world.use_up(user, "c", "calls", "10").await, "accepted 300");
    assert_eq!(world.use_up(user, "d", "calls", "1").await, "refused 300");
    world.advance("1mo").await;
    assert_eq!(world.use_up(user, "e", "calls", "300").await, "accepted 300");
    world.finish().await;
}

#[tokio::test]
async fn who_comes_back_has_periods_by_the_new_day_also_those_that_were_opened_ahead() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.move_to(at("2026-02-15T09:50:00Z")).await;
    let path = format!("/v1/subscriptions/{}", world.subscription(user).await);
    world.delete(&path).await;
    world.work().await;
    world.move_to(at("2026-02-15T09:57:00Z")).await;
    world.use_up_at(user, "a", "calls", "5", world.later("4m")).await;
    world.buy(user, "pro").await;
    let periods = "select to_char(period_end at time zone 'UTC', 'MM-DD HH24:MI') from tenantry.usage_periods
                   where tenant_id = $1 order by period_start desc limit 1";
    assert_eq!(world.texts(user, periods).await, ["03-15 09:57"]);
    world.finish().await;
}

#[tokio::test]
async fn two_admins_at_once_make_one_change() {
    let world = World::new().await;
    let (tenant, owner) = world.organization("owner@example.com").await;
    let admin = world.member(tenant, "admin@example.com", Role::Admin).await;
    world.buy(tenant, "pro").await;
    world.advance("5d").await;
    let asked = up("scale");
    let (first, second) = tokio::join!(
        world.ask_as(Actor::User(owner), tenant, &asked),
        world.ask_as(Actor::User(admin), tenant, &asked)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second);
    assert!(matches!(first, Outcome::Done(_)), "{first:?}");
    world.work().await;
    assert_eq!(world.invoices(tenant).await.len(), 2);
    // Once more is refused as what the tenant has.
    let error = world.ask_as(Actor::User(owner), tenant, &asked).await.unwrap_err();
    assert!(error.to_string().contains("is what the tenant has"), "{error}");
    let cancel = Asked::Cancel;
    let (first, second) = tokio::join!(world.ask(tenant, &cancel), world.ask(tenant, &cancel));
    assert_eq!(first, second);
    // What differs has to wait.
    let (resume, lower) = (Asked::Resume, down("pro"));
    let (first, second) = tokio::join!(
        world.ask_as(Actor::User(owner), tenant, &resume),
        world.ask_as(Actor::User(admin), tenant, &lower)
    );
    first.unwrap();
    // Whichever was first: the one was under way, or what was pending forbade the other.
    assert!(matches!(second, Err(OperationError::InProgress | OperationError::Refused(_))), "{second:?}");
    world.finish().await;
}

#[tokio::test]
async fn who_pays_for_nothing_is_sent_to_the_checkout() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    for asked in [up("pro"), down("free"), Asked::Cancel, Asked::Resume] {
        let error = world.ask_as(Actor::System, user, &asked).await.unwrap_err();
        assert!(error.to_string().contains("buy one with a checkout"), "{asked:?}: {error}");
    }
    assert_eq!(portal::visit(&world.stripe, user).await.unwrap(), None);
    world.buy(user, "pro").await;
    let url = portal::visit(&world.stripe, user).await.unwrap().unwrap();
    assert!(url.starts_with(&world.sandbox.url()), "{url}");
    portal::visit(&world.stripe, user).await.unwrap().unwrap();
    assert_eq!(world.list("/v1/billing_portal/configurations").await.len(), 1);
    world.finish().await;
}
