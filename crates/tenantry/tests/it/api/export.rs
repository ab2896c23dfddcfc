//! Taking a tenant's data along.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::App;

/// The lines of an export by kind, where it is whole.
async fn lines(app: &App, token: &str, tenant: Uuid) -> BTreeMap<String, Vec<Value>> {
    let response =
        app.request("GET", &format!("/api/tenants/{tenant}/export")).bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        found.entry(line["kind"].as_str().unwrap().to_owned()).or_default().push(line["data"].clone());
    }
    let end = found.remove("end").unwrap();
    let written: usize = found.values().map(Vec::len).sum();
    assert_eq!(end, [json!({ "lines": written })]);
    found
}

async fn record(app: &App, token: &str, tenant: Uuid, from: usize, to: usize) {
    let events: Vec<Value> = (from..to)
        .map(|n| json!({ "metric": "tokens", "amount": "0.25", "idempotencyKey": format!("k{n}"), "metadata": { "n": n } }))
        .collect();
    let answer = app.within(token, tenant, "POST", "/api/usage", &json!({ "events": events })).await;
    assert_eq!(answer.body["accepted"], to - from, "{answer:?}");
}

#[tokio::test]
async fn an_export_has_everything_of_the_tenant_and_nothing_of_others() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let (acme, other) = (app.organization(&owner).await, app.organization(&owner).await);
    let (member_id, _) = app.member(&owner, acme, "member").await;
    let invited = json!({ "email": "bea@example.com", "role": "member" });
    let invited = app.call(&owner, "POST", &format!("/api/tenants/{acme}/invitations"), &invited).await;
    let token = invited.body["token"].as_str().unwrap().to_owned();
    let team = app.team(&owner).await;
    let (teammate, _) = app.teammate(&owner, team).await;
    let (_, secret) = app.key(&owner, acme, &["viewUsage"]).await;
    for (method, path) in [("PUT", "/api/billing/spend/cap"), ("POST", "/api/billing/spend/alerts")] {
        let set = app.within(&owner, acme, method, path, &json!({ "amountCents": 700_000 })).await;
        assert!(set.status < 300, "{set:?}");
    }
    // More than two pages, many of one instant.
    record(&app, &owner, acme, 0, 2500).await;
    record(&app, &owner, other, 0, 10).await;
    let found = lines(&app, &owner, acme).await;
    let kinds: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [
            "billingEvent",
            "invitation",
            "key",
            "member",
            "notification",
            "period",
            "spendAlert",
            "spendCap",
            "subscription",
            "tenant",
            "usageEvent"
        ]
    );
    let mut numbers: Vec<i64> =
        found["usageEvent"].iter().map(|event| event["metadata"]["n"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2500).collect::<Vec<i64>>());
    assert_eq!((&found["usageEvent"][0]["amount"], &found["tenant"][0]["id"]), (&json!("0.25"), &json!(acme)));
    let mut members: Vec<&Value> = found["member"].iter().map(|member| &member["userId"]).collect();
    members.sort_by_key(ToString::to_string);
    assert_eq!(members, [&json!(owner_id), &json!(member_id)]);
    let text = json!(found).to_string();
    assert!(
        !text.contains(&secret)
            && !text.contains(&token)
            && !text.contains("secretHash")
            && !text.contains(&other.to_string())
    );
    assert_eq!(found["invitation"][0]["email"], "bea@example.com");
    // Teams are the owner's own.
    let own = lines(&app, &owner, owner_id).await;
    assert_eq!((&own["team"][0]["id"], &own["team"][0]["members"]), (&json!(team), &json!([teammate])));
    assert_eq!(found["billingEvent"].last().unwrap()["type"], "tenant.exported");
}

#[tokio::test]
async fn an_export_says_which_months_were_archived() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let (acme, other) = (app.organization(&owner).await, app.organization(&owner).await);
    let part = "insert into tenantry.usage_archive_parts
                    (tenant_id, month, part, state, event_count, first_at, last_at, file_name, digest, mark, created_at)
                values ($1, $2::text::timestamptz, $3, $4, 3, now(), now(), 'a', '\\xab', '', now())";
    for (tenant, month, number, state) in [
        (acme, "2026-01-01Z", 1, "archived"),
        (acme, "2026-01-01Z", 2, "archived"),
        (acme, "2026-02-01Z", 1, "staged"),
        (other, "2026-03-01Z", 1, "archived"),
    ] {
        app.admin.execute(part, &[&tenant, &month, &number, &state]).await.unwrap();
    }
    let found = lines(&app, &owner, acme).await;
    let archived: Vec<(&Value, &Value)> =
        found["usageArchive"].iter().map(|part| (&part["month"], &part["part"])).collect();
    assert_eq!(archived, [(&json!("2026-01"), &json!(1)), (&json!("2026-01"), &json!(2))]);
    let first = &found["usageArchive"][0];
    assert_eq!((&first["events"], &first["file"], &first["sha256"]), (&json!(3), &json!("a"), &json!("ab")));
}

#[tokio::test]
async fn attack_17_an_export_ends_when_its_owner_is_none_any_more() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (second_id, second) = app.member(&owner, acme, "admin").await;
    let promoted = json!({ "role": "owner" });
    let path = format!("/api/tenants/{acme}/members/{second_id}");
    assert_eq!(app.call(&owner, "PATCH", &path, &promoted).await.status, 200);
    record(&app, &owner, acme, 0, 1).await;
    let sql = "insert into tenantry.tenant_usage (tenant_id, id, metric, amount, occurred_at, period_start, period_end,
                   idempotency_key, metadata, created_at)
               select $1, gen_random_uuid(), 'tokens', 1, now(), now(), now() + interval '1 month', n::text,
                   jsonb_build_object('text', repeat('x', 5000)), now() from generate_series(1, 5000) n";
    app.admin.execute(sql, &[&acme]).await.unwrap();
    let mut export =
        app.request("GET", &format!("/api/tenants/{acme}/export")).bearer_auth(&owner).send().await.unwrap();
    let mut read = export.chunk().await.unwrap().unwrap().len();
    // The rest is more than the network keeps.
    let removed = app.call(&second, "DELETE", &format!("/api/tenants/{acme}/members/{owner_id}"), &Value::Null).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    let mut is_broken = false;
    loop {
        match export.chunk().await {
            Ok(Some(part)) => read += part.len(),
            Ok(None) => break,
            Err(_) => {
                is_broken = true;
                break;
            }
        }
    }
    assert!(is_broken, "all {read} bytes were sent");
}
