//! Spend over HTTP: who sees it, who caps it, and what whom a refusal tells.

use serde_json::{Value, json};

use super::world::{Answer, App};

const SPEND: &str = "/api/billing/spend";
const CAP: &str = "/api/billing/spend/cap";
const ALERTS: &str = "/api/billing/spend/alerts";

fn event(key: &str, metric: &str, amount: &str) -> Value {
    json!({ "metric": metric, "amount": amount, "idempotencyKey": key })
}

#[tokio::test]
async fn spend_is_seen_with_what_watches_it() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let ask = async |method: &str, path: &str, body: Value| app.within(&owner, acme, method, path, &body).await;
    let empty = ask("GET", SPEND, Value::Null).await;
    assert_eq!(
        (&empty.body["currency"], &empty.body["accruedCents"], &empty.body["byMetric"]),
        (&json!("usd"), &json!(0), &json!({ "tokens": 0 })),
        "{empty:?}"
    );
    assert_eq!((&empty.body["caps"], &empty.body["alerts"]), (&json!([]), &json!([])));
    // 50 are included, then 3 cents for ten up to 40 more, then 1.5.
    assert_eq!(ask("POST", "/api/usage", event("a", "tokens", "110")).await.status, 201);
    let set = ask("PUT", CAP, json!({ "amountCents": 16 })).await;
    assert_eq!(
        (set.status, &set.body["cap"]["amountCents"], &set.body["cap"]["metric"]),
        (200, &json!(16), &Value::Null)
    );
    let own = ask("PUT", CAP, json!({ "amountCents": 0, "metric": "calls" })).await;
    assert_eq!((own.status, &own.body["cap"]["metric"]), (200, &json!("calls")));
    let added = ask("POST", ALERTS, json!({ "amountCents": 500, "metric": "tokens" })).await;
    assert_eq!(added.status, 201, "{added:?}");
    let found = ask("GET", SPEND, Value::Null).await;
    assert_eq!((&found.body["accruedCents"], &found.body["byMetric"]), (&json!(15), &json!({ "tokens": 15 })));
    assert_eq!(found.body["caps"], json!([set.body["cap"], own.body["cap"]]));
    assert_eq!(found.body["alerts"], json!([added.body["alert"]]));
    let subscription = ask("GET", "/api/billing/subscription", Value::Null).await;
    let period = &subscription.body["subscription"];
    assert_eq!(found.body["period"]["start"], period["currentPeriodStart"]);
    assert_eq!(found.body["period"]["end"], period["currentPeriodEnd"]);
    let again = ask("PUT", CAP, json!({ "amountCents": 20 })).await;
    assert_eq!(ask("GET", SPEND, Value::Null).await.body["caps"], json!([again.body["cap"], own.body["cap"]]));
    for (path, status) in [
        (CAP, 204),
        (CAP, 404),
        ("/api/billing/spend/cap?metric=tokens", 404),
        ("/api/billing/spend/cap?metric=calls", 204),
    ] {
        assert_eq!(ask("DELETE", path, Value::Null).await.status, status, "{path}");
    }
    let alert = format!("{ALERTS}/{}", added.body["alert"]["id"].as_str().unwrap());
    for status in [204, 404] {
        assert_eq!(ask("DELETE", &alert, Value::Null).await.status, status);
    }
    assert_eq!(ask("GET", SPEND, Value::Null).await.lasting()["caps"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_set_is_named() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    for (method, path, body, code, field) in [
        ("PUT", CAP, json!({ "amountCents": -1 }), "validation_failed", "amountCents"),
        ("PUT", CAP, json!({ "amountCents": 1_000_000_000_000_000_i64 }), "validation_failed", "amountCents"),
        ("PUT", CAP, json!({ "amountCents": 1.5 }), "validation_failed", "amountCents"),
        ("PUT", CAP, json!({ "amountCents": "1" }), "validation_failed", "amountCents"),
        ("PUT", CAP, json!({}), "validation_failed", "amountCents"),
        ("PUT", CAP, json!({ "amountCents": 1, "metrics": "tokens" }), "validation_failed", "metrics"),
        ("PUT", CAP, json!({ "amountCents": 1, "metric": "nonsense" }), "unknown_metric", "metric"),
        ("POST", ALERTS, json!({ "amountCents": 0 }), "validation_failed", "amountCents"),
        ("POST", ALERTS, json!({ "amountCents": 1, "metric": "nonsense" }), "unknown_metric", "metric"),
    ] {
        let answer = app.call(&owner, method, path, &body).await;
        assert_eq!((answer.status, answer.code()), (422, code), "{method} {body}: {answer:?}");
        assert_eq!(answer.body["errors"][0]["field"], field, "{method} {body}: {answer:?}");
    }
    assert_eq!(app.count("select count(*) from tenantry.spend_caps").await, 0);
}

#[tokio::test]
async fn an_alert_that_is_added_twice_under_one_key_is_one() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let add = async || {
        let request = app.request("POST", ALERTS).bearer_auth(&owner).header("idempotency-key", "one");
        super::world::send(request.json(&json!({ "amountCents": 5 }))).await
    };
    let (first, second) = (add().await, add().await);
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.body, second.body);
    assert_eq!(second.headers["idempotent-replayed"], "true");
    let conflict = app.call(&owner, "POST", ALERTS, &json!({ "amountCents": 5 })).await;
    assert_eq!((conflict.status, conflict.code()), (409, "conflict"));
}

