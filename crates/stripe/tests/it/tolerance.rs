//! Older and newer shapes, and what nobody knows yet.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_stripe::checkout_sessions::CheckoutSession;
use tenantry_stripe::customers::Customer;
use tenantry_stripe::events::Event;
use tenantry_stripe::invoice_items::InvoiceItem;
use tenantry_stripe::invoice_lines::InvoiceLine;
use tenantry_stripe::invoice_payments::InvoicePayment;
use tenantry_stripe::invoices::Invoice;
use tenantry_stripe::meters::{Meter, MeterEvent};
use tenantry_stripe::payment_methods::PaymentMethod;
use tenantry_stripe::prices::Price;
use tenantry_stripe::products::Product;
use tenantry_stripe::schedules::Schedule;
use tenantry_stripe::subscriptions::{Subscription, SubscriptionStatus};
use tenantry_stripe::{Expandable, FromJson as _};
use tenantry_stripe_spec::Spec;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn subscription() -> Value {
    json!({
        "id": "sub_1", "object": "subscription", "status": "active", "customer": "cus_1",
        "items": {"object": "list", "has_more": false, "data": [
            {"id": "si_1", "price": {"id": "price_1", "currency": "usd"}, "current_period_start": 1, "current_period_end": 2},
        ]},
    })
}

fn invoice() -> Value {
    json!({
        "id": "in_1", "object": "invoice", "currency": "usd", "subtotal": 1, "total": 2, "amount_due": 3,
        "amount_paid": 4, "amount_remaining": 5,
    })
}

/// Puts fields that nobody knows into every object, at every depth, and words that nobody knows in place of others.
/// Maps of the caller's own texts stay what they are in every version.
fn from_the_future(value: &mut Value) {
    const WORDS: &[&str] =
        &["status", "billing_reason", "collection_method", "interval", "usage_type", "mode", "type", "end_behavior"];
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(from_the_future),
        Value::Object(members) => {
            for (name, value) in
                members.iter_mut().filter(|(name, _)| !["metadata", "payload"].contains(&name.as_str()))
            {
                from_the_future(value);
                if value.is_string() && WORDS.contains(&name.as_str()) {
                    *value = json!("something_new");
                }
            }
            members.insert("brand_new".to_owned(), json!({"nested": [1, null, {"deep": 0.5}]}));
        }
        _ => {}
    }
}

fn newer(name: &str) -> Option<Value> {
    let mut sample = Spec::or_ignore("a newer version is harmless")?.fixture(name).unwrap().clone();
    from_the_future(&mut sample);
    Some(sample)
}

#[test]
fn what_is_not_known_yet_is_harmless() {
    let Some(subscription) = newer("subscription") else { return };
    let read = Subscription::from_json(&subscription).unwrap();
    assert_eq!(read.status, SubscriptionStatus::Other("something_new".to_owned()));
    assert!(!read.status.is_terminal());
    assert_eq!(read.raw["brand_new"]["nested"][2]["deep"], 0.5);
    let price = &read.items.data[0].price;
    assert_eq!(price.recurring.as_ref().unwrap().interval.as_str(), "something_new");
    assert_eq!(price.raw["brand_new"]["nested"][0], 1);
    let read = Invoice::from_json(&newer("invoice").unwrap()).unwrap();
    assert_eq!(read.status.unwrap().as_str(), "something_new");
    for (name, can_be_read) in [
        ("customer", Customer::from_json(&newer("customer").unwrap()).is_ok()),
        ("product", Product::from_json(&newer("product").unwrap()).is_ok()),
        ("price", Price::from_json(&newer("price").unwrap()).is_ok()),
        ("subscription_schedule", Schedule::from_json(&newer("subscription_schedule").unwrap()).is_ok()),
        ("line_item", InvoiceLine::from_json(&newer("line_item").unwrap()).is_ok()),
        ("invoiceitem", InvoiceItem::from_json(&newer("invoiceitem").unwrap()).is_ok()),
        ("invoice_payment", InvoicePayment::from_json(&newer("invoice_payment").unwrap()).is_ok()),
        ("checkout.session", CheckoutSession::from_json(&newer("checkout.session").unwrap()).is_ok()),
        ("payment_method", PaymentMethod::from_json(&newer("payment_method").unwrap()).is_ok()),
        ("billing.meter", Meter::from_json(&newer("billing.meter").unwrap()).is_ok()),
        ("billing.meter_event", MeterEvent::from_json(&newer("billing.meter_event").unwrap()).is_ok()),
        ("event", Event::from_json(&newer("event").unwrap()).is_ok()),
    ] {
        assert!(can_be_read, "{name}");
    }
}

