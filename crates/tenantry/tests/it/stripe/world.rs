//! A database, a sandbox and a clock that both share: buying, working and waiting in one line each.
//!
//! Webhooks wait until [`World::deliver`] (or [`World::work`]) hands them over, so that a test decides when they come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde_json::{Value, json};
use tenantry::billing::catalog_store;
use tenantry::billing::operations::{self, Asked, OperationError};
use tenantry::billing::plan_choice::Wish;
use tenantry::env::Env;
use tenantry::notices::Outbound;
use tenantry::storage::{Database, Logins};
use tenantry::stripe_sync::inbox::{self, ReceiveError};
use tenantry::stripe_sync::operations::{Outcome, Trouble, execute};
use tenantry::stripe_sync::{OverageBilling, Settings, Stripe, UpgradeCharge, catalog};
use tenantry::tenancy::members::{self, NewMember};
use tenantry::tenancy::organizations::{self, NewOrganization};
use tenantry::tenancy::{Actor, users};
use tenantry::usage::books;
use tenantry::usage::event::{Content, NewEvent};
use tenantry::usage::ingest::{GroupSettings, Recorder};
use tenantry::worker;
use tenantry_domain::permission::{Overrides, Role};
use tenantry_domain::plan::{Catalog, Plan};
use tenantry_domain::quantity::Quantity;
use tenantry_sandbox::{Control, OnClock, Sandbox, Source, Switches, WebhookTarget};
use tenantry_stripe::{Client, ClientSettings};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::metering::world::word;
use crate::notices::world::outbound;
use crate::support::TestDb;

/// When every world begins. Signatures are made at this time, wherever the clock was moved to.
pub(crate) const START: &str = "2026-01-15T10:00:00Z";
/// Secret of the webhook endpoint.
pub(crate) const SECRET: &str = "whsec_of_the_tests";
/// Key of the sandbox.
pub(crate) const KEY: &str = "sk_test_world";
/// A card that pays.
pub(crate) const VISA: &str = "4242424242424242";
/// A card that can be kept, and is declined whenever it is charged.
pub(crate) const FAILS_LATER: &str = "4000000000000341";

pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) env: Env,
    pub(crate) stripe: Stripe,
    pub(crate) sandbox: Sandbox,
    pub(crate) control: Control,
    pub(crate) admin: tokio_postgres::Client,
    pub(crate) recorder: Recorder,
    pub(crate) heard: Arc<Heard>,
    outbound: Outbound,
    http: reqwest::Client,
}