/// An organization at its cap of 16 cents, 15 of which are accrued.
async fn capped() -> (App, String, uuid::Uuid) {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    assert_eq!(app.within(&owner, acme, "POST", "/api/usage", &event("a", "tokens", "110")).await.status, 201);
    assert_eq!(app.within(&owner, acme, "PUT", CAP, &json!({ "amountCents": 16 })).await.status, 200);
    (app, owner, acme)
}

#[tokio::test]
async fn a_refusal_says_what_and_how_much_and_what_to_do() {
    let (app, owner, acme) = capped().await;
    let refused = app.within(&owner, acme, "POST", "/api/usage", &event("b", "tokens", "30")).await;
    assert_eq!((refused.status, refused.code()), (402, "spend_cap_exceeded"), "{refused:?}");
    let spend = json!({
        "metric": null, "capCents": 16, "accruedCents": 15, "heldCents": 0, "eventCents": 5, "currency": "usd",
    });
    assert_eq!(refused.body["spend"], spend);
    assert_eq!(
        refused.body["detail"],
        "The event would cost 0.05 USD more. The spend cap of all metrics is 0.16 USD, of which 0.15 USD are accrued in \
         this period. Nothing was recorded; a smaller event may still fit. Whoever manages billing raises the cap with \
         `PUT /api/billing/spend/cap`, or removes it with `DELETE`."
    );
    assert_eq!((&refused.body["total"], &refused.body["outcome"]), (&json!("110"), &json!("rejected")));
    // In a batch, a smaller one after it fits.
    let batch = json!({ "events": [event("b", "tokens", "30"), event("c", "tokens", "3"), event("d", "tokens", "6")] });
    let answer = app.within(&owner, acme, "POST", "/api/usage", &batch).await;
    assert_eq!((&answer.body["accepted"], &answer.body["rejected"]), (&json!(2), &json!(1)), "{answer:?}");
    let result = &answer.body["results"][0];
    assert_eq!((&result["index"], &result["code"]), (&json!(0), &json!("spend_cap_exceeded")));
    assert_eq!((&result["spend"], &result["message"]), (&spend, &refused.body["detail"]));
    let check = async |amount: &str| {
        let path = format!("/api/usage/check?metric=tokens&amount={amount}");
        app.within(&owner, acme, "GET", &path, &Value::Null).await.body
    };
    assert_eq!(check("1").await["allowed"], true);
    let no = check("10").await;
    assert_eq!((&no["allowed"], &no["reason"]), (&json!(false), &json!("spend_cap_exceeded")), "{no}");
    assert_eq!((&no["spend"]["capCents"], &no["spend"]["accruedCents"]), (&json!(16), &json!(16)));
    // The metric's own cap is named; and a limit comes before any cap.
    app.within(&owner, acme, "PUT", CAP, &json!({ "amountCents": 3, "metric": "tokens" })).await;
    assert_eq!(check("10").await["spend"]["metric"], "tokens");
    let calls = app.within(&owner, acme, "GET", "/api/usage/check?metric=calls&amount=101", &Value::Null).await;
    assert_eq!((&calls.body["allowed"], &calls.body["reason"]), (&json!(false), &json!("usage_limit_exceeded")));
    // It is told of once.
    let told = app.count("select count(*) from tenantry.notifications where kind = 'usage_spend_capped'").await;
    assert_eq!(told, 2, "one for each cap");
}

/// What refuses somebody who may not see what use costs: the reason, and no amount.
fn tells_no_money(answer: &Answer) {
    let text = answer.body.to_string();
    assert!(text.contains("spend_cap_exceeded"), "{text}");
    for amount in ["0.16", "0.15", "USD", "usd", "Cents"] {
        assert!(!text.contains(amount), "{amount} in {text}");
    }
}

