//! Attacks over HTTP, by their numbers in the list that the project keeps.

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{App, send};

#[tokio::test]
async fn attack_01_a_foreign_tenant_answers_as_an_unknown_one() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (_, stranger) = app.user().await;
    for path in ["/api/usage/report", "/api/billing/subscription", "/api/keys"] {
        let foreign = app.within(&stranger, acme, "GET", path, &Value::Null).await;
        let unknown = app.within(&stranger, app.id(), "GET", path, &Value::Null).await;
        assert_eq!((foreign.status, foreign.code()), (403, "forbidden_tenant"));
        assert_eq!(foreign.lasting(), unknown.lasting());
    }
}

#[tokio::test]
async fn attack_02_a_context_that_cannot_be_read_is_never_ignored() {
    let app = App::new().await;
    let (id, token) = app.user().await;
    let acme = app.organization(&token).await.to_string();
    let simple = acme.replace('-', "");
    for value in
        ["", "null", "acme", &format!("{acme},{acme}"), &simple, &Uuid::nil().to_string(), &format!("{{{acme}}}")]
    {
        let request = app.request("GET", "/api/usage/report").bearer_auth(&token).header("x-organization-id", value);
        let answer = send(request).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_context_header"), "{value:?}: {answer:?}");
    }
    let twice = app.request("GET", "/api/usage/report").bearer_auth(&token);
    let twice = twice.header("x-organization-id", &acme).header("x-organization-id", id.to_string());
    assert_eq!(send(twice).await.status, 400);
}

#[tokio::test]
async fn attack_03_two_tenants_in_one_request() {
    let app = App::new().await;
    let (id, token) = app.user().await;
    let acme = app.organization(&token).await;
    let path = format!("/api/tenants/{acme}/members");
    let answer = app.within(&token, id, "GET", &path, &Value::Null).await;
    assert_eq!((answer.status, answer.code()), (400, "context_mismatch"), "{answer:?}");
}

#[tokio::test]
async fn attack_03_a_batch_that_names_another_tenant_than_the_header() {
    let app = App::new().await;
    let ((one, token), (other, _)) = (app.user().await, app.user().await);
    let batch = |tenant: Uuid| {
        let event = json!({ "metric": "calls", "amount": 1, "idempotencyKey": "k", "tenantId": tenant });
        json!({ "events": [event] })
    };
    let service = app.service_key().await;
    let post = async |bearer: &str, header: &str, tenant: Uuid| {
        let request = app.request("POST", "/api/usage").bearer_auth(bearer).header(header, one.to_string());
        send(request.json(&batch(tenant))).await.body["results"][0].clone()
    };
    let refused = post(&service, "x-tenant-id", other).await;
    assert_eq!((&refused["status"], &refused["code"]), (&json!("invalid"), &json!("context_mismatch")), "{refused}");
    // A user names no tenant in an event, not even the own one.
    for tenant in [one, other] {
        let refused = post(&token, "x-organization-id", tenant).await;
        assert_eq!((&refused["status"], &refused["field"]), (&json!("invalid"), &json!("tenantId")), "{refused}");
    }
    assert_eq!(app.count("select count(*) from tenantry.tenant_usage").await, 0);
}

#[tokio::test]
async fn attack_04_headers_that_other_products_trust_change_nothing() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (owner_id, stranger) = app.user().await;
    let request = app.request("GET", "/api/usage/report").bearer_auth(&stranger);
    let request = request
        .header("x-organization-id", acme.to_string())
        .header("x-user-id", owner_id.to_string())
        .header("x-role", "owner")
        .header("x-internal", "true")
        .header("x-forwarded-user", owner_id.to_string());
    let answer = send(request).await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden_tenant"), "{answer:?}");
    // Nor are they a caller.
    let request = app.request("GET", "/api/me").header("x-user-id", owner_id.to_string()).header("x-internal", "true");
    assert_eq!(send(request).await.status, 401);
}

#[tokio::test]
async fn attack_08_who_was_removed_or_demoted_a_moment_ago() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (id, admin) = app.member(&owner, acme, "admin").await;
    let path = format!("/api/tenants/{acme}/members/{id}");
    let event = json!({ "metric": "calls", "amount": 1, "idempotencyKey": "k" });
    // Reads and writes, with the tenant in the header and in the path.
    let ask = async |token: &str| {
        let name = json!({ "name": "Renamed" });
        [
            app.within(token, acme, "GET", "/api/keys", &Value::Null).await.status,
            app.within(token, acme, "GET", "/api/usage/report", &Value::Null).await.status,
            app.within(token, acme, "POST", "/api/usage", &event).await.status,
            app.call(token, "PATCH", &format!("/api/tenants/{acme}"), &name).await.status,
            app.get(token, &format!("/api/tenants/{acme}/members")).await.status,
        ]
    };
    assert_eq!(ask(&admin).await, [200, 200, 201, 200, 200]);
    let demoted = app.call(&owner, "PATCH", &path, &json!({ "role": "member" })).await;
    assert_eq!((demoted.status, ask(&admin).await), (200, [403, 200, 200, 403, 200]));
    let narrowed = json!({ "permissions": { "recordUsage": false, "viewUsage": false } });
    let narrowed = app.call(&owner, "PATCH", &path, &narrowed).await;
    assert_eq!((narrowed.status, ask(&admin).await), (200, [403, 403, 403, 403, 200]));
    let removed = app.call(&owner, "DELETE", &path, &Value::Null).await;
    assert_eq!((removed.status, ask(&admin).await), (204, [403, 403, 403, 404, 404]));
    let me = app.get(&admin, "/api/me").await;
    assert_eq!(me.body["tenants"].as_array().unwrap().len(), 1, "{me:?}");
}

