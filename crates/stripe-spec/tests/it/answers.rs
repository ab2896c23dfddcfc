use serde_json::{Value, json};
use tenantry_stripe_spec::{Spec, answer_differences};

use crate::only;

/// Where the sample objects of the resources that are read are answers.
const SAMPLES: &[(&str, &str, &str)] = &[
    ("customer", "GET", "/v1/customers/cus_1"),
    ("deleted_customer", "GET", "/v1/customers/cus_1"),
    ("subscription", "GET", "/v1/subscriptions/sub_1"),
    ("subscription", "DELETE", "/v1/subscriptions/sub_1"),
    ("subscription_schedule", "POST", "/v1/subscription_schedules"),
    ("invoice", "POST", "/v1/invoices/create_preview"),
    ("invoiceitem", "POST", "/v1/invoiceitems"),
    ("deleted_invoiceitem", "DELETE", "/v1/invoiceitems/ii_1"),
    ("checkout.session", "POST", "/v1/checkout/sessions"),
    ("billing_portal.configuration", "POST", "/v1/billing_portal/configurations"),
    ("billing_portal.session", "POST", "/v1/billing_portal/sessions"),
    ("product", "POST", "/v1/products"),
    ("price", "POST", "/v1/prices"),
    ("payment_method", "POST", "/v1/payment_methods/pm_1/attach"),
    ("billing.meter", "POST", "/v1/billing/meters"),
    ("billing.meter_event", "POST", "/v1/billing/meter_events"),
    ("event", "GET", "/v1/events/evt_1"),
];

#[test]
fn stripes_own_samples_are_good() {
    let Some(spec) = Spec::or_ignore("stripes_own_samples_are_good") else { return };
    for (name, method, path) in SAMPLES {
        let sample = spec.fixture(name).unwrap();
        assert_eq!(spec.check_response(method, path, 200, sample), [], "{name}");
    }
    let error = json!({"error": {"type": "card_error", "code": "card_declined", "message": "No."}});
    assert_eq!(spec.check_response_strictly("POST", "/v1/invoices/in_1/pay", 402, &error), []);
}

type Mutation = fn(&mut Value);

#[test]
fn each_mutation_of_an_answer_is_caught() {
    let Some(spec) = Spec::or_ignore("each_mutation_of_an_answer_is_caught") else { return };
    let good = spec.fixture("subscription").unwrap();
    let mutations: &[(Mutation, &str)] = &[
        (|it| drop(it.as_object_mut().unwrap().remove("status")), "status: is missing"),
        (|it| it["status"] = json!("activ"), "status: \"activ\" is none of"),
        (|it| it["created"] = json!("1"), "created: is a text, not integer"),
        (|it| it["created"] = json!(1.5), "created: is a number, not integer"),
        (|it| it["cancel_at_period_end"] = json!(0), "cancel_at_period_end: is a number, not boolean"),
        (|it| it["cancel_at_period_end"] = Value::Null, "cancel_at_period_end: is null, not boolean"),
        (|it| it["metadata"]["a"] = json!(1), "metadata.a: is a number, not string"),
        (|it| it["metadata"] = json!([]), "metadata: is a list, not object"),
        (|it| it["items"]["data"] = json!({}), "items.data: is an object, not array"),
        (|it| it["items"]["data"][0]["price"]["type"] = json!("x"), "items.data[0].price.type: \"x\" is none of"),
        (
            |it| drop(it["items"]["data"][0].as_object_mut().unwrap().remove("current_period_end")),
            "items.data[0].current_period_end: is missing",
        ),
        (|it| it["customer"] = json!({"object": "customer", "id": "cus_1"}), "customer.created: is missing"),
        (|it| it["object"] = json!("subscriptions"), "object: \"subscriptions\" is none of"),
    ];
    for (mutate, problem) in mutations {
        let mut mutated = good.clone();
        mutate(&mut mutated);
        let violations = spec.check_response("GET", "/v1/subscriptions/sub_1", 200, &mutated);
        let first = violations.first().unwrap_or_else(|| panic!("not caught: {problem}")).to_string();
        assert!(first.starts_with(problem), "{problem}: {violations:?}");
    }
}

