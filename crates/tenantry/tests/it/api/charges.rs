//! Charges over HTTP: the list, the explanation with a digest that the export makes again, and the preview of usage.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tenantry::tenancy::audit::hex;
use uuid::Uuid;

use super::world::App;

/// Ends the running period of a tenant so long ago that it can be closed, and closes it.
async fn close(app: &App, tenant: Uuid) {
    let sql = "update tenantry.usage_periods set period_start = period_start - interval '32 days',
                   period_end = period_end - interval '32 days', anchor = anchor - interval '32 days'
               where tenant_id = $1 and state = 'open'
               returning period_start";
    let defer = "set session_replication_role = replica";
    app.admin.batch_execute(defer).await.unwrap();
    let start: Timestamp = app.admin.query_one(sql, &[&tenant]).await.unwrap().get(0);
    for (table, set) in [
        ("usage_segments", "started_at = started_at - interval '32 days'"),
        (
            "usage_counters",
            "period_end = period_end - interval '32 days', segment_start = segment_start - interval '32 days'",
        ),
        (
            "tenant_usage",
            "period_end = period_end - interval '32 days', occurred_at = occurred_at - interval '32 days'",
        ),
        ("usage_keys", "occurred_at = occurred_at - interval '32 days'"),
        ("usage_rollups", "hour = hour - interval '32 days'"),
    ] {
        let moved = if table == "usage_keys" { "" } else { ", period_start = period_start - interval '32 days'" };
        let sql = format!("update tenantry.{table} set {set}{moved} where tenant_id = $1");
        app.admin.execute(&sql, &[&tenant]).await.unwrap();
    }
    app.admin.batch_execute("set session_replication_role = origin").await.unwrap();
    let closed = tenantry::usage::closing::close_period(&app.db, &app.env, tenant, start).await.unwrap();
    assert_eq!(closed, tenantry::usage::closing::Closed::Now);
}

/// An organization that used 100 tokens under the free plan, with a correction, and was charged for them.
async fn charged(app: &App) -> (String, Uuid) {
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    // The months of the events, which are moved back, have their partitions.
    for days in [0, 32, 64] {
        let at = app.env.clock.now() - SignedDuration::from_hours(24 * days);
        app.admin.execute("select tenantry.ensure_usage_month($1)", &[&at]).await.unwrap();
    }
    let event = |key: &str, amount: &str| json!({ "metric": "tokens", "amount": amount, "idempotencyKey": key });
    let events = json!({ "events": [
        event("b", "60.25"), event("a\\\ttab", "39.75"), event("c", "7"), { "reverses": "c", "idempotencyKey": "d" },
        { "metric": "calls", "amount": 3, "idempotencyKey": "x" },
    ] });
    let answer = app.within(&owner, acme, "POST", "/api/usage", &events).await;
    assert_eq!(answer.body["accepted"], 5, "{answer:?}");
    close(app, acme).await;
    (owner, acme)
}

/// What the documentation tells customers to do with the lines of an export.
fn digest(lines: &str, charge: &Value) -> String {
    let at = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    let (start, end) = (at(&charge["period"]["start"]), at(&charge["period"]["end"]));
    let mut events: Vec<(String, String, String, String)> = Vec::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let event = &line["data"];
        if line["kind"] != "usageEvent" || event["metric"] != charge["metric"] {
            continue;
        }
        let when = at(&event["timestamp"]);
        if start <= when && when < end {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            let key = text("idempotencyKey").replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
            events.push((when.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(), key, text("kind"), text("amount")));
        }
    }
    // Escaped or not, the keys of these tests have the same order.
    events.sort();
    let mut digest = Sha256::new();
    for (at, key, kind, amount) in events {
        digest.update(format!("{at}\t{key}\t{kind}\t{amount}\n"));
    }
    hex(&digest.finalize())
}

