//! Holds over HTTP: the contract, repeats, and whose they are.

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, App, send};

async fn take(app: &App, token: &str, tenant: Uuid, body: &Value) -> Answer {
    app.within(token, tenant, "POST", "/api/usage/holds", body).await
}

async fn settle(app: &App, token: &str, tenant: Uuid, hold: &str, how: &str, body: &Value) -> Answer {
    app.within(token, tenant, "POST", &format!("/api/usage/holds/{hold}/{how}"), body).await
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_hold_is_taken_and_committed_and_shows_everywhere() {
    let app = App::new().await;
    let (user, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let taken =
        take(&app, &owner, acme, &json!({ "metric": "calls", "amount": "60.50", "metadata": { "a": 1 } })).await;
    let hold = id(&taken);
    let expires = taken.body["expiresAt"].as_str().unwrap();
    let figures = json!({
        "id": hold, "metric": "calls", "amount": "60.5", "state": "open", "expiresAt": expires,
        "total": "0", "held": "60.5", "included": "100", "remaining": "39.5",
    });
    assert_eq!(taken.body, figures);
    let check = app.within(&owner, acme, "GET", "/api/usage/check?metric=calls&amount=39.6", &Value::Null).await;
    let expected = json!({ "allowed": false, "reason": "usage_limit_exceeded", "total": "0", "included": "100", "remaining": "39.5", "held": "60.5", "wouldOverage": "0.1" });
    assert_eq!(check.body, expected);
    let report = app.within(&owner, acme, "GET", "/api/usage/report", &Value::Null).await;
    let limit = &report.body["subscription"]["limits"]["calls"];
    assert_eq!((&limit["held"], &limit["remaining"]), (&json!("60.5"), &json!("39.5")));
    let event = json!({ "metric": "calls", "amount": 40, "idempotencyKey": "k" });
    let refused = app.within(&owner, acme, "POST", "/api/usage", &event).await;
    assert_eq!((refused.status, refused.code(), &refused.body["held"]), (402, "usage_limit_exceeded", &json!("60.5")));
    let refused = take(&app, &owner, acme, &json!({ "metric": "calls", "amount": 40 })).await;
    assert_eq!(
        (refused.status, refused.code(), &refused.body["remaining"]),
        (402, "usage_limit_exceeded", &json!("39.5"))
    );
    let seen = app.within(&owner, acme, "GET", &format!("/api/usage/holds/{hold}"), &Value::Null).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert_eq!((&seen.body["state"], &seen.body["userId"]), (&json!("open"), &json!(user)));
    assert_eq!(seen.body["metadata"], json!({ "a": 1, "organizationId": acme, "userRole": "owner" }));
    let list = app.within(&owner, acme, "GET", "/api/usage/holds", &Value::Null).await;
    assert_eq!(list.body["data"], json!([seen.body]));

    let committed = settle(&app, &owner, acme, &hold, "commit", &json!({ "amount": 70, "metadata": { "b": 2 } })).await;
    let figures = json!({
        "id": hold, "state": "committed", "amount": "70", "metric": "calls", "total": "70", "held": "0", "included": "100",
        "remaining": "30", "overage": "0",
    });
    assert_eq!((committed.status, &committed.body), (200, &figures));
    let again = settle(&app, &owner, acme, &hold, "commit", &json!({ "amount": "70.0" })).await;
    assert_eq!((again.status, &again.body), (200, &figures));
    let other = settle(&app, &owner, acme, &hold, "commit", &json!({ "amount": 71 })).await;
    assert_eq!((other.status, other.code()), (409, "hold_not_open"));
    assert_eq!((&other.body["state"], &other.body["committedAmount"]), (&json!("committed"), &json!("70")));
    let list = app.within(&owner, acme, "GET", "/api/usage/holds", &Value::Null).await;
    assert_eq!(list.body["data"], json!([]));
    // Nothing used is a release.
    let hold = id(&take(&app, &owner, acme, &json!({ "metric": "calls", "amount": 30 })).await);
    let more = settle(&app, &owner, acme, &hold, "commit", &json!({ "amount": 31 })).await;
    assert_eq!((more.status, more.code()), (402, "usage_limit_exceeded"));
    let nothing = settle(&app, &owner, acme, &hold, "commit", &json!({ "amount": "0.0" })).await;
    assert_eq!(
        (nothing.status, &nothing.body["state"], &nothing.body["amount"]),
        (200, &json!("released"), &json!("0"))
    );
    let released = settle(&app, &owner, acme, &hold, "release", &json!({})).await;
    assert_eq!((released.status, &released.body["held"]), (200, &json!("0")));
    let late = settle(&app, &owner, acme, &hold, "commit", &json!({ "amount": 1 })).await;
    assert_eq!((late.status, late.code()), (409, "hold_not_open"));
}

#[tokio::test]
async fn what_is_wrong_with_a_hold_is_named() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    for (body, code, field) in [
        (json!({ "metric": "calls", "amount": 0 }), "validation_failed", "amount"),
        (json!({ "metric": "calls", "amount": "-1" }), "validation_failed", "amount"),
        (json!({ "metric": "calls", "amount": "1.0000000001" }), "validation_failed", "amount"),
        (json!({ "metric": "calls", "amount": [] }), "validation_failed", "amount"),
        (json!({ "metric": "flights", "amount": 1 }), "unknown_metric", "metric"),
        (json!({ "metric": "calls", "amount": 1, "ttlSeconds": 0 }), "validation_failed", "ttlSeconds"),
        (json!({ "metric": "calls", "amount": 1, "ttlSeconds": 86_401 }), "validation_failed", "ttlSeconds"),
        (json!({ "metric": "calls", "amount": 1, "userId": "x" }), "validation_failed", "userId"),
        (json!({ "metric": "calls", "amount": 1, "userId": app.id() }), "validation_failed", "userId"),
        (json!({ "metric": "calls", "amount": 1, "metadata": [] }), "validation_failed", "metadata"),
        (
            json!({ "metric": "calls", "amount": 1, "timestamp": "2040-01-01T00:00:00Z" }),
            "validation_failed",
            "timestamp",
        ),
    ] {
        let answer = take(&app, &owner, acme, &body).await;
        let place = format!("{body}: {answer:?}");
        assert_eq!(
            (answer.status, answer.code(), &answer.body["errors"][0]["field"]),
            (422, code, &json!(field)),
            "{place}"
        );
    }
    let hold = id(&take(&app, &owner, acme, &json!({ "metric": "calls", "amount": 1, "ttlSeconds": 86_400 })).await);
    for body in [json!({ "amount": -1 }), json!({ "amount": "x" }), json!({})] {
        let answer = settle(&app, &owner, acme, &hold, "commit", &body).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!("amount")), "{body}: {answer:?}");
    }
    let max = "update tenantry.usage_counters set aggregation = 'max'";
    app.admin.batch_execute(max).await.unwrap();
    let answer = take(&app, &owner, acme, &json!({ "metric": "calls", "amount": 1 })).await;
    assert_eq!((answer.status, answer.code()), (422, "holds_not_supported"));
    assert_eq!(app.count("select count(*) from tenantry.usage_holds").await, 1);
}

