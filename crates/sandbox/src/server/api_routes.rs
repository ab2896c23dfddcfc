//! Requests of Stripe's API: who asks, faults that were asked for, the answer and its headers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq as _;

use super::accept::Dropped;
use super::shared::Shared;
use crate::engine::RequestInfo;
use crate::fault::Fault;
use crate::http::{Raw, Reply, answer};
use crate::render::API_VERSION;
use crate::switches::{FaultAction, FaultRule};

/// Answers a request of the API.
pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let key = text("idempotency-key");
    let version = text("stripe-version");
    let raw = Raw {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        body,
        idempotency_key: key.clone(),
        fail_after: None,
    };
    let mut head = Head { request_id: String::new(), version, key, should_retry: None };
    if let Err(fault) = authorize(&shared, &headers) {
        head.request_id = number(&shared);
        return head.respond(fault.into());
    }
    if let Err(fault) = check_head(&head) {
        head.request_id = number(&shared);
        return head.respond(fault.into());
    }
    head.request_id = number(&shared);
    let in_flight = match InFlight::take(&shared, raw.idempotency_key.as_deref().filter(|_| method == Method::POST)) {
        Ok(guard) => guard,
        Err(fault) => return head.respond(fault.into()),
    };
    let fault = take_fault(&shared, &raw);
    let response = perform(&shared, raw, &mut head, fault).await;
    drop(in_flight);
    response
}

async fn perform(shared: &Arc<Shared>, mut raw: Raw, head: &mut Head, fault: Option<FaultRule>) -> Response<Body> {
    let Some(fault) = fault else { return head.respond(execute(shared, &raw, head).await) };
    head.should_retry = fault.should_retry;
    if let FaultAction::Status(status) = fault.action {
        raw.fail_after = fault.executed.then_some(status);
    }
    let reply = if fault.executed { Some(execute(shared, &raw, head).await) } else { None };
    match fault.action {
        FaultAction::Status(429) => head.respond(Fault::rate_limited().into()),
        FaultAction::Status(status) => head.respond(reply.unwrap_or_else(|| Fault::server(status).into())),
        FaultAction::HangMs(pause) => {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            dropped()
        }
        FaultAction::Drop => dropped(),
    }
}

fn dropped() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Dropped);
    response
}

/// Executes a request at the sandbox's time, and returns when what it changed is kept.
async fn execute(shared: &Arc<Shared>, raw: &Raw, head: &Head) -> Reply {
    // Taken here and not earlier: a request that is made to hang must not hold the clock.
    let _open = shared.gate.read().await;
    let (reply, changed) = {
        let mut core = shared.core();
        let due = shared.catch_up_locked(&mut core);
        let request = RequestInfo { id: Some(head.request_id.clone()), idempotency_key: raw.idempotency_key.clone() };
        let mut work = shared.work(&core, request);
        let reply = answer(&mut work, raw);
        core.state = work.state;
        (reply, due || raw.method != "GET")
    };
    if changed {
        shared.changed().await;
    }
    reply
}

fn number(shared: &Shared) -> String {
    let mut core = shared.core();
    core.requests += 1;
    let start: String = core.state.seed.chars().take(6).collect();
    format!("req_{start}{:08}", core.requests)
}

fn take_fault(shared: &Shared, raw: &Raw) -> Option<FaultRule> {
    let mut core = shared.core();
    let place = core.faults.iter().position(|rule| rule.hits(&raw.method, &raw.path))?;
    let rule = core.faults.get_mut(place)?;
    rule.times = rule.times.saturating_sub(1);
    let taken = rule.clone();
    if taken.times == 0 {
        core.faults.remove(place);
    }
    Some(taken)
}

/// A key is in flight from here until the request was answered.
struct InFlight {
    shared: Arc<Shared>,
    key: Option<String>,
}

impl InFlight {
    fn take(shared: &Arc<Shared>, key: Option<&str>) -> Result<Self, Fault> {
        let key = key.map(str::to_owned);
        if let Some(key) = &key
            && !shared.core().in_flight.insert(key.clone())
        {
            return Err(Fault::in_flight());
        }
        Ok(Self { shared: Arc::clone(shared), key })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.shared.core().in_flight.remove(key);
        }
    }
}

/// The key comes as a bearer token, or as the user of basic authentication.
fn authorize(shared: &Shared, headers: &HeaderMap) -> Result<(), Fault> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = value.and_then(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => {
            let pair = String::from_utf8(BASE64_STANDARD.decode(pair.trim()).ok()?).ok()?;
            Some(pair.split(':').next().unwrap_or_default().to_owned())
        }
        _ => None,
    });
    let Some(given) = given else {
        let message = "You did not provide an API key. You need to provide your API key in the Authorization header, \
                       using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').";
        return Err(Fault::unauthorized(message));
    };
    if bool::from(given.as_bytes().ct_eq(shared.secret_key.expose_secret().as_bytes())) {
        return Ok(());
    }
    // The first characters tell which key was meant; the rest stays out of logs.
    let start: String = given.chars().take(8).collect();
    Err(Fault::unauthorized(format!("Invalid API Key provided: {start}********")))
}

fn check_head(head: &Head) -> Result<(), Fault> {
    let dated = |version: &str| version.get(..10).is_some_and(|day| day.parse::<jiff::civil::Date>().is_ok());
    if let Some(version) = head.version.as_ref().filter(|version| !dated(version)) {
        return Err(Fault::invalid(format!("Invalid Stripe API version: {version}")));
    }
    if head.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255) {
        return Err(Fault::invalid("The Idempotency-Key must have 1 to 255 characters."));
    }
    Ok(())
}

/// What goes into the headers of an answer.
struct Head {
    request_id: String,
    version: Option<String>,
    key: Option<String>,
    should_retry: Option<bool>,
}

impl Head {
    fn respond(&self, mut reply: Reply) -> Response<Body> {
        if let Some(error) = reply.body.get_mut("error").and_then(serde_json::Value::as_object_mut) {
            let url = format!("https://dashboard.stripe.com/test/logs/{}", self.request_id);
            error.entry("request_log_url").or_insert_with(|| url.into());
        }
        let mut response = Response::new(Body::from(format!("{:#}\n", reply.body)));
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put("request-id", &self.request_id);
        put("stripe-version", self.version.as_deref().unwrap_or(API_VERSION));
        if let Some(key) = &self.key {
            put("idempotency-key", key);
        }
        if reply.replayed {
            put("idempotent-replayed", "true");
        }
        if let Some(retry) = self.should_retry {
            put("stripe-should-retry", if retry { "true" } else { "false" });
        }
        response
    }
}
