use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;

use super::*;
use crate::env::Env;
use crate::http::around::{Around, around};

fn app() -> Router {
    let env = Env::manual("2026-03-01T12:00:00Z".parse().unwrap(), 1);
    Router::new()
        .route("/fine", get(async || "fine"))
        .route("/missing", get(async || Problem::not_found()))
        .route(
            "/limit",
            get(async || Problem::new(Code::UsageLimitExceeded).figure("remaining", "3").figure("status", 1)),
        )
        .route("/secret", get(async || Problem::internal("password authentication failed for tenantry_user")))
        .route("/who", get(async || Problem::new(Code::Unauthenticated)))
        .route("/busy", get(async || Problem::new(Code::Overloaded).retry_after(7)))
        .route("/panic", get(panics))
        .route("/json", post(async |_: axum::Json<Value>| "read"))
        .layer(CatchPanicLayer::custom(panic_response))
        .layer(from_fn_with_state(Around::new(env), around))
}

async fn panics() -> &'static str {
    panic!("the secret is 42")
}

async fn send(request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let response = app().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (parts.status, parts.headers, value)
}

use axum::http::HeaderMap;

async fn ask(path: &str) -> (StatusCode, HeaderMap, Value) {
    send(Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_problem_has_all_members_and_the_request_id_of_the_header() {
    let (status, headers, body) = ask("/missing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["content-type"], CONTENT_TYPE);
    assert_eq!(headers["x-request-id"].to_str().unwrap(), body["requestId"].as_str().unwrap());
    insta::assert_json_snapshot!(body);
}

#[tokio::test]
async fn figures_stand_beside_the_fixed_members_and_never_in_their_place() {
    let (_, _, body) = ask("/limit").await;
    assert_eq!(body["remaining"], "3");
    assert_eq!(body["status"], 402);
}

#[tokio::test]
async fn the_cause_of_a_500_and_the_words_of_a_panic_stay_inside() {
    for path in ["/secret", "/panic"] {
        let (status, _, body) = ask(path).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(body["code"], "internal");
        assert_eq!(body["detail"], Code::Internal.meaning());
        assert!(!body.to_string().contains("password") && !body.to_string().contains("42"), "{body}");
    }
}

#[tokio::test]
async fn what_the_router_refuses_is_a_problem_too() {
    let (status, _, body) = ask("/nowhere").await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &Value::from("not_found")));

    let (status, headers, body) = send(Request::post("/fine").body(Body::empty()).unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::METHOD_NOT_ALLOWED, &Value::from("method_not_allowed")));
    assert_eq!(headers["allow"], "GET,HEAD");

    let (status, _, body) = send(Request::post("/json").body(Body::from("{}")).unwrap()).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNSUPPORTED_MEDIA_TYPE, &Value::from("unsupported_media_type")));
}

#[tokio::test]
async fn an_unknown_path_and_an_unknown_object_answer_alike() {
    let (_, _, mut path) = ask("/nowhere").await;
    let (_, _, mut object) = ask("/missing").await;
    path["requestId"] = Value::Null;
    object["requestId"] = Value::Null;
    assert_eq!(path, object);
}

#[tokio::test]
async fn headers_tell_how_to_go_on() {
    assert_eq!(ask("/who").await.1["www-authenticate"], "Bearer");
    assert_eq!(ask("/busy").await.1["retry-after"], "7");
}

#[tokio::test]
async fn a_request_id_is_kept_only_if_it_is_one_uuid() {
    let own = "0195b1a0-0000-7000-8000-000000000001";
    let given = |values: &[&str]| {
        let mut request = Request::get("/fine").body(Body::empty()).unwrap();
        for value in values {
            request.headers_mut().append("x-request-id", value.parse().unwrap());
        }
        send(request)
    };
    assert_eq!(given(&[own]).await.1["x-request-id"], own);
    for values in [&["1\"} level=error"][..], &["00000000-0000-0000-0000-000000000000"], &[own, own], &[""]] {
        let (_, headers, _) = given(values).await;
        let id = headers["x-request-id"].to_str().unwrap();
        assert_ne!(id, own);
        assert_eq!(Uuid::try_parse(id).unwrap().get_version_num(), 7, "{values:?}");
    }
}

#[test]
fn names_in_json_are_those_of_the_table_and_in_order() {
    let mut last = (0, "");
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        let place = (code.status().as_u16(), code.name());
        assert!(last < place, "{place:?} belongs before {last:?}");
        last = place;
    }
}

#[test]
fn the_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/problems.md");
    if std::env::var_os("TENANTRY_TEST_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, document()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == document(),
        "docs/problems.md is not what the table says; run: TENANTRY_TEST_WRITE_DOCS=1 cargo test -p tenantry problem"
    );
}

#[test]
fn the_schema_lists_every_code_and_allows_figures() {
    use utoipa::PartialSchema as _;
    let schema = serde_json::to_value(Code::schema()).unwrap();
    assert_eq!(schema["enum"].as_array().unwrap().len(), Code::ALL.len());
    insta::assert_json_snapshot!(serde_json::to_value(ProblemBody::schema()).unwrap());
}
