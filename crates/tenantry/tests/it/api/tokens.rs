//! Tokens: attack 7, and an issuer with public keys.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tenantry::http::auth::{Jwks, JwksTimes};
use tenantry::usage::ingest::IngestSettings;
use tokio::sync::{RwLock, Semaphore};
use uuid::Uuid;

use super::world::{AUDIENCE, App, ISSUER, SECRET};

fn claims(app: &App) -> Value {
    let now = app.env.clock.now().as_second();
    json!({ "sub": app.id(), "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600 })
}

fn signed(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

#[tokio::test]
async fn attack_07_tokens_that_are_not_good() {
    let app = App::new().await;
    let good = claims(&app);
    let mut with_role = good.clone();
    with_role["role"] = json!("service_role");
    with_role["app_metadata"] = json!({ "role": "owner" });
    assert_eq!(app.get(&signed(&good), "/api/me").await.status, 200);
    let me = app.get(&signed(&with_role), "/api/me").await;
    assert_eq!(me.body["tenants"].as_array().unwrap().len(), 1, "claims give nothing: {me:?}");
    let now = app.env.clock.now().as_second();
    for (field, value) in [
        ("exp", json!(now - 60)),
        ("exp", Value::Null),
        ("nbf", json!(now + 600)),
        ("iss", json!("https://other.example")),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("ada")),
        ("sub", json!("00000000-0000-0000-0000-000000000000")),
        ("sub", json!("0190f5a27c1e7b7a8f00000000000001")),
    ] {
        let mut bad = good.clone();
        if value.is_null() {
            bad.as_object_mut().unwrap().remove(field);
        } else {
            bad[field] = value.clone();
        }
        let answer = app.get(&signed(&bad), "/api/me").await;
        assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{field} {value}: {answer:?}");
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(&good));
    let other = encode(&Header::new(Algorithm::HS256), &good, &EncodingKey::from_secret(b"another secret")).unwrap();
    let longer = encode(&Header::new(Algorithm::HS512), &good, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    for token in [none.as_str(), &other, &longer, "a.b.c", "", "tk_", "null"] {
        assert_eq!(app.get(token, "/api/me").await.status, 401, "{token}");
    }
}

/// A private key made by openssl, in PEM.
fn make_key(args: &[&str]) -> Vec<u8> {
    let made = Command::new("openssl").args(args).output().unwrap();
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

struct Key {
    alg: Algorithm,
    id: &'static str,
    private: EncodingKey,
}

impl Key {
    fn rsa(id: &'static str) -> Self {
        let pem = make_key(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
        Self { alg: Algorithm::RS256, id, private: EncodingKey::from_rsa_pem(&pem).unwrap() }
    }

    fn ec(id: &'static str) -> Self {
        let pem = make_key(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        Self { alg: Algorithm::ES256, id, private: EncodingKey::from_ec_pem(&pem).unwrap() }
    }

    fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.alg).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn sign(&self, app: &App) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.alg) };
        encode(&header, &claims(app), &self.private).unwrap()
    }
}

/// Asks again for every key id that is not known.
fn eager() -> JwksTimes {
    JwksTimes { pause: Duration::ZERO, ..JwksTimes::default() }
}

/// An issuer: its key set, how often it was asked, and how many of its answers it gives.
#[derive(Clone)]
struct Issuer {
    keys: Arc<RwLock<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
}

impl Default for Issuer {
    fn default() -> Self {
        Self { keys: Arc::default(), asked: Arc::default(), answers: Arc::new(Semaphore::new(1000)) }
    }
}

impl Issuer {
    async fn start(&self) -> (String, tokio::task::JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let routes = Router::new().route(
            "/jwks",
            get(|State(issuer): State<Self>| async move {
                issuer.asked.fetch_add(1, Ordering::SeqCst);
                issuer.answers.acquire().await.unwrap().forget();
                axum::Json(json!({ "keys": *issuer.keys.read().await }))
            }),
        );
        let server = axum::serve(listener, routes.with_state(self.clone()));
        (url, tokio::spawn(async move { _ = server.await }))
    }
}

#[tokio::test]
async fn keys_of_an_issuer_are_fetched_kept_and_fetched_again() {
    let _ = super::world::client();
    let issuer = Issuer::default();
    let (rsa, ec, later) = (Key::rsa("one"), Key::ec("two"), Key::ec("three"));
    *issuer.keys.write().await = vec![rsa.public(), ec.public()];
    let (url, server) = issuer.start().await;
    let jwks = Jwks::with_times(url, eager()).unwrap();
    let app = App::with(Some(jwks), IngestSettings::default()).await;
    let status = async |token: String| app.get(&token, "/api/me").await.status;
    for _ in 0..5 {
        assert_eq!((status(rsa.sign(&app)).await, status(ec.sign(&app)).await), (200, 200));
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    // A key that is not known yet makes it ask again; one that never was is refused.
    assert_eq!(status(later.sign(&app)).await, 401);
    issuer.keys.write().await.push(later.public());
    assert_eq!(status(later.sign(&app)).await, 200);
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 3);
    // The public key as the secret of HS256, under its own id.
    let forged = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
    let public = rsa.public().to_string();
    let forged = encode(&forged, &claims(&app), &EncodingKey::from_secret(public.as_bytes())).unwrap();
    assert_eq!(status(forged).await, 401);
    // The issuer goes away: its keys keep working, an unknown one is refused.
    server.abort();
    assert_eq!((status(rsa.sign(&app)).await, status(Key::ec("four").sign(&app)).await), (200, 401));
}

/// The issuer takes longer than a request may: whoever waited for it would be told 504.
#[tokio::test]
async fn a_silent_issuer_holds_up_nobody_whose_key_is_known() {
    let _ = super::world::client();
    let issuer = Issuer { answers: Arc::new(Semaphore::new(1)), ..Issuer::default() };
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    *issuer.keys.write().await = vec![old.public()];
    let (url, server) = issuer.start().await;
    // Keys are old as soon as they are there.
    let times = JwksTimes { max_age: Duration::ZERO, pause: Duration::ZERO, timeout: Duration::from_hours(1) };
    let app = App::with(Some(Jwks::with_times(url, times).unwrap()), IngestSettings::default()).await;
    let status = async |key: &Key| app.get(&key.sign(&app), "/api/me").await.status;
    for _ in 0..5 {
        assert_eq!(status(&old).await, 200);
    }
    while issuer.asked.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    // Five requests with old keys ask once, and what the issuer says at last is taken over.
    assert_eq!((status(&old).await, issuer.asked.load(Ordering::SeqCst)), (200, 2));
    *issuer.keys.write().await = vec![new.public()];
    issuer.answers.add_permits(1000);
    while status(&old).await == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!((status(&new).await, status(&old).await), (200, 401));
    server.abort();
}

#[tokio::test]
async fn an_email_that_is_no_address_is_left_out() {
    let app = App::new().await;
    for email in [json!("ada"), json!("a b@c"), json!(7), json!(null), json!({}), json!("")] {
        let mut claims = claims(&app);
        claims["email"] = email.clone();
        let me = app.get(&signed(&claims), "/api/me").await;
        assert_eq!(me.status, 200, "{email}: {me:?}");
    }
    assert_eq!(app.count("select count(*) from tenantry.users where email is not null").await, 0);
    let mut claims = claims(&app);
    claims["email"] = json!("ada@example.com");
    assert_eq!(app.get(&signed(&claims), "/api/me").await.status, 200);
    assert_eq!(app.count("select count(*) from tenantry.users where email = 'ada@example.com'").await, 1);
}

#[tokio::test]
async fn the_use_of_a_key_shows_in_the_list() {
    let app = App::new().await;
    let (id, owner) = app.user().await;
    let (key, secret) = app.key(&owner, id, &["viewUsage"]).await;
    let (other, other_secret) = app.key(&owner, id, &["viewUsage"]).await;
    let used = async || -> Vec<Uuid> {
        let keys = app.get(&owner, "/api/keys").await;
        let keys = keys.body["data"].as_array().unwrap().clone();
        let used = keys.iter().filter(|key| key["lastUsedAt"].is_string());
        used.map(|key| key["id"].as_str().unwrap().parse().unwrap()).collect()
    };
    assert!(used().await.is_empty());
    // Another key's id with this one's random bytes, in good form, is no use of either.
    let bytes = |secret: &str| URL_SAFE_NO_PAD.decode(&secret[3..]).unwrap();
    let mut mixed = [&bytes(&other_secret)[..16], &bytes(&secret)[16..48]].concat();
    mixed.extend(&Sha256::digest(&mixed)[..4]);
    let mixed = format!("tk_{}", URL_SAFE_NO_PAD.encode(mixed));
    assert!(tenantry::http::auth::parse_key(&mixed).is_some_and(|presented| presented.id == other));
    assert_eq!(app.get(&mixed, "/api/usage/report").await.status, 401);
    assert_eq!(app.get(&secret, "/api/usage/report").await.status, 200);
    let noted = async {
        while used().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), noted).await.expect("the use was never noted");
    assert_eq!(used().await, [key]);
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_503() {
    let _ = super::world::client();
    let jwks = Jwks::with_times("http://127.0.0.1:9/jwks".to_owned(), eager()).unwrap();
    let app = App::with(Some(jwks), IngestSettings::default()).await;
    let answer = app.get(&Key::ec("x").sign(&app), "/api/me").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    // Tokens of the shared secret do not need it.
    assert_eq!(app.get(&signed(&claims(&app)), "/api/me").await.status, 200);
}
