//! The two logins of a running server and their connection pools.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod, Runtime};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::{Opening, ReadScope, StoreError, Tx};

/// How often a transaction that lost a deadlock is run again before its caller is told.
const ATTEMPTS: u32 = 5;

/// Where the two serving roles connect.
#[derive(Clone)]
pub struct Logins {
    /// As `tenantry_user`.
    pub user: tokio_postgres::Config,
    /// As `tenantry_service`.
    pub service: tokio_postgres::Config,
    /// Connections a pool may hold, each.
    pub pool_size: usize,
}

/// The database as the server sees it: one pool of each login.
#[derive(Clone)]
pub struct Database {
    user: Pool,
    service: Pool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Builds the pools; connections are made when they are first needed.
    pub fn new(logins: &Logins) -> Result<Self, StoreError> {
        Ok(Self { user: pool(&logins.user, logins.pool_size)?, service: pool(&logins.service, logins.pool_size)? })
    }

    /// A read transaction as `tenantry_user`: sees what the caller of the scope may see.
    pub async fn read(&self, name: &'static str, scope: ReadScope) -> Result<Tx, StoreError> {
        Tx::read(connection(&self.user).await?, name, scope).await
    }

    /// A read transaction as `tenantry_service` over these tenants, for service keys and proofs. One snapshot.
    pub async fn read_as_service(&self, name: &'static str, tenants: &[Uuid]) -> Result<Tx, StoreError> {
        Tx::service_read(connection(&self.service).await?, name, tenants).await
    }

    /// A write transaction as `tenantry_service`, opened for these tenants and no others. READ COMMITTED.
    pub async fn begin(&self, name: &'static str, tenants: &[Uuid]) -> Result<Tx, StoreError> {
        Tx::write(connection(&self.service).await?, name, tenants).await
    }

    /// A write transaction that is still to be opened; see [`begin_with!`](crate::begin_with!).
    pub async fn opening(&self, name: &'static str, tenants: &[Uuid]) -> Result<Opening, StoreError> {
        Ok(Opening::new(connection(&self.service).await?, name, tenants))
    }

    /// Runs a write transaction: commits what the work returns, undoes it when it fails, and runs it again
    /// when it lost a deadlock. The work must be re-runnable and must not wait for the network.
    ///
    /// Its future is not `Send` (the compiler cannot say so of an async closure over a borrowed transaction):
    /// what runs in a request or a spawned task uses [`write_tx!`](crate::write_tx!), which does the same.
    pub async fn write<T, E, W>(&self, name: &'static str, tenants: &[Uuid], work: W) -> Result<T, E>
    where
        W: AsyncFn(&Tx) -> Result<T, E>,
        E: From<StoreError> + MaybeRetryable,
    {
        crate::write_tx!(self, name, tenants, |tx| work(tx).await)
    }

    /// Ends a transaction as its work says; nothing where it is to be run again. Part of [`write_tx!`](crate::write_tx!).
    pub async fn settle<T, E>(&self, tx: Tx, worked: Result<T, E>, attempt: &mut u32) -> Result<Option<T>, E>
    where
        E: From<StoreError> + MaybeRetryable,
    {
        let name = tx.name();
        match worked {
            Ok(value) => {
                tx.commit().await?;
                Ok(Some(value))
            }
            Err(error) => {
                tx.rollback().await?;
                if !error.is_retryable() || *attempt == ATTEMPTS {
                    return Err(error);
                }
                metrics::counter!("tenantry_transaction_retries_total", "name" => name).increment(1);
                tracing::info!(transaction = name, attempt, "transaction lost a deadlock; running it again");
                tokio::time::sleep(Duration::from_millis(u64::from(*attempt) * 5)).await;
                *attempt += 1;
                Ok(None)
            }
        }
    }

    /// Whether both logins can be reached.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read("ping", ReadScope::default()).await?.rollback().await?;
        self.read_as_service("ping", &[]).await?.rollback().await
    }

    /// Publishes how many connections are in use.
    pub fn record_metrics(&self) {
        for (login, pool) in [("user", &self.user), ("service", &self.service)] {
            let status = pool.status();
            for (state, count) in [("open", status.size), ("idle", status.available), ("waiting", status.waiting)] {
                #[expect(clippy::cast_precision_loss, reason = "a pool holds tens of connections")]
                metrics::gauge!("tenantry_pool_connections", "login" => login, "state" => state).set(count as f64);
            }
        }
    }

    /// Closes both pools; transactions in flight keep their connection to their end.
    pub fn close(&self) {
        self.user.close();
        self.service.close();
    }
}

/// Runs a write transaction: `write_tx!(db, "name", &[tenant], |tx| { ...; Ok(value) })` gives a `Result`.
///
/// Commits what the block returns, undoes it when it fails (`?` and `return` leave the block), and runs it again
/// when it lost a deadlock: the block must be re-runnable and must not wait for the network. A macro, because the
/// future of an async closure over a borrowed transaction cannot be shown to be `Send`.
#[macro_export]
macro_rules! write_tx {
    ($db:expr, $name:expr, $tenants:expr, |$tx:ident| $work:expr) => {{
        let mut attempt = 1;
        loop {
            let opened = match $db.begin($name, $tenants).await {
                Ok(opened) => opened,
                Err(error) => break Err(error.into()),
            };
            let $tx = &opened;
            let worked = async { $work }.await;
            match $db.settle(opened, worked, &mut attempt).await {
                Ok(Some(value)) => break Ok(value),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        }
    }};
}

/// Opens a write transaction and runs its first statements in one round trip:
/// `begin_with!(db, "name", &[tenant], |tx| work)` gives the open transaction and the result of the work.
///
/// Nothing of the work is sent before the opening, and the server runs what it is sent in order. Where the opening
/// fails, the connection is thrown away. A macro for the same reason as [`write_tx!`](crate::write_tx!).
#[macro_export]
macro_rules! begin_with {
    ($db:expr, $name:expr, $tenants:expr, |$tx:ident| $work:expr) => {
        match $db.opening($name, $tenants).await {
            Err(error) => Err(error),
            Ok(opening) => {
                let $tx = opening.tx();
                match tokio::join!(biased; opening.begin(), $work) {
                    (Ok(()), worked) => Ok((opening.opened(), worked)),
                    (Err(error), _) => Err(error),
                }
            }
        }
    };
}

/// Whether running the same transaction again can help.
pub trait MaybeRetryable {
    /// True where the database undid the transaction whole and asks for another try.
    fn is_retryable(&self) -> bool;
}

impl MaybeRetryable for StoreError {
    fn is_retryable(&self) -> bool {
        StoreError::is_retryable(self)
    }
}

async fn connection(pool: &Pool) -> Result<Object, StoreError> {
    Ok(pool.get().await?)
}

fn pool(config: &tokio_postgres::Config, size: usize) -> Result<Pool, StoreError> {
    let manager = Manager::from_config(
        config.clone(),
        tls_connector()?,
        // A ping before each use would halve the speed; a connection that died shows at its first statement.
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(size)
        // The connection that was used last has its plans and caches warm.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_secs(10)))
        .create_timeout(Some(Duration::from_secs(10)))
        .build()
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// TLS for URLs that ask for it, with the roots of the operating system.
pub(super) fn tls_connector() -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Unavailable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
