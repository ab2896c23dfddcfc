//! Request ids, and the last look at every answer.

use std::any::Any;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use uuid::Uuid;

use super::{CONTENT_TYPE, Code, Problem};
use crate::env::Env;

/// The header of the request id, on requests and answers.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, in its extensions: for logs, audit rows and security events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestIdentity(pub Uuid);

/// Gives a request its id. One that the caller sends is kept if it is a UUID; anything else could put words into our
/// logs.
pub fn identify(env: &Env, request: &mut Request) -> Uuid {
    let id = given_id(request.headers()).unwrap_or_else(|| env.ids.uuid_v7(env.clock.now()));
    request.extensions_mut().insert(RequestIdentity(id));
    id
}

/// The last look at an answer: it says the request's id, and every refusal is a problem that carries it.
pub fn finish(response: Response, id: Uuid) -> Response {
    let mut response = rendered(response, id);
    response.headers_mut().insert(REQUEST_ID, header_value(id));
    response
}

/// What a caught panic is answered with: the message is for the log alone.
#[expect(clippy::needless_pass_by_value, reason = "the shape that the layer calls")]
pub fn panic_response(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    Problem::internal(format_args!("panic: {message}")).into_response()
}

fn given_id(headers: &HeaderMap) -> Option<Uuid> {
    let mut values = headers.get_all(REQUEST_ID).iter();
    let (first, second) = (values.next()?, values.next());
    let text = first.to_str().ok().filter(|text| second.is_none() && text.len() == 36)?;
    Uuid::try_parse(text).ok().filter(|id| !id.is_nil())
}

fn header_value(id: Uuid) -> HeaderValue {
    // 36 characters of hexadecimal digits and hyphens are always a header value.
    HeaderValue::try_from(id.to_string()).unwrap_or(HeaderValue::from_static("-"))
}

fn rendered(mut response: Response, id: Uuid) -> Response {
    let status = response.status();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        report(&problem, id);
        return merge(response, &problem, id);
    }
    if (status.is_client_error() || status.is_server_error()) && !speaks_for_itself(&response) {
        let problem = Problem::new(Code::of_status(status));
        report(&problem, id);
        return merge(response, &problem, id);
    }
    response
}

/// Whether an answer was written on purpose. What the router and its layers refuse is empty or plain text.
fn speaks_for_itself(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| !value.as_bytes().starts_with(b"text/plain"))
}

/// The problem in place of the old body; headers that say more (`Allow`, `Retry-After`) stay.
fn merge(old: Response, problem: &Problem, id: Uuid) -> Response {
    let (mut parts, _) = old.into_parts();
    let (written, body): (_, Body) = problem.respond(Some(id)).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    for name in [header::CONTENT_TYPE, header::CACHE_CONTROL] {
        if let Some(value) = written.headers.get(&name) {
            parts.headers.insert(name, value.clone());
        }
    }
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = written.headers.get(&name) {
            parts.headers.entry(name).or_insert_with(|| value.clone());
        }
    }
    parts.status = written.status;
    debug_assert!(parts.headers.get(header::CONTENT_TYPE).is_some_and(|value| value == CONTENT_TYPE));
    Response::from_parts(parts, body)
}

fn report(problem: &Problem, id: Uuid) {
    let code = problem.code();
    metrics::counter!("tenantry_problems_total", "code" => code.name()).increment(1);
    let cause = problem.cause.as_deref().unwrap_or("none given");
    match code {
        Code::Overloaded | Code::Unavailable | Code::Timeout => {
            tracing::warn!(request_id = %id, code = code.name(), cause, "request not served");
        }
        _ if code.status().is_server_error() => {
            tracing::error!(request_id = %id, code = code.name(), cause, "request failed");
        }
        _ => tracing::debug!(request_id = %id, code = code.name(), cause, "request refused"),
    }
}