#[tokio::test]
async fn who_may_not_see_billing_is_told_no_amount() {
    let (app, owner, acme) = capped().await;
    let batch = json!({ "events": [event("b", "tokens", "30")] });
    let check = "/api/usage/check?metric=tokens&amount=30";
    let (_, meter) = app.key(&owner, acme, &["recordUsage", "viewUsage"]).await;
    for (method, path, body) in [
        ("POST", "/api/usage", &event("b", "tokens", "30")),
        ("POST", "/api/usage", &batch),
        ("GET", check, &Value::Null),
    ] {
        tells_no_money(&app.call(&meter, method, path, body).await);
    }
    let (_, accountant) = app.key(&owner, acme, &["recordUsage", "viewBilling"]).await;
    let refused = app.call(&accountant, "POST", "/api/usage", &event("b", "tokens", "30")).await;
    assert_eq!(refused.body["spend"]["capCents"], 16, "{refused:?}");
    // A member sees billing, and changes nothing of it; one whose view was taken does not.
    let (member_id, member) = app.member(&owner, acme, "member").await;
    assert_eq!(app.within(&member, acme, "GET", SPEND, &Value::Null).await.body["caps"][0]["amountCents"], 16);
    assert_eq!(app.within(&member, acme, "PUT", CAP, &json!({ "amountCents": 1 })).await.status, 403);
    let refused = app.within(&member, acme, "POST", "/api/usage", &event("b", "tokens", "30")).await;
    assert_eq!(refused.body["spend"]["capCents"], 16, "{refused:?}");
    let path = format!("/api/tenants/{acme}/members/{member_id}");
    let narrowed = json!({ "role": "member", "permissions": { "viewBilling": false } });
    assert_eq!(app.call(&owner, "PATCH", &path, &narrowed).await.status, 200);
    assert_eq!(app.within(&member, acme, "GET", SPEND, &Value::Null).await.status, 403);
    tells_no_money(&app.within(&member, acme, "POST", "/api/usage", &event("b", "tokens", "30")).await);
}

#[tokio::test]
async fn a_team_is_capped_with_its_owner_and_told_no_amount() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    app.put_on_plan(owner_id, "pro").await;
    let team = app.team(&owner).await;
    let (_, mate) = app.teammate(&owner, team).await;
    // 80 are included, then 2.25 cents each: 7 cost 15.75.
    assert_eq!(app.in_team(&mate, team, "POST", "/api/usage", &event("a", "tokens", "86")).await.status, 201);
    assert_eq!(app.call(&owner, "PUT", CAP, &json!({ "amountCents": 16 })).await.status, 200);
    let batch = json!({ "events": [event("b", "tokens", "2")] });
    let check = "/api/usage/check?metric=tokens&amount=2";
    for token in [&mate, &owner] {
        for (method, path, body) in [
            ("POST", "/api/usage", &event("b", "tokens", "2")),
            ("POST", "/api/usage", &batch),
            ("GET", check, &Value::Null),
        ] {
            tells_no_money(&app.in_team(token, team, method, path, body).await);
        }
        for (method, path, body) in [
            ("GET", SPEND, Value::Null),
            ("PUT", CAP, json!({ "amountCents": 1 })),
            ("DELETE", CAP, Value::Null),
            ("POST", ALERTS, json!({ "amountCents": 1 })),
        ] {
            assert_eq!(app.in_team(token, team, method, path, &body).await.status, 403, "{method} {path}");
        }
    }
    let wish = |amount: &str| json!({ "metric": "tokens", "amount": amount });
    tells_no_money(&app.in_team(&mate, team, "POST", "/api/usage/holds", &wish("2")).await);
    let held = app.in_team(&mate, team, "POST", "/api/usage/holds", &wish("0.5")).await;
    assert_eq!(held.status, 201, "{held:?}");
    let path = format!("/api/usage/holds/{}", held.body["id"].as_str().unwrap());
    tells_no_money(&app.in_team(&mate, team, "POST", &format!("{path}/commit"), &json!({ "amount": "2" })).await);
    let released = app.in_team(&mate, team, "POST", &format!("{path}/release"), &json!({})).await;
    assert_eq!(released.status, 200, "{released:?}");
    let own = app.call(&owner, "POST", "/api/usage", &event("b", "tokens", "2")).await;
    assert_eq!(own.body["spend"]["capCents"], 16, "{own:?}");
    assert_eq!(app.in_team(&mate, team, "POST", "/api/usage", &event("b", "tokens", "1")).await.status, 201);
}
