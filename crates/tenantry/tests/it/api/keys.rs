//! Keys over HTTP: rotated while both work, and limited in how often they ask.

use serde_json::{Value, json};
use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::world::{Answer, App, send};

async fn rotate(app: &App, token: &str, tenant: Uuid, key: Uuid, body: Value) -> Answer {
    app.within(token, tenant, "POST", &format!("/api/keys/{key}/rotate"), &body).await
}

fn made(answer: &Answer) -> (Uuid, String) {
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.body["key"]["id"].as_str().unwrap().parse().unwrap();
    (id, answer.body["secret"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn attack_10_a_rotated_key_works_until_its_overlap_is_over() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (old_id, old) = app.key(&owner, acme, &["viewUsage", "recordUsage"]).await;
    let answer = rotate(&app, &owner, acme, old_id, json!({ "overlapSeconds": 3600 })).await;
    let (new_id, new) = made(&answer);
    assert_eq!(answer.body["key"]["scopes"], json!(["recordUsage", "viewUsage"]));
    assert_eq!(answer.body["key"]["name"], "k");
    let works = async |key: &str| app.get(key, "/api/usage/report").await.status;
    assert_eq!((works(&old).await, works(&new).await), (200, 200));
    // An hour later, by the database's clock.
    let past = "update tenantry.api_keys set expires_at = expires_at - interval '1 hour' where id = $1";
    app.admin.execute(past, &[&old_id]).await.unwrap();
    assert_eq!((works(&old).await, works(&new).await), (401, 200));
    let list = app.within(&owner, acme, "GET", "/api/keys", &Value::Null).await;
    assert_eq!(list.body["data"][0]["replacedBy"], json!(new_id));
    // At once.
    let (_, newest) = made(&rotate(&app, &owner, acme, new_id, json!({ "overlapSeconds": 0 })).await);
    assert_eq!((works(&new).await, works(&newest).await), (401, 200));
    let trail = "select count(*) from tenantry.billing_events where type = 'key.rotated'";
    assert_eq!(app.count(trail).await, 2);
}

#[tokio::test]
async fn a_key_is_rotated_once_by_who_could_have_made_it() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (key, secret) = app.key(&owner, acme, &["manageMembers", "manageBilling"]).await;
    let (_, billing) = app.member(&owner, acme, "billing_admin").await;
    let refused = rotate(&app, &billing, acme, key, json!({})).await;
    assert_eq!((refused.status, &refused.body["requiredPermission"]), (403, &json!("manageMembers")));
    let (_, stranger) = app.user().await;
    assert_eq!(rotate(&app, &stranger, acme, key, json!({})).await.status, 403);
    for body in [json!({ "overlapSeconds": 2_592_001 }), json!({ "overlapSeconds": -1 }), json!({ "scopes": [] })] {
        assert_eq!(rotate(&app, &owner, acme, key, body.clone()).await.status, 422, "{body}");
    }
    let past = json!({ "expiresAt": "2020-01-01T00:00:00Z" });
    assert_eq!(rotate(&app, &owner, acme, key, past).await.body["errors"][0]["field"], "expiresAt");
    // No key makes a key: one that was stolen would outlive its end.
    let by_itself = rotate(&app, &secret, acme, key, json!({})).await;
    assert_eq!((by_itself.status, &by_itself.body["requiredPermission"]), (403, &json!("user")));
    let body = json!({ "name": "k", "scopes": ["manageMembers"] });
    assert_eq!(app.within(&secret, acme, "POST", "/api/keys", &body).await.status, 403);
    // Once only, also where two do it at once.
    let (one, two) =
        tokio::join!(rotate(&app, &owner, acme, key, json!({})), rotate(&app, &owner, acme, key, json!({})));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(app.count("select count(*) from tenantry.api_keys where revoked_at is null").await, 2);
}

#[tokio::test]
async fn a_rotation_that_is_repeated_shows_no_secret_again() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (key, _) = app.key(&owner, acme, &["viewUsage"]).await;
    let ask = async || {
        let request = app.request("POST", &format!("/api/keys/{key}/rotate")).bearer_auth(&owner);
        let request = request.header("x-organization-id", acme.to_string()).header("idempotency-key", "again");
        send(request.json(&json!({}))).await
    };
    let (first, again) = (ask().await, ask().await);
    let (id, secret) = made(&first);
    assert_eq!((again.status, &again.body["key"]["id"]), (201, &json!(id)));
    assert_eq!((again.body["secretShown"].as_bool(), again.body.get("secret")), (Some(true), None));
    let kept = "select count(*) from tenantry.idempotency_keys where response::text like '%' || $1 || '%'";
    let kept: i64 = app.admin.query_one(kept, &[&secret]).await.unwrap().get(0);
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let body = json!({ "name": "slow", "scopes": ["viewUsage"], "requestsPerMinute": 3 });
    let (id, key) = made(&app.within(&owner, acme, "POST", "/api/keys", &body).await);
    for bad in [0, 1_000_001] {
        let body = json!({ "name": "bad", "scopes": ["viewUsage"], "requestsPerMinute": bad });
        let refused = app.within(&owner, acme, "POST", "/api/keys", &body).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("requestsPerMinute")));
    }
    for left in [2, 1, 0] {
        let answer = app.get(&key, "/api/usage/report").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["ratelimit-policy"], "\"key\";q=3;w=60");
        let told = format!("\"key\";r={left};t={}", (3 - left) * 20);
        assert_eq!(answer.headers["ratelimit"], told);
    }
    let refused = app.get(&key, "/api/usage/report").await;
    assert_eq!((refused.status, refused.code()), (429, "rate_limited"), "{refused:?}");
    let wait: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(refused.headers["ratelimit"], "\"key\";r=0;t=60");
    // Others are not held up, and have no such headers; what takes its place keeps the limit.
    let (_, free) = app.key(&owner, acme, &["viewUsage"]).await;
    let answer = app.get(&free, "/api/usage/report").await;
    assert_eq!((answer.status, answer.headers.get("ratelimit")), (200, None));
    let (_, next) = made(&rotate(&app, &owner, acme, id, json!({})).await);
    assert_eq!(app.get(&next, "/api/usage/report").await.headers["ratelimit"], "\"key\";r=2;t=20");
}

