//! Public keys of an issuer: fetched, cached, fetched again for a key id that is not known.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::{Mutex, RwLock};

use crate::http::problem::{Code, Problem};

/// How often an issuer is asked, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct JwksTimes {
    /// How long keys are used without asking again.
    pub max_age: Duration,
    /// How long to wait before asking again for a key id that the issuer did not have, or after it did not answer.
    pub pause: Duration,
    /// How long the issuer may take.
    pub timeout: Duration,
}

impl Default for JwksTimes {
    fn default() -> Self {
        Self { max_age: Duration::from_hours(1), pause: Duration::from_secs(10), timeout: Duration::from_secs(5) }
    }
}

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

/// The keys of one issuer. Cheap to clone.
#[derive(Clone)]
pub struct Jwks(Arc<Issuer>);

struct Issuer {
    url: String,
    client: reqwest::Client,
    times: JwksTimes,
    cached: RwLock<Option<Arc<Cached>>>,
    /// When the issuer was last asked; held while it is asked, so that one request asks for all.
    asked: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwks").field("url", &self.0.url).finish_non_exhaustive()
    }
}

impl Jwks {
    /// Keys from this address. Nothing is fetched before the first token asks for it.
    pub fn new(url: String) -> Result<Self, reqwest::Error> {
        Self::with_times(url, JwksTimes::default())
    }

    /// The same with other times.
    pub fn with_times(url: String, times: JwksTimes) -> Result<Self, reqwest::Error> {
        let builder = reqwest::Client::builder().timeout(times.timeout).redirect(reqwest::redirect::Policy::none());
        let (cached, asked) = (RwLock::new(None), Mutex::new(None));
        Ok(Self(Arc::new(Issuer { url, client: builder.build()?, times, cached, asked })))
    }

    /// The keys that a token of this header may be signed with.
    ///
    /// Only a key id that is not known waits for the issuer. Known keys are used at once, also when they are old:
    /// then the issuer is asked behind the answer, so that one that is silent or gone holds up nobody. Where there
    /// never were any keys, whoever asks is told to come back.
    pub async fn keys_for(&self, id: Option<&str>, alg: Algorithm) -> Result<Vec<DecodingKey>, Problem> {
        let known = self.0.cached.read().await.clone();
        if let Some(cached) = &known {
            let found = matching(cached, id, alg);
            if !found.is_empty() {
                if cached.fetched.elapsed() >= self.0.times.max_age {
                    self.refresh_behind(cached);
                }
                return Ok(found);
            }
        }
        self.0.refresh(known.as_ref()).await;
        match &*self.0.cached.read().await {
            Some(cached) => Ok(matching(cached, id, alg)),
            None => Err(Problem::new(Code::Unavailable).detail("the issuer of the tokens cannot be reached")),
        }
    }

    /// Asks the issuer while the request goes on, unless it is being asked or was asked just now.
    fn refresh_behind(&self, seen: &Arc<Cached>) {
        let pause = self.0.times.pause;
        if self.0.asked.try_lock().is_ok_and(|asked| asked.is_none_or(|at| at.elapsed() >= pause)) {
            let (issuer, seen) = (Arc::clone(&self.0), Arc::clone(seen));
            tokio::spawn(async move { issuer.refresh(Some(&seen)).await });
        }
    }
}

impl Issuer {
    /// Asks the issuer, unless somebody else just did.
    async fn refresh(&self, seen: Option<&Arc<Cached>>) {
        let mut asked = self.asked.lock().await;
        let current = self.cached.read().await.clone();
        let changed_meanwhile = match (seen, &current) {
            (None, Some(_)) => true,
            (Some(seen), Some(current)) => !Arc::ptr_eq(seen, current),
            _ => false,
        };
        if changed_meanwhile || asked.is_some_and(|at| at.elapsed() < self.times.pause) {
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
        // The pause counts from the end: an issuer that hangs would else be asked again by everybody who waited.
        *asked = Some(Instant::now());
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
