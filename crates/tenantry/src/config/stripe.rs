//! Whether there is Stripe, and by which secrets: the deployment's account, the sandbox, or none.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::secrets::kept;
use super::{Config, ConfigError, Environment};
use crate::env::Ids;

/// Where the host application is in development, unless it is said.
const DEVELOPMENT_APP_URL: &str = "http://localhost:3000";

/// When an upgrade is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeCharge {
    /// At once; a payment that fails changes nothing.
    Now,
    /// With the next invoice.
    NextInvoice,
}

/// What overage of a paid month becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverageBilling {
    /// Invoice items with our amounts.
    Items,
    /// Quantities of Stripe's meters, which Stripe prices.
    Meter,
}

/// What stands behind billing.
#[derive(Debug, Clone)]
pub enum StripeAccess {
    /// Nothing: plans cannot be bought.
    Off,
    /// An account at Stripe, or a sandbox that runs on its own: whatever the deployment has a key of.
    Account {
        /// The secret or restricted key.
        secret_key: SecretString,
        /// Secrets of the webhook endpoint.
        webhook_secrets: Vec<SecretString>,
    },
    /// The sandbox of this server.
    Sandbox(SandboxSecrets),
}

/// What the sandbox and its clients agree on. Made once and kept in the data folder.
#[derive(Debug, Clone)]
pub struct SandboxSecrets {
    /// The key that it takes.
    pub secret_key: SecretString,
    /// What it signs webhooks with.
    pub webhook_secret: SecretString,
}

impl SandboxSecrets {
    /// The secrets of the sandbox of a data folder, made if there are none.
    pub fn of(config: &Config, ids: &Ids) -> Result<Self, ConfigError> {
        let folder = sandbox_folder(config);
        private_folder(&folder).map_err(|source| ConfigError::DataDir { path: folder.clone(), source })?;
        let random = || URL_SAFE_NO_PAD.encode(ids.bytes::<32>());
        Ok(Self {
            secret_key: kept(&folder.join("secret-key"), || format!("sk_test_{}", random()))?,
            webhook_secret: kept(&folder.join("webhook-secret"), || format!("whsec_{}", random()))?,
        })
    }
}

/// Where the sandbox keeps its secrets and its state.
pub fn sandbox_folder(config: &Config) -> PathBuf {
    config.data_dir.join("sandbox")
}

/// The state of the sandbox has secrets in it too, so its folder is nobody else's.
fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// What stands behind billing. Refuses what would not work or would not be safe, with what to do.
pub fn stripe_access(config: &Config, ids: &Ids) -> Result<StripeAccess, ConfigError> {
    let refused = |what: &str| Err(ConfigError::Secret(what.to_owned()));
    let Some(key) = config.given_stripe_key() else {
        return match (config.env, config.sandbox) {
            (_, false) => Ok(StripeAccess::Off),
            (Environment::Development, true) => Ok(StripeAccess::Sandbox(SandboxSecrets::of(config, ids)?)),
            (Environment::Production, true) => refused(
                "STRIPE_SECRET_KEY is missing: set it to your account's secret key (sk_live_...) and \
                 STRIPE_WEBHOOK_SECRET to that of its webhook endpoint, or switch billing off with `--no-sandbox` \
                 (TENANTRY_SANDBOX=false)",
            ),
        };
    };
    let text = key.expose_secret();
    if text.starts_with("pk_") || text.starts_with("whsec_") {
        return refused(
            "STRIPE_SECRET_KEY is another kind of key: take the secret key (sk_...) or a restricted one (rk_...)",
        );
    }
    if is_live(key) && config.is_plain_stripe() {
        return refused("stripe_api_url must be an https address: a live key does not travel in the clear");
    }
    let webhook_secrets = webhook_secrets(config.stripe_webhook_secret.as_ref());
    if webhook_secrets.is_empty() {
        return refused(
            "STRIPE_WEBHOOK_SECRET is missing: set it to the signing secret (whsec_...) of the webhook endpoint \
             /api/webhooks/stripe; in development `stripe listen` prints one",
        );
    }
    if config.env == Environment::Production {
        match &config.app_url {
            None => {
                return refused(
                    "APP_URL is missing: set it to the https address of your application, which checkout leads back to",
                );
            }
            Some(url) if !url.starts_with("https://") => {
                return refused("APP_URL must be an https address in production");
            }
            Some(_) => {}
        }
    }
    Ok(StripeAccess::Account { secret_key: key.clone(), webhook_secrets })
}

/// Whether money moves under a key.
pub(super) fn is_live(key: &SecretString) -> bool {
    ["sk_live_", "rk_live_"].iter().any(|live| key.expose_secret().starts_with(live))
}

/// The secrets of a list with commas.
fn webhook_secrets(list: Option<&SecretString>) -> Vec<SecretString> {
    let list = list.map(ExposeSecret::expose_secret).unwrap_or_default();
    list.split(',').map(str::trim).filter(|secret| !secret.is_empty()).map(SecretString::from).collect()
}

impl Config {
    /// The key of an account; an empty one is none.
    fn given_stripe_key(&self) -> Option<&SecretString> {
        self.stripe_secret_key.as_ref().filter(|key| !key.expose_secret().trim().is_empty())
    }

