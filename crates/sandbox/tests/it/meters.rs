use std::fmt::Display;

use serde_json::Value;

use crate::world::{DAY, World, amounts, id, list, number, text};

/// A meter that sums, for events of this name.
async fn meter(world: &World, event_name: &str) -> Value {
    let form = [
        ("display_name", "Tokens"),
        ("event_name", event_name),
        ("default_aggregation[formula]", "sum"),
        ("customer_mapping[event_payload_key]", "stripe_customer_id"),
        ("customer_mapping[type]", "by_id"),
        ("value_settings[event_payload_key]", "value"),
    ];
    world.post("/v1/billing/meters", &form).await
}

/// A metered price by the month, with these parameters beside the usual ones.
async fn metered(world: &World, event_name: &str, more: &[(&str, &str)]) -> Value {
    let meter = id(&meter(world, event_name).await);
    let mut form = vec![
        ("product_data[name]", "Tokens"),
        ("currency", "usd"),
        ("recurring[interval]", "month"),
        ("recurring[usage_type]", "metered"),
        ("recurring[meter]", &meter),
    ];
    form.extend(more);
    world.post("/v1/prices", &form).await
}

/// The status of the answer to a meter event.
async fn send(world: &World, event: (&str, &str), customer: &str, value: impl Display, timestamp: impl Display) -> u16 {
    let (value, timestamp) = (value.to_string(), timestamp.to_string());
    let form = [
        ("event_name", event.0),
        ("identifier", event.1),
        ("payload[stripe_customer_id]", customer),
        ("payload[value]", &value),
        ("timestamp", &timestamp),
    ];
    world.call("POST", "/v1/billing/meter_events", &form).await.0
}

#[tokio::test]
async fn metered_usage_is_on_the_renewal_and_counts_once() {
    let world = World::start().await;
    let tiers = [
        ("billing_scheme", "tiered"),
        ("tiers_mode", "graduated"),
        ("tiers[0][up_to]", "1000"),
        ("tiers[0][unit_amount]", "0"),
        ("tiers[1][up_to]", "inf"),
        ("tiers[1][unit_amount_decimal]", "0.15"),
    ];
    let metered = metered(&world, "tokens", &tiers).await;
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[("items[1][price]", &id(&metered))]).await;
    let customer = text(&subscription["customer"]);
    let send = async |identifier, value, timestamp: i64| {
        send(&world, ("tokens", identifier), &customer, value, timestamp).await
    };
    let now = number(&subscription["created"]);
    assert_eq!(send("a", "1200", now).await, 200);
    assert_eq!(send("a", "1200", now).await, 400);
    assert_eq!(send("b", "807", now).await, 200);
    assert_eq!(send("c", "1", now - 36 * DAY).await, 400);
    assert_eq!(send("d", "1", now + 301).await, 400);
    assert_eq!(send("e", "many", now).await, 400);
    // After a day the identifier is forgotten: it counts again, as it does at Stripe.
    world.advance(DAY + 1).await;
    assert_eq!(send("b", "10", now + DAY).await, 200);
    world.advance(30 * DAY + 3600).await;
    // 1017 above the first thousand at 0.15 cents: 152.55.
    let invoices = world.get("/v1/invoices").await;
    assert_eq!(amounts(&list(&invoices)[0]), [153, 2900]);
}

/// What is reported for the ended period while its renewal is a draft is on it; what comes later, or is of another
/// time or another customer, is not.
#[tokio::test]
async fn usage_of_the_ended_period_counts_until_the_draft_is_final() {
    let world = World::start().await;
    let package = [
        ("unit_amount_decimal", "150.5"),
        ("transform_quantity[divide_by]", "20"),
        ("transform_quantity[round]", "up"),
    ];
    let metered = metered(&world, "jobs", &package).await;
    assert_eq!(metered["transform_quantity"], serde_json::json!({ "divide_by": 20, "round": "up" }));
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[("items[1][price]", &id(&metered))]).await;
    let customer = text(&subscription["customer"]);
    let renewal = number(&subscription["items"]["data"][0]["current_period_end"]);
    world.advance(renewal - number(&subscription["created"])).await;
    let draft = list(&world.get("/v1/invoices").await)[0].clone();
    assert_eq!((text(&draft["status"]), amounts(&draft)), ("draft".to_owned(), vec![0, 2900]));
    let on_draft = async || {
        let draft = world.get(&format!("/v1/invoices/{}", id(&draft))).await;
        (draft["lines"]["data"][0]["quantity"].as_i64().unwrap(), amounts(&draft)[0], number(&draft["total"]))
    };
    for (identifier, value, timestamp, due) in [
        ("a", "40", renewal - 1, (40, 301, 3201)),
        ("b", "1", renewal - 1, (41, 452, 3352)),
        ("of the next period", "100", renewal, (41, 452, 3352)),
        ("a part", "0.4", renewal - 1, (41, 452, 3352)),
        ("the other part", "0.1", renewal - 1, (42, 452, 3352)),
        ("taken back", "-41.5", renewal - 1, (0, 0, 2900)),
        ("below nothing", "-5", renewal - 1, (0, 0, 2900)),
        ("again", "26", renewal - 1, (21, 301, 3201)),
    ] {
        assert_eq!(send(&world, ("jobs", identifier), &customer, value, timestamp).await, 200, "{identifier}");
        assert_eq!(on_draft().await, due, "{identifier}");
    }
    // Another price of the item, and another customer, change nothing of it.
    let item = id(&subscription["items"]["data"][1]);
    let dear = self::metered(&world, "dear jobs", &[("unit_amount", "100")]).await;
    let form = [("items[0][id]", item.as_str()), ("items[0][price]", &id(&dear)), ("proration_behavior", "none")];
    world.post(&format!("/v1/subscriptions/{}", id(&subscription)), &form).await;
    assert_eq!(send(&world, ("jobs", "another's"), "cus_of_nobody", "500", renewal - 1).await, 200);
    assert_eq!(on_draft().await, (21, 301, 3201));
    world.advance(3600).await;
    assert_eq!(send(&world, ("jobs", "too late"), &customer, "500", renewal - 1).await, 200);
    assert_eq!(on_draft().await, (21, 301, 3201));
    let paid = list(&world.get("/v1/invoices").await)[0].clone();
    assert_eq!((text(&paid["status"]), number(&paid["amount_paid"])), ("paid".to_owned(), 3201));
}

#[tokio::test]
async fn a_quantity_is_divided_by_what_can_divide_it() {
    let world = World::start().await;
    let meter = id(&meter(&world, "jobs").await);
    let usual = [
        ("product_data[name]", "Jobs"),
        ("currency", "usd"),
        ("recurring[interval]", "month"),
        ("recurring[usage_type]", "metered"),
        ("recurring[meter]", meter.as_str()),
        ("transform_quantity[round]", "up"),
    ];
    let tiers = [
        ("billing_scheme", "tiered"),
        ("tiers_mode", "volume"),
        ("tiers[0][up_to]", "inf"),
        ("tiers[0][unit_amount]", "1"),
    ];
    for (more, param) in [
        (&[("unit_amount", "1")][..], "transform_quantity[divide_by]"),
        (&[("unit_amount", "1"), ("transform_quantity[divide_by]", "0")], "transform_quantity[divide_by]"),
        (&[&tiers[..], &[("transform_quantity[divide_by]", "5")]].concat(), "transform_quantity"),
    ] {
        let (status, refused) = world.call("POST", "/v1/prices", &[&usual[..], more].concat()).await;
        assert_eq!((status, text(&refused["error"]["param"])), (400, param.to_owned()), "{refused}");
    }
}