#[tokio::test]
async fn a_customer_can_make_the_digest_of_a_charge_again() {
    let app = App::new().await;
    let (owner, acme) = charged(&app).await;
    let get = async |path: &str| app.within(&owner, acme, "GET", path, &Value::Null).await;
    let list = get("/api/billing/charges").await;
    assert_eq!((list.status, list.body["data"].as_array().unwrap().len()), (200, 1), "{list:?}");
    let charge = &list.body["data"][0];
    assert_eq!(
        (&charge["metric"], &charge["amountCents"], &charge["sequence"]),
        (&json!("tokens"), &json!(14), &json!(0))
    );
    assert_eq!((&charge["state"], &charge["overage"]), (&json!("unbilled"), &json!("50")));
    assert_eq!(charge["plans"], json!([{ "planId": "free", "version": 1 }]));
    let id = charge["id"].as_str().unwrap();
    let explained = get(&format!("/api/billing/charges/{id}/explain")).await;
    assert_eq!(explained.status, 200, "{explained:?}");
    let body = &explained.body;
    assert_eq!(&body["charge"], charge);
    assert_eq!(
        (&body["sum"], &body["roundedCents"], &body["differenceCents"]),
        (&json!("13.5"), &json!(14), &json!(14))
    );
    assert_eq!((&body["holds"], &body["current"]["isSame"]), (&json!(true), &json!(true)));
    let line = |from: &str, to: &str, units: &str, price: &str, amount: &str| json!({ "from": from, "to": to, "units": units, "unitPrice": price, "per": 10, "amount": amount });
    let lines = json!([line("0", "40", "40", "3", "12"), line("40", "50", "10", "1.5", "1.5")]);
    assert_eq!((&body["segments"][0]["lines"], &body["segments"][0]["linesAtStart"]), (&lines, &json!([])));
    let events = &body["events"];
    assert_eq!((&events["count"], &events["corrections"], &events["total"]), (&json!(4), &json!(1), &json!("100")));
    let export = app.request("GET", &format!("/api/tenants/{acme}/export")).bearer_auth(&owner).send().await.unwrap();
    let export = export.text().await.unwrap();
    assert_eq!(events["digest"].as_str().unwrap(), digest(&export, charge));
    // Months are those in which periods begin.
    let start: Timestamp = charge["period"]["start"].as_str().unwrap().parse().unwrap();
    let month = start.strftime("%Y-%m").to_string();
    for (period, count) in [(month.as_str(), 1), ("2001-01", 0)] {
        let list = get(&format!("/api/billing/charges?period={period}")).await;
        assert_eq!(list.body["data"].as_array().unwrap().len(), count, "{list:?}");
    }
    for period in ["2026-13", "october", ""] {
        let wrong = get(&format!("/api/billing/charges?period={period}")).await;
        assert_eq!((wrong.status, &wrong.body["errors"][0]["field"]), (422, &json!("period")), "{wrong:?}");
    }
}

