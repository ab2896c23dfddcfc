//! The catalog at Stripe, against the sandbox over HTTP.

use tenantry::billing::catalog_file;
use tenantry::config::{Config, Overrides};
use tenantry::env::Env;
use tenantry::server::stripe::handle;
use tenantry::stripe_sync::Stripe;
use tenantry::stripe_sync::catalog::{Action, Change, differences, missing, push};
use tenantry_domain::plan::Catalog;
use tenantry_sandbox::{FaultRule, Sandbox, Settings, Source};
use tenantry_stripe::prices::{self, Price};
use tenantry_stripe::products::{self, Product};
use tenantry_stripe::{Client, ClientSettings, IdempotencyKey};

use crate::support::TestDb;

const KEY: &str = "sk_test_of_the_tests";

pub(super) struct World {
    pub(super) sandbox: Sandbox,
    pub(super) stripe: Stripe,
    pub(super) admin: tokio_postgres::Client,
}

fn config() -> Config {
    Config::load(&Overrides::default()).unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (clock, ids) = (Env::system().clock, Env::system().ids);
        let sandbox = Sandbox::start(Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            secret_key: KEY.to_owned().into(),
            webhook: None,
            state_file: None,
            source: Source::new(move || clock.real_now(), move || ids.bytes()),
            on_clock: None,
        })
        .await
        .unwrap();
        let (stripe, admin) = on_a_new_database(&sandbox).await;
        Self { sandbox, stripe, admin }
    }

    pub(super) async fn prices(&self) -> Vec<Price> {
        self.stripe.client.all::<Price, _>(&prices::List::default()).await.unwrap()
    }

    /// The price that has this lookup key.
    pub(super) async fn price(&self, key: &str) -> Price {
        let request = prices::List { lookup_keys: vec![key], ..prices::List::default() };
        let mut found = self.stripe.client.get(&request).await.unwrap().data;
        assert_eq!(found.len(), 1, "{key}");
        found.remove(0)
    }

    pub(super) async fn product(&self, id: &str) -> Product {
        self.stripe.client.get(&products::Retrieve { id, expand: Vec::new() }).await.unwrap()
    }

    /// Plan, interval and price of what is sold, as the database has it.
    async fn noted(&self) -> Vec<(String, String, String)> {
        let sql = "select plan_id, billing_interval, price_id from tenantry.stripe_prices where current order by 1, 2";
        let rows = self.admin.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }
}

pub(super) async fn on_a_new_database(sandbox: &Sandbox) -> (Stripe, tokio_postgres::Client) {
    let test = TestDb::new().await;
    let secrets = (KEY.to_owned().into(), Vec::new());
    let mut stripe = handle(&config(), &Env::system(), &test.db, &sandbox.url(), secrets).unwrap();
    // One attempt, so that a fault is met and not retried.
    let settings = ClientSettings::new(sandbox.url(), KEY.to_owned().into(), std::sync::Arc::new(|| 0));
    stripe.client = Client::new(ClientSettings { attempts: 1, ..settings }).unwrap();
    (stripe, test.admin_client().await)
}

fn catalog(pro: &str) -> Catalog {
    let text = format!(
        "currency = \"usd\"\n[[plans]]\nid = \"free\"\nname = \"Free\"\nrank = 0\ndefault = true\n\
         [[plans]]\nid = \"team\"\nname = \"Team\"\nrank = 5\nper_seat = true\nprices = {{ month = 900 }}\n{pro}"
    );
    catalog_file::parse(&text, "plans.toml").unwrap()
}

fn pro(name: &str, prices: &str) -> Catalog {
    catalog(&format!("[[plans]]\nid = \"pro\"\nname = \"{name}\"\nrank = 10\nprices = {{ {prices} }}\n"))
}

fn actions(changes: &[Change]) -> Vec<(&str, Option<&str>, Action)> {
    changes.iter().map(|change| (change.plan_id.as_str(), change.interval, change.action)).collect()
}

