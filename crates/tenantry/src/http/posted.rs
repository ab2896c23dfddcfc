//! Bodies of POSTs that honour `Idempotency-Key`.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Json, RequestExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::auth::{self, ContextHeader};
use super::caller::Caller;
use super::extract;
use super::problem::{Code, Problem};
use super::state::AppState;
use crate::tenancy::idempotency::{Answer, IdempotentRequest, Kept, Scope};

/// The header that names a request, so that sending it again does nothing twice.
const HEADER: &str = "idempotency-key";

/// A strictly read body, and the request's idempotency key if it has one.
#[derive(Debug)]
pub struct Posted<T> {
    /// The body.
    pub body: T,
    /// The key, bound to caller, tenant context, method, route and body.
    pub idempotency: Option<IdempotentRequest>,
}

impl<T: DeserializeOwned> FromRequest<AppState> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let (idempotency, bytes) = read(request, state, true).await?;
        Ok(Self { body: extract::parse_json(&bytes)?, idempotency })
    }
}

/// A POST that says all in its path: no body, or an empty object.
#[derive(Debug)]
pub struct Asked {
    /// The key, bound to caller, tenant context, method, route and path.
    pub idempotency: Option<IdempotentRequest>,
}

impl FromRequest<AppState> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        /// Has no members.
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}

        let (idempotency, bytes) = read(request, state, false).await?;
        if !bytes.is_empty() {
            let Nothing {} = extract::parse_json(&bytes)?;
        }
        Ok(Self { idempotency })
    }
}

/// The key and the bytes of a request's body, which must be JSON or may be missing.
async fn read(
    mut request: Request,
    state: &AppState,
    has_body: bool,
) -> Result<(Option<IdempotentRequest>, Bytes), Problem> {
    let route = request.extract_parts::<MatchedPath>().await.map(|path| path.as_str().to_owned());
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, state).await?;
    let request = Request::from_parts(parts.clone(), body);
    let bytes = if has_body { extract::body_bytes(request).await? } else { extract::bytes(request).await? };
    Ok((idempotent_request(&parts, &caller, &route.unwrap_or_default(), &bytes)?, bytes))
}

/// The request's key, bound to who asks for what.
fn idempotent_request(
    parts: &Parts,
    caller: &Caller,
    route: &str,
    body: &[u8],
) -> Result<Option<IdempotentRequest>, Problem> {
    let Some(key) = one_key(parts)? else {
        return Ok(None);
    };
    let tenant = match auth::context_header(&parts.headers)? {
        ContextHeader::None => caller.actor.home(),
        ContextHeader::Organization(id) | ContextHeader::Tenant(id) | ContextHeader::Team(id) => Some(id),
    };
    let (caller, method) = (caller.scope_name(), parts.method.as_str());
    let scope = Scope { caller: &caller, tenant, method, route };
    let request = IdempotentRequest::new(&scope, &key, &parts.uri.to_string(), body);
    request.map(Some).map_err(|error| Problem::new(Code::InvalidHeader).detail(format!("Idempotency-Key {error}")))
}

fn one_key(parts: &Parts) -> Result<Option<String>, Problem> {
    let wrong = |detail: &str| Problem::new(Code::InvalidHeader).detail(detail);
    let mut values = parts.headers.get_all(HEADER).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| wrong("Idempotency-Key must be visible ASCII characters"))?;
            Ok(Some(text.to_owned()))
        }
        (Some(_), Some(_)) => Err(wrong("Idempotency-Key is given twice")),
    }
}

/// What is kept of an answer, for when the request comes again.
pub fn kept<T: Serialize>(status: StatusCode, view: &T) -> Kept {
    // Views are plain structs of strings and numbers; what cannot be written is kept as null.
    Kept { status: status.as_u16(), body: serde_json::to_value(view).unwrap_or(Value::Null) }
}

/// The answer of an operation: the view of what was done, or the kept answer with `Idempotent-Replayed: true`.
pub fn answer<T, V: Serialize>(status: StatusCode, answer: Answer<T>, view: impl FnOnce(T) -> V) -> Response {
    match answer {
        Answer::Done(value) => (status, Json(view(value))).into_response(),
        Answer::Replayed(kept) => {
            let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
            (status, [("idempotent-replayed", "true")], Json(kept.body)).into_response()
        }
    }
}

/// What is kept of an answer without a body.
pub fn kept_status(status: StatusCode) -> Kept {
    Kept { status: status.as_u16(), body: Value::Null }
}

/// The answer of an operation that says no more than that it was done.
pub fn answer_status(status: StatusCode, answer: Answer<()>) -> Response {
    match answer {
        Answer::Done(()) => status.into_response(),
        Answer::Replayed(kept) => {
            let status = StatusCode::from_u16(kept.status).unwrap_or(status);
            (status, [("idempotent-replayed", "true")]).into_response()
        }
    }
}
