//! Public keys of an issuer: fetched, cached, fetched again for a key id that is not known.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::{Mutex, RwLock};

use crate::http::problem::{Code, Problem};

/// How long keys are used without asking again.
const MAX_AGE: Duration = Duration::from_hours(1);
/// How long to wait before asking again for a key id that the issuer did not have.
const PAUSE: Duration = Duration::from_secs(10);
/// How long the issuer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that a key set may have.
const MOST_BYTES: usize = 256 * 1024;

struct IssuerKey {
    id: Option<String>,
    alg: Algorithm,
    key: DecodingKey,
}

struct Cached {
    keys: Vec<IssuerKey>,
    fetched: Instant,
}

/// The keys of one issuer.
pub struct Jwks {
    url: String,
    client: reqwest::Client,
    cached: RwLock<Option<Arc<Cached>>>,
    /// When the issuer was last asked; held while it is asked, so that one request asks for all.
    asked: Mutex<Option<Instant>>,
    pause: Duration,
}

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwks").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Jwks {
    /// Keys from this address. Nothing is fetched before the first token asks for it.
    pub fn new(url: String) -> Result<Self, reqwest::Error> {
        Self::with_pause(url, PAUSE)
    }

    /// The same with another pause between two questions about unknown key ids.
    pub fn with_pause(url: String, pause: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { url, client, cached: RwLock::new(None), asked: Mutex::new(None), pause })
    }

    /// The keys that a token of this header may be signed with. Old keys keep working while the issuer cannot be
    /// reached; where there were never any, whoever asks is told to come back.
    pub async fn keys_for(&self, id: Option<&str>, alg: Algorithm) -> Result<Vec<DecodingKey>, Problem> {
        let known = self.cached.read().await.clone();
        if let Some(cached) = &known
            && cached.fetched.elapsed() < MAX_AGE
        {
            let found = matching(cached, id, alg);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        self.refresh(known.as_ref()).await;
        match &*self.cached.read().await {
            Some(cached) => Ok(matching(cached, id, alg)),
            None => Err(Problem::new(Code::Unavailable).detail("the issuer of the tokens cannot be reached")),
        }
    }

    /// Asks the issuer, unless somebody else just did.
    async fn refresh(&self, seen: Option<&Arc<Cached>>) {
        let mut asked = self.asked.lock().await;
        let current = self.cached.read().await.clone();
        let changed_meanwhile = match (seen, &current) {
            (None, Some(_)) => true,
            (Some(seen), Some(current)) => !Arc::ptr_eq(seen, current),
            _ => false,
        };
        if changed_meanwhile || asked.is_some_and(|at| at.elapsed() < self.pause) {
            return;
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                *self.cached.write().await = Some(Arc::new(Cached { keys, fetched: Instant::now() }));
            }
            Err(error) => {
                metrics::counter!("tenantry_jwks_failures_total").increment(1);
                tracing::warn!(url = self.url, error, "keys of the token issuer could not be fetched");
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<IssuerKey>, String> {
        let mut response = self.client.get(&self.url).send().await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("the issuer answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(format!("the key set has more than {MOST_BYTES} bytes"));
            }
        }
        let set: JwkSet = serde_json::from_slice(&body).map_err(|error| format!("no key set: {error}"))?;
        let keys: Vec<IssuerKey> = set
            .keys
            .iter()
            .filter_map(|jwk| {
                let alg = match &jwk.algorithm {
                    AlgorithmParameters::RSA(_) => Algorithm::RS256,
                    AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
                    // Symmetric keys in a public set would let anybody sign.
                    _ => return None,
                };
                let key = DecodingKey::from_jwk(jwk).ok()?;
                Some(IssuerKey { id: jwk.common.key_id.clone(), alg, key })
            })
            .collect();
        if keys.is_empty() { Err("the key set has no RS256 or ES256 key".to_owned()) } else { Ok(keys) }
    }
}

fn matching(cached: &Cached, id: Option<&str>, alg: Algorithm) -> Vec<DecodingKey> {
    cached
        .keys
        .iter()
        .filter(|key| key.alg == alg && (id.is_none() || key.id.as_deref() == id))
        .map(|key| key.key.clone())
        .collect()
}
