//! A server of this process on a port of its own, with users, an organization and keys.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tenantry::billing::catalog_store;
use tenantry::env::Env;
use tenantry::http::auth::{Jwks, TokenSettings, TokenVerifier, mint_key, sign_development_token};
use tenantry::http::router::{Limits, router};
use tenantry::http::state::{AppState, Shared};
use tenantry::notices::webhooks::UrlPolicy;
use tenantry::storage::{Database, StoreError};
use tenantry::stripe_sync::{OverageBilling, Settings, Stripe, UpgradeCharge};
use tenantry::tenancy::key_uses::KeyUses;
use tenantry::tenancy::keys::{self, NewKey};
use tenantry::usage::check::Checks;
use tenantry::usage::ingest::{GroupSettings, Ingest, IngestSettings, Recorder};
use tenantry::usage::plan_change::{self, Billing};
use tenantry::write_tx;
use tenantry_domain::permission::Permission;
use tenantry_domain::plan::Catalog;
use tenantry_stripe::ClientSettings;
use uuid::Uuid;

use crate::metering::world::catalog;
use crate::support::TestDb;

/// The secret of the tests' tokens.
pub(super) const SECRET: &str = "the-secret-of-the-tests-which-is-long-enough";
/// The secret of Stripe's webhooks.
pub(super) const WEBHOOK_SECRET: &str = "whsec_of_the_tests";
pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const AUDIENCE: &str = "tenantry";
/// As in development.
pub(super) const WEBHOOKS: UrlPolicy = UrlPolicy { https_only: false, allow_private: true };

pub(super) struct App {
    pub(super) url: String,
    pub(super) db: Database,
    pub(super) env: Env,
    pub(super) admin: tokio_postgres::Client,
    superuser: tokio_postgres::Config,
    client: Client,
    state: AppState,
}

/// What an answer was.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) headers: reqwest::header::HeaderMap,
}

impl Answer {
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The body without what differs from request to request.
    pub(super) fn lasting(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(members) = body.as_object_mut() {
            members.remove("requestId");
        }
        body
    }
}

