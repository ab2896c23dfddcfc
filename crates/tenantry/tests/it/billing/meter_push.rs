//! Meters, products of metrics and metered prices at Stripe, against the sandbox over HTTP.

use std::sync::Arc;

use serde_json::json;
use tenantry::billing::catalog_file;
use tenantry::stripe_sync::catalog::{Change, differences, metered, push};
use tenantry::stripe_sync::{OverageBilling, Settings, Stripe};
use tenantry_domain::plan::Catalog;
use tenantry_sandbox::FaultRule;
use tenantry_stripe::meters::{self, Meter};
use tenantry_stripe::prices::{self, Price};
use tenantry_stripe::{IdempotencyKey, products};

use super::catalog_push::{World, on_a_new_database};

/// `pro` by month and year with these overages of tokens, storage and jobs, and `archive` by the year only.
fn catalog(tokens: &str, storage: &str, jobs: &str) -> Catalog {
    let text = format!(
        r#"
        currency = "usd"
        [[plans]]
        id = "free"
        name = "Free"
        rank = 0
        default = true
        metrics.tokens = {{ included = 5, overage = {{ unit_price = "9" }} }}
        [[plans]]
        id = "pro"
        name = "Pro"
        rank = 10
        prices = {{ month = 2900, year = 29000 }}
        metrics.tokens = {{ included = 100, overage = {{ {tokens} }} }}
        metrics.storage = {{ included = 10, overage = {{ {storage} }} }}
        metrics.jobs = {{ included = 5, overage = {{ {jobs} }} }}
        metrics.calls = {{ included = 100 }}
        [[plans]]
        id = "archive"
        name = "Archive"
        rank = 20
        prices = {{ year = 9000 }}
        metrics.tokens = {{ included = 100, overage = {{ unit_price = "1" }} }}
        "#
    );
    catalog_file::parse(&text, "plans.toml").unwrap()
}

const TOKENS: &str = r#"unit_price = "0.25", per = 1000"#;
const STORAGE: &str =
    r#"mode = "graduated", per = 10, tiers = [{ up_to = 40, unit_price = "3" }, { unit_price = "1.5" }]"#;
const JOBS: &str = r#"mode = "package", per = 20, unit_price = "150.5""#;

fn by_meter(mut stripe: Stripe) -> Stripe {
    let settings = Settings { overage_billing: OverageBilling::Meter, ..(*stripe.settings).clone() };
    stripe.settings = Arc::new(settings);
    stripe
}

async fn world() -> World {
    let world = World::new().await;
    World { stripe: by_meter(world.stripe.clone()), ..world }
}

async fn meters(stripe: &Stripe) -> Vec<Meter> {
    stripe.client.all(&meters::List::default()).await.unwrap()
}

/// What is told of metrics: `metric action`.
fn told(changes: &[Change]) -> Vec<String> {
    let words = |change: &Change| Some(format!("{} {:?}", change.metric.as_deref()?, change.action));
    changes.iter().filter_map(words).collect()
}

async fn metered_price(world: &World, metric: &str) -> Price {
    let key = format!("tenantry-overage:pro:{metric}");
    let request = prices::List { lookup_keys: vec![&key], expand: vec!["data.tiers"], ..prices::List::default() };
    world.stripe.client.get(&request).await.unwrap().data.remove(0)
}