#[tokio::test]
async fn a_repeated_request_takes_and_settles_one_hold() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let post = async |path: &str, key: &str, body: &Value| {
        let request = app.request("POST", path).bearer_auth(&owner).header("idempotency-key", key);
        send(request.header("x-organization-id", acme.to_string()).json(body)).await
    };
    let body = json!({ "metric": "calls", "amount": 10 });
    let (first, again) = (post("/api/usage/holds", "k", &body).await, post("/api/usage/holds", "k", &body).await);
    assert_eq!(first.body, again.body);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(app.count("select count(*) from tenantry.usage_holds").await, 1);
    let other = post("/api/usage/holds", "k", &json!({ "metric": "calls", "amount": 11 })).await;
    assert_eq!((other.status, other.code()), (422, "idempotency_key_reused"));
    let commit = format!("/api/usage/holds/{}/commit", id(&first));
    let (first, again) =
        (post(&commit, "c", &json!({ "amount": 9 })).await, post(&commit, "c", &json!({ "amount": 9 })).await);
    assert_eq!((first.status, &first.body), (200, &again.body));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let many = (0..8).map(|_| post("/api/usage/holds", "m", &body));
    let statuses: Vec<u16> = futures::future::join_all(many).await.iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    assert_eq!(app.count("select sum(held)::bigint from tenantry.usage_counters").await, 10);
}

