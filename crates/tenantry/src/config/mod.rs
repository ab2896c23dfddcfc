//! What the deployment decides: `tenantry.toml`, then the environment, then the command line.

mod faults;
mod secrets;
mod stripe;

use std::net::SocketAddr;
use std::path::PathBuf;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use secrets::{JwtSecret, jwt_secret};
pub use stripe::{OverageBilling, SandboxSecrets, StripeAccess, UpgradeCharge, sandbox_folder, stripe_access};

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "tenantry.toml";

/// Where Stripe's API is.
pub const STRIPE_API: &str = "https://api.stripe.com";

/// The longest that an invitation can be accepted.
const MOST_INVITATION_HOURS: u32 = 365 * 24;

/// Whole months of usage events that may be kept.
const RETAINED_MONTHS: std::ops::RangeInclusive<u32> = 3..=1200;
/// Hours of the shortest month.
const LEAST_MONTH: u32 = 28 * 24;
/// Hours of the longest usage period.
const LONGEST_PERIOD: u32 = 31 * 24;

/// How strict the server is about secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Missing secrets are made and announced.
    Development,
    /// Missing or weak secrets are refused.
    Production,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Everything that can be set. Every key is also `TENANTRY_<KEY>` in the environment.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, as operators know them")]
pub struct Config {
    /// `development` (default) or `production`.
    pub env: Environment,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Folder of the private database and of generated secrets.
    pub data_dir: PathBuf,
    /// The plan catalog.
    pub plans: PathBuf,
    /// Admin's connection to a database that is not ours: for `migrate`, and to derive the logins.
    pub database_admin_url: Option<SecretString>,
    /// Where `tenantry_user` connects.
    pub user_database_url: Option<SecretString>,
    /// Where `tenantry_service` connects.
    pub service_database_url: Option<SecretString>,
    /// Connections of each pool.
    pub pool_size: usize,
    /// Secret of HS256 tokens.
    pub jwt_secret: Option<SecretString>,
    /// Address of the issuer's public keys.
    pub jwks_url: Option<String>,
    /// `iss` that tokens must have.
    pub jwt_issuer: Option<String>,
    /// `aud` that tokens must have.
    pub jwt_audience: Option<String>,
    /// Whether the issuer verifies every address that it puts into tokens, whatever `email_verified` says.
    pub issuer_verifies_emails: bool,
    /// Hours for which an invitation can be accepted.
    pub invitation_hours: u32,
    /// Stripe's secret or restricted key.
    pub stripe_secret_key: Option<SecretString>,
    /// Secrets of the webhook endpoint, separated by commas while one is rolled.
    pub stripe_webhook_secret: Option<SecretString>,
    /// Where Stripe's API is.
    pub stripe_api_url: String,
    /// Address of the host application, where checkout and portal lead back to.
    pub app_url: Option<String>,
    /// Hours for which an overdue payment keeps the plan's limits.
    pub payment_grace_hours: u32,
    /// When an upgrade is charged.
    pub upgrade_charge: UpgradeCharge,
    /// What overage of a paid month becomes.
    pub overage_billing: OverageBilling,
    /// Whether Stripe computes taxes.
    pub automatic_tax: bool,
    /// Whether checkout asks for the billing address.
    pub collect_address: bool,
    /// Whether checkout asks for tax ids.
    pub collect_tax_ids: bool,
    /// Whether the sandbox stands in where no key is given, in development.
    pub sandbox: bool,
    /// Where the sandbox listens.
    pub sandbox_listen: SocketAddr,
    /// Hours after a period's end in which its usage is accepted.
    pub late_events_hours: u32,
    /// Whole months of usage events that are kept beside the running one; none keeps them for ever.
    pub usage_retain_months: Option<u32>,
    /// Folder of the files that usage events leave into; none drops them.
    pub usage_archive_dir: Option<PathBuf>,
    /// Events that may wait to be recorded.
    pub ingest_queue: usize,
    /// Groups of events that are committed at the same time.
    pub ingest_committers: usize,
    /// Bytes that a body may have.
    pub body_limit: usize,
    /// Seconds that a request may take.
    pub request_timeout_seconds: u64,
    /// Whether `/metrics` is open to whoever reaches the port.
    pub metrics: bool,
    /// How logs are written.
    pub log_format: LogFormat,
    /// The mail server. It has a password in it.
    pub smtp_url: Option<SecretString>,
    /// Where mails come from.
    pub mail_from: Option<String>,
    /// Whether webhooks may reach addresses that are not on the public network.
    pub allow_private_webhooks: Option<bool>,
}

