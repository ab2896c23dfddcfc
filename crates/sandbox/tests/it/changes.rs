use crate::world::{DAY, World, amounts, id, list, number, text};

/// The only item of a subscription.
fn item(subscription: &serde_json::Value) -> String {
    id(&subscription["items"]["data"][0])
}

#[tokio::test]
async fn a_preview_is_what_the_upgrade_charges() {
    let world = World::start().await;
    let (pro, max) = (world.price("Pro", "2900", "month").await, world.price("Max", "9900", "month").await);
    let subscription = world.subscribed(&pro, &[("items[0][quantity]", "3")]).await;
    world.advance(10 * DAY + 12_345).await;
    let at = (number(&subscription["created"]) + 10 * DAY).to_string();
    let item = item(&subscription);
    let preview = world
        .post(
            "/v1/invoices/create_preview",
            &[
                ("subscription", id(&subscription).as_str()),
                ("subscription_details[items][0][id]", &item),
                ("subscription_details[items][0][price]", &max),
                ("subscription_details[proration_behavior]", "always_invoice"),
                ("subscription_details[proration_date]", &at),
            ],
        )
        .await;
    // 21 of 31 days: three of the old are given back, one of the new is charged.
    assert_eq!(amounts(&preview), [-5894, 6706]);
    assert_eq!(list(&world.get("/v1/invoices").await).len(), 1);
    let changed = world
        .post(
            &format!("/v1/subscriptions/{}", id(&subscription)),
            &[
                ("items[0][id]", item.as_str()),
                ("items[0][price]", &max),
                ("proration_behavior", "always_invoice"),
                ("payment_behavior", "error_if_incomplete"),
                ("proration_date", &at),
                ("expand[]", "latest_invoice"),
            ],
        )
        .await;
    let invoice = &changed["latest_invoice"];
    assert_eq!(amounts(invoice), amounts(&preview));
    assert_eq!((&invoice["status"], &invoice["billing_reason"]), (&"paid".into(), &"subscription_update".into()));
    assert_eq!(number(&changed["items"]["data"][0]["quantity"]), 1);
    let line = &list(&invoice["lines"])[0];
    let details = &line["parent"]["subscription_item_details"];
    assert_eq!(details["proration"], true);
    assert!(details["proration_details"]["credited_items"]["invoice"].is_string());
}

