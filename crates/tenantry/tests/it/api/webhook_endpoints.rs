//! Webhook endpoints and notices over HTTP.

use serde_json::{Value, json};
use tenantry::notices::{Outbound, OutboundSettings};
use tenantry::worker;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::world::{App, WEBHOOKS, send};

const PATH: &str = "/api/webhook-endpoints";

async fn made(app: &App, token: &str, tenant: Uuid) -> (String, String) {
    let body = json!({ "url": "http://127.0.0.1:9/hooks", "eventTypes": ["payment.failed"] });
    let made = app.within(token, tenant, "POST", PATH, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made.body["webhookEndpoint"]["id"]), text(&made.body["secret"]))
}

/// Does what is due, sending included.
async fn work(app: &App) {
    let settings = OutboundSettings { smtp_url: None, mail_from: None, app_url: String::new(), webhooks: WEBHOOKS };
    let outbound = Outbound::new(&settings).unwrap();
    let never = CancellationToken::new();
    while worker::run_due(&app.db, &app.env, &never).await.unwrap()
        + worker::deliver_due(&app.db, &app.env, &outbound).await.unwrap()
        > 0
    {}
}

#[tokio::test]
async fn an_endpoint_from_its_making_to_its_end() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (id, secret) = made(&app, &owner, acme).await;
    assert!(secret.starts_with("whsec_"));
    let path = format!("{PATH}/{id}");
    let call = async |method: &str, path: &str, body: Value| app.within(&owner, acme, method, path, &body).await;
    let shown = call("GET", &path, Value::Null).await;
    assert_eq!(shown.body["webhookEndpoint"]["eventTypes"], json!(["payment.failed"]));
    let changed = call("PATCH", &path, json!({ "eventTypes": [], "description": "ledger", "enabled": false })).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let endpoint = &changed.body["webhookEndpoint"];
    assert_eq!((&endpoint["enabled"], &endpoint["disabledReason"]), (&json!(false), &json!("by_hand")));
    let test = format!("{path}/test");
    assert_eq!(call("POST", &test, Value::Null).await.code(), "conflict");
    assert_eq!(call("PATCH", &path, json!({ "enabled": true })).await.status, 200);
    let rotated = call("POST", &format!("{path}/rotate-secret"), Value::Null).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_ne!(rotated.body["secret"], secret.as_str());
    assert!(rotated.body["webhookEndpoint"]["previousSecretExpiresAt"].is_string());
    // Nothing listens there.
    let tested = call("POST", &test, json!({})).await;
    assert_eq!(tested.status, 202, "{tested:?}");
    work(&app).await;
    let list = call("GET", &format!("{path}/deliveries"), Value::Null).await;
    let delivery = &list.body["data"][0];
    assert_eq!(delivery["id"], tested.body["webhookDelivery"]["id"]);
    assert_eq!((&delivery["state"], &delivery["eventType"]), (&json!("dead"), &json!("test")));
    assert_eq!(delivery["lastError"], "the host cannot be reached");
    let replay = format!("{path}/deliveries/{}/replay", delivery["id"].as_str().unwrap());
    let replayed = call("POST", &replay, Value::Null).await;
    assert_eq!((replayed.status, &replayed.body["webhookDelivery"]["state"]), (202, &json!("pending")));
    let all = call("GET", PATH, Value::Null).await;
    assert_eq!(all.body["data"].as_array().unwrap().len(), 1);
    assert!(!all.body.to_string().contains("whsec_") && !list.body.to_string().contains("whsec_"));
    assert_eq!(call("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(call("GET", &path, Value::Null).await.status, 404);
    let deeds = "select count(*) from tenantry.billing_events where type ~ '^webhook_(endpoint|delivery)\\.'";
    assert_eq!(app.count(deeds).await, 7);
    let told = "select count(*) from tenantry.billing_events where payload::text like '%whsec_%'";
    assert_eq!(app.count(told).await, 0);
}

#[tokio::test]
async fn repeated_posts_do_nothing_twice_and_keep_no_secret() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (id, _) = made(&app, &owner, acme).await;
    let post = async |path: &str, body: Option<Value>| {
        let request = app.request("POST", path).bearer_auth(&owner).header("idempotency-key", "k");
        let request = request.header("x-organization-id", acme.to_string());
        send(if let Some(body) = body { request.json(&body) } else { request }).await
    };
    let create = Some(json!({ "url": "http://127.0.0.1:9/" }));
    for (path, body, has_secret) in [
        (PATH.to_owned(), create, true),
        (format!("{PATH}/{id}/rotate-secret"), None, true),
        (format!("{PATH}/{id}/test"), None, false),
    ] {
        let (first, again) = (post(&path, body.clone()).await, post(&path, body).await);
        assert_eq!(first.status, again.status, "{path}: {again:?}");
        assert_eq!(again.headers["idempotent-replayed"], "true", "{path}");
        assert_eq!(first.body.get("secret").is_some(), has_secret, "{path}");
        assert_eq!((again.body.get("secret"), again.body.get("secretShown").is_some()), (None, has_secret), "{path}");
    }
    assert_eq!(app.count("select count(*) from tenantry.webhook_endpoints").await, 2);
    assert_eq!(app.count("select count(*) from tenantry.webhook_deliveries").await, 1);
    let kept = "select count(*) from tenantry.idempotency_keys where response::text like '%whsec_%'";
    assert_eq!(app.count(kept).await, 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let url = "http://127.0.0.1:9/";
    for (body, field) in [
        (json!({}), "url"),
        (json!({ "url": "nowhere" }), "url"),
        (json!({ "url": url, "description": "a\nb" }), "description"),
        (json!({ "url": url, "eventTypes": ["payment.failed", "test"] }), "eventTypes[1]"),
        (json!({ "url": url, "eventTypes": ["everything"] }), "eventTypes[0]"),
        (json!({ "url": url, "tenantId": acme }), "tenantId"),
        (json!({ "url": url, "secret": "whsec_mine" }), "secret"),
    ] {
        let answer = app.within(&owner, acme, "POST", PATH, &body).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!(field)), "{answer:?}");
    }
    let (id, _) = made(&app, &owner, acme).await;
    let test = app.within(&owner, acme, "POST", &format!("{PATH}/{id}/test"), &json!({ "now": true })).await;
    assert_eq!((test.status, &test.body["errors"][0]["field"]), (422, &json!("now")), "{test:?}");
}

