//! Usage over HTTP: each answer of the contract.

use serde_json::{Value, json};
use tenantry::usage::ingest::IngestSettings;

use super::world::{App, send};
use crate::metering::world::figures_catalog;

#[tokio::test]
async fn single_events_have_their_statuses_and_figures() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    let post = async |body: Value| app.call(&token, "POST", "/api/usage", &body).await;
    let event = json!({ "metric": "calls", "amount": "60.5", "idempotencyKey": "a" });
    let first = post(event.clone()).await;
    assert_eq!(first.status, 201);
    let figures = json!({ "metric": "calls", "total": "60.5", "included": "100", "remaining": "39.5", "held": "0", "overage": "0" });
    let with = |status: &str| {
        let mut body = figures.clone();
        body["status"] = json!(status);
        body
    };
    assert_eq!(first.body, with("accepted"));
    let again = post(event).await;
    assert_eq!((again.status, again.body), (200, with("duplicate")));
    let conflict = post(json!({ "metric": "calls", "amount": 1, "idempotencyKey": "a" })).await;
    assert_eq!((conflict.status, conflict.code()), (409, "idempotency_conflict"), "{conflict:?}");
    let refused = post(json!({ "metric": "calls", "amount": 40, "idempotencyKey": "b" })).await;
    assert_eq!((refused.status, refused.code()), (402, "usage_limit_exceeded"), "{refused:?}");
    for (name, value) in figures.as_object().unwrap() {
        assert_eq!(&refused.body[name], value, "{refused:?}");
    }
    let absent = post(json!({ "metric": "exports", "amount": 1, "idempotencyKey": "c" })).await;
    assert_eq!((absent.status, absent.code()), (402, "metric_not_in_plan"));
    let unknown = post(json!({ "metric": "nonsense", "amount": 1, "idempotencyKey": "d" })).await;
    assert_eq!((unknown.status, unknown.code()), (422, "unknown_metric"));
    for path in ["/api/usage?metric=nonsense", "/api/usage/check?metric=nonsense&amount=1"] {
        let unknown = app.get(&token, path).await;
        assert_eq!((unknown.status, unknown.code()), (422, "unknown_metric"), "{path}");
    }
}