#[tokio::test]
async fn a_price_without_the_items_id_is_a_second_item() {
    let world = World::start().await;
    let (pro, max) = (world.price("Pro", "2900", "month").await, world.price("Max", "9900", "month").await);
    let subscription = world.subscribed(&pro, &[]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let changed = world.post(&path, &[("items[0][price]", &max)]).await;
    assert_eq!(list(&changed["items"]).len(), 2);
    let yearly = world.price("Pro a year", "29000", "year").await;
    assert_eq!(world.refused(400, &path, &[("items[0][price]", &yearly)]).await["param"], "items[2][price]");
}

#[tokio::test]
async fn another_interval_begins_a_new_cycle() {
    let world = World::start().await;
    let (pro, yearly) = (world.price("Pro", "2900", "month").await, world.price("Pro", "29000", "year").await);
    let subscription = world.subscribed(&pro, &[]).await;
    world.advance(15 * DAY).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let form = [("items[0][id]", item(&subscription)), ("items[0][price]", yearly)];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let changed = world.post(&path, &form).await;
    let now = number(&subscription["created"]) + 15 * DAY;
    assert_eq!(number(&changed["billing_cycle_anchor"]), now);
    assert_eq!(number(&changed["items"]["data"][0]["current_period_end"]), now + 365 * DAY);
    let invoice = world.get(&format!("/v1/invoices/{}", text(&changed["latest_invoice"]))).await;
    assert_eq!(amounts(&invoice), [-1497, 29000]);
}

#[tokio::test]
async fn a_failed_upgrade_changes_nothing_or_waits_for_its_payment() {
    let world = World::start().await;
    let (pro, max) = (world.price("Pro", "2900", "month").await, world.price("Max", "9900", "month").await);
    let subscription = world.subscribed(&pro, &[]).await;
    let customer = text(&subscription["customer"]);
    let bad = world.post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", &[("customer", &customer)]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    world.post(&path, &[("default_payment_method", &id(&bad))]).await;
    world.advance(DAY).await;
    let item = item(&subscription);
    let before = world.get(&path).await;
    let mut form = vec![
        ("items[0][id]", item.as_str()),
        ("items[0][price]", max.as_str()),
        ("proration_behavior", "always_invoice"),
        ("payment_behavior", "error_if_incomplete"),
    ];
    let error = world.refused(402, &path, &form).await;
    assert_eq!((&error["type"], &error["code"]), (&"card_error".into(), &"card_declined".into()));
    assert_eq!(world.get(&path).await, before);
    assert_eq!(list(&world.get("/v1/invoices").await).len(), 1);

    form[3] = ("payment_behavior", "pending_if_incomplete");
    let held = world.post(&path, &form).await;
    assert_eq!((&held["status"], &held["items"]["data"][0]["price"]["id"]), (&"active".into(), &pro.clone().into()));
    assert_eq!(held["pending_update"]["subscription_items"][0]["price"]["id"], max.as_str());
    let invoice = text(&held["latest_invoice"]);
    let page = text(&world.get(&format!("/v1/invoices/{invoice}")).await["hosted_invoice_url"]);
    let card = [("card_number", "4242424242424242"), ("card_expiry", "12/34"), ("card_cvc", "1")];
    assert_eq!(world.submit(&page, &card).await.0, 303);
    let applied = world.get(&path).await;
    assert!(applied["pending_update"].is_null());
    assert_eq!(applied["items"]["data"][0]["price"]["id"], max.as_str());
    assert!(world.event_types().await.contains(&"customer.subscription.pending_update_applied".to_owned()));
}

#[tokio::test]
async fn a_pending_update_that_nobody_pays_for_is_dropped() {
    let world = World::start().await;
    let (pro, max) = (world.price("Pro", "2900", "month").await, world.price("Max", "9900", "month").await);
    let subscription = world.subscribed(&pro, &[]).await;
    let customer = text(&subscription["customer"]);
    let bad = world.post("/v1/payment_methods/pm_card_authenticationRequired/attach", &[("customer", &customer)]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    world.post(&path, &[("default_payment_method", &id(&bad))]).await;
    let item = item(&subscription);
    let held = world
        .post(
            &path,
            &[
                ("items[0][id]", item.as_str()),
                ("items[0][price]", &max),
                ("proration_behavior", "always_invoice"),
                ("payment_behavior", "pending_if_incomplete"),
            ],
        )
        .await;
    world.advance(24 * 3600).await;
    let after = world.get(&path).await;
    assert!(after["pending_update"].is_null());
    assert_eq!(after["items"]["data"][0]["price"]["id"], pro.as_str());
    let invoice = world.get(&format!("/v1/invoices/{}", text(&held["latest_invoice"]))).await;
    assert_eq!(invoice["status"], "void");
}

#[tokio::test]
async fn cancel_at_the_end_can_be_undone_and_ends_without_an_invoice() {
    let world = World::start().await;
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let pending = world.post(&path, &[("cancel_at_period_end", "true")]).await;
    assert_eq!(pending["cancel_at"], subscription["items"]["data"][0]["current_period_end"]);
    let undone = world.post(&path, &[("cancel_at_period_end", "false")]).await;
    assert!(undone["cancel_at"].is_null() && undone["canceled_at"].is_null());
    world.post(&path, &[("cancel_at_period_end", "true")]).await;
    world.advance(32 * DAY).await;
    let ended = world.get(&path).await;
    assert_eq!(ended["status"], "canceled");
    assert_eq!(ended["ended_at"], pending["cancel_at"]);
    assert_eq!(list(&world.get("/v1/invoices").await).len(), 1);
    assert_eq!(world.call("DELETE", &path, &[]).await.0, 404);
}

#[tokio::test]
async fn a_trial_and_a_cycle_end_when_told_to() {
    let world = World::start().await;
    let pro = world.price("Pro", "3100", "month").await;
    let subscription = world.subscribed(&pro, &[("trial_period_days", "14")]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    world.advance(DAY).await;
    let begun = world.post(&path, &[("trial_end", "now"), ("expand[]", "latest_invoice")]).await;
    let now = number(&subscription["created"]) + DAY;
    assert_eq!((text(&begun["status"]), number(&begun["trial_end"])), ("active".to_owned(), now));
    assert_eq!(amounts(&begun["latest_invoice"]), [3100]);
    world.advance(10 * DAY).await;
    let form =
        [("billing_cycle_anchor", "now"), ("proration_behavior", "create_prorations"), ("expand[]", "latest_invoice")];
    let again = world.post(&path, &form).await;
    assert_eq!(number(&again["billing_cycle_anchor"]), now + 10 * DAY);
    // 21 of 31 days are given back.
    assert_eq!(amounts(&again["latest_invoice"]), [-2100, 3100]);
    assert_eq!(again["latest_invoice"]["status"], "paid");
}
