//! A receiver of webhooks for tests: keeps what is posted, answers what it is told to, checks signatures by itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Hook {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Hook {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether a secret signed it, worked out from the specification's text rather than by a library.
    pub(super) fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        assert!((24..=64).contains(&key.len()));
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).as_bytes());
        mac.update(&self.body);
        let due = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|signature| signature == due)
    }
}

#[derive(Debug, Default)]
struct Inbox {
    hooks: Vec<Hook>,
    /// What the next requests are answered with.
    replies: VecDeque<u16>,
    /// What all others are answered with; 0 is 204.
    always: u16,
    body: String,
    /// What the next request waits for, and what lets it go on.
    held: Option<oneshot::Receiver<()>>,
    release: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Clone)]
pub(super) struct Receiver {
    pub(super) url: String,
    inbox: Arc<Mutex<Inbox>>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let inbox = Arc::<Mutex<Inbox>>::default();
        let app = Router::new().fallback(take).with_state(Arc::clone(&inbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, inbox }
    }

    /// Answers the next requests with these statuses.
    pub(super) fn answer_next(&self, statuses: &[u16]) {
        self.inbox.lock().unwrap().replies.extend(statuses);
    }

    /// Answers everything with this status and body.
    pub(super) fn answer_always(&self, status: u16, body: &str) {
        let mut inbox = self.inbox.lock().unwrap();
        (inbox.always, inbox.body) = (status, body.to_owned());
    }

    /// The next request is answered when it may go on.
    pub(super) fn hold_next(&self) {
        let (release, held) = oneshot::channel();
        let mut inbox = self.inbox.lock().unwrap();
        (inbox.held, inbox.release) = (Some(held), Some(release));
    }

    pub(super) fn go_on(&self) {
        self.inbox.lock().unwrap().release.take().unwrap().send(()).unwrap();
    }

    pub(super) fn hooks(&self) -> Vec<Hook> {
        self.inbox.lock().unwrap().hooks.clone()
    }
}

async fn take(Shared(inbox): Shared<Arc<Mutex<Inbox>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let held = {
        let mut inbox = inbox.lock().unwrap();
        inbox.hooks.push(Hook { path: uri.path().to_owned(), headers, body });
        inbox.held.take()
    };
    if let Some(held) = held {
        held.await.unwrap();
    }
    let mut inbox = inbox.lock().unwrap();
    let always = if inbox.always == 0 { 204 } else { inbox.always };
    let status = StatusCode::from_u16(inbox.replies.pop_front().unwrap_or(always)).unwrap();
    if status.is_redirection() {
        return (status, [(header::LOCATION, "/elsewhere")]).into_response();
    }
    (status, inbox.body.clone()).into_response()
}