pub(super) fn settings() -> TokenSettings {
    TokenSettings {
        secret: Some(SECRET.to_owned().into()),
        issuer: Some(ISSUER.to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        issuer_verifies_emails: false,
    }
}

impl App {
    pub(super) async fn new() -> Self {
        Self::with(None, IngestSettings::default()).await
    }

    pub(super) async fn with(jwks: Option<Jwks>, ingest: IngestSettings) -> Self {
        let test = TestDb::new().await;
        Self::on(test.db, test.admin, jwks, ingest).await
    }

    /// Another server on the same database, which has seen nobody yet.
    pub(super) async fn replica(&self) -> Self {
        Self::on(self.db.clone(), self.superuser.clone(), None, IngestSettings::default()).await
    }

    /// A server with another catalog.
    pub(super) async fn with_catalog(catalog: Catalog) -> Self {
        let mut app = Self::new().await;
        catalog_store::load(&app.db, &app.env, &catalog).await.unwrap();
        app.state = AppState::new(Shared { catalog: Arc::new(catalog), ..Shared::clone(&app.state) });
        app.url = serve(app.state.clone()).await;
        app
    }

    async fn on(db: Database, superuser: tokio_postgres::Config, jwks: Option<Jwks>, ingest: IngestSettings) -> Self {
        let env = Env::system();
        let catalog = catalog();
        catalog_store::load(&db, &env, &catalog).await.unwrap();
        let late_window = SignedDuration::from_hours(72);
        let recorder = Recorder::new(db.clone(), env.clone(), GroupSettings { late_window });
        let state = AppState::new(Shared {
            db: db.clone(),
            env: env.clone(),
            ingest: Ingest::start(&recorder, ingest),
            checks: Checks::start(&recorder, 1000, 2),
            recorder,
            verifier: Arc::new(TokenVerifier::new(settings(), jwks)),
            catalog: Arc::new(catalog),
            known: Arc::default(),
            key_uses: KeyUses::new(db.clone(), env.clone()),
            key_limiter: Arc::default(),
            slug_limiter: Arc::default(),
            webhooks: WEBHOOKS,
            invitations_valid_for: SignedDuration::from_hours(7 * 24),
            stripe: Some(unreachable_stripe(&db, &env)),
        });
        let url = serve(state.clone()).await;
        let admin = tenantry::storage::migrate::connect(&superuser).await.unwrap();
        Self { url, db, env, admin, superuser, client: client(), state }
    }

    /// The address of another server on the same database, with other settings of tokens.
    pub(super) async fn serve_again(&self, change: impl FnOnce(&mut TokenSettings)) -> String {
        let mut settings = settings();
        change(&mut settings);
        let verifier = Arc::new(TokenVerifier::new(settings, None));
        serve(AppState::new(Shared { verifier, ..Shared::clone(&self.state) })).await
    }

    pub(super) fn request_to(&self, url: &str, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{url}{path}"))
    }

    pub(super) fn id(&self) -> Uuid {
        self.env.ids.uuid_v7(self.env.clock.now())
    }

    pub(super) fn token(&self, user: Uuid) -> String {
        let now = self.env.clock.now().as_second();
        sign_development_token(&settings(), user, None, now, now + 3600).unwrap()
    }

    pub(super) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.request_to(&self.url, method, path)
    }

    pub(super) async fn get(&self, bearer: &str, path: &str) -> Answer {
        send(self.request("GET", path).bearer_auth(bearer)).await
    }

    pub(super) async fn call(&self, bearer: &str, method: &str, path: &str, body: &Value) -> Answer {
        send(self.request(method, path).bearer_auth(bearer).json(body)).await
    }

    /// The same in the context of an organization.
    pub(super) async fn within(&self, bearer: &str, tenant: Uuid, method: &str, path: &str, body: &Value) -> Answer {
        let request = self.request(method, path).bearer_auth(bearer).header("x-organization-id", tenant.to_string());
        send(if body.is_null() { request } else { request.json(body) }).await
    }

    /// A user who was seen, with a token.
    pub(super) async fn user(&self) -> (Uuid, String) {
        let id = self.id();
        let token = self.token(id);
        assert_eq!(self.get(&token, "/api/me").await.status, 200);
        (id, token)
    }

    pub(super) async fn organization(&self, owner: &str) -> Uuid {
        let made = self.call(owner, "POST", "/api/tenants", &json!({ "name": "Acme" })).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body["tenant"]["id"].as_str().unwrap().parse().unwrap()
    }

    pub(super) async fn member(&self, owner: &str, tenant: Uuid, role: &str) -> (Uuid, String) {
        let (id, token) = self.user().await;
        let path = format!("/api/tenants/{tenant}/members");
        let added = self.call(owner, "POST", &path, &json!({ "userId": id, "role": role })).await;
        assert_eq!(added.status, 201, "{added:?}");
        (id, token)
    }

    pub(super) async fn team(&self, owner: &str) -> Uuid {
        let made = self.call(owner, "POST", "/api/teams", &json!({ "name": "Research" })).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body["team"]["id"].as_str().unwrap().parse().unwrap()
    }

    /// A new user in a team: id and token.
    pub(super) async fn teammate(&self, owner: &str, team: Uuid) -> (Uuid, String) {
        let (id, token) = self.user().await;
        let added = self.call(owner, "POST", &format!("/api/teams/{team}/members"), &json!({ "userId": id })).await;
        assert_eq!(added.status, 201, "{added:?}");
        (id, token)
    }

    /// The same as `within`, in the name of a team.
    pub(super) async fn in_team(&self, bearer: &str, team: Uuid, method: &str, path: &str, body: &Value) -> Answer {
        let request = self.request(method, path).bearer_auth(bearer).header("x-team-id", team.to_string());
        send(if body.is_null() { request } else { request.json(body) }).await
    }

    /// Puts a tenant on a plan, as the sync with Stripe does from an instant on.
    pub(super) async fn put_on_plan(&self, tenant: Uuid, plan: &str) {
        let (env, from) = (&self.env, self.env.clock.now());
        let terms = crate::metering::world::terms(plan);
        let billing = Billing { interval: "month", status: "active" };
        let done: Result<(), StoreError> = write_tx!(self.db, "test_plan", &[tenant], |tx| {
            plan_change::change_plan(tx, env, (tenant, from), &terms, billing).await
        });
        done.unwrap();
    }

    /// A key of a tenant, made over HTTP: id and secret.
    pub(super) async fn key(&self, owner: &str, tenant: Uuid, scopes: &[&str]) -> (Uuid, String) {
        let made = self.within(owner, tenant, "POST", "/api/keys", &json!({ "name": "k", "scopes": scopes })).await;
        assert_eq!(made.status, 201, "{made:?}");
        let id = made.body["key"]["id"].as_str().unwrap().parse().unwrap();
        (id, made.body["secret"].as_str().unwrap().to_owned())
    }

    pub(super) async fn service_key(&self) -> String {
        self.service_key_with(&Permission::ALL).await
    }

    pub(super) async fn service_key_with(&self, scopes: &[Permission]) -> String {
        let minted = mint_key(&self.env);
        let key = NewKey {
            id: minted.id,
            prefix: minted.prefix.clone(),
            secret_hash: minted.hash,
            name: "host".to_owned(),
            scopes: scopes.to_vec(),
            expires_at: None,
            requests_per_minute: None,
        };
        keys::create_service(&self.db, &self.env, &key).await.unwrap();
        minted.expose().to_owned()
    }

    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }
}

/// A server on a port of its own; its address.
async fn serve(state: AppState) -> String {
    let limits = Limits { body_bytes: 8 * 1024 * 1024, timeout: Duration::from_secs(20) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = router(state, limits, None).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// Stripe where nobody answers: what needs no call works, everything else says that Stripe is out of reach.
fn unreachable_stripe(db: &Database, env: &Env) -> Stripe {
    // The client needs a provider of TLS; set once for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings = ClientSettings::new("http://127.0.0.1:9", "sk_test_nobody".to_owned().into(), Arc::new(|| 0));
    settings.attempts = 1;
    Stripe {
        client: tenantry_stripe::Client::new(settings).unwrap(),
        db: db.clone(),
        env: env.clone(),
        settings: Arc::new(Settings {
            app_url: "http://localhost:3000".to_owned(),
            webhook_secrets: vec![WEBHOOK_SECRET.to_owned().into()],
            payment_grace: SignedDuration::from_hours(24),
            upgrade_charge: UpgradeCharge::Now,
            overage_billing: OverageBilling::Items,
            automatic_tax: false,
            collect_address: false,
            collect_tax_ids: false,
        }),
        woken: Arc::default(),
    }
}

pub(super) fn client() -> Client {
    // Set once for the process; whoever comes later finds it set.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(Duration::from_secs(30)).build().unwrap()
}

pub(super) async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().to_string(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status >= 400 {
        assert_eq!(headers["content-type"], "application/problem+json", "{text}");
        assert_eq!(body["status"], status, "{text}");
        assert_eq!(body["requestId"].as_str(), headers["x-request-id"].to_str().ok(), "{text}");
    }
    super::document::is_documented(&method, &path, status, body["code"].as_str());
    Answer { status, body, headers }
}
