//! Billing put together: the client of Stripe or of the sandbox, and what the deployment decides about it.

use std::sync::Arc;

use jiff::SignedDuration;
use secrecy::SecretString;
use tenantry_stripe::{Client, ClientError, ClientSettings};

use super::ServeError;
use crate::config::{Config, STRIPE_API, StripeAccess, UpgradeCharge};
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
