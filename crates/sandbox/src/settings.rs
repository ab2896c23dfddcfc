//! What the sandbox is started with.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use secrecy::SecretString;

/// What the sandbox is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The key that requests must bear: `sk_test_…`.
    pub secret_key: SecretString,
    /// Where events are sent. Can be set later through [`crate::Control::set_webhook`].
    pub webhook: Option<WebhookTarget>,
    /// Where the state is kept between runs; without it a restart begins empty.
    pub state_file: Option<PathBuf>,
    /// Time and chance.
    pub source: Source,
    /// Told whenever the clock is advanced.
    pub on_clock: Option<OnClock>,
}

/// An endpoint for events.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// `http://127.0.0.1:8080/api/webhooks/stripe`, for example.
    pub url: String,
    /// Signing secrets (`whsec_…`). Each signs every payload: two while one is being rolled.
    pub secrets: Vec<SecretString>,
}

/// Where time and chance come from.
#[derive(Clone)]
pub struct Source {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    bytes: Arc<dyn Fn() -> [u8; 32] + Send + Sync>,
}

impl Source {
    /// Real time, without what the clock was advanced by, and random bytes.
    pub fn new(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        bytes: impl Fn() -> [u8; 32] + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), bytes: Arc::new(bytes) }
    }

    /// A time that stands still until the sandbox's clock is advanced, and ids that repeat with the seed. For tests.
    pub fn fixed(now: Timestamp, seed: u8) -> Self {
        Self::new(move || now, move || [seed; 32])
    }

    /// A time that the returned handle moves, and ids that repeat with the seed. For tests.
    pub fn manual(now: Timestamp, seed: u8) -> (Self, Arc<Mutex<Timestamp>>) {
        let handle = Arc::new(Mutex::new(now));
        let read = Arc::clone(&handle);
        (Self::new(move || *read.lock().unwrap_or_else(PoisonError::into_inner), move || [seed; 32]), handle)
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub(crate) fn bytes(&self) -> [u8; 32] {
        (self.bytes)()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

type ClockHook = dyn Fn(i64) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Called with the new offset in seconds whenever the clock is advanced, and awaited before anything is answered or
/// done at the new time.
#[derive(Clone)]
pub struct OnClock(Arc<ClockHook>);

impl OnClock {
    /// Wraps an async function of the offset.
    pub fn new<F, Fut>(hook: F) -> Self
    where
        F: Fn(i64) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |offset| Box::pin(hook(offset))))
    }

    pub(crate) async fn call(&self, offset: i64) {
        (self.0)(offset).await;
    }
}

impl fmt::Debug for OnClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnClock")
    }
}

/// Why the sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address is taken, or not one of this machine.
    #[error("the sandbox cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state file cannot be read or written.
    #[error("the sandbox's state file {} cannot be used: {source}", path.display())]
    StateFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The state file is not what the sandbox wrote.
    #[error("the sandbox's state file {} is damaged ({detail}); move it away to begin empty", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        detail: String,
    },
    /// The client for webhooks cannot be built.
    #[error("the sandbox cannot send webhooks: {0}")]
    Client(String),
}
