//! Webhooks in any order, twice, late, lost and found, handled by workers that run side by side and die: the rows and
//! the notices come out the same.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tenantry::billing::catalog_store;
use tenantry::billing::operations::Asked;
use tenantry::env::Env;
use tenantry::storage::StoreError;
use tenantry::storage::stripe::customers;
use tenantry::stripe_sync::{Stripe, catalog as pushed, events, inbox, sweep};
use tenantry::tenancy::{Actor, users};
use tenantry::{worker, write_tx};
use tenantry_sandbox::Switches;
use uuid::Uuid;

use super::dying::dying;
use super::world::{START, World, at, catalog, settings, stripe_of, wish};
use crate::support::TestDb;

/// What every order has to come to.
#[derive(Debug, Clone, PartialEq)]
struct End {
    current: Value,
    links: Vec<Value>,
    invoices: Vec<Value>,
    /// Kind, key and data.
    notices: BTreeMap<String, Value>,
}

/// Reads an end past everything that chance or the clock of a run decides.
async fn end_of(admin: &tokio_postgres::Client, tenant: Uuid) -> End {
    let rows = async |sql: &str| -> Vec<Value> {
        admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let current = "select to_jsonb(s) - 'id' - 'created_at' - 'updated_at' from tenantry.tenant_subscriptions s
                   where tenant_id = $1 and ended_at is null";
    let links = "select to_jsonb(l) - 'subscription_id' - 'created_at' - 'updated_at'
                 from tenantry.stripe_subscriptions l
                 join tenantry.tenant_subscriptions s on s.tenant_id = l.tenant_id and s.id = l.subscription_id
                 where l.tenant_id = $1 and s.ended_at is null";
    let invoices = "select to_jsonb(i) - 'id' - 'updated_at' from tenantry.invoices i
                    where tenant_id = $1 order by stripe_invoice_id";
    let notices = "select jsonb_build_array(kind || ' ' || dedupe_key, data) from tenantry.notifications
                   where tenant_id = $1";
    End {
        current: rows(current).await.remove(0),
        links: rows(links).await,
        invoices: rows(invoices).await,
        notices: rows(notices)
            .await
            .into_iter()
            .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone()))
            .collect(),
    }
}

/// A whole life, followed as it happens: trial, its end, renewal, upgrade, a payment that fails until access is narrowed,
/// recovery, downgrade, cancellation, the end, a new beginning, and another upgrade.
async fn live(world: &World) -> Uuid {
    world.heard.is_lost.store(true, Ordering::Relaxed);
    let user = world.user("ada@example.com").await;
    world.buy(user, "starter").await;
    world.advance("1mo 10d").await;
    world.done(user, &Asked::Upgrade(wish("scale", None), None)).await;
    world.use_card(user, "pm_card_chargeCustomerFail").await;
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "scale past_due month full");
    world.advance("2d").await;
    assert_eq!(world.standing(user).await, "scale past_due month fallback");
    world.use_card(user, "pm_card_visa").await;
    world.advance("4d").await;
    assert_eq!(world.standing(user).await, "scale active month full");
    world.done(user, &Asked::Downgrade(wish("pro", None))).await;
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "pro active month full");
    world.done(user, &Asked::Cancel).await;
    world.done(user, &Asked::Resume).await;
    world.advance("1d").await;
    world.done(user, &Asked::Cancel).await;
    world.advance("1mo").await;
    assert_eq!(world.standing(user).await, "free active month full");
    world.buy(user, "pro").await;
    world.advance("2d").await;
    world.done(user, &Asked::Upgrade(wish("scale", None), None)).await;
    world.advance("2d").await;
    assert_eq!(world.standing(user).await, "scale active month full");
    user
}

/// A database that never heard of anything but the tenant, its customer and the prices.
struct Fresh {
    test: TestDb,
    env: Env,
    stripe: Stripe,
    random: StdRng,
    /// Workers that died before they were done.
    died: usize,
}