#[tokio::test]
async fn attack_10_a_revoked_key_and_a_mistyped_one() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (id, key) = app.key(&owner, acme, &["viewUsage"]).await;
    assert_eq!(app.get(&key, "/api/usage/report").await.status, 200);
    let path = format!("/api/keys/{id}");
    assert_eq!(app.within(&owner, acme, "DELETE", &path, &Value::Null).await.status, 204);
    // Another key in its place brings it not back.
    let (_, rotated) = app.key(&owner, acme, &["viewUsage"]).await;
    assert_eq!(app.get(&rotated, "/api/usage/report").await.status, 200);
    let revoked = app.get(&key, "/api/usage/report").await;
    let mistyped = app.get(&format!("{}A", &key[..key.len() - 1]), "/api/usage/report").await;
    assert_eq!(revoked.status, 401, "{revoked:?}");
    assert_eq!(revoked.lasting(), mistyped.lasting());
}

#[tokio::test]
async fn attack_12_cursors_and_idempotency_keys_of_others_give_nothing_of_theirs() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    for _ in 0..3 {
        app.member(&owner, acme, "member").await;
    }
    let page = app.get(&owner, &format!("/api/tenants/{acme}/members?limit=1")).await;
    let cursor = page.body["nextCursor"].as_str().unwrap();
    let (other_id, other) = app.user().await;
    let path = format!("/api/tenants/{other_id}/members?limit=50&cursor={cursor}");
    // The cursor is a position and no more: after it comes what of one's own sorts behind it.
    let answer = app.get(&other, &path).await;
    let whole = app.get(&other, &format!("/api/tenants/{other_id}/members")).await;
    let seen: Vec<&Value> = answer.body["data"].as_array().unwrap().iter().map(|row| &row["userId"]).collect();
    let own: Vec<&Value> = whole.body["data"].as_array().unwrap().iter().map(|row| &row["userId"]).collect();
    assert_eq!(own, [&json!(other_id)]);
    assert!(seen.iter().all(|user| own.contains(user)), "{answer:?}");
    let make = async |token: &str| {
        let request = app.request("POST", "/api/tenants").bearer_auth(token).header("idempotency-key", "the-same");
        send(request.json(&json!({ "name": "Secret plans" }))).await
    };
    let (mine, theirs) = (make(&owner).await, make(&other).await);
    assert_eq!((mine.status, theirs.status), (201, 201));
    assert_ne!(mine.body["tenant"]["id"], theirs.body["tenant"]["id"]);
}

#[tokio::test]
async fn attack_13_fields_that_are_not_expected_are_named() {
    let app = App::new().await;
    let (id, token) = app.user().await;
    let acme = app.organization(&token).await;
    for field in ["tenantId", "role", "planId", "permissions", "id", "type"] {
        let mut body = json!({ "name": "Mine" });
        body[field] = json!("x");
        for (method, path) in [("POST", "/api/tenants".to_owned()), ("PATCH", format!("/api/tenants/{acme}"))] {
            let answer = app.call(&token, method, &path, &body).await;
            assert_eq!((answer.status, answer.code()), (422, "validation_failed"), "{answer:?}");
            assert_eq!(answer.body["errors"][0]["field"], field, "{answer:?}");
        }
    }
    let owner = app.call(&token, "POST", "/api/tenants", &json!({ "name": "Mine", "ownerId": app.id() })).await;
    assert_eq!((owner.status, &owner.body["errors"][0]["field"]), (422, &json!("ownerId")));
    let event = json!({ "metric": "calls", "amount": 1, "idempotencyKey": "k", "tenantId": id });
    assert_eq!(app.call(&token, "POST", "/api/usage", &event).await.status, 422);
}

