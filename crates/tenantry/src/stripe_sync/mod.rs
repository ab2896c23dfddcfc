//! Stripe and the database tell the same story: the only part that translates between the two.
//!
//! Out: intents ([`operations`]) and charges ([`overage`]) become calls, each under an idempotency key that is ours and
//! was stored before. In: webhooks ([`inbox`]) are hints; the sync ([`sync`]) reads the whole state of one customer
//! from Stripe under that customer's lease and writes it. No transaction is open during a call.

pub mod access;
pub mod apply;
pub mod catalog;
pub mod error;
pub mod events;
pub mod farewell;
mod follow;
pub mod inbox;
pub mod invoices;
pub mod metered;
pub mod operations;
pub mod overage;
pub mod plans;
pub mod reconcile;
pub mod seats;
pub mod settings;
pub mod state;
pub mod sweep;
pub mod sync;
mod tell;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tenantry_stripe::{Client, IdempotencyKey, InvalidIdempotencyKey};
use tokio::sync::Notify;

pub use self::settings::{OverageBilling, Settings, UpgradeCharge};
use crate::env::Env;
use crate::storage::Database;

/// What work with Stripe needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stripe {
    /// Calls Stripe, or the sandbox: nothing here can tell them apart.
    pub client: Client,
    /// The database.
    pub db: Database,
    /// Time and chance.
    pub env: Env,
    /// What the deployment decides.
    pub settings: Arc<Settings>,
    /// Wakes this process's worker: there is something in the inbox.
    pub woken: Arc<Notify>,
}

/// A short text that stands for a long one in a key.
fn digest(words: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(words))
}

impl Stripe {
    /// A key for a call that may be made again without harm: it is never the same.
    fn fresh_key(&self, word: &str) -> Result<IdempotencyKey, InvalidIdempotencyKey> {
        IdempotencyKey::new(format!("{word}-{}", self.env.ids.uuid_v7(self.env.clock.now())))
    }
}
