use crate::world::{World, amounts, id, list, number, text};

#[tokio::test]
async fn an_invoice_of_ones_own_takes_pending_items_is_paid_and_shows_a_page() {
    let world = World::start().await;
    let customer = world.customer().await;
    let method = world.post("/v1/payment_methods/pm_card_visa/attach", &[("customer", &customer)]).await;
    let path = format!("/v1/customers/{customer}");
    world.post(&path, &[("invoice_settings[default_payment_method]", &id(&method))]).await;
    let item = [("customer", customer.as_str()), ("amount", "1250"), ("currency", "usd"), ("description", "(a) <b>")];
    let pending = world.post("/v1/invoiceitems", &item).await;
    let gone = world.post("/v1/invoiceitems", &item).await;
    assert_eq!(world.call("DELETE", &format!("/v1/invoiceitems/{}", id(&gone)), &[]).await.0, 200);
    let form = [("customer", customer.as_str()), ("pending_invoice_items_behavior", "include")];
    let draft = world.post("/v1/invoices", &form).await;
    assert_eq!((amounts(&draft), text(&draft["status"])), (vec![1250], "draft".to_owned()));
    let invoice = format!("/v1/invoices/{}", id(&draft));
    assert_eq!(world.get(&format!("/v1/invoiceitems/{}", id(&pending))).await["invoice"], id(&draft).as_str());
    let open = world.post(&format!("{invoice}/finalize"), &[]).await;
    assert!(text(&open["number"]).ends_with("-0001"));
    let paid = world.post(&format!("{invoice}/pay"), &[("expand[]", "payments")]).await;
    assert_eq!((text(&paid["status"]), number(&paid["amount_remaining"])), ("paid".to_owned(), 0));
    let payments = world.get(&format!("/v1/invoice_payments?invoice={}", id(&draft))).await;
    assert_eq!(id(&list(&payments)[0]), id(&list(&paid["payments"])[0]));
    assert_eq!(world.refused(400, &format!("{invoice}/pay"), &[]).await["code"], "invoice_already_paid");

    let page = world.client().get(text(&paid["hosted_invoice_url"])).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("$12.50") && page.contains("Paid on 15 Jan 2026"));
    assert!(!page.contains("<b>"), "what a caller sent must not be markup");
    let pdf = world.client().get(text(&paid["invoice_pdf"])).send().await.unwrap().bytes().await.unwrap();
    assert!(pdf.starts_with(b"%PDF-1.4"));
}

#[tokio::test]
async fn a_negative_total_becomes_credit_that_the_next_invoice_uses() {
    let world = World::start().await;
    let customer = world.customer().await;
    let item =
        |amount: &'static str| [("customer", customer.clone()), ("amount", amount.into()), ("currency", "usd".into())];
    for (amount, due, balance) in [("-500", 0, -500), ("300", 0, -200), ("700", 500, 0)] {
        let form = item(amount);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        world.post("/v1/invoiceitems", &form).await;
        let form = [("customer", customer.as_str()), ("pending_invoice_items_behavior", "include")];
        let draft = world.post("/v1/invoices", &form).await;
        let open = world.post(&format!("/v1/invoices/{}/finalize", id(&draft)), &[]).await;
        assert_eq!(number(&open["amount_due"]), due);
        assert_eq!(open["status"], if due == 0 { "paid" } else { "open" });
        assert_eq!(number(&world.get(&format!("/v1/customers/{customer}")).await["balance"]), balance);
    }
}

#[tokio::test]
async fn without_an_address_automatic_tax_stops_the_finalization() {
    let world = World::start().await;
    let customer = world.customer().await;
    world.post("/v1/invoiceitems", &[("customer", customer.as_str()), ("amount", "1000"), ("currency", "usd")]).await;
    let form = [
        ("customer", customer.as_str()),
        ("pending_invoice_items_behavior", "include"),
        ("automatic_tax[enabled]", "true"),
    ];
    let draft = world.post("/v1/invoices", &form).await;
    assert_eq!(draft["automatic_tax"]["status"], "requires_location_inputs");
    let path = format!("/v1/invoices/{}", id(&draft));
    let error = world.refused(400, &format!("{path}/finalize"), &[]).await;
    assert_eq!(error["code"], "customer_tax_location_invalid");
    let kept = world.get(&path).await;
    assert_eq!(kept["last_finalization_error"]["code"], "customer_tax_location_invalid");
    assert!(world.event_types().await.contains(&"invoice.finalization_failed".to_owned()));
    world.post(&format!("/v1/customers/{customer}"), &[("address[country]", "DE")]).await;
    let open = world.post(&format!("{path}/finalize"), &[]).await;
    assert_eq!((number(&open["total"]), number(&open["total_taxes"][0]["amount"])), (1190, 190));
    assert!(open["last_finalization_error"].is_null());
    let void = world.post(&format!("{path}/void"), &[]).await;
    assert_eq!(void["status"], "void");
}

#[tokio::test]
async fn an_invoice_tells_of_ten_lines_and_the_rest_is_listed() {
    let world = World::start().await;
    let customer = world.customer().await;
    for _ in 0..12 {
        let form = [("customer", customer.as_str()), ("amount", "100"), ("currency", "usd")];
        world.post("/v1/invoiceitems", &form).await;
    }
    let form = [("customer", customer.as_str()), ("pending_invoice_items_behavior", "include")];
    let draft = world.post("/v1/invoices", &form).await;
    assert_eq!((amounts(&draft).len(), number(&draft["total"])), (10, 1200));
    assert_eq!(draft["lines"]["has_more"], true);
    let last = id(&list(&draft["lines"])[9]);
    let rest = world.get(&format!("/v1/invoices/{}/lines?starting_after={last}", id(&draft))).await;
    assert_eq!((list(&rest).len(), rest["has_more"].as_bool()), (2, Some(false)));
}