    /// Stripe itself speaks https only.
    fn is_plain_stripe(&self) -> bool {
        self.stripe_api_url.starts_with("http://")
    }

    /// Whether the key, if there is one, moves money.
    pub fn is_stripe_live(&self) -> bool {
        self.given_stripe_key().is_some_and(is_live)
    }

    /// Whether this process follows the clock of the sandbox: in development, unless the key is one of Stripe's own.
    pub fn follows_sandbox_clock(&self) -> bool {
        self.env == Environment::Development && (self.given_stripe_key().is_none() || self.is_plain_stripe())
    }

    /// Address of the host application, without a slash at its end.
    pub fn app_url(&self) -> &str {
        self.app_url.as_deref().unwrap_or(DEVELOPMENT_APP_URL).trim_end_matches('/')
    }
}

/// Refuses addresses that are none.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let given = [("stripe_api_url", Some(&config.stripe_api_url)), ("app_url", config.app_url.as_ref())];
    for (key, address) in given.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        let is_address = Url::parse(address).is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if !is_address {
            return Err(ConfigError::Value(format!("{key} must be an address such as https://example.com")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn access(text: &str) -> Result<StripeAccess, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tenantry.toml");
        std::fs::write(&file, text).unwrap();
        let overrides = Overrides { file: Some(file), data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
        let config = Config::load(&overrides).map_err(|error| error.to_string())?;
        stripe_access(&config, &Ids::seeded(1)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_stands_behind_billing() {
        assert!(matches!(access(""), Ok(StripeAccess::Sandbox(_))));
        assert!(matches!(access("stripe_secret_key = \" \""), Ok(StripeAccess::Sandbox(_))));
        assert!(matches!(access("sandbox = false"), Ok(StripeAccess::Off)));
        assert!(matches!(access("env = \"production\"\nsandbox = false"), Ok(StripeAccess::Off)));
        let key = "stripe_secret_key = \"sk_test_hunter2\"\nstripe_webhook_secret = \"whsec_a, whsec_b,\"\n";
        let Ok(StripeAccess::Account { webhook_secrets, .. }) = access(key) else { panic!("an account") };
        let secrets: Vec<&str> = webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(secrets, ["whsec_a", "whsec_b"]);
        let production = format!("env = \"production\"\napp_url = \"https://app.example\"\n{key}");
        assert!(matches!(access(&production), Ok(StripeAccess::Account { .. })));
    }

    #[test]
    fn what_is_refused_is_named_and_not_shown() {
        let live = "stripe_secret_key = \"sk_live_hunter2\"\nstripe_webhook_secret = \"whsec_hunter2\"\n";
        for (text, says) in [
            ("env = \"production\"".to_owned(), "STRIPE_SECRET_KEY is missing"),
            ("stripe_secret_key = \"sk_test_hunter2\"".to_owned(), "STRIPE_WEBHOOK_SECRET is missing"),
            (
                "stripe_secret_key = \"sk_test_x\"\nstripe_webhook_secret = \" , \"".to_owned(),
                "STRIPE_WEBHOOK_SECRET is missing",
            ),
            ("stripe_secret_key = \"pk_test_hunter2\"".to_owned(), "another kind of key"),
            (format!("stripe_api_url = \"http://127.0.0.1:9\"\n{live}"), "stripe_api_url must be an https address"),
            (format!("env = \"production\"\n{live}"), "APP_URL is missing"),
            (
                format!("env = \"production\"\napp_url = \"http://app.example\"\n{live}"),
                "APP_URL must be an https address",
            ),
            ("app_url = \"app.example\"".to_owned(), "app_url must be an address"),
            ("stripe_api_url = \"ftp://hunter2\"".to_owned(), "stripe_api_url must be an address"),
            ("upgrade_charge = \"later\"".to_owned(), "upgrade_charge"),
        ] {
            let error = access(&text).unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn the_secrets_of_the_sandbox_are_kept_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            Config::load(&Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() }).unwrap();
        let made = SandboxSecrets::of(&config, &Ids::secure()).unwrap();
        let kept = SandboxSecrets::of(&config, &Ids::secure()).unwrap();
        assert_eq!(made.secret_key.expose_secret(), kept.secret_key.expose_secret());
        assert_eq!(made.webhook_secret.expose_secret(), kept.webhook_secret.expose_secret());
        for (name, allowed) in [("", 0o700), ("secret-key", 0o600), ("webhook-secret", 0o600)] {
            let found = std::fs::metadata(sandbox_folder(&config).join(name)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, allowed, "{name}");
        }
    }

    #[test]
    fn the_sandboxs_clock_is_followed_where_no_real_key_is() {
        let follows = |text: &str| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("tenantry.toml");
            std::fs::write(&file, text).unwrap();
            Config::load(&Overrides { file: Some(file), ..Overrides::default() }).unwrap().follows_sandbox_clock()
        };
        assert!(follows("") && follows("sandbox = false"));
        assert!(follows("stripe_secret_key = \"sk_test_x\"\nstripe_api_url = \"http://127.0.0.1:12111\""));
        assert!(!follows("stripe_secret_key = \"sk_test_x\""));
        assert!(!follows("env = \"production\""));
    }
}
