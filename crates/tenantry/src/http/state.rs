//! What handlers share.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::SignedDuration;
use tenantry_domain::plan::Catalog;
use uuid::Uuid;

use super::auth::TokenVerifier;
use super::key_limiter::KeyLimiter;
use super::limiter::SlugLimiter;
use crate::env::Env;
use crate::notices::webhooks::UrlPolicy;
use crate::storage::Database;
use crate::storage::keys::PresentedKey;
use crate::stripe_sync::Stripe;
use crate::tenancy::key_uses::KeyUses;
use crate::usage::check::Checks;
use crate::usage::ingest::{Ingest, Recorder};

/// State of the server. One pointer: each layer of the router clones it for each request.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

impl AppState {
    /// State of these parts.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The parts of the server's state.
#[derive(Clone)]
pub struct Shared {
    /// Pools of the two logins.
    pub db: Database,
    /// Time and chance.
    pub env: Env,
    /// The entrance to recording usage.
    pub ingest: Ingest,
    /// What records usage; for holds, which do not wait in line.
    pub recorder: Recorder,
    /// The entrance to checks.
    pub checks: Checks,
    /// Who signs tokens.
    pub verifier: Arc<TokenVerifier>,
    /// The plans as loaded at start.
    pub catalog: Arc<Catalog>,
    /// What is known for good about callers.
    pub known: Arc<Known>,
    /// When keys were last used.
    pub key_uses: KeyUses,
    /// Requests of keys that have a limit.
    pub key_limiter: Arc<KeyLimiter>,
    /// Guesses of slugs per caller.
    pub slug_limiter: Arc<SlugLimiter>,
    /// What webhooks may reach.
    pub webhooks: UrlPolicy,
    /// How long an invitation can be accepted.
    pub invitations_valid_for: SignedDuration,
    /// Stripe, or the sandbox; none where billing is off.
    pub stripe: Option<Stripe>,
}

/// How many entries a cache holds before it is emptied; a bound on memory, not a tuning knob.
const CACHE_LIMIT: usize = 100_000;

/// Facts that never change once they are true, so that remembering them cannot make an answer wrong: that a user
/// was seen under an address, and the hash and tenant of a key. Whether a key is revoked is read every time.
#[derive(Debug, Default)]
pub struct Known {
    users: RwLock<HashMap<Uuid, (Option<String>, bool)>>,
    keys: RwLock<HashMap<Uuid, PresentedKey>>,
}

impl Known {
    /// Whether the user was seen with this address, and verified where it is.
    pub fn has_user(&self, id: Uuid, email: Option<&str>, is_verified: bool) -> bool {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        users.get(&id).is_some_and(|(known, was_verified)| {
            email.is_none() || (known.as_deref() == email && *was_verified >= is_verified)
        })
    }

    /// Forgets a user whose address somebody else changed, so that its next token is compared with the database.
    pub fn forget_user(&self, id: Uuid) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Remembers a user.
    pub fn put_user(&self, id: Uuid, email: Option<String>, is_verified: bool) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= CACHE_LIMIT {
            users.clear();
        }
        users.insert(id, (email, is_verified));
    }

    /// What is known of a key.
    pub fn key(&self, id: Uuid) -> Option<PresentedKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Remembers a key.
    pub fn put_key(&self, key: PresentedKey) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= CACHE_LIMIT {
            keys.clear();
        }
        keys.insert(key.id, key);
    }
}
