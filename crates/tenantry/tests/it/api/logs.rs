//! The audit trail and the security log over HTTP.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, App};

const NOTHING: Value = Value::Null;

fn rows(answer: &Answer) -> &Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["data"].as_array().unwrap()
}

fn kinds(answer: &Answer) -> Vec<&str> {
    rows(answer).iter().map(|row| row["kind"].as_str().unwrap()).collect()
}

impl App {
    async fn log(&self, bearer: &str, tenant: Uuid, which: &str, query: &str) -> Answer {
        self.within(bearer, tenant, "GET", &format!("/api/{which}/events{query}"), &NOTHING).await
    }
}

#[tokio::test]
async fn the_trail_is_read_newest_first_by_page_and_filter() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(app.member(&owner, acme, "member").await);
    }
    let (key_id, key) = app.key(&owner, acme, &["manageBilling", "viewBilling"]).await;
    let made = app.call(&key, "POST", "/api/webhook-endpoints", &json!({ "url": "http://127.0.0.1:9/hook" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let log = async |query: &str| app.log(&members[0].1, acme, "billing", query).await;
    let all = log("").await;
    let due =
        ["webhook_endpoint.created", "key.created", "member.added", "member.added", "member.added", "tenant.created"];
    assert_eq!(kinds(&all), due);
    let first = &rows(&all)[0];
    assert_eq!(first["actor"], json!({ "type": "key", "id": key_id }));
    assert_eq!(first["subject"], made.body["webhookEndpoint"]["id"]);
    assert_eq!(first["payload"]["url"], "http://127.0.0.1:9/hook");
    assert_eq!(first["hash"].as_str().unwrap().len(), 64);
    assert_eq!(rows(&all)[5]["actor"], json!({ "type": "user", "id": owner_id }));
    assert_eq!(rows(&all)[4]["payload"], json!({ "role": "member", "permissions": {} }));

    // Pages hold each entry once, also where many have one instant.
    app.admin
        .execute("update tenantry.billing_events set created_at = '2026-01-01T00:00:00Z' where sequence > 2", &[])
        .await
        .unwrap();
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = log(&query).await;
        assert!(rows(&page).len() <= 2);
        seen.extend(rows(&page).iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.body["nextCursor"].as_str() else { break };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, rows(&all).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>());

    let at = rows(&all)[4]["at"].as_str().unwrap();
    for (query, due) in [
        ("?kind=member.added".to_owned(), 3),
        ("?kind=member.removed".to_owned(), 0),
        (format!("?actor={owner_id}"), 5),
        (format!("?actor={key_id}"), 1),
        ("?actor=key".to_owned(), 1),
        ("?actor=user&kind=key.created".to_owned(), 1),
        ("?actor=system".to_owned(), 0),
        (format!("?from={at}"), 1),
        (format!("?to={at}"), 5),
        (format!("?to={at}&kind=member.added"), 2),
        ("?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00.000001Z".to_owned(), 4),
    ] {
        assert_eq!(rows(&log(&query).await).len(), due, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_of_a_log_is_named() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    for which in ["billing", "security"] {
        for (query, field) in [
            ("?kind=", "kind"),
            ("?kind=Member'--", "kind"),
            ("?actor=", "actor"),
            ("?actor=nobody", "actor"),
            ("?actor=00000000-0000-0000-0000-000000000000", "actor"),
            ("?from=yesterday", "from"),
            ("?to=2026-01-01", "to"),
            ("?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", "to"),
            ("?limit=0", "limit"),
            ("?limit=201", "limit"),
            ("?cursor=x", "cursor"),
            ("?tenantId=x", "tenantId"),
        ] {
            let answer = app.log(&owner, acme, which, query).await;
            assert_eq!((answer.status, answer.body["errors"][0]["field"].as_str()), (422, Some(field)), "{query}");
        }
    }
    // A cursor of another list is no place in a trail.
    let cursor = "AQAAAAAAAAAA____________________________"[..34].to_owned();
    let answer = app.log(&owner, acme, "billing", &format!("?cursor={cursor}")).await;
    assert_eq!((answer.status, answer.body["errors"][0]["field"].as_str()), (422, Some("cursor")), "{answer:?}");
}

#[tokio::test]
async fn attack_30_a_log_shows_nothing_of_other_tenants() {
    let app = App::new().await;
    let ((_, one), (other_id, two)) = (app.user().await, app.user().await);
    let (acme, other) = (app.organization(&one).await, app.organization(&two).await);
    for _ in 0..3 {
        app.member(&two, other, "member").await;
    }
    let ids = |answer: &Answer| -> BTreeSet<String> {
        rows(answer).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let theirs = app.log(&two, other, "billing", "?limit=1").await;
    let cursor = theirs.body["nextCursor"].as_str().unwrap();
    for query in [String::new(), format!("?cursor={cursor}"), format!("?actor={other_id}")] {
        let mine = app.log(&one, acme, "billing", &query).await;
        assert!(ids(&mine).is_disjoint(&ids(&app.log(&two, other, "billing", "").await)), "{query}");
        assert!(rows(&mine).iter().all(|row| row["kind"] == "tenant.created"), "{mine:?}");
    }
    for which in ["billing", "security"] {
        let refused = app.log(&one, other, which, "").await;
        assert_eq!((refused.status, refused.code()), (403, "forbidden_tenant"));
    }
    // What a stranger tried is in the stranger's own log and not in the tenant's.
    assert_eq!(kinds(&app.get(&one, "/api/security/events").await), ["forbidden_tenant", "forbidden_tenant"]);
    assert_eq!(kinds(&app.log(&two, other, "security", "").await), [] as [&str; 0]);
}

#[tokio::test]
async fn attack_30_a_denied_attempt_is_in_the_security_log_and_changes_nothing() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (member_id, member) = app.member(&owner, acme, "member").await;
    let (key_id, key) = app.key(&owner, acme, &["viewBilling"]).await;
    let before = app.count("select count(*) from tenantry.billing_events").await;
    let path = format!("/api/tenants/{acme}/members/{member_id}");
    let refused = app.call(&member, "PATCH", &path, &json!({ "role": "owner" })).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        app.call(&key, "POST", "/api/keys", &json!({ "name": "k", "scopes": ["viewBilling"] })).await.status,
        403
    );
    assert_eq!(app.log(&member, acme, "security", "").await.status, 403, "a member reads who was refused");
    assert_eq!(app.count("select count(*) from tenantry.billing_events").await, before);
    let log = async |query: &str| app.log(&owner, acme, "security", query).await;
    let all = log("").await;
    assert_eq!(kinds(&all), ["insufficient_permissions"; 3]);
    let oldest = &rows(&all)[2];
    assert_eq!(oldest["actor"], json!({ "type": "user", "id": member_id }));
    assert_eq!(
        (&oldest["neededPermission"], &oldest["role"], &oldest["severity"], &oldest["address"]),
        (&json!("manageMembers"), &json!("member"), &json!("warning"), &json!("127.0.0.1"))
    );
    assert_eq!(oldest["requestId"], refused.body["requestId"]);
    assert_eq!(rows(&all)[1]["actor"], json!({ "type": "key", "id": key_id }));
    for (query, due) in [
        (format!("?actor={member_id}"), 2),
        (format!("?actor={key_id}"), 1),
        ("?actor=key".to_owned(), 1),
        ("?actor=user".to_owned(), 2),
        ("?actor=system".to_owned(), 0),
        ("?kind=insufficient_permissions".to_owned(), 3),
        ("?kind=forbidden_tenant".to_owned(), 0),
        (format!("?to={}", rows(&all)[0]["at"].as_str().unwrap()), 2),
        (format!("?from={}", rows(&all)[0]["at"].as_str().unwrap()), 1),
    ] {
        assert_eq!(rows(&log(&query).await).len(), due, "{query}");
    }
    let page = log("?limit=2").await;
    let rest = log(&format!("?limit=2&cursor={}", page.body["nextCursor"].as_str().unwrap())).await;
    assert_eq!((rows(&page).len(), rows(&rest).len(), &rest.body["nextCursor"]), (2, 1, &NOTHING));
}

#[tokio::test]
async fn attack_30_control_characters_and_secrets_are_in_no_log() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    // What turns text around or hides in it may be in a name; a log shows it escaped.
    let renamed =
        app.call(&owner, "PATCH", &format!("/api/tenants/{acme}"), &json!({ "name": "a\u{202e}b\u{feff}c" })).await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let hook = json!({ "url": "http://127.0.0.1:9/hook" });
    let endpoint = app.within(&owner, acme, "POST", "/api/webhook-endpoints", &hook).await;
    let id = endpoint.body["webhookEndpoint"]["id"].as_str().unwrap();
    let described = json!({ "description": "one\u{2028}two\u{200f}" });
    let path = format!("/api/webhook-endpoints/{id}");
    assert_eq!(app.within(&owner, acme, "PATCH", &path, &described).await.status, 200);
    let rotated = app.within(&owner, acme, "POST", &format!("{path}/rotate-secret"), &json!({})).await;
    let (_, key) = app.key(&owner, acme, &["viewBilling"]).await;
    let service = app.service_key().await;
    let provisioned = app.id();
    let email = json!({ "email": "zelda@example.com" });
    assert_eq!(app.call(&service, "PUT", &format!("/api/users/{provisioned}"), &email).await.status, 201);
    let email = json!({ "email": "fitz@example.com" });
    assert_eq!(app.call(&service, "PUT", &format!("/api/users/{provisioned}"), &email).await.status, 200);
    let trail = app.log(&owner, acme, "billing", "").await;
    let names = rows(&trail).iter().find(|row| row["kind"] == "tenant.changed").unwrap();
    assert_eq!(names["payload"]["name"]["to"], "a\\u{202e}b\\u{feff}c");
    let changed = rows(&trail).iter().find(|row| row["kind"] == "webhook_endpoint.changed").unwrap();
    assert_eq!(changed["payload"]["description"]["to"], "one\\u{2028}two\\u{200f}");
    let everything = "select coalesce(string_agg(e::text, ' '), '') || (select coalesce(string_agg(s::text, ' '), '')
                      from tenantry.security_events s) from tenantry.billing_events e";
    let stored: String = app.admin.query_one(everything, &[]).await.unwrap().get(0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for secret in [
        key,
        service,
        owner.clone(),
        text(&endpoint.body["secret"]),
        text(&rotated.body["secret"]),
        "zelda@example.com".to_owned(),
        "fitz@example.com".to_owned(),
    ] {
        assert!(secret.len() > 12 && !stored.contains(&secret), "{secret} is in a log");
    }
    assert!(
        !stored.chars().any(|letter| letter.is_control() || ['\u{202e}', '\u{feff}'].contains(&letter)),
        "{stored}"
    );
    // Whoever provisions another address leaves an entry, without the address.
    assert!(stored.contains("user.email_changed"));
}

#[tokio::test]
async fn attack_30_an_action_and_its_entry_commit_together() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (user, _) = app.user().await;
    let dump = "select (select count(*) from tenantry.tenant_members) + (select count(*) from tenantry.billing_events)";
    let before = app.count(dump).await;
    let fails = "create function public.fails() returns trigger language plpgsql as $$ begin raise 'no entry'; end $$;
                 create trigger fails before insert on tenantry.billing_events for each row execute function public.fails()";
    app.admin.batch_execute(fails).await.unwrap();
    let path = format!("/api/tenants/{acme}/members");
    let body = json!({ "userId": user, "role": "member" });
    let failed = app.call(&owner, "POST", &path, &body).await;
    assert_eq!((failed.status, failed.code()), (500, "internal"));
    assert_eq!(app.count(dump).await, before, "something was done without its entry");
    app.admin.batch_execute("drop trigger fails on tenantry.billing_events").await.unwrap();
    // And no entry is left of what is not done.
    let fails =
        "create trigger fails before insert on tenantry.tenant_members for each row execute function public.fails()";
    app.admin.batch_execute(fails).await.unwrap();
    assert_eq!(app.call(&owner, "POST", &path, &body).await.status, 500);
    assert_eq!(app.count(dump).await, before, "an entry tells of what was not done");
    app.admin.batch_execute("drop trigger fails on tenantry.tenant_members").await.unwrap();
    assert_eq!(app.call(&owner, "POST", &path, &body).await.status, 201);
    assert_eq!(app.count(dump).await, before + 2);
}
