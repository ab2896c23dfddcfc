//! Roles, migrations, and the proof that the serving roles cannot bypass row security.
//!
//! Runs with the admin's connection only; a serving process never holds it while it answers requests.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};

use super::{StoreError, describe, pool::tls_connector};

/// NOLOGIN role that owns the schema and everything in it.
pub const OWNER_ROLE: &str = "tenantry_owner";
/// NOLOGIN role that owns the membership helper.
pub const AUTHZ_ROLE: &str = "tenantry_authz";
/// Login that reads for users and tenant keys.
pub const USER_ROLE: &str = "tenantry_user";
/// Login that writes, ingests and works.
pub const SERVICE_ROLE: &str = "tenantry_service";

/// The lowest server versions without the known holes in row security (CVE-2025-8713, CVE-2024-10976).
const VERSION_FLOOR: &[(i32, i32)] = &[(15, 14), (16, 10), (17, 6), (18, 0)];

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Why a database is not ready to serve.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A connection failed.
    #[error("cannot connect to the database as {user}: {reason}; check its database URL")]
    Connect {
        /// Name of the login.
        user: String,
        /// What the driver or the server says.
        reason: String,
    },
    /// The server is too old.
    #[error(
        "PostgreSQL {found} has known holes in row security; Tenantry needs at least 15.14, 16.10, 17.6 or 18.0: update the server"
    )]
    VersionTooOld {
        /// What the server says it is.
        found: String,
    },
    /// A migration or a statement around it failed.
    #[error("migrating the database failed: {0}")]
    Failed(String),
    /// The binary knows migrations that the database has not seen.
    #[error("the database is at schema version {found}, this binary needs {needed}: run `tenantry migrate`")]
    Behind {
        /// Version in the database; 0 where there is none.
        found: i32,
        /// Version of this binary.
        needed: i32,
    },
    /// A serving role could read or write past row security.
    #[error("refusing to serve: {0}")]
    Unsafe(String),
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(describe(&error))
    }
}

impl From<StoreError> for MigrateError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What `migrate` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Schema version now.
    pub version: i32,
    /// Names of the migrations that were applied by this call.
    pub applied: Vec<String>,
}

/// Passwords of the two logins.
pub struct LoginPasswords<'a> {
    /// Of `tenantry_user`.
    pub user: &'a str,
    /// Of `tenantry_service`.
    pub service: &'a str,
}

/// Connects, with TLS where the URL asks for it, and drives the connection in the background.
pub async fn connect(config: &Config) -> Result<Client, MigrateError> {
    let (client, connection) = config.connect(tls_connector()?).await.map_err(|error| MigrateError::Connect {
        user: config.get_user().unwrap_or("nobody").to_owned(),
        reason: describe(&error),
    })?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = describe(&error), "admin connection ended");
        }
    });
    Ok(client)
}

/// Makes the roles and brings the schema to this binary's version. Safe to run from several replicas at once.
///
/// `private_cluster`: the whole server is ours, so that what the server grants to PUBLIC may be taken back.
pub async fn migrate(
    admin: &Config,
    passwords: &LoginPasswords<'_>,
    private_cluster: bool,
) -> Result<Migrated, MigrateError> {
    let mut client = connect(admin).await?;
    check_version(&client).await?;
    client.batch_execute("select pg_advisory_lock(hashtext('tenantry.migrate'))").await?;
    create_roles(&client, passwords).await?;
    prepare_database(&client, private_cluster).await?;
    client.batch_execute(&format!("set role {OWNER_ROLE}; set timezone = 'UTC'")).await?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name("tenantry_meta.migrations");
    let report = runner.run_async(&mut client).await.map_err(|error| {
        use std::error::Error as _;
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        MigrateError::Failed(format!("{error}: {cause}"))
    })?;
    // Usage of this month and the next must find its partition without asking.
    client
        .batch_execute(
            "select tenantry.ensure_usage_month(now()), tenantry.ensure_usage_month(now() + interval '1 month'); reset role",
        )
        .await?;
    // The logins may see which version the schema has, so that a server can say what is missing.
    client
        .batch_execute(&format!(
            "grant usage on schema tenantry_meta to {USER_ROLE}, {SERVICE_ROLE};
             grant select on tenantry_meta.migrations to {USER_ROLE}, {SERVICE_ROLE};
             select pg_advisory_unlock(hashtext('tenantry.migrate'))"
        ))
        .await?;
    Ok(Migrated {
        version: needed_version(),
        applied: report.applied_migrations().iter().map(ToString::to_string).collect(),
    })
}