#[test]
fn a_word_that_is_not_known_is_kept_and_sent_as_it_is() {
    let word = SubscriptionStatus::from("waiting_for_godot");
    assert_eq!((word.as_str(), word.to_string()), ("waiting_for_godot", word.as_str().to_owned()));
    assert_eq!(serde_json::to_value(&word).unwrap(), "waiting_for_godot");
    assert_eq!(SubscriptionStatus::from("past_due"), SubscriptionStatus::PastDue);
    assert_eq!(serde_json::to_value(SubscriptionStatus::PastDue).unwrap(), "past_due");
}

#[test]
fn a_period_is_the_items_or_in_older_versions_the_subscriptions() {
    let mut json = subscription();
    json["current_period_start"] = json!(10);
    json["current_period_end"] = json!(20);
    let period = |json: &Value| {
        let read = Subscription::from_json(json).unwrap();
        read.period_of(&read.items.data[0])
    };
    assert_eq!(period(&json), Some((at(1), at(2))));
    json["items"]["data"][0]["current_period_end"] = Value::Null;
    assert_eq!(period(&json), Some((at(10), at(20))));
    json["current_period_end"] = Value::Null;
    assert_eq!(period(&json), None);
}

#[test]
fn a_pending_cancel_shows_in_either_field_until_it_has_happened() {
    for (fields, pending) in [
        (json!({}), false),
        (json!({"cancel_at_period_end": true}), true),
        (json!({"cancel_at": 5}), true),
        (json!({"cancel_at": 5, "cancel_at_period_end": true}), true),
        (json!({"cancel_at": 5, "cancel_at_period_end": true, "status": "canceled"}), false),
        (json!({"cancel_at": 5, "status": "incomplete_expired"}), false),
        (json!({"cancel_at": 5, "status": "something_new"}), true),
    ] {
        let mut json = subscription();
        json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(Subscription::from_json(&json).unwrap().is_cancel_pending(), pending, "{fields}");
    }
}

#[test]
fn an_invoice_names_its_subscription_in_either_place() {
    let subscription_of = |fields: Value| {
        let mut json = invoice();
        json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let read = Invoice::from_json(&json).unwrap();
        (read.subscription_id().map(str::to_owned), read.subscription_details().map(|details| details.metadata.clone()))
    };
    let notes = || Some([("tenant_id".to_owned(), "t_1".to_owned())].into());
    let details = json!({"subscription": "sub_new", "metadata": {"tenant_id": "t_1"}});
    let parent = json!({"type": "subscription_details", "subscription_details": details, "quote_details": null});
    let new = Some("sub_new".to_owned());
    assert_eq!(subscription_of(json!({})), (None, None));
    assert_eq!(subscription_of(json!({"parent": parent})), (new.clone(), notes()));
    assert_eq!(subscription_of(json!({"parent": parent, "subscription": "sub_old"})), (new, notes()));
    assert_eq!(subscription_of(json!({"subscription": "sub_old"})), (Some("sub_old".to_owned()), None));
    assert_eq!(subscription_of(json!({"subscription": subscription()})), (Some("sub_1".to_owned()), None));
    assert_eq!(subscription_of(json!({"parent": {"type": "something_new"}})), (None, None));
}

