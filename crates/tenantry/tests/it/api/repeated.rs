//! `Idempotency-Key`, and pages of lists.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::{App, send};

#[tokio::test]
async fn a_repeated_post_is_answered_again_and_does_nothing() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    let acme = app.organization(&token).await;
    let post = async |path: &str, key: &str, body: &Value| {
        let request = app.request("POST", path).bearer_auth(&token).header("idempotency-key", key);
        send(request.header("x-organization-id", acme.to_string()).json(body)).await
    };
    let body = json!({ "name": "meter", "scopes": ["viewUsage"] });
    let (first, again) = (post("/api/keys", "k1", &body).await, post("/api/keys", "k1", &body).await);
    assert_eq!((first.status, again.status), (201, 201));
    assert!(first.headers.get("idempotent-replayed").is_none());
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(first.body["key"], again.body["key"]);
    assert!(first.body["secret"].is_string() && again.body.get("secret").is_none());
    assert_eq!(again.body["secretShown"], true);
    let other = post("/api/keys", "k1", &json!({ "name": "other", "scopes": ["viewUsage"] })).await;
    assert_eq!(other.status, 422, "{other:?}");
    // Refused requests are not kept: mended, the key may be used.
    let refused = post("/api/keys", "k2", &json!({ "name": "x", "scopes": ["fly"] })).await;
    assert_eq!(refused.status, 422);
    assert_eq!(post("/api/keys", "k2", &body).await.status, 201);
    // Many at once: one is made, the others see it or are told to come back.
    let many = (0..8).map(|_| post("/api/keys", "k3", &body));
    let statuses: Vec<u16> = futures::future::join_all(many).await.iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    assert_eq!(app.count("select count(*) from tenantry.api_keys").await, 3);
}

#[tokio::test]
async fn leaving_twice_with_one_key_is_leaving_once() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (user, member) = app.member(&owner, acme, "member").await;
    let path = format!("/api/tenants/{acme}/leave");
    let leave = async |token: &str, key: &str| {
        send(app.request("POST", &path).bearer_auth(token).header("idempotency-key", key)).await
    };
    assert_eq!(leave(&member, "not visible").await.code(), "invalid_header");
    let (first, again) = (leave(&member, "k").await, leave(&member, "k").await);
    assert_eq!((first.status, again.status), (204, 204), "{again:?}");
    assert!(first.headers.get("idempotent-replayed").is_none());
    assert_eq!(again.headers["idempotent-replayed"], "true");
    // Without the key, with another, and for whoever never was a member, there is nothing to leave.
    assert_eq!(leave(&member, "other").await.status, 404);
    assert_eq!(app.call(&member, "POST", &path, &json!({})).await.status, 404);
    assert_eq!(leave(&app.user().await.1, "k").await.status, 404);
    // A repeat takes nobody out who came back.
    let back = json!({ "userId": user, "role": "member" });
    assert_eq!(app.call(&owner, "POST", &format!("/api/tenants/{acme}/members"), &back).await.status, 201);
    assert_eq!(leave(&member, "k").await.status, 204);
    assert_eq!(app.get(&member, &format!("/api/tenants/{acme}")).await.status, 200);
}

#[tokio::test]
async fn pages_show_every_row_once() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    let acme = app.organization(&token).await;
    for _ in 0..12 {
        app.member(&token, acme, "member").await;
    }
    let mut seen = BTreeSet::new();
    let mut path = format!("/api/tenants/{acme}/members?limit=5");
    for page in 0.. {
        assert!(page < 10, "the pages do not end");
        let answer = app.get(&token, &path).await;
        for row in answer.body["data"].as_array().unwrap() {
            assert!(seen.insert(row["userId"].as_str().unwrap().to_owned()), "twice: {row}");
        }
        let Some(cursor) = answer.body["nextCursor"].as_str() else { break };
        path = format!("/api/tenants/{acme}/members?limit=5&cursor={cursor}");
        // A row that comes meanwhile may be seen or not; the others must be.
        if page == 0 {
            app.member(&token, acme, "member").await;
        }
    }
    assert!(seen.len() >= 13, "{}", seen.len());
    for limit in ["0", "201", "x", ""] {
        assert_eq!(app.get(&token, &format!("/api/tenants/{acme}/members?limit={limit}")).await.status, 422);
    }
}
