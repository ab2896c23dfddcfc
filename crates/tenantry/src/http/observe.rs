//! What is counted and logged of every request: which route, which status, how long. Never a header, a query or a
//! body, and of the path only the route.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{Method, StatusCode};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

/// Routes that machines ask all day; they are in the log only where it is asked for more.
const WATCHED: &[&str] = &["/healthz", "/readyz", "/metrics"];
/// Unauthenticated requests that are logged with their address in a minute. All of them are counted; whoever sends
/// a flood of them must not fill the disk.
const UNAUTHENTICATED_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");

/// What is remembered from request to request.
pub(super) struct Observer {
    samples: DefaultDirectRateLimiter,
    /// Unauthenticated requests since the last one that was logged.
    left_out: AtomicU64,
}

impl Default for Observer {
    fn default() -> Self {
        let samples = RateLimiter::direct(Quota::per_minute(UNAUTHENTICATED_PER_MINUTE));
        Self { samples, left_out: AtomicU64::new(0) }
    }
}

/// What is known of a request before it is answered.
pub(super) struct Seen {
    id: Uuid,
    method: &'static str,
    route: String,
    address: Option<IpAddr>,
    started: Instant,
}

impl Seen {
    /// A request as it comes in.
    pub(super) fn of(request: &Request, id: Uuid) -> Self {
        let extensions = request.extensions();
        Self {
            id,
            method: name_of(request.method()),
            route: extensions.get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned(),
            address: extensions.get::<ConnectInfo<SocketAddr>>().map(|address| address.0.ip()),
            started: Instant::now(),
        }
    }
}

/// Methods have few names in the figures, whatever is sent.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

impl Observer {
    /// Counts and logs a request with the status of its answer.
    pub(super) fn report(&self, seen: &Seen, status: StatusCode) {
        let elapsed = seen.started.elapsed();
        let Seen { method, route, .. } = seen;
        metrics::histogram!(
            "tenantry_http_request_seconds",
            "method" => *method, "route" => route.clone(), "status" => status.as_str().to_owned()
        )
        .record(elapsed);
        let request_id = tracing::field::display(seen.id);
        let (status, elapsed_ms) = (status.as_u16(), elapsed.as_secs_f64() * 1e3);
        if WATCHED.contains(&route.as_str()) {
            tracing::debug!(request_id, method, route, status, elapsed_ms, "request");
        } else {
            tracing::info!(request_id, method, route, status, elapsed_ms, "request");
        }
        if status == StatusCode::UNAUTHORIZED.as_u16() {
            if self.samples.check().is_ok() {
                let left_out = self.left_out.swap(0, Ordering::Relaxed);
                tracing::warn!(
                    request_id,
                    method,
                    route,
                    address = seen.address.map(tracing::field::display),
                    left_out,
                    "unauthenticated"
                );
            } else {
                self.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
