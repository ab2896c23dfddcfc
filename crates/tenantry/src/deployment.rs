//! Which database a command works on: the private cluster of the data folder, or the one that URLs name.

use std::fmt::Write as _;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use tenantry_embedded::{Cluster, ClusterConfig, ClusterError, Connection, attach};
use tokio_postgres::Config as Connect;

use crate::config::Config;
use crate::env::Env;
use crate::storage::migrate::{self, LoginPasswords, MigrateError, Migrated, SERVICE_ROLE, USER_ROLE};
use crate::storage::{Database, Logins, StoreError};

/// Name of the database in a private cluster.
const DATABASE: &str = "tenantry";

/// What the database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A server: holds the data folder as long as it runs.
    Serve,
    /// One command: uses the cluster of a running server, or starts the cluster for as long as the command takes.
    Command,
}

/// Why there is no database to work on.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The private cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The schema or the roles.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The pools.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A URL that cannot be used. Never shows the URL: it has a password in it.
    #[error("{0}")]
    Url(String),
}

/// A database, ready to be worked on.
pub struct Deployment {
    /// The pools of the two logins.
    pub db: Database,
    /// How the two logins connect.
    pub logins: Logins,
    /// How the admin connects; none where only the logins are known.
    pub admin: Option<Connect>,
    /// What this call migrated; none where it had no reason or no right to.
    pub migrated: Option<Migrated>,
    /// The private cluster, where this process holds it.
    pub cluster: Option<Arc<Cluster>>,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Deployment {
    /// Opens the database that the configuration names. A private cluster is started and migrated as needed; on
    /// another server only `serve` with the admin's URL migrates.
    pub async fn open(config: &Config, env: &Env, purpose: Purpose) -> Result<Self, DeploymentError> {
        let (cluster, admin) = if config.is_embedded() {
            let (cluster, connection) = private_cluster(config, env, purpose).await?;
            (cluster, Some(private_database(&connection).await?))
        } else {
            let admin = config.database_admin_url.as_ref().map(|url| parse_url("DATABASE_ADMIN_URL", url));
            (None, admin.transpose()?)
        };
        let opened = Self::with_logins(config, admin, purpose).await;
        match (opened, cluster) {
            (Ok(opened), cluster) => Ok(Self { cluster: cluster.map(Arc::new), ..opened }),
            (Err(error), Some(cluster)) => {
                // The first error is the one to tell; a server that goes on running is found by the next start.
                let _ = cluster.stop().await;
                Err(error)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn with_logins(config: &Config, admin: Option<Connect>, purpose: Purpose) -> Result<Self, DeploymentError> {
        let logins = logins(config, admin.as_ref())?;
        let migrated = match &admin {
            Some(admin) if purpose == Purpose::Serve || is_behind(config, admin).await? => {
                Some(migrate_as(config, admin, &logins).await?)
            }
            _ => None,
        };
        if migrated.is_none() {
            migrate::check_schema(&logins.service).await?;
        }
        Ok(Self { db: Database::new(&logins)?, logins, admin, migrated, cluster: None })
    }

    /// Refuses to go on unless both logins are held by row security.
    pub async fn check_serving_roles(&self) -> Result<(), MigrateError> {
        migrate::check_serving_role(&self.logins.user, USER_ROLE).await?;
        migrate::check_serving_role(&self.logins.service, SERVICE_ROLE).await
    }

    /// Ends all connections and, where it is ours, the cluster.
    pub async fn close(self) -> Result<(), ClusterError> {
        self.db.close();
        // Whoever else held it, the watch over it, has ended by now.
        match self.cluster.and_then(Arc::into_inner) {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

/// Migrates the database of a configuration, whatever the purpose of the process.
pub async fn migrate_now(config: &Config, env: &Env) -> Result<Migrated, DeploymentError> {
    if config.is_embedded() {
        let opened = Deployment::open(config, env, Purpose::Command).await?;
        let migrated = match (&opened.migrated, &opened.admin) {
            (None, Some(admin)) => migrate_as(config, admin, &opened.logins).await,
            (Some(migrated), _) => Ok(migrated.clone()),
            (None, None) => Err(DeploymentError::Url("the private cluster has no admin".to_owned())),
        };
        opened.close().await?;
        return migrated;
    }
    let url = config.database_admin_url.as_ref().ok_or_else(|| {
        DeploymentError::Url("DATABASE_ADMIN_URL is missing: migrating needs a role that may create roles".to_owned())
    })?;
    let admin = parse_url("DATABASE_ADMIN_URL", url)?;
    let logins = logins(config, Some(&admin))?;
    migrate_as(config, &admin, &logins).await
}

async fn migrate_as(config: &Config, admin: &Connect, logins: &Logins) -> Result<Migrated, DeploymentError> {
    let password = |login: &Connect, variable: &str| {
        let bytes = login.get_password().ok_or_else(|| {
            DeploymentError::Url(format!("{variable} has no password: migrating gives the login the one of its URL"))
        })?;
        String::from_utf8(bytes.to_vec())
            .map_err(|_| DeploymentError::Url(format!("the password in {variable} is not UTF-8: choose another")))
    };
    let user = password(&logins.user, "TENANTRY_USER_DATABASE_URL")?;
    let service = password(&logins.service, "TENANTRY_SERVICE_DATABASE_URL")?;
    let passwords = LoginPasswords { user: &user, service: &service };
    Ok(migrate::migrate(admin, &passwords, config.is_embedded()).await?)
}

/// Whether a private cluster lacks migrations of this binary. Of other servers only the operator decides.
async fn is_behind(config: &Config, admin: &Connect) -> Result<bool, DeploymentError> {
    Ok(config.is_embedded() && migrate::found_version(admin).await? < migrate::needed_version())
}

async fn private_cluster(
    config: &Config,
    env: &Env,
    purpose: Purpose,
) -> Result<(Option<Cluster>, Connection), DeploymentError> {
    if purpose == Purpose::Command
        && let Some(connection) = attach(&config.data_dir).await?
    {
        return Ok((None, connection));
    }
    let cluster = Cluster::start(ClusterConfig {
        data_dir: config.data_dir.clone(),
        password: hex(&env.ids.bytes::<24>()),
        settings: Vec::new(),
    })
    .await?;
    let connection = cluster.connection().clone();
    Ok((Some(cluster), connection))
}

/// The admin's connection to the database of a private cluster; the database is made if there is none.
async fn private_database(connection: &Connection) -> Result<Connect, DeploymentError> {
    let mut server = Connect::new();
    match &connection.socket_dir {
        Some(socket) => server.host_path(socket),
        None => server.host("127.0.0.1"),
    };
    server
        .port(connection.port)
        .user(connection.user)
        .password(&connection.password)
        .dbname("postgres")
        .application_name("tenantry");
    migrate::create_database(&server, DATABASE).await?;
    server.dbname(DATABASE);
    Ok(server)
}

/// How the two logins connect: by their own URLs, else to the admin's database with derived passwords.
fn logins(config: &Config, admin: Option<&Connect>) -> Result<Logins, DeploymentError> {
    let login = |url: Option<&SecretString>, variable: &str, role: &str| match (url, admin) {
        (Some(url), _) => parse_url(variable, url),
        (None, Some(admin)) => {
            let password = admin.get_password().ok_or_else(|| {
                DeploymentError::Url(format!(
                    "the admin's URL has no password to derive those of the logins from: set {variable}"
                ))
            })?;
            let mut login = admin.clone();
            login.user(role).password(derived_password(password, role));
            Ok(login)
        }
        (None, None) => Err(DeploymentError::Url(format!("{variable} is missing: set it, or DATABASE_ADMIN_URL"))),
    };
    Ok(Logins {
        user: login(config.user_database_url.as_ref(), "TENANTRY_USER_DATABASE_URL", USER_ROLE)?,
        service: login(config.service_database_url.as_ref(), "TENANTRY_SERVICE_DATABASE_URL", SERVICE_ROLE)?,
        pool_size: config.pool_size,
    })
}

/// The password of a login, the same on every replica that knows the admin's; the admin's cannot be had from it.
fn derived_password(admin_password: &[u8], role: &str) -> String {
    // HMAC takes keys of every length, so this cannot fail; the empty key would only make the login unusable.
    let mac = Hmac::<Sha256>::new_from_slice(admin_password).map(|mac| mac.chain_update(role).finalize());
    mac.map(|mac| hex(&mac.into_bytes())).unwrap_or_default()
}

fn parse_url(variable: &str, url: &SecretString) -> Result<Connect, DeploymentError> {
    // The driver's message may repeat parts of the URL, so it is not shown.
    let mut parsed: Connect = url.expose_secret().parse().map_err(|_| {
        DeploymentError::Url(format!(
            "{variable} is no database URL: write postgresql://user:password@host:5432/database"
        ))
    })?;
    if parsed.get_application_name().is_none() {
        parsed.application_name("tenantry");
    }
    Ok(parsed)
}

/// The connection string of a login, for psql and other tools.
pub fn connection_url(login: &Connect) -> String {
    let host = login.get_hosts().first().map_or_else(
        || "localhost".to_owned(),
        |host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => escape(path.as_os_str().as_encoded_bytes()),
        },
    );
    let port = login.get_ports().first().copied().unwrap_or(5432);
    let user = escape(login.get_user().unwrap_or_default().as_bytes());
    let password = escape(login.get_password().unwrap_or_default());
    let database = escape(login.get_dbname().unwrap_or_default().as_bytes());
    format!("postgresql://{user}:{password}@{host}:{port}/{database}")
}

/// Percent-encodes all but what every part of a URL may hold.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_login_has_its_own_password_and_the_admins_is_not_in_it() {
        let user = derived_password(b"admin", USER_ROLE);
        assert_eq!(user, derived_password(b"admin", USER_ROLE));
        assert_ne!(user, derived_password(b"admin", SERVICE_ROLE));
        assert_ne!(user, derived_password(b"other", USER_ROLE));
        assert!(!user.contains("admin"));
    }

    #[test]
    fn urls_come_out_as_the_driver_reads_them() {
        let mut login = Connect::new();
        login.host_path("/tmp/a b").port(5433).user("u@x").password("p:/?#").dbname("d b");
        let read: Connect = connection_url(&login).parse().unwrap();
        assert_eq!(read.get_hosts(), login.get_hosts());
        assert_eq!(read.get_ports(), [5433]);
        assert_eq!((read.get_user(), read.get_password()), (Some("u@x"), Some(b"p:/?#".as_slice())));
        assert_eq!(read.get_dbname(), Some("d b"));
    }

    #[test]
    fn a_url_that_cannot_be_read_is_named_but_not_shown() {
        let error = parse_url("DATABASE_ADMIN_URL", &"postgres://u:hunter2@h:port/d".to_owned().into()).unwrap_err();
        assert!(error.to_string().starts_with("DATABASE_ADMIN_URL is no database URL"));
        assert!(!error.to_string().contains("hunter2"));
    }
}
