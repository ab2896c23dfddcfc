use serde_json::{Value, json};
use tenantry_stripe::{StripeError, invoices};
use tenantry_stripe_spec::Spec;

use crate::world::{Told, World, key};

async fn refused(status: u16, error: &Value) -> StripeError {
    if let Some(spec) = Spec::or_ignore("errors have the form that the document gives them") {
        let body = json!({"error": error});
        let violations = spec.check_response("POST", "/v1/invoices/in_1/pay", status, &body);
        // The payment that a card error carries is shortened here.
        let others: Vec<_> =
            violations.into_iter().filter(|found| !found.place.starts_with("error.payment_intent")).collect();
        assert_eq!(others, []);
    }
    let world = World::new().await;
    world.tell(vec![Told::json(status, &json!({"error": error})).header("request-id", "req_1"); 3]);
    world.client().post(&invoices::Pay { id: "in_1", ..Default::default() }, &key("op_1")).await.unwrap_err()
}

#[tokio::test]
async fn a_declined_card_tells_what_the_user_has_to_know() {
    let error = refused(
        402,
        &json!({
            "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
            "message": "Your card has insufficient funds.", "charge": "ch_1",
            "payment_intent": {"id": "pi_1", "object": "payment_intent", "status": "requires_payment_method", "invoice": "in_1"},
        }),
    )
    .await;
    let StripeError::Card(refusal) = &error else { panic!("{error:?}") };
    assert_eq!(refusal.decline_code.as_deref(), Some("insufficient_funds"));
    assert_eq!(refusal.message, "Your card has insufficient funds.");
    assert_eq!((refusal.payment_intent.as_deref(), refusal.invoice.as_deref()), (Some("pi_1"), Some("in_1")));
    assert_eq!(refusal.raw["charge"], "ch_1");
    assert_eq!((error.code(), error.status(), error.request_id()), (Some("card_declined"), Some(402), Some("req_1")));
    assert!(!error.is_retryable_later() && !error.is_outcome_unknown() && !error.is_missing());
    assert_eq!(
        error.to_string(),
        "the payment failed: Your card has insufficient funds. (code card_declined, decline code insufficient_funds, \
         status 402, request req_1)"
    );
}

#[tokio::test]
async fn each_kind_is_told_apart() {
    type Is = fn(&StripeError) -> bool;
    let kinds: &[(u16, &str, &str, Is, bool)] = &[
        (400, "invalid_request_error", "parameter_unknown", |it| matches!(it, StripeError::InvalidRequest(_)), false),
        (404, "invalid_request_error", "resource_missing", StripeError::is_missing, false),
        (400, "invalid_request_error", "resource_missing", StripeError::is_missing, false),
        (400, "idempotency_error", "x", |it| matches!(it, StripeError::Idempotency(_)), false),
        (400, "card_error", "card_declined", |it| matches!(it, StripeError::Card(_)), false),
        (402, "invalid_request_error", "x", |it| matches!(it, StripeError::Card(_)), false),
        (401, "invalid_request_error", "x", |it| matches!(it, StripeError::Authentication(_)), false),
        (403, "invalid_request_error", "x", |it| matches!(it, StripeError::Permission(_)), false),
        (409, "invalid_request_error", "lock_timeout", |it| matches!(it, StripeError::Conflict(_)), true),
        (409, "idempotency_error", "idempotency_key_in_use", |it| matches!(it, StripeError::Conflict(_)), true),
        (429, "invalid_request_error", "rate_limit", |it| matches!(it, StripeError::RateLimited(_)), true),
        (500, "api_error", "x", |it| matches!(it, StripeError::Server(_)), true),
        (503, "api_error", "x", |it| matches!(it, StripeError::Server(_)), true),
    ];
    for (status, kind, code, is, later) in kinds {
        let error = refused(*status, &json!({"type": kind, "code": code, "message": "No.", "param": "a[b]"})).await;
        assert!(is(&error), "{status} {kind} {code}: {error:?}");
        assert_eq!(error.is_retryable_later(), *later, "{error}");
        assert_eq!(error.is_outcome_unknown(), *status >= 500, "{error}");
        assert_eq!((error.status(), error.request_id(), error.code()), (Some(*status), Some("req_1"), Some(*code)));
        assert_eq!(error.refusal().unwrap().param.as_deref(), Some("a[b]"));
        assert!(error.to_string().contains("parameter a[b]"), "{error}");
    }
}

#[tokio::test]
async fn an_error_that_is_not_stripes_is_told_by_its_status() {
    for (status, body) in [(403, "<html>"), (404, ""), (502, "{}"), (429, r#"{"error": "slow down"}"#), (400, "[]")] {
        let world = World::new().await;
        world.tell(vec![Told { status, body: body.to_owned(), ..Told::default() }; 3]);
        let error =
            world.client().post(&invoices::Void { id: "in_1", ..Default::default() }, &key("op_1")).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert!(error.to_string().contains(&format!("Stripe gave no reason (status {status})")), "{error}");
    }
}
