//! The running server: built from the configuration, stopped without losing an answer.

mod banner;
pub mod clock;
pub mod sandbox;
pub mod stripe;
mod supervisor;
pub mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_domain::plan::Catalog;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::billing::catalog_file::{self, CatalogFileError};
use crate::billing::catalog_store::{self, LoadError};
use crate::config::{Config, ConfigError, Environment, JwtSecret, StripeAccess, jwt_secret, stripe_access};
use crate::deployment::{Deployment, DeploymentError, Purpose};
use crate::env::Env;
use crate::http::auth::{Jwks, TokenSettings, TokenVerifier};
use crate::http::router::{Limits, router};
use crate::http::state::{AppState, Shared};
use crate::notices::webhooks::UrlPolicy;
use crate::notices::{Outbound, OutboundError, OutboundSettings};
use crate::storage::Database;
use crate::storage::migrate::MigrateError;
use crate::stripe_sync::Stripe;
use crate::tenancy::key_uses::KeyUses;
use crate::usage::check::Checks;
use crate::usage::ingest::{GroupSettings, Ingest, IngestSettings, Recorder};
use crate::usage::retention::Retention;
use crate::worker::Worker;

/// Checks that may wait for their answer.
const WAITING_CHECKS: usize = 10_000;
/// Rounds of checks that are read at once.
const CHECK_READERS: usize = 2;
/// How long requests may go on after the server was told to stop, on top of the time that a request may take.
const GRACE: Duration = Duration::from_secs(5);