#[tokio::test]
async fn what_meters_need_is_made_once_and_says_what_the_plan_charges() {
    let world = world().await;
    let catalog = catalog(TOKENS, STORAGE, JOBS);
    let unmetered = metered::missing(&world.stripe, &catalog).await.unwrap();
    assert_eq!(unmetered, ["pro (jobs)", "pro (storage)", "pro (tokens)"]);
    let planned = differences(&world.stripe, &catalog).await.unwrap();
    assert!(meters(&world.stripe).await.is_empty() && world.prices().await.is_empty(), "a dry run made something");
    let done = push(&world.stripe, &catalog).await.unwrap();
    assert_eq!(told(&planned), told(&done));
    let metrics = ["jobs", "storage", "tokens"];
    let made = metrics.iter().flat_map(|metric| [format!("{metric} MakeMeter"), format!("{metric} MakeProduct")]);
    let expected: Vec<String> = made.chain(metrics.map(|metric| format!("{metric} MakePrice"))).collect();
    assert_eq!(told(&done), expected);
    assert_eq!(push(&world.stripe, &catalog).await.unwrap(), []);
    assert_eq!(differences(&world.stripe, &catalog).await.unwrap(), []);
    assert!(metered::missing(&world.stripe, &catalog).await.unwrap().is_empty());
    let names: Vec<String> = meters(&world.stripe).await.into_iter().map(|meter| meter.event_name).collect();
    assert_eq!(names, ["tenantry_overage_tokens", "tenantry_overage_storage", "tenantry_overage_jobs"]);

    let tokens = metered_price(&world, "tokens").await;
    assert_eq!((tokens.unit_amount, tokens.unit_amount_decimal.as_deref()), (None, Some("0.00025")));
    let every = tokens.recurring.unwrap();
    assert_eq!((every.interval.as_str(), every.meter.is_some()), ("month", true));
    let jobs = metered_price(&world, "jobs").await;
    assert_eq!(jobs.unit_amount_decimal.as_deref(), Some("150.5"));
    assert_eq!(jobs.raw["transform_quantity"], json!({ "divide_by": 20, "round": "up" }));
    let storage = metered_price(&world, "storage").await;
    let tiers: Vec<_> = storage.tiers.iter().map(|tier| (tier.up_to, tier.unit_amount_decimal.as_deref())).collect();
    assert_eq!(tiers, [(Some(40), Some("0.3")), (None, Some("0.15"))]);
    // No price of a metric is a plan's.
    let noted = world.admin.query("select plan_id from tenantry.stripe_prices", &[]).await.unwrap();
    assert_eq!(noted.len(), 3);
}

#[tokio::test]
async fn overage_by_items_makes_nothing_of_it() {
    let world = World::new().await;
    let done = push(&world.stripe, &catalog(TOKENS, STORAGE, JOBS)).await.unwrap();
    assert!(told(&done).is_empty() && meters(&world.stripe).await.is_empty());
    assert_eq!(world.prices().await.len(), 3);
}

