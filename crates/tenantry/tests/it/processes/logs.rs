//! What the server writes down about requests.

use serde_json::{Value, json};

use super::server::{Folder, Server, client};

const USER: &str = "11111111-1111-4111-8111-111111111111";

#[tokio::test]
async fn a_line_for_each_request_and_a_sample_of_those_without_a_caller() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let token = folder.says(&["token", "--user", USER]);
    let client = client();
    let at = |path: &str| format!("{}{path}", server.url);
    let event = json!({ "metric": "calls", "amount": 1, "idempotencyKey": "the-event-key", "metadata": { "x": "in-the-body" } });
    let sent = [
        client.get(at("/api/me?secret=in-the-query")).bearer_auth(&token).header("x-note", "in-a-header"),
        client.get(at(&format!("/api/tenants/{USER}"))).bearer_auth(&token),
        client.post(at("/api/usage")).bearer_auth(&token).json(&event),
        client.get(at("/api/in-no-route")).bearer_auth(&token),
        client.get(at("/healthz")),
        client.get(at("/readyz")),
    ];
    let mut ids = Vec::new();
    for request in sent {
        let answer = request.send().await.unwrap();
        ids.push(answer.headers()["x-request-id"].to_str().unwrap().to_owned());
    }
    for _ in 0..50 {
        let answer = client.get(at("/api/me")).bearer_auth("a.wrong.token").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401);
    }
    let metrics = client.get(at("/metrics")).send().await.unwrap().text().await.unwrap();
    let log = server.log.clone();
    assert_eq!(server.stop("-TERM"), Some(0));
    let text = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let requests = of("request");
    let shown: Vec<(&str, &str, &str, u64)> = requests
        .iter()
        .filter(|line| line["status"] != 401)
        .map(|line| {
            assert!(line["elapsed_ms"].is_f64() && line["level"] == "INFO", "{line}");
            let text = |name: &str| line[name].as_str().unwrap();
            (text("request_id"), text("method"), text("route"), line["status"].as_u64().unwrap())
        })
        .collect();
    let due = [
        (ids[0].as_str(), "GET", "/api/me", 200),
        (&ids[1], "GET", "/api/tenants/{id}", 200),
        (&ids[2], "POST", "/api/usage", 201),
        (&ids[3], "GET", "none", 404),
    ];
    assert_eq!(shown, due);
    // Of fifty without a caller all are counted, and a few are shown with the address they came from.
    let samples = of("unauthenticated");
    assert!((10..20).contains(&samples.len()), "{} samples", samples.len());
    assert!(samples.iter().all(|line| line["address"] == "127.0.0.1" && line["level"] == "WARN"), "{samples:?}");
    assert!(metrics.contains("tenantry_problems_total{code=\"unauthenticated\"} 50"), "{metrics}");
    for secret in ["in-the-query", "in-a-header", "in-the-body", "the-event-key", "in-no-route", "wrong.token", &token]
    {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}
