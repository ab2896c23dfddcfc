//! The sandbox beside a server: started with it, or found where another process runs it on the same data folder.

use std::fs::{File, TryLockError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tenantry_sandbox::{OnClock, Sandbox, SandboxError, Settings, Source, WebhookTarget};

use super::clock;
use crate::config::{Config, SandboxSecrets, sandbox_folder};
use crate::env::Env;
use crate::storage::Database;

/// How long a process that begins waits for one that is only just beginning.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long advancing the clock may take: years of invoices, and the delivery of what they tell.
const LONGEST: Duration = Duration::from_mins(10);

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxFault {
    /// It does not start.
    #[error("{0}; choose another address with `sandbox_listen`, or do without with --no-sandbox")]
    Start(#[from] SandboxError),
    /// The data folder.
    #[error("cannot write to {}: {source}; make room, make it writable, or choose another folder with --data-dir", path.display())]
    Folder {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has the folder and does not answer.
    #[error("another process runs a sandbox in {} and does not answer; stop it, or do without with --no-sandbox", .0.display())]
    Busy(PathBuf),
    /// No answer, or not the one of a sandbox.
    #[error("the sandbox at {url} does not answer as one: {reason}")]
    Call {
        /// Where.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// The clock of this deployment.
    #[error(transparent)]
    Clock(#[from] clock::ClockError),
}

/// The clock of a sandbox, as it tells it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct SandboxClock {
    /// What time it is there.
    pub now: Timestamp,
    /// Seconds that it is ahead of real time.
    pub offset_seconds: i64,
    /// When the next thing falls due there.
    pub next_due: Option<Timestamp>,
}

/// The sandbox of a data folder.
#[derive(Debug)]
pub enum Place {
    /// This process runs it.
    Here(Box<Running>),
    /// Another process does, here.
    Elsewhere(String),
}

impl Place {
    /// Where its API is.
    pub fn url(&self) -> String {
        match self {
            Self::Here(running) => running.sandbox.url(),
            Self::Elsewhere(url) => url.clone(),
        }
    }

    /// Where another process runs it.
    pub(super) fn elsewhere(&self) -> Option<String> {
        match self {
            Self::Here(_) => None,
            Self::Elsewhere(url) => Some(url.clone()),
        }
    }

    /// Stops it, if it is run here.
    pub async fn stop(self) {
        if let Self::Here(running) = self {
            running.stop().await;
        }
    }
}

/// A sandbox that this process runs.
#[derive(Debug)]
pub struct Running {
    sandbox: Sandbox,
    address_file: PathBuf,
    /// Held as long as it runs: a second one would overwrite its state.
    _lock: File,
}

impl Running {
    /// Stops it; what is pending goes on at the next start.
    pub async fn stop(self) {
        self.sandbox.stop().await;
        // What is left behind is not believed without the lock.
        let _ = std::fs::remove_file(&self.address_file);
    }
}

/// What a sandbox is started for.
#[derive(Debug)]
pub struct Start {
    /// Where it listens; a port that is taken gives way to a free one.
    pub listen: SocketAddr,
    /// Where it sends events.
    pub webhook_url: String,
    /// The deployment whose clock goes with it, if there is one.
    pub db: Option<Database>,
}

/// Starts the sandbox of the data folder, or finds the one that runs.
pub async fn start(config: &Config, env: &Env, secrets: &SandboxSecrets, start: Start) -> Result<Place, SandboxFault> {
    let folder = sandbox_folder(config);
    let looks = PATIENCE.as_millis() / PAUSE.as_millis();
    for _ in 0..looks {
        if let Some(lock) = lock(&folder)? {
            return Ok(Place::Here(Box::new(run(env, secrets, start, (folder, lock)).await?)));
        }
        if let Some(url) = written_address(&folder)
            && clock_of(&url).await.is_ok()
        {
            return Ok(Place::Elsewhere(url));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(SandboxFault::Busy(folder))
}

async fn run(
    env: &Env,
    secrets: &SandboxSecrets,
    start: Start,
    (folder, lock): (PathBuf, File),
) -> Result<Running, SandboxFault> {
    let (clock, ids) = (env.clock.clone(), env.ids.clone());
    let hook = start.db.clone().map(|db| {
        let env = env.clone();
        OnClock::new(move |offset| {
            let (db, env) = (db.clone(), env.clone());
            async move {
                if let Err(error) = clock::move_to(&db, &env, offset).await {
                    tracing::error!(%error, "the sandbox's clock was advanced, and this deployment's was not");
                }
            }
        })
    });
    let settings = Settings {
        listen: start.listen,
        secret_key: secrets.secret_key.clone(),
        webhook: Some(WebhookTarget { url: start.webhook_url, secrets: vec![secrets.webhook_secret.clone()] }),
        state_file: Some(folder.join("state.json")),
        source: Source::new(move || clock.real_now(), move || ids.bytes()),
        on_clock: hook,
    };
    let sandbox = match Sandbox::start(settings.clone()).await {
        Err(SandboxError::Listen { address, source }) if source.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::info!(%address, "the port of the sandbox is in use: a free one is taken");
            Sandbox::start(Settings { listen: SocketAddr::new(address.ip(), 0), ..settings }).await?
        }
        started => started?,
    };
    if let Some(db) = &start.db {
        agree(&sandbox, db, env).await?;
    }
    let address_file = folder.join("address");
    let written = std::fs::write(&address_file, format!("{}\n", sandbox.url()));
    written.map_err(|source| SandboxFault::Folder { path: address_file.clone(), source })?;
    Ok(Running { sandbox, address_file, _lock: lock })
}

/// Puts the clocks of sandbox and deployment to where the one is that is further ahead: either may be new.
async fn agree(sandbox: &Sandbox, db: &Database, env: &Env) -> Result<(), SandboxFault> {
    let (theirs, ours) =
        (sandbox.control().clock().offset_seconds, clock::offset_seconds(db).await.map_err(clock::ClockError::from)?);
    if theirs > ours {
        clock::move_to(db, env, theirs).await?;
    } else if ours > theirs {
        let advanced = sandbox.control().advance(ours - theirs).await;
        advanced.map_err(|error| SandboxFault::Refused(error.to_string()))?;
    }
    Ok(())
}

/// Where the sandbox of this data folder is; none where none runs.
pub fn running_url(config: &Config) -> Option<String> {
    let folder = sandbox_folder(config);
    let file = File::open(folder.join("lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => written_address(&folder),
        // Nobody holds it: what is written there is left from before.
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn written_address(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("address")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The lock of the folder; none where another process has it.
fn lock(folder: &Path) -> Result<Option<File>, SandboxFault> {
    let path = folder.join("lock");
    let failed = |source| SandboxFault::Folder { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// What a sandbox can reach a server under that listens here.
pub fn webhook_url(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/api/webhooks/stripe", SocketAddr::new(ip, listen.port()))
}

/// What time it is in the sandbox at this address.
pub async fn clock_of(url: &str) -> Result<SandboxClock, SandboxFault> {
    let failed = |error: reqwest::Error| call_failed(url, error);
    let client = client(PATIENCE).map_err(failed)?;
    let answer = client.get(format!("{url}/_sandbox/clock")).send().await.map_err(failed)?;
    answer.error_for_status().map_err(failed)?.json().await.map_err(failed)
}

/// Advances the clock of the sandbox at this address. What falls due is done step by step and told before the next.
pub async fn advance(url: &str, seconds: i64) -> Result<SandboxClock, SandboxFault> {
    let failed = |error: reqwest::Error| call_failed(url, error);
    let client = client(LONGEST).map_err(failed)?;
    let body = serde_json::json!({ "seconds": seconds, "deliver": true });
    let answer = client.post(format!("{url}/_sandbox/clock/advance")).json(&body).send().await.map_err(failed)?;
    if answer.status().is_success() {
        return answer.json().await.map_err(failed);
    }
    let body: serde_json::Value = answer.json().await.map_err(failed)?;
    let reason = body.get("error").and_then(serde_json::Value::as_str).unwrap_or("it gave no reason").to_owned();
    Err(SandboxFault::Refused(reason))
}

fn client(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().timeout(timeout).no_proxy().build()
}

fn call_failed(url: &str, error: reqwest::Error) -> SandboxFault {
    SandboxFault::Call { url: url.to_owned(), reason: error.without_url().to_string() }
}

/// The key and the secrets with which a client talks to a sandbox.
pub(super) fn client_secrets(secrets: SandboxSecrets) -> (SecretString, Vec<SecretString>) {
    (secrets.secret_key, vec![secrets.webhook_secret])
}
