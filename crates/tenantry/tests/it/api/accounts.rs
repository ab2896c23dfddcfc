//! Deleting an account over HTTP, and what becomes of its requests.

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{App, send};

const NOTHING: Value = Value::Null;

#[tokio::test]
async fn attack_21_the_refusal_names_the_organizations_and_nothing_is_done() {
    let app = App::new().await;
    let (user, token) = app.user().await;
    let acme = app.organization(&token).await;
    let (other, _) = app.member(&token, acme, "admin").await;
    let service = app.service_key().await;
    let dump = "select (select count(*) from tenantry.billing_events)
                     + (select count(*) from tenantry.tenant_members) + (select count(*) from tenantry.users where deleted_at is null)";
    let before = app.count(dump).await;
    for (bearer, path) in [(&token, "/api/users/me".to_owned()), (&service, format!("/api/users/{user}"))] {
        let refused = app.call(bearer, "DELETE", &path, &NOTHING).await;
        assert_eq!((refused.status, refused.code()), (409, "last_owner"), "{refused:?}");
        assert_eq!(refused.body["organizations"], json!([{ "id": acme, "name": "Acme" }]));
    }
    assert_eq!(app.count(dump).await, before);
    let path = format!("/api/tenants/{acme}/members/{other}");
    assert_eq!(app.call(&token, "PATCH", &path, &json!({ "role": "owner" })).await.status, 200);
    assert_eq!(app.call(&token, "DELETE", "/api/users/me", &NOTHING).await.status, 204);
}

/// Every kind of request that a user makes, each on its way past another extractor.
fn requests(acme: Uuid) -> Vec<(&'static str, String, Value, Option<Uuid>)> {
    let event = json!({ "metric": "calls", "amount": 1, "idempotencyKey": "k" });
    vec![
        ("GET", "/api/me".to_owned(), NOTHING, None),
        ("GET", "/api/tenants".to_owned(), NOTHING, None),
        ("POST", "/api/tenants".to_owned(), json!({ "name": "Another" }), None),
        ("GET", format!("/api/tenants/{acme}"), NOTHING, None),
        ("PATCH", format!("/api/tenants/{acme}"), json!({}), None),
        ("POST", format!("/api/tenants/{acme}/leave"), NOTHING, None),
        ("GET", "/api/billing/plans".to_owned(), NOTHING, None),
        ("GET", "/api/billing/events".to_owned(), NOTHING, Some(acme)),
        ("POST", "/api/billing/cancel".to_owned(), NOTHING, None),
        ("GET", "/api/usage/check?metric=calls".to_owned(), NOTHING, None),
        ("GET", "/api/usage/report".to_owned(), NOTHING, Some(acme)),
        ("POST", "/api/usage".to_owned(), event.clone(), None),
        ("POST", "/api/usage".to_owned(), event.clone(), Some(acme)),
        ("POST", "/api/usage".to_owned(), json!({ "events": [event] }), None),
        ("DELETE", "/api/users/me".to_owned(), NOTHING, None),
    ]
}

#[tokio::test]
async fn a_deleted_account_is_told_so_by_every_replica_and_by_every_route() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (user, token) = app.member(&owner, acme, "admin").await;
    let service = app.service_key().await;
    // Remembers the user, as a replica does which did not delete it.
    let replica = app.replica().await;
    assert_eq!(replica.get(&token, "/api/me").await.status, 200);
    let fresh = app.replica().await;
    assert_eq!(app.call(&service, "DELETE", &format!("/api/users/{user}"), &NOTHING).await.status, 204);
    let before = app.count("select count(*) from tenantry.tenant_usage").await;
    let mut tried = 0;
    for (method, path, body, tenant) in requests(acme) {
        for replica in [&app, &replica, &fresh] {
            let mut request = replica.request(method, &path).bearer_auth(&token);
            if let Some(tenant) = tenant {
                request = request.header("x-organization-id", tenant.to_string());
            }
            if !body.is_null() {
                request = request.json(&body);
            }
            let answer = send(request).await;
            assert_eq!((answer.status, answer.code()), (403, "account_deleted"), "{method} {path}: {answer:?}");
            tried += 1;
        }
    }
    assert_eq!(app.count("select count(*) from tenantry.tenant_usage").await, before);
    let kept = format!(
        "select count(*) from tenantry.security_events where tenant_id = '{user}' and user_id = '{user}' and type = 'account_deleted'"
    );
    assert_eq!(app.count(&kept).await, tried);
    // The host application does not make it again, and nobody adds it.
    let put = app.call(&service, "PUT", &format!("/api/users/{user}"), &json!({ "email": "a@example.com" })).await;
    assert_eq!((put.status, put.code()), (403, "account_deleted"), "{put:?}");
    let body = json!({ "userId": user, "role": "member" });
    let added = app.call(&owner, "POST", &format!("/api/tenants/{acme}/members"), &body).await;
    assert_eq!((added.status, &added.body["errors"][0]["field"]), (422, &json!("userId")), "{added:?}");
    let again = app.call(&service, "DELETE", &format!("/api/users/{user}"), &NOTHING).await;
    assert_eq!(again.status, 404, "{again:?}");
    let allowed = format!("/api/permissions/check?userId={user}&tenantId={acme}&permission=viewUsage");
    assert_eq!(app.get(&service, &allowed).await.body, json!({ "allowed": false, "role": null }));
}

#[tokio::test]
async fn a_narrowed_service_key_deletes_nobody() {
    let app = App::new().await;
    let (user, token) = app.user().await;
    let service = app.service_key().await;
    app.admin.batch_execute("update tenantry.api_keys set scopes = array['viewUsage', 'manageMembers']").await.unwrap();
    let refused = app.call(&service, "DELETE", &format!("/api/users/{user}"), &NOTHING).await;
    assert_eq!((refused.status, &refused.body["requiredPermission"]), (403, &json!("deleteUser")), "{refused:?}");
    assert_eq!(app.get(&token, "/api/me").await.status, 200);
}