#[tokio::test]
async fn changed_terms_are_a_new_price_and_what_is_the_same_in_other_words_is_not() {
    let world = world().await;
    push(&world.stripe, &catalog(TOKENS, STORAGE, JOBS)).await.unwrap();
    let first = metered_price(&world, "tokens").await;
    // A quarter for a thousand is a half for two thousand: the price says it already.
    let same = catalog(r#"unit_price = "0.5", per = 2000"#, STORAGE, JOBS);
    assert_eq!(push(&world.stripe, &same).await.unwrap(), []);
    assert!(metered::missing(&world.stripe, &same).await.unwrap().is_empty());
    assert_eq!(metered_price(&world, "tokens").await.id, first.id);
    for (catalog, metric) in [
        (catalog(r#"unit_price = "0.3", per = 1000"#, STORAGE, JOBS), "tokens"),
        (catalog(TOKENS, &STORAGE.replace("40", "50"), JOBS), "storage"),
        (catalog(TOKENS, &STORAGE.replace("graduated", "volume"), JOBS), "storage"),
        (catalog(TOKENS, STORAGE, &JOBS.replace("20", "21")), "jobs"),
        (catalog(TOKENS, STORAGE, r#"unit_price = "150.5""#), "jobs"),
    ] {
        push(&world.stripe, &self::catalog(TOKENS, STORAGE, JOBS)).await.unwrap();
        let before = metered_price(&world, metric).await.id;
        assert_eq!(told(&push(&world.stripe, &catalog).await.unwrap()), [format!("{metric} ReplacePrice")]);
        assert_ne!(metered_price(&world, metric).await.id, before);
        assert_eq!(push(&world.stripe, &catalog).await.unwrap(), []);
    }
    let old = world.stripe.client.get(&prices::Retrieve { id: &first.id, expand: Vec::new() }).await.unwrap();
    assert!(old.active && old.lookup_key.is_none(), "who has it keeps it");
}

#[tokio::test]
async fn what_stripe_cannot_express_is_named_before_anything_is_made() {
    let world = world().await;
    let third = catalog(r#"unit_price = "1", per = 3"#, STORAGE, JOBS);
    for refused in [differences(&world.stripe, &third).await, push(&world.stripe, &third).await] {
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with("plan `pro`, metric `tokens`: the overage cannot be expressed"), "{error}");
        assert!(error.contains("1 for 3"), "{error}");
    }
    // With the plan's own price there are twenty in a checkout, and no more.
    let with = |metrics: usize| {
        let metrics: Vec<String> = (0..metrics)
            .map(|n| format!("metrics.m{n:02} = {{ included = 1, overage = {{ unit_price = \"1\" }} }}"))
            .collect();
        let text = format!(
            "currency = \"usd\"\n[[plans]]\nid = \"free\"\nname = \"Free\"\nrank = 0\ndefault = true\n\
             [[plans]]\nid = \"pro\"\nname = \"Pro\"\nrank = 10\nprices = {{ month = 2900 }}\n{}",
            metrics.join("\n")
        );
        catalog_file::parse(&text, "plans.toml").unwrap()
    };
    let error = push(&world.stripe, &with(20)).await.unwrap_err().to_string();
    assert!(error.starts_with("plan `pro`, metric `m19`") && error.contains("room for 19"), "{error}");
    assert!(world.prices().await.is_empty() && meters(&world.stripe).await.is_empty());
    assert_eq!(differences(&world.stripe, &with(19)).await.map(|changes| !changes.is_empty()).ok(), Some(true));
}

#[tokio::test]
async fn pushes_at_once_and_those_that_break_off_make_nothing_twice() {
    let world = world().await;
    let catalog = catalog(TOKENS, STORAGE, JOBS);
    for path in ["/v1/billing/meters", "/v1/products", "/v1/prices"] {
        for fault in [FaultRule::status(429, 1), FaultRule::lost_answer()] {
            world.sandbox.control().add_fault(fault.only("POST", path));
            push(&world.stripe, &catalog).await.unwrap_err();
        }
    }
    let pushes = (0..4).map(|_| push(&world.stripe, &catalog));
    for pushed in futures::future::join_all(pushes).await {
        // Who finds another's request with the same key under way is told so.
        assert!(pushed.is_ok() || pushed.unwrap_err().to_string().contains("busy"));
    }
    push(&world.stripe, &catalog).await.unwrap();
    assert_eq!(push(&world.stripe, &catalog).await.unwrap(), []);
    assert_eq!((meters(&world.stripe).await.len(), world.prices().await.len()), (3, 6));
    // A fresh database finds what is there.
    let (stripe, _) = on_a_new_database(&world.sandbox).await;
    let noted = push(&by_meter(stripe.clone()), &catalog).await.unwrap();
    assert_eq!(told(&noted), ["jobs NotePrice", "storage NotePrice", "tokens NotePrice"]);
    assert_eq!((meters(&world.stripe).await.len(), world.prices().await.len()), (3, 6));
}

#[tokio::test]
async fn what_was_put_aside_by_hand_comes_back() {
    let world = world().await;
    let catalog = catalog(TOKENS, STORAGE, JOBS);
    push(&world.stripe, &catalog).await.unwrap();
    let key = |word: &str| IdempotencyKey::new(word).unwrap();
    let archive = products::Update {
        id: "tenantry-metric-tokens",
        active: Some(false),
        name: Some("Tokens"),
        ..products::Update::default()
    };
    world.stripe.client.post(&archive, &key("archive")).await.unwrap();
    assert_eq!(told(&push(&world.stripe, &catalog).await.unwrap()), ["tokens UpdateProduct"]);
    let product = world.product("tenantry-metric-tokens").await;
    assert_eq!((product.active, product.name.as_deref()), (true, Some("Tokens")), "its name is the account's");
    let price = metered_price(&world, "jobs").await.id;
    let archive = prices::Update { id: &price, active: Some(false), ..prices::Update::default() };
    world.stripe.client.post(&archive, &key("archive-price")).await.unwrap();
    assert_eq!(told(&push(&world.stripe, &catalog).await.unwrap()), ["jobs ReplacePrice"]);
    assert_eq!(push(&world.stripe, &catalog).await.unwrap(), []);
}