#[tokio::test]
async fn amounts_are_read_from_their_digits() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    let post = async |amount: &str, key: &str| {
        let body = format!(r#"{{"metric": "bytes", "amount": {amount}, "idempotencyKey": "{key}"}}"#);
        let request = app.request("POST", "/api/usage").bearer_auth(&token).header("content-type", "application/json");
        send(request.body(body)).await
    };
    for (index, (amount, total)) in [
        ("0.1", "0.1"),
        ("\"0.2\"", "0.3"),
        ("1e3", "1000.3"),
        ("123456789012345.123456789", "123456789013345.423456789"),
        ("0.000000001", "123456789013345.42345679"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = post(amount, &format!("k{index}")).await;
        assert_eq!((answer.status, &answer.body["total"]), (201, &json!(total)), "{amount}: {answer:?}");
    }
    for amount in ["0", "-1", "\"\"", "\"1/2\"", "1234567890123456", "0.0000000001", "null", "true", "[1]", "\"NaN\""] {
        let answer = post(amount, "bad").await;
        assert_eq!(answer.status, 422, "{amount}: {answer:?}");
        assert_eq!(answer.body["errors"][0]["field"], "amount", "{amount}: {answer:?}");
    }
}

#[tokio::test]
async fn batches_name_what_was_not_accepted() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    let event =
        |key: &str, metric: &str, amount: Value| json!({ "metric": metric, "amount": amount, "idempotencyKey": key });
    let events = json!({ "events": [
        event("a", "calls", json!(90)),
        event("a", "calls", json!(90)),
        event("a", "calls", json!(91)),
        event("b", "calls", json!(20)),
        event("c", "calls", json!(10)),
        event("d", "nonsense", json!(1)),
        event("e", "calls", json!(-1)),
    ] });
    let answer = app.call(&token, "POST", "/api/usage", &events).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let counts =
        ["accepted", "duplicate", "conflict", "rejected", "invalid"].map(|name| answer.body[name].as_i64().unwrap());
    assert_eq!(counts, [2, 1, 1, 1, 2], "{answer:?}");
    let results: Vec<(i64, &str, &str)> = answer.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            (result["index"].as_i64().unwrap(), result["status"].as_str().unwrap(), result["code"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        results,
        [
            (1, "duplicate", "duplicate"),
            (2, "conflict", "idempotency_conflict"),
            (3, "rejected", "usage_limit_exceeded"),
            (5, "invalid", "unknown_metric"),
            (6, "invalid", "validation_failed"),
        ]
    );
    // Malformed as a whole, nothing of it is taken.
    let many: Vec<Value> = (0..10_001).map(|n| event(&format!("m{n}"), "bytes", json!(1))).collect();
    for body in [json!({ "events": many }), json!({ "events": [] }), json!({ "events": "x" }), json!([1]), json!({})] {
        let answer = app.call(&token, "POST", "/api/usage", &body).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    assert_eq!(app.count("select count(*) from tenantry.tenant_usage where metric = 'bytes'").await, 0);
}

#[tokio::test]
async fn a_service_key_names_tenants_in_the_batch() {
    let app = App::new().await;
    let ((one, _), (two, _)) = (app.user().await, app.user().await);
    let key = app.service_key().await;
    let event =
        |tenant: uuid::Uuid| json!({ "tenantId": tenant, "metric": "calls", "amount": 1, "idempotencyKey": "k" });
    let unknown = app.id();
    let batch = json!({ "events": [event(one), event(two), event(unknown), event(one)] });
    let answer = app.call(&key, "POST", "/api/usage", &batch).await;
    assert_eq!((&answer.body["accepted"], &answer.body["duplicate"]), (&json!(2), &json!(1)), "{answer:?}");
    assert_eq!(answer.body["results"][0]["index"], 2, "{answer:?}");
    assert_eq!(app.count("select count(distinct tenant_id) from tenantry.tenant_usage").await, 2);
}

#[tokio::test]
async fn a_full_queue_is_503_with_retry_after_and_records_nothing() {
    let settings = IngestSettings { queue_limit: 5, ..IngestSettings::default() };
    let app = App::with(None, settings).await;
    let (_, token) = app.user().await;
    let events: Vec<Value> =
        (0..6).map(|n| json!({ "metric": "bytes", "amount": 1, "idempotencyKey": format!("k{n}") })).collect();
    let answer = app.call(&token, "POST", "/api/usage", &json!({ "events": events })).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(app.count("select count(*) from tenantry.tenant_usage").await, 0);
}

#[tokio::test]
async fn reports_checks_and_totals_have_the_shape_of_the_contract() {
    let app = App::new().await;
    let (id, token) = app.user().await;
    let event = json!({ "metric": "tokens", "amount": "60", "idempotencyKey": "a" });
    app.call(&token, "POST", "/api/usage", &event).await;
    let check = app.get(&token, "/api/usage/check?metric=tokens&amount=5").await;
    let expected =
        json!({ "allowed": true, "total": "60", "included": "50", "remaining": "0", "held": "0", "wouldOverage": "5" });
    assert_eq!(check.body, expected);
    let report = app.get(&token, "/api/usage/report").await;
    assert_eq!(report.body["tenant"]["id"], id.to_string());
    let limit = json!({
        "aggregation": "sum", "total": "60", "included": "50", "remaining": "0", "held": "0", "allowOverages": true, "overage": "10",
        "accruedOverageCents": 3, "currency": "usd",
    });
    assert_eq!(report.body["subscription"]["limits"]["tokens"], limit);
    let used =
        json!({ "tokens": { "aggregation": "sum", "total": "60", "count": 1, "byUser": { id.to_string(): "60" } } });
    assert_eq!(report.body["usage"], used);
    assert_eq!(report.body["summary"], json!({ "totalMetrics": 1, "totalUsage": "60", "uniqueUsers": 1 }));
    let total = app.get(&token, "/api/usage?metric=tokens").await;
    assert_eq!(total.body["total"], "60", "{total:?}");
    let off = app.get(&token, "/api/usage/report?from=2026-01-01T00:30:00Z").await;
    assert_eq!((off.status, &off.body["errors"][0]["field"]), (422, &json!("from")), "{off:?}");
}

#[tokio::test]
async fn reports_are_grouped_by_day_user_metric_or_dimension() {
    let app = App::new().await;
    let (id, token) = app.user().await;
    let event = |key: &str, metric: &str, amount: u32, metadata: Value| json!({ "metric": metric, "amount": amount, "idempotencyKey": key, "metadata": metadata });
    let events = [
        event("a", "tokens", 5, json!({ "model": "small", "region": 7 })),
        event("b", "tokens", 2, json!({ "model": "large" })),
        event("c", "tokens", 1, json!({})),
        event("d", "bytes", 8, json!({ "model": "small" })),
    ];
    assert_eq!(app.call(&token, "POST", "/api/usage", &json!({ "events": events })).await.body["accepted"], 4);
    let groups = async |asked: &str| {
        let report = app.get(&token, &format!("/api/usage/report?{asked}")).await;
        assert_eq!(report.status, 200, "{report:?}");
        report.body["groups"].clone()
    };
    let day = app.env.clock.now().to_string()[..10].to_owned();
    let group = |metric: &str, key: Value, total: &str, count: u32| json!({ "metric": metric, "key": key, "total": total, "count": count });
    let both = |bytes: Value, tokens: Value| json!([group("bytes", bytes, "8", 1), group("tokens", tokens, "8", 3)]);
    assert_eq!(groups("groupBy=day").await, both(json!(day), json!(day)));
    assert_eq!(groups("groupBy=user").await, both(json!(id), json!(id)));
    assert_eq!(groups("groupBy=metric").await, both(json!("bytes"), json!("tokens")));
    assert_eq!(groups("groupBy=metric&metric=bytes").await, json!([group("bytes", json!("bytes"), "8", 1)]));
    // Metrics that the dimension is not declared for are not among its groups.
    let by_model = json!([
        group("tokens", Value::Null, "1", 1),
        group("tokens", json!("large"), "2", 1),
        group("tokens", json!("small"), "5", 1),
    ]);
    assert_eq!(groups("groupBy=model").await, by_model);
    let by_region = json!([group("tokens", Value::Null, "3", 2), group("tokens", json!("7"), "5", 1)]);
    assert_eq!(groups("groupBy=region&metric=tokens").await, by_region);
    assert_eq!(groups("metric=tokens").await, Value::Null);
    for (asked, field) in [
        ("groupBy=week", "groupBy"),
        ("groupBy=", "groupBy"),
        ("groupBy=colour", "groupBy"),
        ("groupBy=model&metric=bytes", "groupBy"),
        ("groupBy=day&metric=nonsense", "metric"),
    ] {
        let refused = app.get(&token, &format!("/api/usage/report?{asked}")).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!(field)), "{asked}: {refused:?}");
    }
}