#[tokio::test]
async fn users_settle_their_own_holds_keys_those_of_the_tenant_and_teams_use_their_owners_plan() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (bea_id, bea) = app.member(&owner, acme, "member").await;
    let (_, key) = app.key(&owner, acme, &["recordUsage"]).await;
    let hold = id(&take(&app, &bea, acme, &json!({ "metric": "calls", "amount": 1 })).await);
    let path = format!("/api/usage/holds/{hold}");
    assert_eq!(app.within(&owner, acme, "GET", &path, &Value::Null).await.status, 404);
    assert_eq!(settle(&app, &owner, acme, &hold, "release", &json!({})).await.status, 404);
    let by_key = app.get(&key, "/api/usage/holds").await;
    assert_eq!(by_key.body["data"][0]["userId"], json!(bea_id));
    assert_eq!(app.call(&key, "POST", &format!("{path}/commit"), &json!({ "amount": 1 })).await.status, 200);
    // Pages.
    for _ in 0..3 {
        id(&app
            .call(&key, "POST", "/api/usage/holds", &json!({ "metric": "tokens", "amount": 1, "userId": bea_id }))
            .await);
    }
    let first = app.get(&key, "/api/usage/holds?limit=2").await;
    let next = first.body["nextCursor"].as_str().unwrap();
    let second = app.get(&key, &format!("/api/usage/holds?limit=2&cursor={next}")).await;
    assert_eq!((first.body["data"].as_array().unwrap().len(), second.body["data"].as_array().unwrap().len()), (2, 1));
    assert_eq!(
        app.within(&bea, acme, "GET", "/api/usage/holds", &Value::Null).await.body["data"].as_array().unwrap().len(),
        3
    );
    let service = app.service_key().await;
    let request = app.request("POST", "/api/usage/holds").bearer_auth(&service).header("x-tenant-id", acme.to_string());
    assert_eq!(send(request.json(&json!({ "metric": "calls", "amount": 1 }))).await.status, 201);
    let request = app.request("POST", "/api/usage/holds").bearer_auth(&service);
    assert_eq!(send(request.json(&json!({ "metric": "calls", "amount": 1 }))).await.code(), "invalid_context_header");
    // A team's members reserve of its owner's plan, and see their own.
    let team = app.team(&owner).await;
    let (_, cid) = app.teammate(&owner, team).await;
    let body = json!({ "metric": "calls", "amount": 2 });
    assert_eq!(app.in_team(&cid, team, "POST", "/api/usage/holds", &body).await.code(), "team_plan_inactive");
    app.put_on_plan(owner_id, "pro").await;
    let theirs = id(&app.in_team(&cid, team, "POST", "/api/usage/holds", &body).await);
    let owners = id(&app.call(&owner, "POST", "/api/usage/holds", &body).await);
    let list = app.in_team(&cid, team, "GET", "/api/usage/holds", &Value::Null).await;
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(app.in_team(&cid, team, "GET", &format!("/api/usage/holds/{owners}"), &Value::Null).await.status, 404);
    let commit = format!("/api/usage/holds/{theirs}/commit");
    assert_eq!(app.call(&cid, "POST", &commit, &json!({ "amount": 3 })).await.status, 404);
    let committed = app.in_team(&cid, team, "POST", &commit, &json!({ "amount": 3 })).await;
    assert_eq!((&committed.body["total"], &committed.body["held"]), (&json!("3"), &json!("2")));
}
