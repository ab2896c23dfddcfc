//! Load over HTTP, as a host application sends it.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use uuid::Uuid;

use super::measure::{Names, Work};
use crate::cli::Failure;

/// A connection without a pool or retries around it: client and server share the cores, so it must cost little.
pub(super) async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::wrong(format!("cannot reach {authority}: {error}"));
    let stream = tokio::net::TcpStream::connect(authority).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // An error shows at the next request.
    tokio::spawn(async move { _ = connection.await });
    Ok(sender)
}

/// One connection with what its requests are made of.
pub(super) struct Caller {
    pub(super) connection: SendRequest<Full<Bytes>>,
    pub(super) authority: Arc<str>,
    pub(super) key: Arc<str>,
    pub(super) metric: Arc<str>,
    pub(super) tenants: Arc<[Uuid]>,
    pub(super) names: Names,
}

impl Caller {
    fn with_headers(&self, request: Builder) -> Builder {
        request.header("host", &*self.authority).header("authorization", format!("Bearer {}", self.key))
    }

    fn tenant(&self, index: usize) -> Uuid {
        self.tenants.get(index).copied().unwrap_or_default()
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<(StatusCode, Bytes)> {
        let response = self.connection.send_request(request).await.ok()?;
        let status = response.status();
        Some((status, response.into_body().collect().await.ok()?.to_bytes()))
    }
}

/// One connection that sends usage.
pub(super) struct Sender {
    pub(super) caller: Caller,
    /// Events of a request; 1 is sent as a single event.
    pub(super) batch: usize,
    /// The tenant of the last event, for the one that repeats it.
    pub(super) last: usize,
    /// Events that a limit refused, sent one by one.
    pub(super) refused: u64,
}

impl Sender {
    /// The next event: tenant and key.
    fn next(&mut self) -> (Uuid, String) {
        let names = &mut self.caller.names;
        let key = names.key();
        if !names.is_repetition() {
            self.last = names.pick(self.caller.tenants.len());
        }
        (self.caller.tenant(self.last), key)
    }

    fn request(&mut self) -> Option<Request<Full<Bytes>>> {
        let post = self.caller.with_headers(Request::post("/api/usage")).header("content-type", "application/json");
        if self.batch == 1 {
            let (tenant, key) = self.next();
            let body = format!(r#"{{"metric":"{}","amount":"1","idempotencyKey":"{key}"}}"#, self.caller.metric);
            return post.header("x-tenant-id", tenant.to_string()).body(Full::from(body)).ok();
        }
        let mut body = String::from(r#"{"events":["#);
        for index in 0..self.batch {
            let (tenant, key) = self.next();
            let comma = if index == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(
                body,
                r#"{comma}{{"tenantId":"{tenant}","metric":"{}","amount":"1","idempotencyKey":"{key}"}}"#,
                self.caller.metric
            );
        }
        body.push_str("]}");
        post.body(Full::from(body)).ok()
    }
}

impl Work for Sender {
    async fn once(&mut self) -> Option<u64> {
        let request = self.request()?;
        let (status, body) = self.caller.send(request).await?;
        if self.batch == 1 && status == StatusCode::PAYMENT_REQUIRED {
            self.refused += 1;
            return Some(1);
        }
        // A batch is answered 200 whatever became of its events.
        let is_whole = self.batch == 1 || {
            let answer: serde_json::Value = serde_json::from_slice(&body).ok()?;
            ["rejected", "conflict", "invalid"].iter().all(|count| answer[count] == 0)
        };
        (status.is_success() && is_whole).then_some(self.batch as u64)
    }

    fn refused(&self) -> u64 {
        self.refused
    }
}

/// One connection that asks whether something may still be used.
pub(super) struct Asker(pub(super) Caller);

impl Work for Asker {
    async fn once(&mut self) -> Option<u64> {
        let caller = &mut self.0;
        let tenant = caller.names.pick(caller.tenants.len());
        let request = caller
            .with_headers(Request::get(format!("/api/usage/check?metric={}", caller.metric)))
            .header("x-tenant-id", caller.tenant(tenant).to_string())
            .body(Full::default())
            .ok()?;
        let (status, body) = caller.send(request).await?;
        (status.is_success() && body.starts_with(b"{\"allowed\":true")).then_some(1)
    }
}
