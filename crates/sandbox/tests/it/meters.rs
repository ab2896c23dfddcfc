use crate::world::{DAY, World, amounts, id, list, text};

#[tokio::test]
async fn metered_usage_is_on_the_renewal_and_counts_once() {
    let world = World::start().await;
    let meter = world
        .post(
            "/v1/billing/meters",
            &[
                ("display_name", "Tokens"),
                ("event_name", "tokens"),
                ("default_aggregation[formula]", "sum"),
                ("customer_mapping[event_payload_key]", "stripe_customer_id"),
                ("customer_mapping[type]", "by_id"),
                ("value_settings[event_payload_key]", "value"),
            ],
        )
        .await;
    let metered = world
        .post(
            "/v1/prices",
            &[
                ("product_data[name]", "Tokens"),
                ("currency", "usd"),
                ("billing_scheme", "tiered"),
                ("tiers_mode", "graduated"),
                ("tiers[0][up_to]", "1000"),
                ("tiers[0][unit_amount]", "0"),
                ("tiers[1][up_to]", "inf"),
                ("tiers[1][unit_amount_decimal]", "0.15"),
                ("recurring[interval]", "month"),
                ("recurring[usage_type]", "metered"),
                ("recurring[meter]", &id(&meter)),
            ],
        )
        .await;
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[("items[1][price]", &id(&metered))]).await;
    let customer = text(&subscription["customer"]);
    let send = |identifier: &'static str, value: &'static str, timestamp: String| {
        let form = [
            ("event_name".to_owned(), "tokens".to_owned()),
            ("identifier".to_owned(), identifier.to_owned()),
            ("payload[stripe_customer_id]".to_owned(), customer.clone()),
            ("payload[value]".to_owned(), value.to_owned()),
            ("timestamp".to_owned(), timestamp),
        ];
        let world = &world;
        async move {
            let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            world.call("POST", "/v1/billing/meter_events", &form).await.0
        }
    };
    let now = crate::world::number(&subscription["created"]);
    assert_eq!(send("a", "1200", now.to_string()).await, 200);
    assert_eq!(send("a", "1200", now.to_string()).await, 400);
    assert_eq!(send("b", "807", now.to_string()).await, 200);
    assert_eq!(send("c", "1", (now - 36 * DAY).to_string()).await, 400);
    assert_eq!(send("d", "1", (now + 301).to_string()).await, 400);
    assert_eq!(send("e", "many", now.to_string()).await, 400);
    // After a day the identifier is forgotten: it counts again, as it does at Stripe.
    world.advance(DAY + 1).await;
    assert_eq!(send("b", "10", (now + DAY).to_string()).await, 200);
    world.advance(30 * DAY + 3600).await;
    // 1017 above the first thousand at 0.15 cents: 152.55.
    let invoices = world.get("/v1/invoices").await;
    assert_eq!(amounts(&list(&invoices)[0]), [153, 2900]);
}