#[tokio::test]
async fn charges_come_in_pages_and_adjustments_first() {
    let app = App::new().await;
    let (owner, acme) = charged(&app).await;
    for key in ["l1", "l2"] {
        let service = app.service_key().await;
        let at = app.env.clock.now() - SignedDuration::from_hours(24 * 31);
        let late = json!({ "metric": "tokens", "amount": 20, "idempotencyKey": key, "timestamp": at.to_string() });
        let request = app.request("POST", "/api/usage").bearer_auth(&service).header("x-tenant-id", acme.to_string());
        let answer = super::world::send(request.json(&late)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let mut found = Vec::new();
    let mut path = "/api/billing/charges?limit=2".to_owned();
    loop {
        let page = app.within(&owner, acme, "GET", &path, &Value::Null).await;
        assert_eq!(page.status, 200, "{page:?}");
        found.extend(page.body["data"].as_array().unwrap().iter().map(|charge| charge["sequence"].as_i64().unwrap()));
        let Some(cursor) = page.body["nextCursor"].as_str() else { break };
        path = format!("/api/billing/charges?limit=2&cursor={cursor}");
    }
    assert_eq!(found, [2, 1, 0]);
}

#[tokio::test]
async fn a_preview_tells_what_recording_answers() {
    let app = App::new().await;
    let (owner, acme) = charged(&app).await;
    let preview = async |bearer: &str, events: Value| {
        app.within(bearer, acme, "POST", "/api/usage/preview", &json!({ "events": events })).await
    };
    let event =
        |key: &str, metric: &str, amount: u32| json!({ "metric": metric, "amount": amount, "idempotencyKey": key });
    let events = json!([
        event("n1", "calls", 99),
        event("n2", "calls", 2),
        event("b", "tokens", 1),
        event("n3", "nonsense", 1),
        { "reverses": "b", "idempotencyKey": "undo" },
    ]);
    let told = preview(&owner, events.clone()).await;
    assert_eq!(told.status, 200, "{told:?}");
    let statuses: Vec<&str> =
        told.body["results"].as_array().unwrap().iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["accepted", "rejected", "conflict", "invalid", "accepted"]);
    let counts =
        ["accepted", "duplicate", "rejected", "conflict", "invalid"].map(|name| told.body[name].as_u64().unwrap());
    assert_eq!(counts, [2, 0, 1, 1, 1]);
    let closed = told.body["periods"].as_array().unwrap().iter().find(|period| period["closed"] == true).unwrap();
    assert_eq!(
        (&closed["metric"], &closed["totalBefore"], &closed["totalAfter"]),
        (&json!("tokens"), &json!("100"), &json!("39.75"))
    );
    assert_eq!(
        (&closed["costBeforeCents"], &closed["costAfterCents"], &closed["adjustmentCents"]),
        (&json!(14), &json!(0), &json!(-14))
    );
    let open = told.body["periods"].as_array().unwrap().iter().find(|period| period["metric"] == "calls").unwrap();
    assert_eq!(
        (&open["closed"], &open["totalAfter"], &open["adjustmentCents"]),
        (&json!(false), &json!("99"), &Value::Null)
    );
    // Doing it answers the same.
    let done = app.within(&owner, acme, "POST", "/api/usage", &json!({ "events": events })).await;
    for name in ["accepted", "duplicate", "rejected", "conflict", "invalid"] {
        assert_eq!(done.body[name], told.body[name], "{name}: {done:?}");
    }
    let of_others = |body: &Value| -> Vec<Value> {
        body["results"].as_array().unwrap().iter().filter(|result| result["status"] != "accepted").cloned().collect()
    };
    assert_eq!(of_others(&done.body), of_others(&told.body));
}

#[tokio::test]
async fn a_preview_asks_for_what_recording_and_seeing_money_ask_for() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let preview = async |bearer: &str, events: Value| {
        app.within(bearer, acme, "POST", "/api/usage/preview", &json!({ "events": events })).await
    };
    let event =
        |key: &str, metric: &str, amount: u32| json!({ "metric": metric, "amount": amount, "idempotencyKey": key });
    let made = app.within(&owner, acme, "POST", "/api/usage", &event("n1", "calls", 99)).await;
    assert_eq!(made.status, 201, "{made:?}");
    // Usage needs recordUsage, corrections manageBilling, the money viewBilling; nothing is told otherwise.
    let (_, member) = app.member(&owner, acme, "member").await;
    let (_, viewer) = app.key(&owner, acme, &["viewBilling"]).await;
    let (_, recorder) = app.key(&owner, acme, &["recordUsage", "manageBilling"]).await;
    let usage = json!([event("m", "calls", 1)]);
    let correction = json!([{ "reverses": "n1", "idempotencyKey": "undo-n1" }]);
    for (bearer, events, status) in [
        (&member, &usage, 200),
        (&member, &correction, 403),
        (&viewer, &usage, 403),
        (&viewer, &correction, 403),
        (&recorder, &usage, 403),
        (&owner, &correction, 200),
    ] {
        let answer = preview(bearer, events.clone()).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(status == 200 || answer.code() == "insufficient_permissions", "{answer:?}");
    }
    let many: Vec<Value> = (0..1001).map(|n| event(&format!("k{n}"), "bytes", 1)).collect();
    for events in [json!([]), json!(many)] {
        let answer = preview(&owner, events).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!("events")), "{answer:?}");
    }
    assert_eq!(preview(&owner, json!(many[..1000])).await.body["accepted"], 1000);
    // A service key may name the tenant in each event, and no other one.
    let service = app.service_key().await;
    let ask = async |tenant: Uuid| {
        let mut named = event("s", "calls", 1);
        named["tenantId"] = json!(tenant);
        let request = app.request("POST", "/api/usage/preview").bearer_auth(&service);
        super::world::send(request.header("x-tenant-id", acme.to_string()).json(&json!({ "events": [named] }))).await
    };
    assert_eq!(ask(acme).await.body["results"][0]["status"], "accepted");
    let other = app.organization(&owner).await;
    assert_eq!(ask(other).await.body["results"][0]["code"], "context_mismatch");
}