/// The schema version that this binary was built for.
pub fn needed_version() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0)
}

/// The schema version of the database; 0 where it was never migrated. `login` is the admin or one of the logins.
pub async fn found_version(login: &Config) -> Result<i32, MigrateError> {
    let client = connect(login).await?;
    if client.query_one("select to_regclass('tenantry_meta.migrations') is null", &[]).await?.get(0) {
        return Ok(0);
    }
    Ok(client.query_one("select coalesce(max(version), 0)::int from tenantry_meta.migrations", &[]).await?.get(0))
}

/// Refuses a database that lacks migrations of this binary. A newer one is fine: migrations only add.
pub async fn check_schema(login: &Config) -> Result<(), MigrateError> {
    let (found, needed) = (found_version(login).await?, needed_version());
    if found < needed { Err(MigrateError::Behind { found, needed }) } else { Ok(()) }
}

/// Makes a database of this name on a server that is ours, if there is none.
pub async fn create_database(admin: &Config, name: &str) -> Result<(), MigrateError> {
    let client = connect(admin).await?;
    let found = client.query_opt("select from pg_database where datname = $1", &[&name]).await?;
    if found.is_some() {
        return Ok(());
    }
    let quoted: String = client.query_one("select quote_ident($1)", &[&name]).await?.get(0);
    match client.batch_execute(&format!("create database {quoted}")).await {
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
        other => Ok(other?),
    }
}

/// Refuses servers with known holes in row security.
pub async fn check_version(client: &Client) -> Result<(), MigrateError> {
    let row = client.query_one("select current_setting('server_version_num')::int", &[]).await?;
    let number: i32 = row.get(0);
    let (major, minor) = (number / 10_000, number % 10_000);
    if supported(major, minor) {
        Ok(())
    } else {
        Err(MigrateError::VersionTooOld { found: format!("{major}.{minor}") })
    }
}

fn supported(major: i32, minor: i32) -> bool {
    match VERSION_FLOOR.iter().find(|(floor, _)| *floor == major) {
        Some((_, least)) => minor >= *least,
        None => major > VERSION_FLOOR.iter().map(|(floor, _)| *floor).max().unwrap_or(0),
    }
}

async fn create_roles(client: &Client, passwords: &LoginPasswords<'_>) -> Result<(), MigrateError> {
    for role in [OWNER_ROLE, AUTHZ_ROLE, USER_ROLE, SERVICE_ROLE] {
        // Two databases of one server may be migrated at once, and roles belong to the server.
        client
            .batch_execute(&format!(
                "do $$ begin
                   if not exists (select from pg_roles where rolname = '{role}') then create role {role} nologin; end if;
                 exception when duplicate_object or unique_violation then null;
                 end $$"
            ))
            .await?;
    }
    for (role, password) in [(USER_ROLE, passwords.user), (SERVICE_ROLE, passwords.service)] {
        // The server gets a verifier, so that the password itself is in no statement log.
        let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
        retry_concurrent(
            client,
            &format!(
                "alter role {role} login noinherit password '{verifier}'; \
             alter role {role} set jit = off; alter role {role} set timezone = 'UTC'"
            ),
        )
        .await?;
    }
    let with_set = if major_version(client).await? >= 16 { " with set true, inherit false" } else { "" };
    retry_concurrent(client, &format!(
        "do $$ begin
           if not pg_has_role(current_user, '{OWNER_ROLE}', 'member') then grant {OWNER_ROLE} to current_user{with_set}; end if;
           if not pg_has_role(current_user, '{AUTHZ_ROLE}', 'member') then grant {AUTHZ_ROLE} to current_user{with_set}; end if;
           if not pg_has_role('{OWNER_ROLE}', '{AUTHZ_ROLE}', 'member') then grant {AUTHZ_ROLE} to {OWNER_ROLE}{with_set}; end if;
         end $$"
    ))
    .await
}