/// Why the server does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The plan catalog's file.
    #[error(transparent)]
    Catalog(#[from] CatalogFileError),
    /// The plan catalog against the one in the database.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The database.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// Mails and webhooks.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The serving roles.
    #[error(transparent)]
    Roles(#[from] MigrateError),
    /// The address.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it cannot, and what to do.
        reason: String,
    },
    /// The clock of development.
    #[error(transparent)]
    Clock(#[from] clock::ClockError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] sandbox::SandboxFault),
    /// The client of Stripe.
    #[error("stripe_secret_key and stripe_api_url: {0}")]
    Stripe(#[from] tenantry_stripe::ClientError),
    /// What is around the server: signals, metrics, the network client.
    #[error("{0}")]
    Surroundings(String),
    /// Stopping.
    #[error("stopping the database failed: {0}")]
    Stop(#[from] tenantry_embedded::ClusterError),
}

/// Serves until it is told to stop by SIGINT or SIGTERM. A second signal ends it at once.
pub async fn serve(config: &Config, env: &Env) -> Result<(), ServeError> {
    let catalog = catalog_file::read(&config.plans)?;
    let secret = jwt_secret(config, &env.ids)?;
    let verifier = verifier(config, secret.as_ref())?;
    let outbound = Outbound::new(&outbound_settings(config))?;
    let access = stripe_access(config, &env.ids)?;
    let deployment = Deployment::open(config, env, Purpose::Serve).await?;
    let means = Means { secret: secret.as_ref(), verifier, outbound, access };
    let served = serve_on(config, env, catalog, means, &deployment).await;
    let closed = deployment.close().await;
    served?;
    Ok(closed?)
}

/// What the server works with beside its database.
struct Means<'a> {
    secret: Option<&'a JwtSecret>,
    verifier: TokenVerifier,
    outbound: Outbound,
    access: StripeAccess,
}

async fn serve_on(
    config: &Config,
    env: &Env,
    catalog: Catalog,
    Means { secret, verifier, outbound, access }: Means<'_>,
    deployment: &Deployment,
) -> Result<(), ServeError> {
    let listener = listen(config.listen).await?;
    deployment.check_serving_roles().await?;
    if let Some(migrated) = deployment.migrated.as_ref().filter(|migrated| !migrated.applied.is_empty()) {
        tracing::info!(version = migrated.version, applied = migrated.applied.join(", "), "the schema was migrated");
    }
    clock::adjust(config, env, &deployment.db).await?;
    let loaded = catalog_store::load(&deployment.db, env, &catalog).await?;
    for (plan, version) in &loaded.changed {
        tracing::info!(plan, version, "plan version is current from now on");
    }
    let address = listener.local_addr().unwrap_or(config.listen);
    let billing = stripe::start(config, env, &deployment.db, access, (&catalog, address)).await?;
    let sandbox = billing.sandbox;
    let banner = banner::Banner { config, address, catalog: &catalog, secret, stripe: &billing.line };
    let about = (banner, sandbox.as_ref());
    let served = run(config, env, (verifier, outbound, billing.stripe), (listener, about), deployment).await;
    // Last, so that nobody calls in vain what was there before.
    if let Some(sandbox) = sandbox {
        sandbox.stop().await;
    }
    served
}

/// Answers requests until it is told to stop, and those that are under way then.
async fn run(
    config: &Config,
    env: &Env,
    (verifier, outbound, stripe): (TokenVerifier, Outbound, Option<Stripe>),
    (listener, (banner, sandbox)): (TcpListener, (banner::Banner<'_>, Option<&sandbox::Place>)),
    deployment: &Deployment,
) -> Result<(), ServeError> {
    let metrics = config.metrics.then(telemetry::install_metrics).transpose().map_err(ServeError::Surroundings)?;
    let (state, worker) = start(config, env, banner.catalog.clone(), (verifier, outbound, stripe), &deployment.db);
    let stopping = CancellationToken::new();
    watch_signals(stopping.clone()).map_err(|error| ServeError::Surroundings(error.to_string()))?;
    let supervisor = supervisor::start(deployment, stopping.clone());
    let elsewhere = sandbox.and_then(sandbox::Place::elsewhere);
    let follower = config
        .follows_sandbox_clock()
        .then(|| clock::follow(state.db.clone(), env.clone(), elsewhere, stopping.clone()));
    banner::print(&banner);

    let timeout = Duration::from_secs(config.request_timeout_seconds);
    let limits = Limits { body_bytes: config.body_limit, timeout };
    let app = router(state.clone(), limits, metrics).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(stopping.clone().cancelled_owned()).into_future();
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => {
            ended.map_err(|error| ServeError::Surroundings(format!("the server ended: {error}")))?;
        }
        () = async { stopping.cancelled().await; tokio::time::sleep(timeout + GRACE).await } => {
            tracing::warn!("some requests did not end in time; they are cut off");
        }
    }
    state.ingest.drain().await;
    worker.stop().await;
    supervisor.stop().await;
    if let Some(Err(error)) = futures::future::OptionFuture::from(follower).await {
        tracing::error!(%error, "following the clock of development ended badly");
    }
    tracing::info!("stopped; every request that was taken in was answered");
    Ok(())
}

/// What answers requests, and what works behind them.
pub fn start(
    config: &Config,
    env: &Env,
    catalog: Catalog,
    (verifier, outbound, stripe): (TokenVerifier, Outbound, Option<Stripe>),
    db: &Database,
) -> (AppState, Worker) {
    let recorder = Recorder::new(db.clone(), env.clone(), group_settings(config));
    let settings = IngestSettings {
        queue_limit: config.ingest_queue,
        committers: config.ingest_committers,
        ..IngestSettings::default()
    };
    let state = AppState::new(Shared {
        db: db.clone(),
        env: env.clone(),
        ingest: Ingest::start(&recorder, settings),
        checks: Checks::start(&recorder, WAITING_CHECKS, CHECK_READERS),
        recorder,
        verifier: Arc::new(verifier),
        catalog: Arc::new(catalog),
        known: Arc::default(),
        key_uses: KeyUses::new(db.clone(), env.clone()),
        key_limiter: Arc::default(),
        slug_limiter: Arc::default(),
        webhooks: webhook_policy(config),
        invitations_valid_for: SignedDuration::from_hours(i64::from(config.invitation_hours)),
        stripe: stripe.clone(),
    });
    let retention = config.usage_retain_months.map(|months| (retention(config, db, env), months));
    (state, Worker::start(db.clone(), env.clone(), outbound, stripe, retention))
}

/// What the configuration says of mails and webhooks.
pub fn outbound_settings(config: &Config) -> OutboundSettings {
    OutboundSettings {
        smtp_url: config.smtp_url.clone(),
        mail_from: config.mail_from.clone(),
        app_url: config.app_url().to_owned(),
        webhooks: webhook_policy(config),
    }
}

fn webhook_policy(config: &Config) -> UrlPolicy {
    UrlPolicy { https_only: config.env == Environment::Production, allow_private: config.allows_private_webhooks() }
}

/// What the configuration says of recording usage.
pub fn group_settings(config: &Config) -> GroupSettings {
    GroupSettings { late_window: SignedDuration::from_hours(i64::from(config.late_events_hours)) }
}

/// What the configuration says of usage that leaves.
pub fn retention(config: &Config, db: &Database, env: &Env) -> Retention {
    let late_window = group_settings(config).late_window;
    Retention::new(db.clone(), env.clone(), config.usage_archive_dir.clone(), late_window)
}

/// Whose tokens the configuration takes.
pub fn token_settings(config: &Config, secret: Option<&JwtSecret>) -> TokenSettings {
    TokenSettings {
        secret: secret.map(|secret| secret.secret.clone()),
        issuer: config.jwt_issuer.clone(),
        audience: config.jwt_audience.clone(),
        issuer_verifies_emails: config.issuer_verifies_emails,
    }
}

fn verifier(config: &Config, secret: Option<&JwtSecret>) -> Result<TokenVerifier, ServeError> {
    let jwks = config.jwks_url.clone().map(Jwks::new).transpose();
    let jwks = jwks.map_err(|error| ServeError::Surroundings(format!("JWKS_URL: {error}")))?;
    Ok(TokenVerifier::new(token_settings(config, secret), jwks))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "the port is in use; stop what listens there, or choose another with --listen".to_owned()
            }
            std::io::ErrorKind::PermissionDenied => "no permission; choose a port above 1023 with --listen".to_owned(),
            _ => format!("{error}; choose another address with --listen"),
        };
        ServeError::Listen { address, reason }
    })
}

/// Cancels the token at the first signal; the second one ends the process.
fn watch_signals(stopping: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        tracing::info!("stopping: requests in flight are answered first");
        stopping.cancel();
        next().await;
        tracing::warn!("a second signal: ending at once");
        std::process::exit(130);
    });
    Ok(())
}
