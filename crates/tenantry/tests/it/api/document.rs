//! The OpenAPI document and what stands around the routes.

use std::sync::OnceLock;

use serde_json::Value;
use tenantry::http::problem::Code;
use tenantry::http::router;

use super::world::{App, send};

/// Every answer that a test gets must be one that the document tells of: status, and for refusals the code.
pub(super) fn is_documented(method: &str, path: &str, status: u16, code: Option<&str>) {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| serde_json::to_value(router::document()).unwrap());
    let place = format!("{method} {path}");
    let fits = |template: &str| {
        let (due, given) = (template.split('/'), path.split('/'));
        due.clone().count() == given.clone().count()
            && due.zip(given).all(|(due, given)| due.starts_with('{') || due == given)
    };
    let Some((_, operations)) = document["paths"].as_object().unwrap().iter().find(|(path, _)| fits(path)) else {
        assert!(status == 404 || !path.starts_with("/api/"), "{place} answers {status} and is in no document");
        return;
    };
    let Some(operation) = operations.get(method.to_lowercase()) else {
        return assert_eq!((status, code), (405, Some("method_not_allowed")), "{place}");
    };
    let response = &operation["responses"][status.to_string()];
    assert!(response.is_object(), "{place} does not tell of {status} {code:?}");
    if status >= 400 {
        let told = response["description"].as_str().unwrap();
        let code = code.unwrap();
        assert!(told.contains(&format!("`{code}`")), "{place} does not tell of {code}, only of {told}");
    }
}

#[test]
fn every_operation_is_described_with_its_refusals() {
    let document = serde_json::to_value(router::document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let codes = document["components"]["schemas"]["ProblemCode"]["enum"].as_array().unwrap();
    let names: Vec<&str> = codes.iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(names, Code::ALL.iter().map(|code| code.name()).collect::<Vec<_>>());
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let place = format!("{method} {path}");
            for field in ["operationId", "summary", "description"] {
                assert!(operation[field].as_str().is_some_and(|text| text.len() > 3), "{place} has no {field}");
            }
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{place}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
            // What changes nothing is asked again at will.
            let repeatable = ["/api/usage", "/api/usage/preview", "/api/webhooks/stripe"];
            if method == "post" && !repeatable.contains(&path.as_str()) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|one| one["name"] == "Idempotency-Key"), "{place} cannot be repeated");
            }
            // Stripe shows who it is by its signature.
            if path.starts_with("/api/") && path != "/api/webhooks/stripe" {
                assert_eq!(operation["security"], serde_json::json!([{ "bearer": [] }]), "{place}");
                for status in ["401", "403", "503"] {
                    assert!(responses.contains_key(status), "{place} does not tell of {status}");
                }
            }
        }
    }
}

/// The shape that clients are generated from; a change shows in the diff of the snapshot.
#[test]
fn the_routes_and_their_answers() {
    let document = serde_json::to_value(router::document()).unwrap();
    let mut lines = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let responses: Vec<&str> = operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            let id = operation["operationId"].as_str().unwrap();
            lines.push(format!("{} {path} {id}: {}", method.to_uppercase(), responses.join(" ")));
        }
    }
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn what_is_around_the_routes() {
    let app = App::new().await;
    let docs = app.request("GET", "/docs").send().await.unwrap();
    assert!(docs.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let page = docs.text().await.unwrap();
    assert!(!page.contains("http://") && !page.contains("https://"), "the page loads from elsewhere");
    let served: Value = app.request("GET", "/openapi.json").send().await.unwrap().json().await.unwrap();
    assert_eq!(served, serde_json::to_value(router::document()).unwrap());
    let unknown = send(app.request("GET", "/api/nothing")).await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
    let method = send(app.request("DELETE", "/api/me")).await;
    assert_eq!((method.status, method.code()), (405, "method_not_allowed"));
    // A request id of the caller comes back; anything else is replaced.
    let id = app.id().to_string();
    let echoed = send(app.request("GET", "/healthz").header("x-request-id", &id)).await;
    assert_eq!(echoed.headers["x-request-id"], id.as_str());
    let replaced = send(app.request("GET", "/healthz").header("x-request-id", "not an id")).await;
    assert_ne!(replaced.headers["x-request-id"], "not an id");
}
