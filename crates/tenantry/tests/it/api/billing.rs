//! Billing over HTTP where Stripe is out of reach, and the webhook's door.

use serde_json::{Value, json};
use tenantry::billing::catalog_store;
use tenantry_domain::plan::{Catalog, Plan};
use tenantry_stripe::signature;

use super::world::{Answer, App, WEBHOOK_SECRET, send};
use crate::metering::world::catalog;

async fn checkout(app: &App, bearer: &str, key: Option<&str>) -> Answer {
    let request = app.request("POST", "/api/billing/checkout").bearer_auth(bearer).json(&json!({ "planId": "pro" }));
    send(match key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    })
    .await
}

/// The catalog as if it were at Stripe.
async fn with_prices(app: &App) {
    let sql = "insert into tenantry.stripe_prices
               values ('price_1', 'tenantry_pro', 'pro', 'month', 'usd', 2900, true, now())";
    app.admin.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn what_cannot_reach_stripe_is_written_down_and_told_by_its_id() {
    let app = App::new().await;
    with_prices(&app).await;
    let (id, token) = app.user().await;
    let first = checkout(&app, &token, Some("k1")).await;
    assert_eq!((first.status, first.code()), (503, "stripe_unavailable"), "{first:?}");
    assert!(first.headers.contains_key("retry-after"));
    let operation = first.body["operationId"].as_str().unwrap().to_owned();
    let path = format!("/api/billing/operations/{operation}");
    let told = app.get(&token, &path).await;
    assert_eq!((told.status, &told.body["operation"]["status"]), (200, &json!("running")), "{told:?}");
    // Nobody else learns of it.
    let (_, stranger) = app.user().await;
    assert_eq!(app.get(&stranger, &path).await.status, 404);
    // One at a time; the subscription is as it was.
    let cancel = app.call(&token, "POST", "/api/billing/cancel", &json!({})).await;
    assert_eq!((cancel.status, cancel.code()), (409, "operation_in_progress"));
    let subscription = app.get(&token, "/api/billing/subscription").await;
    assert_eq!(subscription.body["subscription"]["planId"], "free");
    let stored = app.count(&format!("select count(*) from tenantry.billing_operations where tenant_id = '{id}'")).await;
    assert_eq!(stored, 1);
    let deeds = "select count(*) from tenantry.billing_events where type = 'billing.checkout_requested'";
    assert_eq!(app.count(deeds).await, 1);
}

#[tokio::test]
async fn plans_that_cannot_be_had_are_refused_before_anything_is_written() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    for (path, body, status, code) in [
        ("checkout", json!({ "planId": "nope" }), 400, "unknown_plan_or_interval"),
        ("checkout", json!({ "planId": "pro", "billingInterval": "year" }), 400, "unknown_plan_or_interval"),
        ("checkout", json!({ "planId": "pro", "tenantId": "x" }), 422, "validation_failed"),
        ("upgrade", json!({ "newPlanId": "pro" }), 409, "checkout_required"),
        ("downgrade", json!({ "newPlanId": "free" }), 409, "checkout_required"),
        (
            "downgrade",
            json!({ "newPlanId": "free", "prorationDate": "2026-01-01T00:00:00Z" }),
            422,
            "validation_failed",
        ),
        ("upgrade", json!({ "newPlanId": "pro", "prorationDate": "2999-01-01T00:00:00Z" }), 422, "validation_failed"),
        ("preview", json!({ "newPlanId": "pro" }), 409, "checkout_required"),
        ("cancel", json!({}), 409, "checkout_required"),
        ("resume", json!({}), 409, "checkout_required"),
        ("portal", json!({}), 409, "checkout_required"),
    ] {
        let answer = app.call(&token, "POST", &format!("/api/billing/{path}"), &body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path} {body}");
    }
    assert_eq!(app.count("select count(*) from tenantry.billing_operations").await, 0);
}

#[tokio::test]
async fn only_stripe_gets_an_event_in_and_each_event_once() {
    let app = App::new().await;
    let event = json!({ "id": "evt_1", "object": "event", "type": "some.new_type", "created": 1_700_000_000,
                        "data": { "object": { "id": "x_1", "object": "x" } } })
    .to_string();
    let deliver = async |body: &str, header: Option<String>| -> Answer {
        let request = app.request("POST", "/api/webhooks/stripe").body(body.to_owned());
        send(match header {
            Some(header) => request.header("stripe-signature", header),
            None => request,
        })
        .await
    };
    let now = app.env.clock.now();
    let sign = |body: &str, secret: &str, at| Some(signature::sign(body.as_bytes(), &secret.to_owned().into(), at));
    let old = now.checked_sub(jiff::SignedDuration::from_mins(6)).unwrap();
    for (what, header) in [
        ("no signature", None),
        ("garbage", Some("garbage".to_owned())),
        ("another secret", sign(&event, "whsec_other", now)),
        ("an old one", sign(&event, WEBHOOK_SECRET, old)),
        ("of another body", sign("{}", WEBHOOK_SECRET, now)),
    ] {
        let answer = deliver(&event, header).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_signature"), "{what}");
    }
    for body in ["", "nonsense", "[]", "{}"] {
        let answer = deliver(body, sign(body, WEBHOOK_SECRET, now)).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_json"), "{body}");
    }
    let huge = format!("{{\"id\": \"{}\"}}", "x".repeat(9 * 1024 * 1024));
    assert_eq!(deliver(&huge, sign(&huge, WEBHOOK_SECRET, now)).await.status, 413);
    assert_eq!(app.count("select count(*) from tenantry.stripe_events").await, 0, "something was stored");
    for _ in 0..2 {
        assert_eq!(deliver(&event, sign(&event, WEBHOOK_SECRET, now)).await.status, 200);
    }
    let row = app.admin.query_one("select type, payload from tenantry.stripe_events", &[]).await.unwrap();
    let (kind, payload): (String, Value) = (row.get(0), row.get(1));
    assert_eq!((kind.as_str(), payload["id"].as_str()), ("some.new_type", Some("evt_1")));
}

#[tokio::test]
async fn a_plan_with_too_few_places_is_refused_with_the_figures() {
    let app = App::new().await;
    with_prices(&app).await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    for _ in 0..2 {
        app.member(&owner, acme, "member").await;
    }
    let plans = catalog().plans().iter().map(|plan| Plan { max_members: Some(2), ..plan.clone() }).collect();
    catalog_store::load(&app.db, &app.env, &Catalog::new(plans).unwrap()).await.unwrap();
    let wanted = json!({ "planId": "pro" });
    let refused = app.within(&owner, acme, "POST", "/api/billing/checkout", &wanted).await;
    assert_eq!((refused.status, refused.code()), (400, "plan_change_not_allowed"), "{refused:?}");
    assert_eq!((&refused.body["maxMembers"], &refused.body["members"]), (&json!(2), &json!(3)));
    assert_eq!(app.count("select count(*) from tenantry.billing_operations").await, 0);
}

#[tokio::test]
async fn plans_say_how_many_members_there_may_be() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    let plans = app.get(&token, "/api/billing/plans").await;
    assert_eq!(plans.body["data"][0]["maxMembers"], Value::Null, "{plans:?}");
    assert!(plans.body["data"][0].as_object().unwrap().contains_key("maxMembers"));
}
