//! A server that answers what it is told to and remembers what it was asked, and clients of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tenantry_stripe::{Client, ClientSettings, IdempotencyKey};

/// The key of all clients here.
pub(crate) const SECRET: &str = "sk_test_VerySecretIndeed";

/// An answer to give.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Debug, Default)]
struct Script {
    told: VecDeque<Told>,
    asked: Vec<Asked>,
}

/// The server.
#[derive(Debug, Clone)]
pub(crate) struct World {
    script: Arc<Mutex<Script>>,
    pub(crate) url: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        provider();
        let script = Arc::new(Mutex::new(Script::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { script, url }
    }

    pub(crate) fn tell(&self, told: impl IntoIterator<Item = Told>) {
        self.script.lock().unwrap().told.extend(told);
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.script.lock().unwrap().asked)
    }

    /// The one request since the last time.
    pub(crate) fn asked_once(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:#?}");
        asked.remove(0)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(settings(&self.url)).unwrap()
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut script = script.lock().unwrap();
    script.asked.push(Asked {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    // A teapot is no answer of Stripe's and is not tried again: whoever asks too often sees it.
    let told = script.told.pop_front().unwrap_or(Told { status: 418, ..Told::default() });
    let mut response = (StatusCode::from_u16(told.status).unwrap(), told.body).into_response();
    for (name, value) in told.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// Settings with pauses that cost nothing.
pub(crate) fn settings(url: &str) -> ClientSettings {
    provider();
    ClientSettings {
        first_pause: Duration::from_micros(10),
        longest_pause: Duration::from_micros(100),
        ..ClientSettings::new(url, SECRET.to_owned().into(), Arc::new(|| 7))
    }
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

/// What the process needs once: cryptography for TLS, and a subscriber for logs. One for all tests, since what a
/// subscriber of one thread is interested in, another thread without one would switch off.
fn provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().unwrap();
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(|| Lines).init();
    });
}

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Keeps the lines of a thread that asked for it. A test and all that it spawns run on one thread.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.iter_mut().for_each(|lines| lines.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// From now on keeps what this test logs.
pub(crate) fn keep_logs() {
    provider();
    LINES.set(Some(Vec::new()));
}

/// What this test logged.
pub(crate) fn logs() -> String {
    String::from_utf8(LINES.take().unwrap()).unwrap()
}
