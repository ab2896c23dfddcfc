use crate::world::{World, id, text};

#[tokio::test]
async fn the_portal_cancels_resumes_switches_and_saves_a_card() {
    let world = World::start().await;
    let (pro, max) = (world.price("Pro", "2900", "month").await, world.price("Max", "9900", "month").await);
    let product = text(&world.get(&format!("/v1/prices/{max}")).await["product"]);
    let subscription = world.subscribed(&pro, &[("billing_mode[type]", "flexible")]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let configuration = world
        .post(
            "/v1/billing_portal/configurations",
            &[
                ("features[subscription_cancel][enabled]", "true"),
                ("features[payment_method_update][enabled]", "true"),
                ("features[invoice_history][enabled]", "true"),
                ("features[subscription_update][enabled]", "true"),
                ("features[subscription_update][default_allowed_updates][0]", "price"),
                ("features[subscription_update][proration_behavior]", "always_invoice"),
                ("features[subscription_update][products][0][product]", &product),
                ("features[subscription_update][products][0][prices][0]", &max),
            ],
        )
        .await;
    let session = world
        .post(
            "/v1/billing_portal/sessions",
            &[
                ("customer", text(&subscription["customer"]).as_str()),
                ("configuration", &id(&configuration)),
                ("return_url", "http://app.test/billing"),
            ],
        )
        .await;
    let url = text(&session["url"]);
    let page = world.client().get(&url).send().await.unwrap().text().await.unwrap();
    for shown in ["Renews on 15 Feb 2026", "ending in 4242", "http://app.test/billing", "Max, $99.00"] {
        assert!(page.contains(shown), "{shown}");
    }
    let of_it = id(&subscription);
    let act = |action: &'static str| [("action", action.to_owned()), ("subscription", of_it.clone())];
    let form = |pairs: &[(&'static str, String)]| -> Vec<(&'static str, String)> { pairs.to_vec() };
    let submit = |pairs: Vec<(&'static str, String)>| {
        let (world, url) = (&world, &url);
        async move {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            world.submit(url, &pairs).await
        }
    };
    assert!(submit(form(&act("cancel"))).await.2.contains("ends on 15 Feb 2026"));
    let pending = world.get(&path).await;
    assert_eq!((&pending["cancel_at_period_end"], pending["cancel_at"].is_i64()), (&false.into(), true));
    assert_eq!(submit(form(&act("resume"))).await.0, 200);
    assert!(world.get(&path).await["cancel_at"].is_null());
    let mut switch = form(&act("switch"));
    switch.push(("price", max.clone()));
    assert_eq!(submit(switch).await.0, 200);
    assert_eq!(world.get(&path).await["items"]["data"][0]["price"]["id"], max.as_str());
    let card = |number: &str| {
        vec![
            ("action", "card".to_owned()),
            ("card_number", number.to_owned()),
            ("card_expiry", "1/35".to_owned()),
            ("card_cvc", "1".to_owned()),
        ]
    };
    assert_eq!(submit(card("4000000000000002")).await.0, 402);
    assert!(submit(card("5555555555554444")).await.2.contains("mastercard ending in 4444, expires 01/2035"));
    let mut foreign = form(&act("switch"));
    foreign.push(("price", pro));
    assert_eq!(submit(foreign).await.0, 402);
}