impl Fresh {
    async fn new(world: &World, tenant: Uuid, customer: &str, seed: u64) -> Self {
        let test = TestDb::with_pool(4).await;
        let env = Env::manual(at(START), seed);
        let stripe = stripe_of(&test.db, &env, &world.sandbox.url(), settings());
        catalog_store::load(&test.db, &env, &catalog()).await.unwrap();
        pushed::push(&stripe, &catalog()).await.unwrap();
        users::ensure(&test.db, &env, Actor::System, tenant, Some("ada@example.com")).await.unwrap();
        env.clock.set(world.now());
        let now = env.clock.now();
        let noted: Result<bool, StoreError> =
            write_tx!(test.db, "test_customer", &[tenant], |tx| customers::insert(tx, tenant, customer, now).await);
        assert!(noted.unwrap());
        Self { test, env, stripe, random: StdRng::seed_from_u64(seed), died: 0 }
    }

    /// Delivers in an order of chance; `may_be_lost` says which events Stripe can still list.
    async fn deliver(&mut self, told: &[(String, Vec<u8>)], may_be_lost: impl Fn(&[u8]) -> bool) {
        let mut queue: Vec<&(String, Vec<u8>)> = Vec::new();
        for event in told {
            if self.random.random_bool(0.2) && may_be_lost(&event.1) {
                continue;
            }
            queue.push(event);
            if self.random.random_bool(0.3) {
                queue.push(event);
            }
        }
        queue.shuffle(&mut self.random);
        let mut queue = queue.into_iter().peekable();
        while queue.peek().is_some() {
            let burst = self.random.random_range(1..=60);
            self.receive(queue.by_ref().take(burst)).await;
            match self.random.random_range(0..5) {
                0 => {}
                1 => drop(events::handle_due(&self.stripe).await.unwrap()),
                2 => {
                    // More comes while the first worker has the customer in hand, and a second one wakes.
                    let more: Vec<_> = queue.by_ref().take(burst).collect();
                    let first = Box::pin(events::handle_due(&self.stripe));
                    let second = Box::pin(async {
                        self.receive(more.into_iter()).await;
                        events::handle_due(&self.stripe).await
                    });
                    let (one, two) = tokio::join!(first, second);
                    one.unwrap();
                    two.unwrap();
                }
                _ => self.crash().await,
            }
            self.env.clock.advance(SignedDuration::from_secs(self.random.random_range(0..=2)));
        }
    }

    async fn receive(&self, told: impl Iterator<Item = &(String, Vec<u8>)>) {
        for (signature, body) in told {
            inbox::receive(&self.stripe, signature, body, at(START)).await.unwrap();
        }
    }

    /// A worker that dies somewhere in its work, another one beside it, and (not always at once) the time until
    /// its leases are over.
    async fn crash(&mut self) {
        let polls = self.random.random_range(1..400);
        let dies = Box::pin(dying(polls, events::handle_due(&self.stripe)));
        let lived = if self.random.random_bool(0.3) {
            let (lived, beside) = tokio::join!(dies, Box::pin(events::handle_due(&self.stripe)));
            beside.unwrap();
            lived
        } else {
            dies.await
        };
        self.died += usize::from(lived.is_none());
        if self.random.random_bool(0.5) {
            self.env.clock.advance(SignedDuration::from_mins(3));
        }
    }

