use crate::world::{KEY, World, text};

/// Path, form, code and parameter of the error.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

#[tokio::test]
async fn parameters_are_judged_at_every_depth() {
    let world = World::start().await;
    let price = world.price("Pro", "2900", "month").await;
    let cases: &[Case<'_>] = &[
        ("/v1/customers", &[("emial", "a@b.c")], "parameter_unknown", "emial"),
        ("/v1/customers", &[("address[contry]", "DE")], "parameter_unknown", "address[contry]"),
        ("/v1/products", &[], "parameter_missing", "name"),
        ("/v1/prices", &[("currency", "usd"), ("unit_amount", "x")], "parameter_invalid_integer", "unit_amount"),
        ("/v1/invoices", &[("customer", "cus_1"), ("discounts[0][coupon]", "x")], "not_in_sandbox", "discounts"),
        ("/v1/products", &[("name", "")], "parameter_invalid_empty", "name"),
        ("/v1/subscriptions", &[("customer", "cus_none"), ("items[0][price]", &price)], "resource_missing", "customer"),
        // Numbers and times that nothing can be computed with.
        ("/v1/invoices", &[("days_until_due", "9223372036854775807")], "parameter_invalid_integer", "days_until_due"),
        ("/v1/invoiceitems", &[("amount", "-1000000000000")], "parameter_invalid_integer", "amount"),
        (
            "/v1/prices",
            &[("unit_amount_decimal", "79228162514264337593543950335")],
            "parameter_invalid_decimal",
            "unit_amount_decimal",
        ),
        (
            "/v1/checkout/sessions",
            &[("mode", "subscription"), ("line_items[0][price]", &price), ("line_items[0][quantty]", "1")],
            "parameter_unknown",
            "line_items[0][quantty]",
        ),
    ];
    for (path, form, code, param) in cases {
        let error = world.refused(400, path, form).await;
        assert_eq!((text(&error["code"]), text(&error["param"])), ((*code).to_owned(), (*param).to_owned()), "{path}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    let customer = world.customer().await;
    let anchored = [
        ("customer", customer.as_str()),
        ("items[0][price]", price.as_str()),
        ("billing_cycle_anchor", "1764000000000000000"),
    ];
    let late = world.refused(400, "/v1/subscriptions", &anchored).await;
    assert_eq!(late["param"], "billing_cycle_anchor");
    // The largest amounts add up.
    let item = [("customer", customer.as_str()), ("amount", "999999999999"), ("currency", "usd")];
    for _ in 0..2 {
        world.post("/v1/invoiceitems", &item).await;
    }
    let both = [("customer", customer.as_str()), ("pending_invoice_items_behavior", "include")];
    assert_eq!(world.post("/v1/invoices", &both).await["total"], 1_999_999_999_998_i64);
    let mode = world.refused(400, "/v1/checkout/sessions", &[("mode", "subscribe")]).await;
    assert_eq!(mode["message"], "Invalid mode: must be one of payment, setup, or subscription");
    let (status, missing) = world.call("GET", "/v1/customers/cus_none", &[]).await;
    assert_eq!((status, &missing["error"]["message"]), (404, &"No such customer: 'cus_none'".into()));
}

#[tokio::test]
async fn only_the_key_opens_and_unknown_routes_say_so() {
    let world = World::start().await;
    let client = world.client();
    for (request, status) in [
        (client.get(world.url("/v1/customers")), 401),
        (client.get(world.url("/v1/customers")).bearer_auth("sk_test_other_secret"), 401),
        (client.get(world.url("/v1/customers")).basic_auth(KEY, Some("")), 200),
        (client.get(world.url("/v1/nothing")).bearer_auth(KEY), 404),
        (client.delete(world.url("/v1/customers")).bearer_auth(KEY), 404),
        (client.get(world.url("/v1/customers")).bearer_auth(KEY).header("stripe-version", "new"), 400),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert!(response.headers().contains_key("request-id"));
        assert!(!response.text().await.unwrap().contains("other_secret"));
    }
}

#[tokio::test]
async fn a_repeated_key_replays_and_other_parameters_are_refused() {
    let world = World::start().await;
    let send = |key: &str, body: &str| {
        let request = world.client().post(world.url("/v1/customers")).bearer_auth(KEY).header("idempotency-key", key);
        request.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned()).send()
    };
    let first = send("k1", "email=a%40b.c&name=N").await.unwrap();
    assert!(!first.headers().contains_key("idempotent-replayed"));
    let first = first.text().await.unwrap();
    let again = send("k1", "name=N&email=a%40b.c").await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.text().await.unwrap(), first);
    let other = send("k1", "email=other%40b.c").await.unwrap();
    assert_eq!(other.status().as_u16(), 400);
    assert!(other.text().await.unwrap().contains("idempotency_error"));

    // What was refused before it was executed leaves no trace; what failed in execution does.
    assert_eq!(send("k2", "emial=x").await.unwrap().status().as_u16(), 400);
    assert_eq!(send("k2", "email=x%40b.c").await.unwrap().status().as_u16(), 200);
    assert_eq!(send("k3", "payment_method=pm_none").await.unwrap().status().as_u16(), 400);
    let replayed = send("k3", "payment_method=pm_none").await.unwrap();
    assert_eq!(replayed.headers()["idempotent-replayed"], "true");

    world.advance(86_401).await;
    assert_ne!(send("k1", "email=a%40b.c&name=N").await.unwrap().text().await.unwrap(), first);
}