#[tokio::test]
async fn what_a_key_vouched_for_stands_when_it_is_rotated_and_falls_when_that_is_revoked() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let all = ["manageBilling", "viewBilling", "manageMembers", "viewUsage", "recordUsage"];
    let (key, secret) = app.key(&owner, acme, &all).await;
    let invite = async |email: &str| {
        let body = json!({ "email": email, "role": "member" });
        let made = app.call(&secret, "POST", &format!("/api/tenants/{acme}/invitations"), &body).await;
        made.body["token"].as_str().unwrap().to_owned()
    };
    let (one, two) = (invite("bea@example.com").await, invite("cleo@example.com").await);
    let (next, _) = made(&rotate(&app, &owner, acme, key, json!({ "overlapSeconds": 0 })).await);
    let accept = async |email: &str, token: &str| {
        let (_, bearer) = super::invitations::verified(&app, email);
        app.call(&bearer, "POST", "/api/invitations/accept", &json!({ "token": token })).await.status
    };
    assert_eq!(accept("bea@example.com", &one).await, 200);
    assert_eq!(app.within(&owner, acme, "DELETE", &format!("/api/keys/{next}"), &Value::Null).await.status, 204);
    assert_eq!(accept("cleo@example.com", &two).await, 410);
}

#[tokio::test]
async fn a_narrowed_service_key_does_what_its_scopes_say() {
    let app = App::new().await;
    let (user, _) = app.user().await;
    let metering = app.service_key_with(&[Permission::RecordUsage]).await;
    let check = format!("/api/permissions/check?userId={user}&tenantId={user}&permission=viewUsage");
    for (method, path, body, needed) in [
        ("PUT", format!("/api/users/{user}"), json!({ "email": "mallory@example.com" }), "manageMembers"),
        ("POST", "/api/tenants".to_owned(), json!({ "name": "X", "ownerId": user }), "manageMembers"),
        ("GET", check, Value::Null, "viewBilling"),
    ] {
        let refused = app.call(&metering, method, &path, &body).await;
        assert_eq!((refused.status, &refused.body["requiredPermission"]), (403, &json!(needed)), "{path}");
    }
    assert_eq!(app.count("select count(*) from tenantry.users where email = 'mallory@example.com'").await, 0);
}

#[tokio::test]
async fn who_is_nobody_any_more_is_answered_nothing_again() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let service = app.service_key().await;
    let create = async || {
        let request = app.request("POST", "/api/tenants").bearer_auth(&service).header("idempotency-key", "once");
        send(request.json(&json!({ "name": "X", "ownerId": owner_id }))).await.status
    };
    assert_eq!((create().await, create().await), (201, 201));
    app.admin.execute("update tenantry.api_keys set revoked_at = now() where tenant_id is null", &[]).await.unwrap();
    assert_eq!(create().await, 401);
    // A member who leaves is told so again; one whose account is gone is not.
    let acme = app.organization(&owner).await;
    let (_, member) = app.member(&owner, acme, "member").await;
    let leave = async || {
        let request = app.request("POST", &format!("/api/tenants/{acme}/leave")).bearer_auth(&member);
        send(request.header("idempotency-key", "out")).await
    };
    assert_eq!((leave().await.status, leave().await.status), (204, 204));
    assert_eq!(app.call(&member, "DELETE", "/api/users/me", &Value::Null).await.status, 204);
    assert_eq!(leave().await.code(), "account_deleted");
}
