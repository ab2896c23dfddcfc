//! What tests stand on: one private PostgreSQL for the process, a migrated template, a database for each test.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

pub(crate) mod cluster;
pub(crate) mod watched_logs;

use tenantry::env::Env;
use tenantry::storage::{Database, Logins, migrate};
use tokio_postgres::{Client, Config};

pub(crate) const USER_PASSWORD: &str = "user-password-of-the-tests";
pub(crate) const SERVICE_PASSWORD: &str = "service-password-of-the-tests";

/// Passwords of the two logins on the tests' server.
pub(crate) const PASSWORDS: migrate::LoginPasswords<'static> =
    migrate::LoginPasswords { user: USER_PASSWORD, service: SERVICE_PASSWORD };

/// A migrated database of a test's own.
pub(crate) struct TestDb {
    /// Connects as the superuser.
    pub(crate) admin: Config,
    /// Where the serving roles connect.
    pub(crate) logins: Logins,
    /// The database as the server uses it.
    pub(crate) db: Database,
}

impl TestDb {
    /// A copy of the migrated template.
    pub(crate) async fn new() -> Self {
        Self::with_pool(8).await
    }

    /// The same with this many connections a pool.
    pub(crate) async fn with_pool(pool_size: usize) -> Self {
        let admin = cluster::create_database(Some(cluster::TEMPLATE)).await;
        let logins = logins(&admin, pool_size);
        Self { db: Database::new(&logins).unwrap(), admin, logins }
    }

    /// A connection past row security.
    pub(crate) async fn admin_client(&self) -> Client {
        migrate::connect(&self.admin).await.unwrap()
    }

    /// A connection as `tenantry_user`.
    pub(crate) async fn user_client(&self) -> Client {
        migrate::connect(&self.logins.user).await.unwrap()
    }

    /// A connection as `tenantry_service`.
    pub(crate) async fn service_client(&self) -> Client {
        migrate::connect(&self.logins.service).await.unwrap()
    }
}

/// The serving roles' connections to the database of an admin's.
pub(crate) fn logins(admin: &Config, pool_size: usize) -> Logins {
    let (mut user, mut service) = (admin.clone(), admin.clone());
    user.user(migrate::USER_ROLE).password(USER_PASSWORD);
    service.user(migrate::SERVICE_ROLE).password(SERVICE_PASSWORD);
    Logins { user, service, pool_size }
}

/// A name that no other test has.
pub(crate) fn unique_name() -> String {
    let env = Env::system();
    format!("t_{}", env.ids.uuid_v7(env.clock.now()).simple())
}
