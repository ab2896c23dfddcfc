use tenantry_stripe_spec::{Because, Spec, request_differences};

use crate::only;

const SUBSCRIPTION: &str = "/v1/subscriptions/sub_1";
const GOOD: &str = "items[0][id]=si_1&items[0][price]=price_1&items[0][quantity]=3&proration_behavior=always_invoice\
    &proration_date=1764000000&payment_behavior=error_if_incomplete&cancel_at_period_end=false&cancel_at=\
    &metadata[tenant_id]=t&metadata[gone]=&expand[0]=latest_invoice&trial_end=now";

#[test]
fn a_good_request_is_good() {
    let Some(spec) = Spec::or_ignore("a_good_request_is_good") else { return };
    assert_eq!(spec.check_request("POST", SUBSCRIPTION, GOOD), []);
    assert_eq!(spec.check_request("POST", "/v1/customers", ""), []);
    assert_eq!(
        spec.check_request("GET", "/v1/events", "delivery_success=false&types[0]=invoice.paid&created[gte]=1"),
        []
    );
    assert_eq!(spec.check_request("GET", "/v1/events", "created=1"), []);
    assert_eq!(spec.check_request("DELETE", SUBSCRIPTION, "invoice_now=true&prorate=false"), []);
    let event = "event_name=x&payload[anything]=1&payload[value]=25";
    assert_eq!(spec.check_request("POST", "/v1/billing/meter_events", event), []);
}

#[test]
fn each_mutation_of_a_request_is_caught() {
    let Some(spec) = Spec::or_ignore("each_mutation_of_a_request_is_caught") else { return };
    for (before, after, problem) in [
        ("items[0][price]", "items[0][prise]", "items[0][prise]: is unknown"),
        ("items[0][id]", "items[0][price_data][recurring][interval]=month&items[0][id]", "three"),
        ("metadata[tenant_id]", "metadate[tenant_id]", "metadate: is unknown"),
        ("metadata[tenant_id]=t", "metadata[a][b]=t", "metadata[a]: is a value; it is sent with members"),
        ("items[0][quantity]=3", "items[0][quantity]=three", "items[0][quantity]: \"three\" is no whole number"),
        ("items[0][quantity]=3", "items[0][quantity]=3.0", "items[0][quantity]: \"3.0\" is no whole number"),
        ("items[0][quantity]=3", "items[0][quantity]=", "items[0][quantity]: \"\" is no whole number"),
        (
            "always_invoice",
            "always",
            "proration_behavior: \"always\" is none of always_invoice, create_prorations, none",
        ),
        ("=false", "=no", "cancel_at_period_end: \"no\" is neither true nor false"),
        ("trial_end=now", "trial_end=later", "trial_end: \"later\" is none of now"),
        ("expand[0]", "expand[1]", "expand: is a list: its places are 0, 1, 2 and so on"),
        ("expand[0]=", "expand=", "expand: is a list; it is sent as a value"),
        ("items[0][id]", "items[id]", "items: is a list: its places are 0, 1, 2 and so on"),
    ] {
        let mutated = GOOD.replace(before, after);
        assert_ne!(mutated, GOOD, "{before} is not there");
        let violations = spec.check_request("POST", SUBSCRIPTION, &mutated);
        if problem == "three" {
            let places: Vec<&str> = violations.iter().map(|violation| violation.place.as_str()).collect();
            assert_eq!(places, ["items[0][price_data][currency]", "items[0][price_data][product]"]);
        } else {
            assert_eq!(only(&violations), problem, "{before} -> {after}");
        }
    }
}

#[test]
fn what_is_required_has_to_be_there_at_every_depth() {
    let Some(spec) = Spec::or_ignore("what_is_required_has_to_be_there_at_every_depth") else { return };
    for (path, form, missing) in [
        ("/v1/products", "active=true", "name"),
        ("/v1/prices", "product=prod_1", "currency"),
        ("/v1/prices", "currency=usd&recurring[interval_count]=1", "recurring[interval]"),
        ("/v1/prices", "currency=usd&tiers[0][up_to]=5&tiers[1][unit_amount]=1", "tiers[1][up_to]"),
        ("/v1/billing/meter_events", "event_name=x", "payload"),
        ("/v1/billing_portal/configurations", "", "features"),
        // The pinned version asks for more than the document.
        ("/v1/billing_portal/sessions", "return_url=x", "customer"),
        ("/v1/invoiceitems", "amount=1&currency=usd", "customer"),
    ] {
        assert_eq!(only(&spec.check_request("POST", path, form)), format!("{missing}: is required"), "{path} {form}");
    }
}