/// Changes of a role from two databases at once end in "tuple concurrently updated" for one of them.
async fn retry_concurrent(client: &Client, sql: &str) -> Result<(), MigrateError> {
    for _ in 0..20 {
        match client.batch_execute(sql).await {
            Err(error) if error.as_db_error().is_some_and(|db| db.message().contains("concurrently")) => {
                tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            }
            other => return other.map_err(MigrateError::from),
        }
    }
    Ok(client.batch_execute(sql).await?)
}

async fn major_version(client: &Client) -> Result<i32, MigrateError> {
    let row = client.query_one("select current_setting('server_version_num')::int / 10000", &[]).await?;
    Ok(row.get(0))
}

/// What is granted on the database itself: the owner may make its schema, nobody may make temporary tables.
async fn prepare_database(client: &Client, private_cluster: bool) -> Result<(), MigrateError> {
    let database: String = client.query_one("select quote_ident(current_database())", &[]).await?.get(0);
    client
        .batch_execute(&format!(
            "grant create on database {database} to {OWNER_ROLE};
             grant connect on database {database} to {USER_ROLE}, {SERVICE_ROLE};
             revoke temporary on database {database} from public;
             revoke create on schema public from public;
             set role {OWNER_ROLE};
             create schema if not exists tenantry_meta;
             reset role"
        ))
        .await?;
    if private_cluster {
        // Large objects have no row security.
        client
            .batch_execute(
                "do $$ declare f regprocedure; begin
                   for f in select oid::regprocedure from pg_proc
                            where pronamespace = 'pg_catalog'::regnamespace and proname ~ '^(lo_|loread|lowrite)' loop
                     execute format('revoke execute on function %s from public', f);
                   end loop;
                 end $$",
            )
            .await?;
    }
    Ok(())
}

/// Refuses to go on unless the schema is this binary's and neither login could get past row security.
/// `login` is a connection as one of the two serving roles.
pub async fn check_serving_role(login: &Config, expected: &'static str) -> Result<(), MigrateError> {
    let client = connect(login).await?;
    check_version(&client).await?;
    let row = client
        .query_one(
            "select current_user::text, r.rolsuper, r.rolbypassrls, r.rolcreaterole or r.rolcreatedb or r.rolreplication,
                    exists (select from pg_auth_members m where m.member = r.oid),
                    exists (select from pg_class c where c.relowner = r.oid),
                    exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                            where n.nspname = 'tenantry' and c.relkind in ('r', 'p')
                              and not (c.relrowsecurity and c.relforcerowsecurity)),
                    to_regclass('tenantry.tenants') is not null,
                    has_schema_privilege(r.oid, 'public', 'create'),
                    has_database_privilege(r.oid, current_database(), 'temporary')
             from pg_roles r where r.rolname = current_user",
            &[],
        )
        .await?;
    let name: String = row.get(0);
    let faults = [
        (name != expected, format!("the login is {name}, not {expected}: mend the database URL")),
        (row.get(1), format!("{name} is a superuser and bypasses row security: `alter role {name} nosuperuser`")),
        (row.get(2), format!("{name} may bypass row security: `alter role {name} nobypassrls`")),
        (row.get(3), format!("{name} may make roles, databases or replicas: take that right away")),
        (row.get(4), format!("{name} is a member of another role: `revoke <role> from {name}`")),
        (row.get(5), format!("{name} owns tables: `reassign owned by {name} to {OWNER_ROLE}`")),
        (row.get(6), "a table of the schema tenantry has no forced row security: run `tenantry migrate`".to_owned()),
        (!row.get::<_, bool>(7), "the database has no schema tenantry: run `tenantry migrate`".to_owned()),
        (
            row.get(8),
            format!("{name} may create objects in the schema public: `revoke create on schema public from public`"),
        ),
        (row.get(9), format!("{name} may make temporary tables: `revoke temporary on database ... from public`")),
    ];
    match faults.into_iter().find(|(is_fault, _)| *is_fault) {
        Some((_, fault)) => Err(MigrateError::Unsafe(fault)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::supported;

    #[test]
    fn old_minors_and_majors_are_refused() {
        for (major, minor, ok) in [
            (14, 99, false),
            (15, 13, false),
            (15, 14, true),
            (16, 9, false),
            (16, 10, true),
            (17, 5, false),
            (17, 6, true),
            (18, 0, true),
            (19, 0, true),
        ] {
            assert_eq!(supported(major, minor), ok, "{major}.{minor}");
        }
    }
}