#[tokio::test]
async fn attack_15_a_name_that_is_taken_is_not_told_but_an_explicit_slug_is() {
    let app = App::new().await;
    let ((_, one), (_, two)) = (app.user().await, app.user().await);
    let first = app.call(&one, "POST", "/api/tenants", &json!({ "name": "Acme" })).await;
    let second = app.call(&two, "POST", "/api/tenants", &json!({ "name": "A c m e" })).await;
    let third = app.call(&two, "POST", "/api/tenants", &json!({ "name": "ACME" })).await;
    assert_eq!((first.status, second.status, third.status), (201, 201, 201));
    assert_ne!(first.body["tenant"]["slug"], third.body["tenant"]["slug"]);
    let taken = app.call(&two, "POST", "/api/tenants", &json!({ "name": "X", "slug": "acme" })).await;
    assert_eq!(taken.status, 409, "{taken:?}");
    assert!(!taken.body.to_string().contains("_key"), "{taken:?}");
    let own = format!("/api/tenants/{}", second.body["tenant"]["id"].as_str().unwrap());
    let renamed = app.call(&two, "PATCH", &own, &json!({ "slug": "acme" })).await;
    assert_eq!((renamed.status, renamed.lasting()), (409, taken.lasting()));
    // What is not a slug is nobody's alone: the same name and address again, of somebody else.
    let again =
        app.call(&two, "POST", "/api/tenants", &json!({ "name": "Acme", "billingEmail": "a@acme.example" })).await;
    let first =
        app.call(&one, "POST", "/api/tenants", &json!({ "name": "Acme", "billingEmail": "a@acme.example" })).await;
    assert_eq!((again.status, first.status), (201, 201));
    // How often slugs may be asked for is limited.
    let mut last = 409;
    for _ in 0..40 {
        last = app.call(&two, "POST", "/api/tenants", &json!({ "name": "X", "slug": "acme" })).await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(app.call(&two, "PATCH", &own, &json!({ "slug": "acme" })).await.status, 429);
}

#[tokio::test]
async fn attack_18_19_nobody_gives_what_they_do_not_have() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (admin_id, admin) = app.member(&owner, acme, "admin").await;
    let (_, billing) = app.member(&owner, acme, "billing_admin").await;
    let (member_id, member) = app.member(&owner, acme, "member").await;
    let at = |user: Uuid| format!("/api/tenants/{acme}/members/{user}");
    for (token, user, change) in [
        (&member, member_id, json!({ "role": "owner" })),
        (&member, member_id, json!({ "permissions": { "manageBilling": true } })),
        (&admin, member_id, json!({ "role": "owner" })),
        (&admin, admin_id, json!({ "role": "owner" })),
        (&admin, owner_id, json!({ "role": "member" })),
        (&billing, member_id, json!({ "role": "admin" })),
    ] {
        let answer = app.call(token, "PATCH", &at(user), &change).await;
        assert_eq!(answer.status, 403, "{change}: {answer:?}");
    }
    assert_eq!(app.call(&admin, "DELETE", &at(owner_id), &Value::Null).await.status, 403);
    for (overrides, field) in [
        (json!({ "manageBilling": "yes" }), "permissions.manageBilling"),
        (json!({ "deleteEverything": true }), "permissions.deleteEverything"),
        (json!({ "viewUsage": true, "x": "y".repeat(2000) }), "permissions"),
    ] {
        let answer = app.call(&owner, "PATCH", &at(member_id), &json!({ "permissions": overrides })).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!(field)), "{answer:?}");
    }
    let twice = app.request("PATCH", &at(member_id)).bearer_auth(&owner).header("content-type", "application/json");
    let twice = twice.body(r#"{"permissions": {"viewUsage": false, "viewUsage": true}}"#);
    assert_eq!(send(twice).await.status, 422);
    let owners =
        app.count("select count(*) from tenantry.tenant_members where role = 'owner' and tenant_id <> user_id").await;
    assert_eq!(owners, 1);
}

#[tokio::test]
async fn attack_29_strings_are_text_and_nothing_else() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    for name in
        ["'; drop table tenantry.tenants; --", "$1 \\ \" %s {} ${x}", "'; select set_config('app.tenants', '', true)--"]
    {
        let made = app.call(&token, "POST", "/api/tenants", &json!({ "name": name })).await;
        assert_eq!((made.status, &made.body["tenant"]["name"]), (201, &json!(name)), "{made:?}");
        let event = json!({ "metric": "calls", "amount": 1, "idempotencyKey": name, "metadata": { name: name } });
        assert_eq!(app.call(&token, "POST", "/api/usage", &event).await.status, 201);
        let unknown = json!({ "metric": name, "amount": 1, "idempotencyKey": "m" });
        assert_eq!(app.call(&token, "POST", "/api/usage", &unknown).await.status, 422);
    }
    let nul = json!({ "metric": "calls", "amount": 1, "idempotencyKey": "nul", "metadata": { "a": "\u{0}" } });
    assert_eq!(app.call(&token, "POST", "/api/usage", &nul).await.status, 422);
    let stored = app.count("select count(*) from tenantry.tenant_usage").await;
    assert_eq!(stored, 3);
}