#[test]
fn texts_have_their_form_and_length() {
    let Some(spec) = Spec::or_ignore("texts_have_their_form_and_length") else { return };
    let price = |form: &str| spec.check_request("POST", "/v1/prices", &format!("product=prod_1&{form}"));
    assert_eq!(price("currency=usd&unit_amount_decimal=0.000000000001"), []);
    for (form, place) in [
        ("currency=USD", "currency"),
        ("currency=euro", "currency"),
        ("currency=usd&unit_amount_decimal=1e3", "unit_amount_decimal"),
        ("currency=usd&unit_amount_decimal=0.0000000000001", "unit_amount_decimal"),
        ("currency=usd&unit_amount_decimal=.5", "unit_amount_decimal"),
        (&format!("currency=usd&lookup_key={}", "x".repeat(201)), "lookup_key"),
    ] {
        let violations = price(form);
        assert!(violations.len() == 1 && violations[0].place == place, "{form}: {violations:?}");
    }
    let long = format!("/v1/prices/{}", "x".repeat(5001));
    assert_eq!(only(&spec.check_request("GET", &long, "")), "price: is longer than 5000 characters");
}

#[test]
fn paths_that_are_not_in_the_document_are_caught() {
    let Some(spec) = Spec::or_ignore("paths_that_are_not_in_the_document_are_caught") else { return };
    for (method, path) in [
        ("POST", "/v1/subscription"),
        ("POST", "/v1/subscriptions/sub_1/"),
        ("POST", "/v1/subscriptions//x"),
        ("PUT", "/v1/customers"),
        ("GET", "/v1/subscriptions/"),
        ("DELETE", "/v1/invoices/in_1/pay"),
    ] {
        let violations = spec.check_request(method, path, "");
        assert!(only(&violations).contains("the document has no"), "{method} {path}: {violations:?}");
    }
    // The literal path is meant, not an invoice called `create_preview`.
    let preview = spec.check_request("POST", "/v1/invoices/create_preview", "subscription=sub_1&preview_mode=next");
    assert_eq!(preview, []);
}

#[test]
fn what_the_pinned_version_does_not_have_is_caught_and_what_it_has_is_not() {
    let Some(spec) = Spec::or_ignore("what_the_pinned_version_does_not_have_is_caught_and_what_it_has_is_not") else {
        return;
    };
    for (path, form, refused) in [
        ("/v1/checkout/sessions", "ui_mode=hosted_page", Some("ui_mode")),
        ("/v1/checkout/sessions", "ui_mode=hosted", None),
        ("/v1/checkout/sessions", "line_items[0][metadata][a]=b", Some("line_items[0][metadata]")),
        ("/v1/checkout/sessions", "subscription_data[billing_mode][type]=flexible", None),
        (
            "/v1/checkout/sessions",
            "subscription_data[billing_mode][type]=flexible&subscription_data[billing_mode][flexible][proration_discounts]=itemized",
            Some("subscription_data[billing_mode][flexible]"),
        ),
        ("/v1/subscription_schedules/s", "phases[0][items][0][price]=p&phases[0][iterations]=2", None),
        (
            "/v1/subscription_schedules/s",
            "phases[0][items][0][price]=p&phases[0][iterations]=x",
            Some("phases[0][iterations]"),
        ),
        ("/v1/subscription_schedules/s", "phases[0][items][0][price]=p&phases[0][end_date]=5", None),
        ("/v1/invoices", "customer_account=acct_1", Some("customer_account")),
        ("/v1/subscriptions/s", "cancel_at=max_billed_until", Some("cancel_at")),
        ("/v1/subscriptions/s", "cancel_at=min_period_end", None),
        (
            "/v1/subscriptions/s",
            "payment_settings[payment_method_options][card][request_three_d_secure]=any",
            Some("payment_settings[payment_method_options]"),
        ),
    ] {
        let violations = spec.check_request("POST", path, form);
        let places: Vec<&str> = violations.iter().map(|violation| violation.place.as_str()).collect();
        assert_eq!(places, Vec::from_iter(refused), "{path} {form}: {violations:?}");
    }
    let payments = spec.check_request("GET", "/v1/invoice_payments", "invoice=in_1&created[gte]=1");
    assert_eq!(payments.len(), 1, "{payments:?}");
}

#[test]
fn every_difference_names_an_operation_of_the_document_and_has_a_reason() {
    let Some(spec) = Spec::or_ignore("every_difference_names_an_operation_of_the_document_and_has_a_reason") else {
        return;
    };
    for difference in request_differences() {
        assert!(!difference.reason.is_empty(), "{difference:?}");
        if let Because::OlderThanDocument(schema) = difference.because {
            assert!(serde_json::from_str::<serde_json::Value>(schema).is_ok(), "{difference:?}");
        }
        if let Some((method, path)) = difference.operation.split_once(' ') {
            let missing = spec.check_request(method, path, "").iter().any(|found| found.problem.contains("has no"));
            assert!(!missing, "{difference:?}");
        }
    }
}