#[test]
fn ids_may_be_expanded() {
    let mut json = subscription();
    json["customer"] = json!({"id": "cus_1", "object": "customer", "deleted": true});
    json["latest_invoice"] = invoice();
    json["default_payment_method"] = json!("pm_1");
    json["items"]["data"][0]["price"]["product"] = json!({"id": "prod_1", "name": "Pro"});
    let read = Subscription::from_json(&json).unwrap();
    assert!(read.customer.object().unwrap().deleted);
    assert_eq!(read.latest_invoice.as_ref().unwrap().object().unwrap().amount_due, 3);
    assert_eq!(read.default_payment_method, Some(Expandable::Id("pm_1".to_owned())));
    let product = read.items.data[0].price.product.as_ref().unwrap();
    assert_eq!((product.id(), product.object().unwrap().name.as_deref()), ("prod_1", Some("Pro")));
    json["latest_invoice"] = json!(5);
    assert_eq!(Subscription::from_json(&json).unwrap_err().to_string(), "latest_invoice is not an object");
    json["latest_invoice"] = json!({"id": "in_1"});
    assert_eq!(Subscription::from_json(&json).unwrap_err().to_string(), "latest_invoice.currency is not there");
}

#[test]
fn a_line_names_its_price_in_either_place() {
    let line = |fields: Value| {
        let mut json = json!({"id": "il_1", "amount": 5, "currency": "usd"});
        json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        InvoiceLine::from_json(&json).unwrap()
    };
    let new = json!({"pricing": {"type": "price_details", "price_details": {"price": "price_1", "product": "prod_1"}}});
    assert_eq!(line(new).price_id(), Some("price_1"));
    assert_eq!(line(json!({"price": {"id": "price_2"}})).price_id(), Some("price_2"));
    assert_eq!(line(json!({})).price_id(), None);
    let parent = json!({"parent": {"type": "subscription_item_details", "invoice_item_details": null,
        "subscription_item_details": {"subscription_item": "si_1", "proration": true, "invoice_item": "ii_1"}}});
    let read = line(parent);
    assert_eq!(
        (read.subscription_item(), read.invoice_item(), read.is_proration()),
        (Some("si_1"), Some("ii_1"), true)
    );
}

#[test]
fn events_of_every_age_are_read() {
    let old = r#"{"id": "evt_1", "type": "x.y", "created": 5, "api_version": "2014-01-01", "request": "req_1",
        "data": {"object": {"object": "balance"}}}"#;
    let read = Event::parse(old.as_bytes()).unwrap();
    assert_eq!(read.request.as_ref().unwrap().id.as_deref(), Some("req_1"));
    assert_eq!(read.subject(), None, "a balance has no id");
    let today = r#"{"id": "evt_2", "object": "event", "type": "invoice.paid", "created": 5, "livemode": true,
        "api_version": "2026-10-28.endive", "request": {"id": null, "idempotency_key": "op_1"},
        "data": {"object": {"object": "invoice", "id": "in_1"}, "previous_attributes": {"status": "open"}}}"#;
    let read = Event::parse(today.as_bytes()).unwrap();
    assert_eq!(read.subject(), Some(("invoice", "in_1")));
    assert_eq!(read.request.as_ref().unwrap().idempotency_key.as_deref(), Some("op_1"));
    assert_eq!(read.data.as_ref().unwrap().previous_attributes["status"], "open");
    let thin = r#"{"id": "evt_3", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
        "created": "2026-11-24T10:00:00.000Z", "livemode": false, "reason": null,
        "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"}}"#;
    let read = Event::parse(thin.as_bytes()).unwrap();
    assert_eq!(read.subject(), Some(("billing.meter", "mtr_1")));
    assert_eq!(read.created, Some("2026-11-24T10:00:00Z".parse().unwrap()));
    for (body, why) in [
        ("", "the answer is not JSON"),
        ("[]", "the answer is not an object"),
        ("{}", "id is not there"),
        (r#"{"id": "evt_1"}"#, "type is not there"),
        (r#"{"id": "evt_1", "type": null}"#, "type is not there"),
    ] {
        assert_eq!(Event::parse(body.as_bytes()).unwrap_err().to_string(), why, "{body}");
    }
}