#[tokio::test]
async fn bodies_that_are_too_large_or_no_json() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    let send_raw = async |body: Vec<u8>, kind: &str| {
        let request = app.request("POST", "/api/usage").bearer_auth(&token).header("content-type", kind);
        send(request.body(body)).await
    };
    assert_eq!(send_raw(vec![b' '; 9 * 1024 * 1024], "application/json").await.status, 413);
    assert_eq!(send_raw(b"{".to_vec(), "application/json").await.status, 400);
    assert_eq!(send_raw(b"a=b".to_vec(), "application/x-www-form-urlencoded").await.status, 415);
}

/// What one event may not or cannot is its own result: the others are committed, and their sender learns so.
#[tokio::test]
async fn a_batch_is_refused_as_a_whole_only_where_every_event_is() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (_, member) = app.member(&owner, acme, "member").await;
    let event = |key: &str| json!({ "metric": "calls", "amount": 1, "idempotencyKey": key });
    let reversal = |key: &str| json!({ "idempotencyKey": key, "reverses": "a" });
    let post = async |body: Value| app.within(&member, acme, "POST", "/api/usage", &body).await;
    let mixed = post(json!({ "events": [event("a"), reversal("r"), event("b")] })).await;
    assert_eq!((mixed.status, &mixed.body["accepted"], &mixed.body["invalid"]), (200, &json!(2), &json!(1)));
    let result = &mixed.body["results"][0];
    assert_eq!((&result["index"], &result["code"]), (&json!(1), &json!("insufficient_permissions")), "{mixed:?}");
    assert!(result["message"].as_str().unwrap().contains("manageBilling"), "{mixed:?}");
    for refused in [post(json!({ "events": [reversal("r"), reversal("s")] })).await, post(reversal("r")).await] {
        assert_eq!((refused.status, refused.code()), (403, "insufficient_permissions"), "{refused:?}");
        assert_eq!(refused.body["requiredPermission"], "manageBilling", "{refused:?}");
    }
    let events = "select count(*) from tenantry.security_events where needed_permission = 'manageBilling'";
    assert_eq!(app.count(events).await, 3);
}