#[tokio::test]
async fn what_is_missing_is_made_once_and_a_dry_run_makes_nothing() {
    let world = World::new().await;
    let catalog = pro("Pro", "month = 2900, year = 29000");
    let planned = differences(&world.stripe, &catalog).await.unwrap();
    assert!(world.prices().await.is_empty() && world.noted().await.is_empty(), "a dry run made something");
    assert_eq!(missing(&world.stripe, &catalog).await.unwrap(), ["team (month)", "pro (month)", "pro (year)"]);
    let done = push(&world.stripe, &catalog).await.unwrap();
    assert_eq!(actions(&planned), actions(&done));
    assert_eq!(
        actions(&done),
        [
            ("team", None, Action::MakeProduct),
            ("team", Some("month"), Action::MakePrice),
            ("pro", None, Action::MakeProduct),
            ("pro", Some("month"), Action::MakePrice),
            ("pro", Some("year"), Action::MakePrice),
        ]
    );
    assert!(missing(&world.stripe, &catalog).await.unwrap().is_empty());
    assert_eq!(push(&world.stripe, &catalog).await.unwrap(), []);
    assert_eq!(differences(&world.stripe, &catalog).await.unwrap(), []);
    assert_eq!(world.prices().await.len(), 3);
    let year = world.price("tenantry_pro_year").await;
    assert_eq!((year.unit_amount, year.currency.as_deref()), (Some(29000), Some("usd")));
    assert_eq!(world.product("tenantry_team").await.unit_label.as_deref(), Some("seat"));
    assert_eq!(world.noted().await[1], ("pro".to_owned(), "year".to_owned(), year.id));
}

#[tokio::test]
async fn pushes_at_once_make_nothing_twice() {
    let world = World::new().await;
    let catalog = pro("Pro", "month = 2900, year = 29000");
    for amounts in ["month = 2900, year = 29000", "month = 3900, year = 39000"] {
        let catalog_now = pro("Pro", amounts);
        let pushes = (0..6).map(|_| push(&world.stripe, &catalog_now));
        for pushed in futures::future::join_all(pushes).await {
            // Who finds another's request with the same key under way is told so; the client asks again in earnest.
            assert!(pushed.is_ok() || pushed.unwrap_err().to_string().contains("busy"));
        }
        assert_eq!(push(&world.stripe, &catalog_now).await.unwrap(), []);
    }
    assert_eq!(differences(&world.stripe, &catalog).await.unwrap().len(), 2);
    assert_eq!(world.prices().await.len(), 5, "{:#?}", world.prices().await);
    assert_eq!(world.noted().await.len(), 3);
}

#[tokio::test]
async fn an_amount_that_changes_is_a_new_price_and_the_old_one_stays() {
    let world = World::new().await;
    push(&world.stripe, &pro("Pro", "month = 2900")).await.unwrap();
    let first = world.price("tenantry_pro_month").await;
    let changed = push(&world.stripe, &pro("Pro", "month = 3900")).await.unwrap();
    assert_eq!(actions(&changed), [("pro", Some("month"), Action::ReplacePrice)]);
    assert!(changed[0].detail.contains(&first.id) && changed[0].detail.contains("29.00 USD"), "{changed:?}");
    let second = world.price("tenantry_pro_month").await;
    assert_ne!(first.id, second.id);
    let retrieve =
        async |id: &str| world.stripe.client.get(&prices::Retrieve { id, expand: Vec::new() }).await.unwrap();
    let old = retrieve(&first.id).await;
    assert!(old.active && old.lookup_key.is_none(), "{old:?}");
    // Back again: not the first answer to the same wish, but a price that can be bought now.
    push(&world.stripe, &pro("Pro", "month = 2900")).await.unwrap();
    push(&world.stripe, &pro("Pro", "month = 3900")).await.unwrap();
    push(&world.stripe, &pro("Pro", "month = 2900")).await.unwrap();
    let now = world.price("tenantry_pro_month").await;
    assert_eq!((now.unit_amount, now.active), (Some(2900), true));
    assert_eq!(world.noted().await[0].2, now.id);
    // Archived by hand at Stripe: replaced, for the same amount.
    let archive = prices::Update { id: &now.id, active: Some(false), ..prices::Update::default() };
    world.stripe.client.post(&archive, &IdempotencyKey::new("archive").unwrap()).await.unwrap();
    let replaced = push(&world.stripe, &pro("Pro", "month = 2900")).await.unwrap();
    assert_eq!(actions(&replaced), [("pro", Some("month"), Action::ReplacePrice)]);
    let after = world.price("tenantry_pro_month").await;
    assert!(after.active && after.id != now.id);
    assert_eq!(push(&world.stripe, &pro("Pro", "month = 2900")).await.unwrap(), []);
}

