//! `GET /openapi.json`, `GET /docs` and `GET /docs/problems`: the documents, without any outside host.

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};

use crate::http::problem;
use crate::http::state::AppState;

/// The page that shows the OpenAPI document; script and style are in it.
const PAGE: &str = include_str!("docs.html");

/// The routes of the documents.
pub fn routes(document: utoipa::openapi::OpenApi) -> Router<AppState> {
    Router::new()
        .route("/openapi.json", get(async move || Json(document.clone())))
        .route("/docs", get(docs))
        .route("/docs/problems", get(problems))
}

async fn docs(State(_): State<AppState>) -> impl IntoResponse {
    // Nothing but what is in the page may run or be loaded.
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(PAGE))
}

async fn problems() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], problem::document())
}
