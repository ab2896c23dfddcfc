//! The one place that knows status codes and problem types.
//!
//! A handler, an extractor or an operation's error becomes a [`Problem`]; [`finish`] gives it its request id,
//! and turns what the router and its layers refuse (404, 405, 413, timeouts, panics) into problems too.

mod code;
mod render;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::storage::StoreError;

pub use code::{Code, document};
pub use render::{RequestIdentity, finish, identify, panic_response};

/// The media type of every refusal.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// One field or parameter and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a field of the body (`events[3].amount`), a query parameter or a header.
    #[schema(example = "events[3].amount")]
    pub field: String,
    /// What is wrong and what is allowed.
    #[schema(example = "must be above 0")]
    pub message: String,
}

/// The body of every refusal (RFC 9457), with figures beside the fixed members where they help.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Where the problem is described, relative to this server.
    #[schema(example = "/docs/problems#not_found")]
    pub r#type: String,
    /// A short sentence, the same for each problem of this code.
    #[schema(example = "There is nothing here")]
    pub title: &'static str,
    /// The HTTP status once more.
    #[schema(example = 404)]
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The name that programs compare.
    #[schema(example = "not_found")]
    pub code: Code,
    /// Under which the server's log knows this request; also in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// Figures that help to decide, by name.
    #[serde(flatten)]
    pub figures: Map<String, Value>,
}

/// Members of [`ProblemBody`] that no figure may take the place of.
const RESERVED: &[&str] = &["type", "title", "status", "detail", "code", "requestId", "errors"];

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    figures: Map<String, Value>,
    retry_after: Option<u32>,
    /// For the log only.
    cause: Option<String>,
}

impl Problem {
    /// A problem that says no more than its meaning.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            detail: code.meaning().to_owned(),
            errors: Vec::new(),
            figures: Map::new(),
            retry_after: code.retry_after(),
            cause: None,
        }
    }

    /// What does not exist for this caller. Always the same words, so that an unknown id, a malformed one and
    /// another tenant's cannot be told apart.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound)
    }

    /// One field or parameter that is not allowed.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::ValidationFailed).field(field, message)
    }

    /// A fault of ours. The cause goes to the log, never to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal).caused_by(cause)
    }

    /// Says what happened this time. Nothing of the server's inside and no input that could be a secret.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Names one more field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError { field: field.into(), message: message.into() };
        if self.errors.is_empty() && self.code == Code::ValidationFailed {
            self.detail = format!("{}: {}", error.field, error.message);
        }
        self.errors.push(error);
        self
    }

    /// Adds a figure (camelCase name). The fixed members of the body cannot be replaced this way.
    #[must_use]
    pub fn figure(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        if RESERVED.contains(&name) {
            tracing::error!(name, code = self.code.name(), "a figure has the name of a fixed member; left out");
        } else {
            self.figures.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Seconds after which the caller may try again (`Retry-After`).
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The cause, for the log beside the request id; no caller sees it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Which problem it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The fields at fault.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// What the caller is told.
    pub fn body(&self, request_id: Option<Uuid>) -> ProblemBody {
        ProblemBody {
            r#type: format!("/docs/problems#{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            request_id,
            errors: self.errors.clone(),
            figures: self.figures.clone(),
        }
    }

    fn respond(&self, request_id: Option<Uuid>) -> Response {
        let mut response = (self.code.status(), Json(self.body(request_id))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        // A refusal depends on who asks and when.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.respond(None);
        // Left for `finish`, which writes the body again with the request id and logs the cause.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    /// Out of reach is 503; everything else the database says is a fault of ours. A named constraint that is the
    /// caller's doing must be turned into its own problem before it gets here.
    fn from(error: StoreError) -> Self {
        let code = if error.is_unavailable() { Code::Unavailable } else { Code::Internal };
        let cause = match &error {
            StoreError::Statement { source, .. } => {
                format!("{error}: {}", crate::storage::describe(source))
            }
            _ => error.to_string(),
        };
        Self::new(code).caused_by(cause)
    }
}

#[cfg(test)]
mod tests;
