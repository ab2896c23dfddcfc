use crate::world::{DAY, VISA, World, id, list, number, text};

fn session<'a>(customer: &'a str, price: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("mode", "subscription"),
        ("customer", customer),
        ("line_items[0][price]", price),
        ("line_items[0][quantity]", "2"),
        ("success_url", "http://app.test/ok?session={CHECKOUT_SESSION_ID}"),
        ("cancel_url", "http://app.test/no"),
        ("metadata[tenant_id]", "t1"),
        ("subscription_data[metadata][tenant_id]", "t1"),
        ("subscription_data[billing_mode][type]", "flexible"),
    ]
}

fn card(number: &str) -> Vec<(&str, &str)> {
    vec![("card_number", number), ("card_expiry", "12 / 34"), ("card_cvc", "123"), ("name", "A B")]
}

#[tokio::test]
async fn the_subscription_is_made_by_the_payment_and_only_once() {
    let world = World::start().await;
    let customer = world.customer().await;
    let price = world.price("Pro", "2900", "month").await;
    let made = world.post("/v1/checkout/sessions", &session(&customer, &price)).await;
    let url = text(&made["url"]);
    let page = world.client().get(&url).send().await.unwrap().text().await.unwrap();
    for shown in ["Subscribe to Pro", "$58.00", "per month", "4000 0000 0000 0341", "sandbox"] {
        assert!(page.contains(shown), "{shown} is not on the page");
    }
    for (number, message) in [
        ("4000000000000002", "Your card was declined."),
        ("4000000000009995", "insufficient funds"),
        ("4000000000009987", "declined"),
        ("4000000000000069", "expired"),
        ("4000000000000341", "Your card was declined."),
        ("4111111111111111", "number is incorrect"),
    ] {
        let (status, _, page) = world.submit(&url, &card(number)).await;
        assert_eq!(status, 402, "{number}");
        assert!(page.contains(message), "{number}: {page}");
    }
    assert_eq!(list(&world.get("/v1/subscriptions?status=all").await).len(), 0);
    let (status, to, _) = world.submit(&url, &card(VISA)).await;
    assert_eq!((status, to), (303, format!("http://app.test/ok?session={}", id(&made))));
    assert_eq!(world.submit(&url, &card(VISA)).await.0, 410);

    let path = format!("/v1/checkout/sessions/{}?expand[]=subscription&expand[]=invoice.payments", id(&made));
    let done = world.get(&path).await;
    assert_eq!((&done["status"], &done["payment_status"]), (&"complete".into(), &"paid".into()));
    assert_eq!(done["subscription"]["metadata"]["tenant_id"], "t1");
    assert_eq!(done["subscription"]["billing_mode"]["type"], "flexible");
    assert_eq!(done["subscription"]["status"], "active");
    assert_eq!(done["invoice"]["parent"]["subscription_details"]["metadata"]["tenant_id"], "t1");
    assert_eq!(number(&done["invoice"]["payments"]["data"][0]["amount_paid"]), 5800);
    let types = world.event_types().await;
    assert_eq!(types.last().map(String::as_str), Some("checkout.session.completed"));
    for kind in ["invoice.paid", "invoice_payment.paid", "customer.subscription.created"] {
        assert_eq!(types.iter().filter(|found| *found == kind).count(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_card_that_asks_for_confirmation_gets_the_page_of_the_bank() {
    let world = World::start().await;
    let customer = world.customer().await;
    let price = world.price("Pro", "2900", "month").await;
    let made = world.post("/v1/checkout/sessions", &session(&customer, &price)).await;
    let url = text(&made["url"]);
    let mut form = card("4000002500003155");
    let (status, _, page) = world.submit(&url, &form).await;
    assert!(status == 200 && page.contains("ending in 3155") && page.contains("$58.00"));
    form.push(("confirmed", "false"));
    assert_eq!(world.submit(&url, &form).await.0, 402);
    form.pop();
    form.push(("confirmed", "true"));
    assert_eq!(world.submit(&url, &form).await.0, 303);
    // Confirmed once: the renewal passes without the holder.
    world.advance(32 * DAY).await;
    let invoices = world.get("/v1/invoices").await;
    assert_eq!(list(&invoices).iter().map(|row| text(&row["status"])).collect::<Vec<_>>(), ["paid", "paid"]);
}

#[tokio::test]
async fn a_trial_costs_nothing_today_and_an_unpaid_session_expires() {
    let world = World::start().await;
    let customer = world.customer().await;
    let price = world.price("Pro", "2900", "month").await;
    let mut form = session(&customer, &price);
    form.push(("subscription_data[trial_period_days]", "14"));
    let made = world.post("/v1/checkout/sessions", &form).await;
    let (status, ..) = world.submit(&text(&made["url"]), &card(VISA)).await;
    assert_eq!(status, 303);
    let done = world.get(&format!("/v1/checkout/sessions/{}?expand[]=subscription", id(&made))).await;
    assert_eq!((&done["payment_status"], number(&done["amount_total"])), (&"no_payment_required".into(), 0));
    let subscription = &done["subscription"];
    assert_eq!(subscription["status"], "trialing");
    assert_eq!(number(&subscription["trial_end"]) - number(&subscription["trial_start"]), 14 * DAY);

    let other = world.post("/v1/checkout/sessions", &session(&customer, &price)).await;
    world.advance(DAY + 1).await;
    let (status, _, page) = world.submit(&text(&other["url"]), &card(VISA)).await;
    assert!(status == 410 && page.contains("expired"), "{status}");
    assert!(world.event_types().await.contains(&"checkout.session.expired".to_owned()));
}

#[tokio::test]
async fn taxes_and_tax_ids_come_from_the_page() {
    let world = World::start().await;
    let customer = world.customer().await;
    let price = world.price("Pro", "1000", "month").await;
    let mut form = session(&customer, &price);
    form.extend([
        ("automatic_tax[enabled]", "true"),
        ("customer_update[address]", "auto"),
        ("customer_update[name]", "auto"),
        ("tax_id_collection[enabled]", "true"),
        ("billing_address_collection", "required"),
    ]);
    let made = world.post("/v1/checkout/sessions", &form).await;
    let mut filled = card(VISA);
    assert_eq!(world.submit(&text(&made["url"]), &filled).await.0, 402);
    filled.extend([("country", "DE"), ("line1", "Weg 1"), ("city", "Ulm"), ("tax_id", "DE123456789")]);
    assert_eq!(world.submit(&text(&made["url"]), &filled).await.0, 303);
    let invoices = world.get("/v1/invoices").await;
    let invoice = &list(&invoices)[0];
    assert_eq!((number(&invoice["subtotal"]), number(&invoice["total"])), (2000, 2380));
    assert_eq!(number(&invoice["total_taxes"][0]["amount"]), 380);
    assert_eq!(invoice["customer_tax_ids"][0]["value"], "DE123456789");
    let kept = world.get(&format!("/v1/customers/{customer}?expand[]=tax_ids")).await;
    assert_eq!(kept["address"]["country"], "DE");
    assert_eq!(kept["tax_ids"]["data"][0]["type"], "eu_vat");
}