/// What came to the endpoint, and how it answers.
#[derive(Default)]
pub(crate) struct Heard {
    /// Each event as it came first: signature and body.
    pub(crate) events: Mutex<BTreeMap<String, (String, Vec<u8>)>>,
    /// It stores what comes, but its answer never arrives: Stripe holds every event for lost.
    pub(crate) is_lost: AtomicBool,
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn plan(value: Value) -> Plan {
    serde_json::from_value(value).unwrap()
}

/// `free`; `starter` with a week of trial; `pro`, `team` (per seat) and `scale` by month and year. `calls` has a hard
/// limit, `tokens` costs 2 cents above what is included.
pub(crate) fn catalog() -> Catalog {
    let metrics = |calls: &str, tokens: &str| {
        json!({
            "calls": { "allowance": { "included": calls } },
            "tokens": {
                "allowance": { "included": tokens },
                "overage": { "mode": "flat", "per": 1, "tiers": [{ "unit_price": "2" }] },
            },
        })
    };
    let free = json!({
        "id": "free", "name": "Free", "rank": 0, "default": true, "prices": null, "currency": "usd",
        "metrics": { "calls": { "allowance": { "included": "100" } }, "tokens": { "allowance": { "included": "50" } } },
    });
    let paid = |id: &str, rank: u32, cents: i64, metrics: Value| {
        json!({
            "id": id, "name": id.to_uppercase(), "rank": rank,
            "prices": { "currency": "usd", "month": cents, "year": cents * 10 }, "metrics": metrics,
        })
    };
    let mut starter = paid("starter", 5, 900, metrics("200", "60"));
    starter["trial_days"] = json!(7);
    let mut team = paid("team", 20, 1500, metrics("600", "90"));
    team["per_seat"] = json!(true);
    let pro = paid("pro", 10, 2900, metrics("300", "80"));
    let scale = paid("scale", 30, 9900, metrics("1000", "100"));
    Catalog::new([free, starter, pro, team, scale].map(plan).to_vec()).unwrap()
}

/// A handle to Stripe of a database's own, with retries that do not wait.
pub(crate) fn stripe_of(db: &Database, env: &Env, url: &str, settings: Settings) -> Stripe {
    let client = ClientSettings {
        timeout: Duration::from_millis(1500),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        ..ClientSettings::new(url, KEY.to_owned().into(), Arc::new(|| 7))
    };
    let client = Client::new(client).unwrap();
    Stripe { client, db: db.clone(), env: env.clone(), settings: Arc::new(settings), woken: Arc::default() }
}

/// What worlds are made with that do not say otherwise.
pub(crate) fn settings() -> Settings {
    Settings {
        app_url: "https://app.example".to_owned(),
        webhook_secrets: vec![SECRET.to_owned().into()],
        payment_grace: SignedDuration::from_hours(72),
        upgrade_charge: UpgradeCharge::Now,
        overage_billing: OverageBilling::Items,
        automatic_tax: false,
        collect_address: false,
        collect_tax_ids: false,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        // Set once for the process; whoever comes later finds it set.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let test = TestDb::new().await;
        let env = Env::manual(at(START), 23);
        let clock = env.clock.clone();
        let sandbox = Sandbox::start(tenantry_sandbox::Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            secret_key: KEY.to_owned().into(),
            webhook: None,
            state_file: None,
            source: Source::fixed(at(START), 23),
            on_clock: Some(OnClock::new(move |offset| {
                clock.set(at(START).checked_add(SignedDuration::from_secs(offset)).unwrap());
                std::future::ready(())
            })),
        })
        .await
        .unwrap();
        let control = sandbox.control();
        control.set_switches(Switches { paused: true, ..Switches::default() });
        let stripe = stripe_of(&test.db, &env, &sandbox.url(), settings);
        let heard = Arc::new(Heard::default());
        control.set_webhook(Some(listen(stripe.clone(), Arc::clone(&heard)).await)).await;
        let catalog = catalog();
        catalog_store::load(&test.db, &env, &catalog).await.unwrap();
        catalog::push(&stripe, &catalog).await.unwrap();
        let recorder = Recorder::new(
            Database::new(&Logins { pool_size: 2, ..test.logins.clone() }).unwrap(),
            env.clone(),
            GroupSettings { late_window: SignedDuration::from_hours(72) },
        );
        Self {
            admin: test.admin_client().await,
            db: test.db.clone(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            outbound: outbound(None),
            heard,
            env,
            stripe,
            sandbox,
            control,
            recorder,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.env.clock.now()
    }

    // ------------------------------------------------------------ who

    /// A user with its personal tenant, both of this id.
    pub(crate) async fn user(&self, email: &str) -> Uuid {
        let id = self.env.ids.uuid_v7(self.now());
        users::ensure(&self.db, &self.env, Actor::System, id, Some(email)).await.unwrap();
        id
    }

    /// An organization and its owner.
    pub(crate) async fn organization(&self, owner_email: &str) -> (Uuid, Uuid) {
        let owner = self.user(owner_email).await;
        let new = NewOrganization { name: "Acme".to_owned(), ..NewOrganization::default() };
        let made = organizations::create(&self.db, &self.env, Actor::User(owner), &new, None).await.unwrap();
        (made.done().unwrap().id, owner)
    }

    pub(crate) async fn member(&self, tenant: Uuid, email: &str, role: Role) -> Uuid {
        let user_id = self.user(email).await;
        let new = NewMember { user_id, role, permissions: Overrides::default() };
        members::add(&self.db, &self.env, Actor::System, tenant, &new, None).await.unwrap();
        user_id
    }

    pub(crate) async fn leave(&self, tenant: Uuid, user: Uuid) {
        members::remove(&self.db, &self.env, Actor::System, tenant, user).await.unwrap();
    }

    // ------------------------------------------------------------ operations

    pub(crate) async fn ask_as(&self, actor: Actor, tenant: Uuid, asked: &Asked) -> Result<Outcome, OperationError> {
        let begun = operations::begin(&self.db, &self.env, actor, tenant, asked, None).await?;
        Ok(execute(&self.stripe, begun, tenant).await.unwrap())
    }

    pub(crate) async fn ask(&self, tenant: Uuid, asked: &Asked) -> Outcome {
        self.ask_as(Actor::System, tenant, asked).await.unwrap()
    }

    /// The answer of an operation that is done at once.
    pub(crate) async fn done(&self, tenant: Uuid, asked: &Asked) -> Value {
        match self.ask(tenant, asked).await {
            Outcome::Done(answer) => answer,
            other => panic!("{asked:?}: {other:?}"),
        }
    }

    /// Why an operation was refused by Stripe.
    pub(crate) async fn refused(&self, tenant: Uuid, asked: &Asked) -> Trouble {
        match self.ask(tenant, asked).await {
            Outcome::Refused(trouble) => trouble,
            other => panic!("{asked:?}: {other:?}"),
        }
    }

    /// Buys a plan by the month with a card that pays.
    pub(crate) async fn buy(&self, tenant: Uuid, plan: &str) {
        self.buy_with(tenant, &wish(plan, None), VISA).await;
    }

    pub(crate) async fn buy_with(&self, tenant: Uuid, wish: &Wish, card: &str) {
        let answer = self.done(tenant, &Asked::Checkout(wish.clone())).await;
        self.control.pay_session(answer["sessionId"].as_str().unwrap(), card).await.unwrap();
        self.work().await;
    }

    /// The subscription is charged to another of Stripe's test cards from now on: `pm_card_…`.
    pub(crate) async fn use_card(&self, tenant: Uuid, token: &str) {
        let customer = self.customer(tenant).await;
        let path = format!("/v1/payment_methods/{token}/attach");
        let method = self.post(&path, &[("customer", &customer)]).await;
        let form = [("default_payment_method", method["id"].as_str().unwrap())];
        self.post(&format!("/v1/subscriptions/{}", self.subscription(tenant).await), &form).await;
    }

    // ------------------------------------------------------------ time and work

    /// Hands over the webhooks that wait.
    pub(crate) async fn deliver(&self) {
        self.control.deliver().await;
    }

    /// Hands over webhooks and does everything that is due, until nothing is.
    pub(crate) async fn work(&self) {
        loop {
            self.deliver().await;
            if self.work_undelivered().await == 0 && !self.has_undelivered() {
                return;
            }
        }
    }

    /// Does everything that is due, without webhooks; how much that was.
    pub(crate) async fn work_undelivered(&self) -> usize {
        let never = CancellationToken::new();
        let mut all = 0;
        loop {
            let mut done = worker::work_due(&self.stripe).await.unwrap();
            done += worker::run_due(&self.db, &self.env, &never).await.unwrap();
            done += worker::deliver_due(&self.db, &self.env, &self.outbound).await.unwrap();
            if done == 0 {
                return all;
            }
            all += done;
        }
    }

    fn has_undelivered(&self) -> bool {
        self.control.deliveries().iter().any(|delivery| delivery.state == "pending" && delivery.attempts.is_empty())
    }

    /// Lets time pass (`"1mo"`, `"3d"`): at each instant at which something falls due, here or at Stripe, webhooks are
    /// handed over and everything due is done.
    pub(crate) async fn advance(&self, span: &str) {
        let to = self.later(span);
        loop {
            self.work().await;
            let here = self.next_due_here().await.map(|at| at.max(self.now()));
            let Some(next) = [here, self.control.clock().next_due].into_iter().flatten().min().filter(|at| *at <= to)
            else {
                break;
            };
            // Stripe's clock has whole seconds.
            let next = Timestamp::from_second(next.as_second() + i64::from(next.subsec_nanosecond() > 0)).unwrap();
            self.move_to(next.max(self.later("1s")).min(to)).await;
            if self.now() >= to {
                self.work().await;
                return;
            }
        }
        self.move_to(to).await;
        self.work().await;
    }

    /// Moves both clocks without handing anything over.
    pub(crate) async fn move_to(&self, to: Timestamp) {
        self.control.advance_to(to).await.unwrap();
        assert_eq!(self.now(), to);
    }

    pub(crate) fn later(&self, span: &str) -> Timestamp {
        let span: Span = span.parse().unwrap();
        self.now().to_zoned(TimeZone::UTC).checked_add(span).unwrap().timestamp()
    }

    pub(crate) async fn next_due_here(&self) -> Option<Timestamp> {
        let sql = "select min(greatest(run_at, coalesce(lease_until, run_at))) from (
                       select run_at, lease_until from tenantry.jobs where finished_at is null
                       union all
                       select run_at, lease_until from tenantry.stripe_events where state = 'pending') due";
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// The end of a test: nothing is left to do, nobody holds anything, and the books are right.
    pub(crate) async fn finish(&self) {
        self.work().await;
        let now = self.now();
        let left = "select 'job ' || kind || coalesce(' ' || last_error, '') from tenantry.jobs
                        where finished_at is null and run_at <= $1
                    union all select 'event ' || id || ' ' || type || coalesce(' ' || last_error, '')
                        from tenantry.stripe_events where state <> 'done'
                    union all select 'operation ' || kind from tenantry.billing_operations where state = 'running'
                    union all select 'lease of ' || customer_id from tenantry.stripe_customers
                        where lease_token is not null";
        let left: Vec<String> = self.admin.query(left, &[&now]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(left, Vec::<String>::new());
        let proof = books::prove(&self.db, None).await.unwrap();
        let found: Vec<String> = proof.differences.iter().map(|one| format!("{}: {}", one.book, one.detail)).collect();
        assert_eq!(found, Vec::<String>::new());
    }

    // ------------------------------------------------------------ usage

    /// Records usage now: the outcome in a word, with the total.
    pub(crate) async fn use_up(&self, tenant: Uuid, key: &str, metric: &str, amount: &str) -> String {
        self.use_up_at(tenant, key, metric, amount, self.now()).await
    }

    /// The same with a time of its own.
    pub(crate) async fn use_up_at(
        &self,
        tenant: Uuid,
        key: &str,
        metric: &str,
        amount: &str,
        timestamp: Timestamp,
    ) -> String {
        let event = NewEvent {
            team_id: None,
            tenant_id: tenant,
            key: key.to_owned(),
            content: Content::Usage { metric: metric.to_owned(), amount: Quantity::parse_amount(amount).unwrap() },
            timestamp: Some(timestamp),
            received_at: self.now(),
            user_id: None,
            metadata: serde_json::Map::new(),
        };
        word(&self.recorder.record(Actor::System, &[event]).await.remove(0).unwrap())
    }

    // ------------------------------------------------------------ what is written here

    /// The current subscription, as its row: `plan status interval access`.
    pub(crate) async fn standing(&self, tenant: Uuid) -> String {
        let row = self.current(tenant).await;
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let [plan, status] = ["plan_id", "status"].map(text);
        format!("{plan} {status} {} {}", text("billing_interval"), text("access"))
    }

    /// The current subscription's row.
    pub(crate) async fn current(&self, tenant: Uuid) -> Value {
        let sql = "select to_jsonb(s) from tenantry.tenant_subscriptions s where tenant_id = $1 and ended_at is null";
        self.admin.query_one(sql, &[&tenant]).await.unwrap().get(0)
    }

    /// Rows of one column of text about a tenant, which is `$1`.
    pub(crate) async fn texts(&self, tenant: Uuid, sql: &str) -> Vec<String> {
        self.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Plan and plan of the limits of each segment: `period start plan/limits`, in the order of time.
    pub(crate) async fn segments(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select to_char(period_start at time zone 'UTC', 'MM-DD') || ' '
                       || to_char(started_at at time zone 'UTC', 'MM-DD\"T\"HH24:MI:SS') || ' ' || plan_id || '/' || limits_plan_id
                   from tenantry.usage_segments where tenant_id = $1 order by started_at, sequence";
        self.texts(tenant, sql).await
    }

    /// Kinds of the notices that were raised, in the order of time.
    pub(crate) async fn notices(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select kind from tenantry.notifications where tenant_id = $1 order by created_at, id";
        self.texts(tenant, sql).await
    }

    /// Data of the notices of a kind, in the order of time.
    pub(crate) async fn notices_of(&self, tenant: Uuid, kind: &str) -> Vec<Value> {
        let sql = "select data from tenantry.notifications where tenant_id = $1 and kind = $2 order by created_at, id";
        self.admin.query(sql, &[&tenant, &kind]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Types of the audit entries that begin like this, in the order of time.
    pub(crate) async fn audit(&self, tenant: Uuid, like: &str) -> Vec<String> {
        let sql =
            "select type from tenantry.billing_events where tenant_id = $1 and type like $2 || '%' order by sequence";
        self.admin.query(sql, &[&tenant, &like]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// The tenant's customer at Stripe.
    pub(crate) async fn customer(&self, tenant: Uuid) -> String {
        let sql = "select customer_id from tenantry.stripe_customers where tenant_id = $1 and ended_at is null";
        self.admin.query_one(sql, &[&tenant]).await.unwrap().get(0)
    }

    /// The tenant's current subscription at Stripe.
    pub(crate) async fn subscription(&self, tenant: Uuid) -> String {
        let sql = "select l.stripe_subscription_id from tenantry.stripe_subscriptions l
                   join tenantry.tenant_subscriptions s on s.tenant_id = l.tenant_id and s.id = l.subscription_id
                   where l.tenant_id = $1 and s.ended_at is null";
        self.admin.query_one(sql, &[&tenant]).await.unwrap().get(0)
    }

    // ------------------------------------------------------------ what Stripe has

    /// What Stripe answers, asked past our client.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.sandbox.url())).bearer_auth(KEY);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer.get("error"), None, "{path}");
        answer
    }

    /// The elements of a list at Stripe, newest first.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).await["data"].as_array().unwrap().clone()
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let mut url = reqwest::Url::parse("http://form").unwrap();
        url.query_pairs_mut().extend_pairs(form);
        let request = self.http.post(format!("{}{path}", self.sandbox.url())).bearer_auth(KEY);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(url.query().unwrap_or_default().to_owned()).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer.get("error"), None, "{path}");
        answer
    }

    pub(crate) async fn delete(&self, path: &str) -> Value {
        let request = self.http.delete(format!("{}{path}", self.sandbox.url())).bearer_auth(KEY);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer.get("error"), None, "{path}");
        answer
    }

    /// The tenant's subscriptions at Stripe, over or not, newest first.
    pub(crate) async fn subscriptions(&self, tenant: Uuid) -> Vec<Value> {
        let customer = self.customer(tenant).await;
        self.list(&format!("/v1/subscriptions?status=all&limit=100&customer={customer}")).await
    }

    /// The tenant's invoices at Stripe, newest first.
    pub(crate) async fn invoices(&self, tenant: Uuid) -> Vec<Value> {
        let customer = self.customer(tenant).await;
        self.list(&format!("/v1/invoices?limit=100&customer={customer}")).await
    }
}

/// A wish for a plan.
pub(crate) fn wish(plan: &str, interval: Option<&str>) -> Wish {
    Wish { plan_id: plan.to_owned(), interval: interval.map(str::to_owned) }
}

/// An endpoint that takes webhooks as the server does.
async fn listen(stripe: Stripe, heard: Arc<Heard>) -> WebhookTarget {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = Router::new().route("/", post(take)).with_state((stripe, heard));
    tokio::spawn(async move { axum::serve(listener, app).await });
    WebhookTarget { url, secrets: vec![SECRET.to_owned().into()] }
}

async fn take(
    State((stripe, heard)): State<(Stripe, Arc<Heard>)>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> StatusCode {
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let event: Value = serde_json::from_slice(&body).unwrap();
    let id = event["id"].as_str().unwrap().to_owned();
    heard.events.lock().unwrap().entry(id).or_insert_with(|| (signature.to_owned(), body.to_vec()));
    match inbox::receive(&stripe, signature, &body, at(START)).await {
        Ok(_) if heard.is_lost.load(Ordering::Relaxed) => StatusCode::BAD_GATEWAY,
        Ok(_) => StatusCode::OK,
        Err(ReceiveError::Store(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}