#[tokio::test]
async fn an_event_that_the_database_refuses_does_not_hide_the_results_of_the_others() {
    let app = App::new().await;
    let (_, token) = app.user().await;
    let event = |key: &str| json!({ "metric": "bytes", "amount": 1, "idempotencyKey": key });
    app.admin
        .batch_execute(
            "alter table tenantry.tenant_usage add constraint poison check (idempotency_key not like 'poison%')",
        )
        .await
        .unwrap();
    let batch = json!({ "events": [event("a"), event("poison"), event("b"), event("a")] });
    let answer = app.call(&token, "POST", "/api/usage", &batch).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let counts = ["accepted", "duplicate", "invalid"].map(|name| answer.body[name].as_i64().unwrap());
    assert_eq!(counts, [2, 1, 1], "{answer:?}");
    let result = &answer.body["results"][0];
    assert_eq!(
        (&result["index"], &result["status"], &result["code"]),
        (&json!(1), &json!("invalid"), &json!("internal"))
    );
    let all = app.call(&token, "POST", "/api/usage", &json!({ "events": [event("poison"), event("poison2")] })).await;
    assert_eq!((all.status, all.code()), (500, "internal"), "{all:?}");
    assert_eq!(app.count("select count(*) from tenantry.tenant_usage").await, 2);
}

#[tokio::test]
async fn metrics_that_are_no_sums_say_what_they_are() {
    let app = App::with_catalog(figures_catalog()).await;
    let (_, token) = app.user().await;
    let post = async |body: Value| app.call(&token, "POST", "/api/usage", &body).await;
    let first = json!({ "metric": "people", "amount": 1, "idempotencyKey": "a", "metadata": { "who": "ada" } });
    let first = post(first).await;
    assert_eq!((first.status, &first.body["total"], &first.body["remaining"]), (201, &json!("1"), &json!("4")));
    let without = post(json!({ "metric": "people", "amount": 1, "idempotencyKey": "b" })).await;
    assert_eq!((without.status, without.code()), (422, "validation_failed"), "{without:?}");
    assert_eq!(without.body["reason"], "metadata_field_required");
    assert_eq!(without.body["errors"][0]["field"], "metadata");
    let events = json!([
        { "metric": "seats", "amount": 7, "idempotencyKey": "c" },
        { "metric": "people", "amount": 1, "idempotencyKey": "d", "metadata": { "who": null } },
        { "metric": "seats", "amount": 11, "idempotencyKey": "e" },
    ]);
    let many = post(json!({ "events": events })).await;
    let codes: Vec<&Value> = many.body["results"].as_array().unwrap().iter().map(|result| &result["code"]).collect();
    assert_eq!(codes, ["metadata_field_required", "usage_limit_exceeded"], "{many:?}");
    let total = app.get(&token, "/api/usage?metric=seats").await;
    assert_eq!((&total.body["aggregation"], &total.body["total"]), (&json!("max"), &json!("7")));
    let check = app.get(&token, "/api/usage/check?metric=seats&amount=10").await;
    assert_eq!((&check.body["allowed"], &check.body["total"]), (&json!(true), &json!("7")));
    let report = app.get(&token, "/api/usage/report").await;
    let seats = json!({ "aggregation": "max", "total": "7", "count": 1, "byUser": {} });
    assert_eq!(report.body["usage"]["seats"], seats);
    assert_eq!(report.body["subscription"]["limits"]["people"]["aggregation"], "unique");
    let plans = app.get(&token, "/api/billing/plans").await;
    let people = &plans.body["data"][0]["metrics"]["people"];
    assert_eq!((&people["aggregation"], &people["field"]), (&json!("unique"), &json!("who")));
    let band = &plans.body["data"][0]["metrics"]["band"];
    assert_eq!((&band["percentile"], &band["slotMinutes"]), (&json!(99), &json!(60)));
    assert_eq!(plans.body["data"][0]["metrics"]["calls"]["aggregation"], "sum");
}