    /// Finds what was lost, and works until nothing waits.
    async fn settle(&self, end: Timestamp) {
        sweep::undelivered_events(&self.stripe).await.unwrap();
        let admin = self.test.admin_client().await;
        let waiting = "select count(*) from tenantry.stripe_events where state = 'pending'";
        while admin.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            worker::work_due(&self.stripe).await.unwrap();
            self.env.clock.advance(SignedDuration::from_secs(5));
        }
        assert!(self.env.clock.now() < end, "the runs take longer than what is left until they are compared");
        self.env.clock.set(end);
        worker::work_due(&self.stripe).await.unwrap();
        let dead = "select count(*) from tenantry.stripe_events where state = 'dead'";
        assert_eq!(admin.query_one(dead, &[]).await.unwrap().get::<_, i64>(0), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_of_events_comes_to_the_same() {
    const ORDERS: u64 = 32;
    let world = World::new().await;
    let tenant = live(&world).await;
    world.finish().await;
    let lived = end_of(&world.admin, tenant).await;
    let customer = world.customer(tenant).await;
    let told: Vec<(String, Vec<u8>)> = world.heard.events.lock().unwrap().values().cloned().collect();
    assert!(told.len() > 100, "a life of {} events", told.len());
    // Stripe lists events for thirty days.
    let oldest = world.now().checked_sub(SignedDuration::from_hours(24 * 28)).unwrap().as_second();
    let may_be_lost = |body: &[u8]| {
        let event: Value = serde_json::from_slice(body).unwrap();
        event["created"].as_i64().unwrap() > oldest
    };
    let end = world.later("12h");
    let ends: Vec<(u64, usize, End)> = futures::stream::iter(1..=ORDERS)
        .map(async |seed| {
            let mut fresh = Fresh::new(&world, tenant, &customer, seed).await;
            Box::pin(fresh.deliver(&told, may_be_lost)).await;
            fresh.settle(end).await;
            (seed, fresh.died, end_of(&fresh.test.admin_client().await, tenant).await)
        })
        .buffer_unordered(3)
        .collect()
        .await;
    let died: usize = ends.iter().map(|(_, died, _)| died).sum();
    assert!(died > 20, "{died} workers died");
    let (first, _, expected) = &ends[0];
    for (seed, _, end) in &ends {
        same(&expected.notices, &end.notices, &format!("orders {first} and {seed}"));
        assert_eq!(end, expected, "orders {first} and {seed}");
    }
    // And to what who followed it all along was told, but for what only they saw: that access was narrowed and restored.
    let mut followed = lived.notices.clone();
    followed.retain(|key, _| !key.starts_with("access_changed"));
    same(&followed, &expected.notices, "followed, and told afterwards");
    assert_eq!(lived.invoices, expected.invoices);
    assert_eq!(lived.links, expected.links);
    for name in ["plan_id", "status", "billing_interval", "current_period_start", "current_period_end", "access"] {
        assert_eq!(lived.current[name], expected.current[name], "{name}");
    }
    assert_eq!(lived.notices.len(), followed.len() + 2);
}

fn same(left: &BTreeMap<String, Value>, right: &BTreeMap<String, Value>, of: &str) {
    for (key, data) in left {
        assert_eq!(Some(data), right.get(key), "{of}: {key}");
    }
    for key in right.keys() {
        assert!(left.contains_key(key), "{of}: {key} is told once only");
    }
}

#[tokio::test]
async fn events_of_one_second_and_of_later_versions_come_to_the_same() {
    for switches in [
        Switches { paused: true, same_second: true, duplicate: true, reorder: true, ..Switches::default() },
        Switches { paused: true, later_version: true, reorder: true, ..Switches::default() },
    ] {
        let world = World::new().await;
        world.control.set_switches(switches.clone());
        let user = world.user("ada@example.com").await;
        world.buy(user, "pro").await;
        world.advance("5d").await;
        world.done(user, &Asked::Upgrade(wish("scale", None), None)).await;
        world.done(user, &Asked::Cancel).await;
        world.work().await;
        assert_eq!(world.standing(user).await, "scale active month full");
        assert_eq!(world.current(user).await["cancel_at"], "2026-02-15T10:00:00+00:00");
        world.delete(&format!("/v1/subscriptions/{}", world.subscription(user).await)).await;
        world.work().await;
        assert_eq!(world.standing(user).await, "free active month full");
        let told = world.notices(user).await;
        let count = |kind: &str| told.iter().filter(|one| *one == kind).count();
        assert_eq!(count("payment_succeeded"), 2, "{switches:?} {told:?}");
        assert_eq!(count("cancellation_scheduled"), 1, "{switches:?} {told:?}");
        assert_eq!(count("subscription_canceled"), 1, "{switches:?} {told:?}");
        // What a subscription was before stands in its events only, and those of the later version cannot be read.
        let changes = if switches.later_version { 0 } else { 2 };
        assert_eq!(count("plan_changed"), changes, "{switches:?} {told:?}");
        world.finish().await;
    }
}