#[tokio::test]
async fn names_follow_and_plans_that_leave_are_no_longer_sold() {
    let world = World::new().await;
    let full = pro("Pro", "month = 2900, year = 29000");
    push(&world.stripe, &full).await.unwrap();
    for name in ["Professional", "Pro", "Professional", "Pro", "Professional"] {
        let renamed = push(&world.stripe, &pro(name, "month = 2900, year = 29000")).await.unwrap();
        assert_eq!(actions(&renamed), [("pro", None, Action::UpdateProduct)]);
        assert_eq!(world.product("tenantry_pro").await.name.as_deref(), Some(name));
    }
    let monthly = pro("Professional", "month = 2900");
    let withdrawn = push(&world.stripe, &monthly).await.unwrap();
    assert_eq!(actions(&withdrawn), [("pro", Some("year"), Action::WithdrawPrice)]);
    assert!(world.price("tenantry_pro_year").await.active, "who pays it goes on");
    let without = catalog("");
    assert_eq!(differences(&world.stripe, &without).await.unwrap().len(), 2);
    let left = push(&world.stripe, &without).await.unwrap();
    assert_eq!(actions(&left), [("pro", None, Action::ArchiveProduct), ("pro", Some("month"), Action::WithdrawPrice)]);
    assert!(!world.product("tenantry_pro").await.active);
    assert!(world.price("tenantry_pro_month").await.active);
    assert_eq!(world.noted().await.len(), 1);
    assert_eq!(push(&world.stripe, &without).await.unwrap(), []);
    // And back.
    let back = push(&world.stripe, &full).await.unwrap();
    assert_eq!(
        actions(&back),
        [
            ("pro", None, Action::UpdateProduct),
            ("pro", Some("month"), Action::NotePrice),
            ("pro", Some("year"), Action::NotePrice),
        ]
    );
    assert_eq!(world.prices().await.len(), 3);
}

#[tokio::test]
async fn a_fresh_database_finds_what_is_there() {
    let world = World::new().await;
    let catalog = pro("Pro", "month = 2900, year = 29000");
    push(&world.stripe, &catalog).await.unwrap();
    let (stripe, _) = on_a_new_database(&world.sandbox).await;
    let noted = push(&stripe, &catalog).await.unwrap();
    assert_eq!(noted.len(), 3);
    assert!(noted.iter().all(|change| change.action == Action::NotePrice), "{noted:?}");
    assert_eq!(world.prices().await.len(), 3);
}

#[tokio::test]
async fn a_push_that_breaks_off_is_finished_by_the_next() {
    let world = World::new().await;
    let catalog = pro("Pro", "month = 2900, year = 29000");
    for path in ["/v1/products", "/v1/prices"] {
        for fault in [FaultRule::status(429, 1), FaultRule::lost_answer()] {
            world.sandbox.control().add_fault(fault.only("POST", path));
            let failed = push(&world.stripe, &catalog).await.unwrap_err().to_string();
            assert!(failed.starts_with("plan `"), "{failed}");
            assert!(!failed.contains(KEY), "{failed}");
        }
    }
    // Stripe keeps a failure of its own under the key of the request, whether or not it did what was asked for.
    for executed in [true, false] {
        let fault = FaultRule { executed, ..FaultRule::status(500, 1) };
        world.sandbox.control().add_fault(fault.only("POST", "/v1/prices"));
    }
    push(&world.stripe, &catalog).await.unwrap();
    assert!(world.sandbox.control().faults().is_empty());
    assert_eq!(push(&world.stripe, &catalog).await.unwrap(), []);
    assert_eq!((world.prices().await.len(), world.noted().await.len()), (3, 3));
}
