//! Connections. Done by hand, because a fault may be a connection that is closed without an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::shared::Shared;
use super::{api_routes, control_routes};
use crate::pages;

/// Marks an answer that must not be sent: the connection is closed in its place.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection was closed on purpose")]
pub(super) struct Dropped;

/// No request of Stripe's is near this.
const BODY: usize = 1 << 20;
/// How long open connections may go on after the stop.
const GRACE: Duration = Duration::from_secs(2);

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .nest("/_sandbox", control_routes::router())
        .merge(pages::router())
        .route("/v1/{*rest}", any(api_routes::handle))
        .fallback(api_routes::handle)
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

/// Accepts connections until it is stopped.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let app = router(shared);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, app.clone(), stop.clone()));
            }
            // Out of file descriptors, for example: pause, do not spin.
            Err(error) => {
                tracing::warn!(%error, "the sandbox could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!("connections to the sandbox were still open at its end");
    }
}

async fn serve(stream: TcpStream, app: Router, stop: CancellationToken) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let app = app.clone();
        async move {
            let Ok(response) = app.oneshot(request.map(Body::new)).await;
            if response.extensions().get::<Dropped>().is_some() { Err(Dropped) } else { Ok(response) }
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the sandbox ended early");
            }
        }
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the sandbox ended early");
            }
        }
    }
}