/// Attack 16: deliveries and endpoints of another tenant by id.
#[tokio::test]
async fn ids_of_others_answer_as_unknown_ones() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (endpoint, _) = made(&app, &owner, acme).await;
    let tested = app.within(&owner, acme, "POST", &format!("{PATH}/{endpoint}/test"), &Value::Null).await;
    let delivery = tested.body["webhookDelivery"]["id"].as_str().unwrap();
    let (other_id, other) = app.user().await;
    let (mine, _) = made(&app, &other, other_id).await;
    let (_, key) = app.key(&other, other_id, &["manageBilling", "viewBilling"]).await;
    let unknown = app.id().to_string();
    for (method, path, body) in [
        ("GET", "{e}", Value::Null),
        ("PATCH", "{e}", json!({ "enabled": false })),
        ("DELETE", "{e}", Value::Null),
        ("POST", "{e}/rotate-secret", Value::Null),
        ("POST", "{e}/test", Value::Null),
        ("GET", "{e}/deliveries", Value::Null),
        ("POST", "{e}/deliveries/{d}/replay", Value::Null),
        ("POST", "{mine}/deliveries/{d}/replay", Value::Null),
    ] {
        let at =
            |e: &str, d: &str| format!("{PATH}/{}", path.replace("{e}", e).replace("{d}", d).replace("{mine}", &mine));
        for caller in [&other, &key] {
            let ask = async |path: String| {
                let request = app.request(method, &path).bearer_auth(caller);
                send(if body.is_null() { request } else { request.json(&body) }).await
            };
            let foreign = ask(at(&endpoint, delivery)).await;
            assert_eq!(foreign.status, 404, "{method} {path}: {foreign:?}");
            assert_eq!(foreign.lasting(), ask(at(&unknown, &unknown)).await.lasting(), "{method} {path}");
        }
    }
    let untouched =
        "select count(*) from tenantry.webhook_endpoints where state = 'enabled' and previous_secret is null";
    assert_eq!(app.count(untouched).await, 2);
}

#[tokio::test]
async fn notices_are_listed_with_their_mails() {
    let app = App::new().await;
    let (id, token) = app.user().await;
    let sql = "update tenantry.users set email = 'ada@example.com' where id = $1";
    app.admin.execute(sql, &[&id]).await.unwrap();
    for (key, amount) in [("1", 80), ("2", 21)] {
        let event = json!({ "metric": "calls", "amount": amount, "idempotencyKey": key });
        app.call(&token, "POST", "/api/usage", &event).await;
    }
    work(&app).await;
    let first = app.get(&token, "/api/notifications?limit=1").await;
    let notice = &first.body["data"][0];
    assert_eq!((&notice["type"], &notice["data"]["metric"]), (&json!("limit.refused"), &json!("calls")));
    let mail = json!({ "address": "ada@example.com", "state": "kept", "sentAt": null });
    assert_eq!(notice["mails"], json!([mail]));
    let cursor = first.body["nextCursor"].as_str().unwrap();
    let second = app.get(&token, &format!("/api/notifications?limit=1&cursor={cursor}")).await;
    assert_eq!(second.body["data"][0]["type"], "limit.threshold");
    assert_eq!(second.body["nextCursor"], Value::Null);
    let (_, other) = app.user().await;
    assert_eq!(app.get(&other, "/api/notifications").await.body["data"], json!([]));
}