impl std::fmt::Debug for Config {
    /// Secrets print as `[REDACTED]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("env", &self.env)
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("plans", &self.plans)
            .field("database_admin_url", &self.database_admin_url)
            .field("user_database_url", &self.user_database_url)
            .field("service_database_url", &self.service_database_url)
            .field("jwt_secret", &self.jwt_secret)
            .field("jwks_url", &self.jwks_url)
            .field("smtp_url", &self.smtp_url)
            .field("stripe_secret_key", &self.stripe_secret_key)
            .field("stripe_webhook_secret", &self.stripe_webhook_secret)
            .field("stripe_api_url", &self.stripe_api_url)
            .finish_non_exhaustive()
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named is not there.
    #[error("there is no configuration file {}: name another with --config", .0.display())]
    NoFile(PathBuf),
    /// A value cannot be used.
    #[error("{0}")]
    Value(String),
    /// The data folder cannot keep a generated secret.
    #[error("cannot write to {}: {source}; make room, make it writable, or choose another folder with --data-dir", path.display())]
    DataDir {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A secret is missing or weak.
    #[error("{0}")]
    Secret(String),
}

/// What the command line says; it wins over file and environment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--database-url`: the admin's.
    pub database_url: Option<String>,
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--plans`
    pub plans: Option<PathBuf>,
    /// `--no-sandbox`
    pub no_sandbox: bool,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "as in the configuration")]
struct Defaults {
    env: Environment,
    listen: SocketAddr,
    data_dir: &'static str,
    plans: &'static str,
    pool_size: usize,
    issuer_verifies_emails: bool,
    invitation_hours: u32,
    stripe_api_url: &'static str,
    payment_grace_hours: u32,
    upgrade_charge: UpgradeCharge,
    overage_billing: OverageBilling,
    automatic_tax: bool,
    collect_address: bool,
    collect_tax_ids: bool,
    sandbox: bool,
    sandbox_listen: SocketAddr,
    late_events_hours: u32,
    ingest_queue: usize,
    ingest_committers: usize,
    body_limit: usize,
    request_timeout_seconds: u64,
    metrics: bool,
    log_format: LogFormat,
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

const DEFAULTS: Defaults = Defaults {
    env: Environment::Development,
    listen: loopback(8080),
    data_dir: "./data",
    plans: "plans.toml",
    pool_size: 10,
    issuer_verifies_emails: false,
    invitation_hours: 7 * 24,
    stripe_api_url: STRIPE_API,
    payment_grace_hours: 7 * 24,
    upgrade_charge: UpgradeCharge::Now,
    overage_billing: OverageBilling::Items,
    automatic_tax: false,
    collect_address: false,
    collect_tax_ids: false,
    sandbox: true,
    sandbox_listen: loopback(12111),
    late_events_hours: 72,
    ingest_queue: 50_000,
    ingest_committers: 2,
    body_limit: 8 * 1024 * 1024,
    request_timeout_seconds: 30,
    metrics: true,
    log_format: LogFormat::Auto,
};

/// Variables that go by their usual names rather than by ours.
const USUAL_NAMES: &[&str] = &[
    "APP_URL",
    "DATABASE_ADMIN_URL",
    "JWT_SECRET",
    "JWKS_URL",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "SMTP_URL",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
];

impl Config {
    /// Reads file, environment and command line, in this order; later ones win.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let file = overrides.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        if overrides.file.is_some() && !file.is_file() {
            return Err(ConfigError::NoFile(file));
        }
        let mut figment = Figment::from(Serialized::defaults(DEFAULTS));
        if file.is_file() {
            figment = figment.merge(Toml::file_exact(&file));
        }
        figment = figment.merge(Env::raw().only(USUAL_NAMES)).merge(
            // Settings of the embedded server and of tests have names of their own.
            Env::prefixed("TENANTRY_").ignore(&["pg_bin_dir", "test_write_docs", "log"]),
        );
        let mut config: Self = figment.extract().map_err(|error| faults::describe(&error, &file))?;
        if let Some(data_dir) = &overrides.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if let Some(url) = &overrides.database_url {
            config.database_admin_url = Some(url.clone().into());
        }
        if let Some(listen) = overrides.listen {
            config.listen = listen;
        }
        if let Some(plans) = &overrides.plans {
            config.plans.clone_from(plans);
        }
        config.sandbox &= !overrides.no_sandbox;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let faults = [
            (self.pool_size == 0, "pool_size must be at least 1"),
            (self.ingest_queue == 0, "ingest_queue must be at least 1"),
            (self.body_limit < 1024, "body_limit must be at least 1024 bytes"),
            (self.request_timeout_seconds == 0, "request_timeout_seconds must be at least 1"),
            (
                !(1..=MOST_INVITATION_HOURS).contains(&self.invitation_hours),
                "invitation_hours must be 1 to 8760, a year",
            ),
            (
                self.usage_retain_months.is_some_and(|months| !RETAINED_MONTHS.contains(&months)),
                "usage_retain_months must be 3 to 1200",
            ),
            (
                self.usage_retain_months.is_some_and(|months| {
                    months.saturating_mul(LEAST_MONTH) < LONGEST_PERIOD.saturating_add(self.late_events_hours)
                }),
                "usage_retain_months is too few for late_events_hours: usage of months that left would still be accepted",
            ),
            (
                self.env == Environment::Production && self.smtp_url.is_some() && !self.has_safe_app_url(),
                "app_url: the links of invitations that are mailed lead there; set APP_URL to the https address of your application",
            ),
        ];
        match faults.iter().find(|(is_fault, _)| *is_fault) {
            Some((_, what)) => Err(ConfigError::Value((*what).to_owned())),
            None => stripe::check(self),
        }
    }

    /// Whether webhooks may reach addresses that are not on the public network: receivers on the developer's own
    /// machine in development, nothing inside the operator's network in production.
    pub fn allows_private_webhooks(&self) -> bool {
        self.allow_private_webhooks.unwrap_or(self.env == Environment::Development)
    }

    fn has_safe_app_url(&self) -> bool {
        self.app_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }

    /// Whether the database is ours: a private cluster in the data folder.
    pub fn is_embedded(&self) -> bool {
        self.database_admin_url.is_none() && self.service_database_url.is_none() && self.user_database_url.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that a configuration has, as the error about an unknown one lists them.
    fn keys() -> Vec<&'static str> {
        let figment = Figment::from(Serialized::defaults(DEFAULTS)).merge(("no_such_key", 1));
        let error = figment.extract::<Config>().unwrap_err();
        match error.kind {
            figment::error::Kind::UnknownField(_, known) => known.to_vec(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_key_is_in_the_document() {
        let document = include_str!("../../../../docs/configuration.md");
        let missing: Vec<&str> = keys().into_iter().filter(|key| !document.contains(&format!("| `{key}` |"))).collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn what_is_wrong_is_named_and_never_shown() {
        for (text, says) in [
            ("pool_size = \"hunter2\"", "pool_size: must be"),
            ("jwt_secret = 5", "jwt_secret: must be"),
            ("pool = 3", "unknown key \"pool\""),
            ("pool_size = 0", "pool_size must be at least 1"),
            ("invitation_hours = 0", "invitation_hours must be 1 to 8760"),
            ("invitation_hours = 8761", "invitation_hours must be 1 to 8760"),
            ("env = \"production\"\nsmtp_url = \"smtps://hunter2@mail.example\"", "app_url: "),
            ("usage_retain_months = 2", "usage_retain_months must be 3 to 1200"),
            ("usage_retain_months = 3\nlate_events_hours = 1400", "usage_retain_months is too few"),
            ("listen = \"nowhere\"", "listen: "),
            ("env = \"staging\"", "env: "),
            ("overage_billing = \"metre\"", "overage_billing: "),
            ("pool_size = [", "expected"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("tenantry.toml");
            std::fs::write(&file, text).unwrap();
            let error = Config::load(&Overrides { file: Some(file), ..Overrides::default() }).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hunter2"), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