#[test]
fn unknown_fields_are_violations_where_that_is_asked_for() {
    let Some(spec) = Spec::or_ignore("unknown_fields_are_violations_where_that_is_asked_for") else { return };
    let mut answer = spec.fixture("price").unwrap().clone();
    assert_eq!(spec.check_response_strictly("GET", "/v1/prices/price_1", 200, &answer), []);
    answer["recurring"]["colour"] = json!("red");
    assert_eq!(spec.check_response("GET", "/v1/prices/price_1", 200, &answer), []);
    let violations = spec.check_response_strictly("GET", "/v1/prices/price_1", 200, &answer);
    assert_eq!(only(&violations), "recurring.colour: is unknown");
}

#[test]
fn expanded_ids_are_checked_as_what_they_are() {
    let Some(spec) = Spec::or_ignore("expanded_ids_are_checked_as_what_they_are") else { return };
    let mut answer = spec.fixture("subscription").unwrap().clone();
    for (field, sample) in [("customer", "customer"), ("latest_invoice", "invoice"), ("customer", "deleted_customer")] {
        answer[field] = spec.fixture(sample).unwrap().clone();
        assert_eq!(spec.check_response("GET", "/v1/subscriptions/sub_1", 200, &answer), [], "{field} {sample}");
    }
    answer["latest_invoice"]["status"] = json!("sent");
    let violations = spec.check_response("GET", "/v1/subscriptions/sub_1", 200, &answer);
    assert!(only(&violations).starts_with("latest_invoice.status: \"sent\" is none of"), "{violations:?}");
    answer["latest_invoice"] = json!(5);
    assert_eq!(
        only(&spec.check_response("GET", "/v1/subscriptions/sub_1", 200, &answer)),
        "latest_invoice: is a number, not string"
    );
}

#[test]
fn what_the_pinned_version_answers_is_good() {
    let Some(spec) = Spec::or_ignore("what_the_pinned_version_answers_is_good") else { return };
    let mut item = spec.fixture("invoiceitem").unwrap().clone();
    item.as_object_mut().unwrap().remove("quantity_decimal");
    assert_eq!(spec.check_response("POST", "/v1/invoiceitems", 200, &item), []);
    let mut session = spec.fixture("checkout.session").unwrap().clone();
    session["ui_mode"] = json!("hosted");
    assert_eq!(spec.check_response("POST", "/v1/checkout/sessions", 200, &session), []);
    session["ui_mode"] = json!("page");
    assert_eq!(spec.check_response("POST", "/v1/checkout/sessions", 200, &session).len(), 1);
}

#[test]
fn every_difference_of_answers_names_a_schema() {
    let Some(spec) = Spec::or_ignore("every_difference_of_answers_names_a_schema") else { return };
    for difference in answer_differences() {
        assert!(!difference.reason.is_empty(), "{difference:?}");
        assert!(spec.has_schema(difference.schema), "{difference:?}");
    }
}

#[test]
fn lists_errors_and_objects_of_events_are_checked() {
    let Some(spec) = Spec::or_ignore("lists_errors_and_objects_of_events_are_checked") else { return };
    let list = |data: Value| json!({"object": "list", "url": "/v1/prices", "has_more": false, "data": data});
    let price = spec.fixture("price").unwrap();
    assert_eq!(spec.check_response("GET", "/v1/prices?limit=1", 200, &list(json!([price]))), []);
    let violations = spec.check_response("GET", "/v1/prices", 200, &list(json!([{"object": "price"}])));
    assert!(violations.iter().any(|found| found.to_string() == "data[0].id: is missing"), "{violations:?}");
    let error = spec.check_response("GET", "/v1/prices/p", 404, &json!({"error": {"type": "missing"}}));
    assert!(only(&error).starts_with("error.type: \"missing\" is none of"), "{error:?}");
    assert_eq!(spec.check_object(price), []);
    assert_eq!(only(&spec.check_object(&json!({"object": "prize"}))), "object: the document has no \"prize\"");
    assert!(!spec.check_object(&json!({"object": "price"})).is_empty());
    let fixture = spec.fixture("invoice").unwrap();
    assert_eq!(spec.check_object(fixture), []);
}
