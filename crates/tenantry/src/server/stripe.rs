//! Billing put together: the client of Stripe or of the sandbox, and what the deployment decides about it.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::SignedDuration;
use secrecy::SecretString;
use tenantry_domain::plan::Catalog;
use tenantry_stripe::{Client, ClientError, ClientSettings};

use super::ServeError;
use super::sandbox::{self, Place, Start, client_secrets, webhook_url};
use crate::config::{Config, ConfigError, OverageBilling, STRIPE_API, StripeAccess, UpgradeCharge, stripe_access};
use crate::deployment::DeploymentError;
use crate::env::Env;
use crate::storage::Database;
use crate::stripe_sync::{self, Settings, Stripe, catalog as at_stripe};

/// Billing of a server.
pub(super) struct Billing {
    /// What handlers and the worker use; none where billing is off.
    pub(super) stripe: Option<Stripe>,
    /// The sandbox, where it stands in.
    pub(super) sandbox: Option<Place>,
    /// What the first lines of `serve` say of it.
    pub(super) line: String,
}

/// Makes billing ready for the server that listens here. With the sandbox also the catalog, so that a plan can be
/// bought in the first minute; to an account it goes when an operator says so.
pub(super) async fn start(
    config: &Config,
    env: &Env,
    db: &Database,
    access: StripeAccess,
    (catalog, listen): (&Catalog, SocketAddr),
) -> Result<Billing, ServeError> {
    match access {
        StripeAccess::Off => {
            let line = "none, so plans cannot be bought (--no-sandbox)".to_owned();
            Ok(Billing { stripe: None, sandbox: None, line })
        }
        StripeAccess::Account { secret_key, webhook_secrets } => {
            let stripe = handle(config, env, db, &config.stripe_api_url, (secret_key, webhook_secrets))?;
            let missing = at_stripe::missing(&stripe, catalog).await.map_err(DeploymentError::from)?;
            if !missing.is_empty() {
                let plans = missing.join(", ");
                tracing::warn!(
                    plans,
                    "prices are not at Stripe, so these cannot be bought: run `tenantry catalog push`"
                );
            }
            let unmetered = at_stripe::metered::missing(&stripe, catalog).await.map_err(DeploymentError::from)?;
            if !unmetered.is_empty() {
                let overage = unmetered.join(", ");
                tracing::warn!(
                    overage,
                    "metered prices are not at Stripe, so this overage goes out as invoice items: run `tenantry catalog push`"
                );
            }
            let mode = if config.is_stripe_live() { "live mode" } else { "test mode" };
            let place = match config.stripe_api_url.as_str() {
                STRIPE_API => String::new(),
                other => format!(" at {other}"),
            };
            Ok(Billing { stripe: Some(stripe), sandbox: None, line: format!("{mode}{place}") })
        }
        StripeAccess::Sandbox(secrets) => {
            let start = Start { listen: config.sandbox_listen, webhook_url: webhook_url(listen), db: Some(db.clone()) };
            let place = sandbox::start(config, env, &secrets, start).await?;
            let stripe = handle(config, env, db, &place.url(), client_secrets(secrets))?;
            if let Err(error) = at_stripe::push(&stripe, catalog).await {
                tracing::error!(%error, "the catalog is not in the sandbox: run `tenantry catalog push`");
            }
            let whose = match place {
                Place::Here(_) => "no Stripe key was given",
                Place::Elsewhere(_) => "it runs already, on this data folder",
            };
            let line = format!("the sandbox at {} ({whose})", place.url());
            Ok(Billing { stripe: Some(stripe), sandbox: Some(place), line })
        }
    }
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
    #[error(
        "the sandbox does not run: start it with `tenantry serve` or `tenantry sandbox`, or set STRIPE_SECRET_KEY to use an account"
    )]
    NoSandbox,
}

/// What work with Stripe needs, for a command: against the account, or the sandbox of the running server.
pub fn for_command(config: &Config, env: &Env, db: &Database) -> Result<Stripe, NoStripe> {
    match stripe_access(config, &env.ids)? {
        StripeAccess::Off => Err(NoStripe::Off),
        StripeAccess::Account { secret_key, webhook_secrets } => {
            Ok(handle(config, env, db, &config.stripe_api_url, (secret_key, webhook_secrets))?)
        }
        StripeAccess::Sandbox(secrets) => {
            let url = sandbox::running_url(config).ok_or(NoStripe::NoSandbox)?;
            Ok(handle(config, env, db, &url, client_secrets(secrets))?)
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
    Ok(Stripe {
        client,
        db: db.clone(),
        env: env.clone(),
        settings: Arc::new(settings(config, webhook_secrets)),
        woken: Arc::default(),
    })
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
        overage_billing: match config.overage_billing {
            OverageBilling::Items => stripe_sync::OverageBilling::Items,
            OverageBilling::Meter => stripe_sync::OverageBilling::Meter,
        },
        automatic_tax: config.automatic_tax,
        collect_address: config.collect_address,
        collect_tax_ids: config.collect_tax_ids,
    }
}
