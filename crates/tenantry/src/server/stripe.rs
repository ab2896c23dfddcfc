//! Billing put together: the client of Stripe or of the sandbox, and what the deployment decides about it.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use secrecy::SecretString;
use tenantry_stripe::{Client, ClientError, ClientSettings};

use super::ServeError;
use crate::config::{
    Config, ConfigError, STRIPE_API, SandboxSecrets, StripeAccess, UpgradeCharge, sandbox_folder, stripe_access,
};
use crate::env::Env;
use crate::storage::Database;
use crate::stripe_sync::{self, Settings, Stripe};

/// Billing of a server.
pub(super) struct Billing {
    /// What handlers and the worker use; none where billing is off.
    pub(super) stripe: Option<Stripe>,
    /// What the first lines of `serve` say of it.
    pub(super) line: String,
}

/// Makes billing ready.
pub(super) fn start(config: &Config, env: &Env, db: &Database, access: StripeAccess) -> Result<Billing, ServeError> {
    match access {
        StripeAccess::Off | StripeAccess::Sandbox(_) => {
            Ok(Billing { stripe: None, line: "none: plans cannot be bought (--no-sandbox)".to_owned() })
        }
        StripeAccess::Account { secret_key, webhook_secrets } => {
            let stripe = handle(config, env, db, &config.stripe_api_url, (secret_key, webhook_secrets))?;
            let mode = if config.is_stripe_live() { "live mode" } else { "test mode" };
            let place = if config.stripe_api_url == STRIPE_API {
                String::new()
            } else {
                format!(" at {}", config.stripe_api_url)
            };
            Ok(Billing { stripe: Some(stripe), line: format!("{mode}{place}") })
        }
    }
}

/// The file in the data folder that says where the sandbox of a running server is.
pub(super) fn address_file(config: &Config) -> PathBuf {
    sandbox_folder(config).join("address")
}

/// Where the sandbox of the data folder's server is; none where none runs.
pub fn sandbox_url(config: &Config) -> Option<String> {
    std::fs::read_to_string(address_file(config))
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

/// Why a command has nothing to call.
#[derive(Debug, thiserror::Error)]
pub enum NoStripe {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The client.
    #[error("stripe_secret_key and stripe_api_url: {0}")]
    Client(#[from] ClientError),
    /// Billing is off.
    #[error("billing is off: set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET")]
    Off,
    /// There would be a sandbox if a server ran.
    #[error("the sandbox does not run: start it with `tenantry serve`, or set STRIPE_SECRET_KEY to use an account")]
    NoSandbox,
}

/// What work with Stripe needs, for a command: against the account, or the sandbox of the running server.
pub fn for_command(config: &Config, env: &Env, db: &Database) -> Result<Stripe, NoStripe> {
    match stripe_access(config, &env.ids)? {
        StripeAccess::Off => Err(NoStripe::Off),
        StripeAccess::Account { secret_key, webhook_secrets } => {
            Ok(handle(config, env, db, &config.stripe_api_url, (secret_key, webhook_secrets))?)
        }
        StripeAccess::Sandbox(SandboxSecrets { secret_key, webhook_secret }) => {
            let url = sandbox_url(config).ok_or(NoStripe::NoSandbox)?;
            Ok(handle(config, env, db, &url, (secret_key, vec![webhook_secret]))?)
        }
    }
}

/// What work with Stripe needs, against the API at `api_url`.
pub fn handle(
    config: &Config,
    env: &Env,
    db: &Database,
    api_url: &str,
    (secret_key, webhook_secrets): (SecretString, Vec<SecretString>),
) -> Result<Stripe, ClientError> {
    let ids = env.ids.clone();
    let jitter = Arc::new(move || u64::from_le_bytes(ids.bytes::<8>()));
    let client = Client::new(ClientSettings::new(api_url, secret_key, jitter))?;
    Ok(Stripe { client, db: db.clone(), env: env.clone(), settings: Arc::new(settings(config, webhook_secrets)) })
}

fn settings(config: &Config, webhook_secrets: Vec<SecretString>) -> Settings {
    Settings {
        app_url: config.app_url().to_owned(),
        webhook_secrets,
        payment_grace: SignedDuration::from_hours(i64::from(config.payment_grace_hours)),
        upgrade_charge: match config.upgrade_charge {
            UpgradeCharge::Now => stripe_sync::UpgradeCharge::Now,
            UpgradeCharge::NextInvoice => stripe_sync::UpgradeCharge::NextInvoice,
        },
        automatic_tax: config.automatic_tax,
        collect_address: config.collect_address,
        collect_tax_ids: config.collect_tax_ids,
    }
}
