use tenantry_sandbox::DunningEnd;

use crate::world::{DAY, World, amounts, id, list, number, start_time, text};

#[tokio::test]
async fn a_renewal_is_a_draft_for_an_hour() {
    let world = World::start().await;
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[]).await;
    world.advance(31 * DAY).await;
    let draft = list(&world.get("/v1/invoices").await)[0].clone();
    assert_eq!((&draft["status"], &draft["billing_reason"]), (&"draft".into(), &"subscription_cycle".into()));
    let customer = text(&subscription["customer"]);
    let form = [
        ("customer", customer.as_str()),
        ("invoice", &id(&draft)),
        ("unit_amount_decimal", "2.5"),
        ("quantity", "1001"),
        ("description", "compute minutes"),
    ];
    assert_eq!(number(&world.post("/v1/invoiceitems", &form).await["amount"]), 2503);
    world.advance(3600).await;
    let paid = world.get(&format!("/v1/invoices/{}", id(&draft))).await;
    assert_eq!((text(&paid["status"]), amounts(&paid)), ("paid".to_owned(), vec![2900, 2503]));
    assert_eq!(world.refused(400, "/v1/invoiceitems", &form).await["param"], "invoice");
    assert!(world.event_types().await.contains(&"invoice.upcoming".to_owned()));
}

#[tokio::test]
async fn retries_come_after_three_five_and_seven_days_and_then_it_ends() {
    for (end, status) in
        [(DunningEnd::Cancel, "canceled"), (DunningEnd::Unpaid, "unpaid"), (DunningEnd::PastDue, "past_due")]
    {
        let world = World::start().await;
        world.control.set_dunning_end(end).await;
        let pro = world.price("Pro", "2900", "month").await;
        let subscription = world.subscribed(&pro, &[]).await;
        let customer = text(&subscription["customer"]);
        let path = format!("/v1/subscriptions/{}", id(&subscription));
        let bad = world.post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", &[("customer", &customer)]).await;
        world.post(&path, &[("default_payment_method", &id(&bad))]).await;
        world.advance(31 * DAY + 3600).await;
        assert_eq!(world.get(&path).await["status"], "past_due");
        let invoice = format!("/v1/invoices/{}", text(&world.get(&path).await["latest_invoice"]));
        let mut attempts = Vec::new();
        for days in [3, 5, 7] {
            attempts.push(number(&world.get(&invoice).await["attempt_count"]));
            world.advance(days * DAY).await;
        }
        assert_eq!(attempts, [1, 2, 3]);
        let last = world.get(&invoice).await;
        assert_eq!(number(&last["attempt_count"]), 4);
        assert!(last["next_payment_attempt"].is_null());
        assert_eq!(world.get(&path).await["status"], status);
    }
}

#[tokio::test]
async fn a_paid_retry_makes_it_active_again() {
    let world = World::start().await;
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[]).await;
    let customer = text(&subscription["customer"]);
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let bad = world.post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", &[("customer", &customer)]).await;
    world.post(&path, &[("default_payment_method", &id(&bad))]).await;
    world.advance(31 * DAY + 3600).await;
    let invoice = text(&world.get(&path).await["latest_invoice"]);
    let error = world.refused(402, &format!("/v1/invoices/{invoice}/pay"), &[]).await;
    assert_eq!(error["decline_code"], "generic_decline");
    let paid = world.post(&format!("/v1/invoices/{invoice}/pay"), &[("paid_out_of_band", "true")]).await;
    assert_eq!(paid["status"], "paid");
    assert_eq!(world.get(&path).await["status"], "active");
    let types = world.event_types().await;
    let last = types.iter().rposition(|kind| kind == "invoice.paid").unwrap();
    assert!(!types[last..].contains(&"invoice.payment_succeeded".to_owned()));
}

#[tokio::test]
async fn trials_warn_and_end_as_they_were_told() {
    for (behavior, status) in [("cancel", "canceled"), ("pause", "paused"), ("create_invoice", "active")] {
        let world = World::start().await;
        let pro = world.price("Pro", "2900", "month").await;
        let customer = world.customer().await;
        let form = [
            ("customer", customer.as_str()),
            ("items[0][price]", &pro),
            ("trial_period_days", "14"),
            ("trial_settings[end_behavior][missing_payment_method]", behavior),
        ];
        let path = format!("/v1/subscriptions/{}", id(&world.post("/v1/subscriptions", &form).await));
        world.advance(11 * DAY).await;
        assert!(world.event_types().await.contains(&"customer.subscription.trial_will_end".to_owned()));
        world.advance(3 * DAY).await;
        assert_eq!(world.get(&path).await["status"], status);
        if status == "paused" {
            let attach = world.post("/v1/payment_methods/pm_card_visa/attach", &[("customer", &customer)]).await;
            world.post(&path, &[("default_payment_method", &id(&attach))]).await;
            assert_eq!(world.post(&format!("{path}/resume"), &[]).await["status"], "active");
        }
    }
}

#[tokio::test]
async fn an_unpaid_first_invoice_expires_after_23_hours() {
    let world = World::start().await;
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[("payment_behavior", "default_incomplete")]).await;
    assert_eq!(subscription["status"], "incomplete");
    world.advance(23 * 3600).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    assert_eq!(world.get(&path).await["status"], "incomplete_expired");
    let invoice = world.get(&format!("/v1/invoices/{}", text(&subscription["latest_invoice"]))).await;
    assert_eq!(invoice["status"], "void");
}

#[tokio::test]
async fn the_clock_goes_forward_only_and_real_time_counts_too() {
    let world = World::start().await;
    assert!(world.control.advance(-1).await.is_err());
    assert!(world.control.advance(100 * 366 * DAY).await.is_err());
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[]).await;
    world.advance(20 * DAY).await;
    world.real_time_passes(12 * DAY);
    let clock = world.control.clock();
    assert_eq!((clock.offset_seconds, clock.now.as_second()), (20 * DAY, start_time().as_second() + 32 * DAY));
    let renewed = world.get(&format!("/v1/subscriptions/{}", id(&subscription))).await;
    assert_eq!(number(&renewed["items"]["data"][0]["current_period_start"]), start_time().as_second() + 31 * DAY);
}

#[tokio::test]
async fn the_hook_hears_of_the_clock_before_anything_happens() {
    use std::sync::{Arc, Mutex};
    use tenantry_sandbox::{OnClock, Sandbox, Settings, Source};
    let heard = Arc::new(Mutex::new(Vec::new()));
    let tells = Arc::clone(&heard);
    let on_clock = OnClock::new(move |offset| {
        tells.lock().unwrap().push(offset);
        std::future::ready(())
    });
    let sandbox = Sandbox::start(Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        secret_key: "sk_test".to_owned().into(),
        webhook: None,
        state_file: None,
        source: Source::fixed(start_time(), 1),
        on_clock: Some(on_clock),
    })
    .await
    .unwrap();
    sandbox.control().advance(5).await.unwrap();
    sandbox.control().advance(7).await.unwrap();
    assert_eq!(*heard.lock().unwrap(), [5, 12]);
    sandbox.stop().await;
}
