//! Plans that charge overage in three ways, and the price of usage in the tests' own arithmetic: from the raw list of
//! events, in integers, without a function of the product.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry::billing::catalog_store;
use tenantry::stripe_sync::{Settings, catalog as at_stripe};
use tenantry::tenancy::Actor;
use tenantry::usage::event::{Content, NewEvent};
use tenantry_domain::plan::Catalog;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::world::World;
use crate::metering::world::word;

/// `free` has a flat overage; `basic` and `plus` a flat, a graduated and a package one.
fn plans() -> Value {
    let free = json!({
        "id": "free", "name": "Free", "rank": 0, "default": true, "prices": null, "currency": "usd",
        "metrics": { "tokens": {
            "allowance": { "included": "50" },
            "overage": { "mode": "flat", "per": 1, "tiers": [{ "unit_price": "4" }] },
        } },
    });
    let metric = |included: &str, overage: Value| json!({ "allowance": { "included": included }, "overage": overage });
    let basic = json!({
        "id": "basic", "name": "Basic", "rank": 5, "prices": { "currency": "usd", "month": 2900 },
        "metrics": {
            "tokens": metric("100", json!({ "mode": "flat", "per": 1, "tiers": [{ "unit_price": "2.25" }] })),
            "storage": metric("10", json!({ "mode": "graduated", "per": 10, "tiers": [
                { "up_to": "40", "unit_price": "3" }, { "unit_price": "1.5" },
            ] })),
            "jobs": metric("5", json!({ "mode": "package", "per": 20, "tiers": [{ "unit_price": "150" }] })),
        },
    });
    let plus = json!({
        "id": "plus", "name": "Plus", "rank": 10, "prices": { "currency": "usd", "month": 9900 },
        "metrics": {
            "tokens": metric("150", json!({ "mode": "flat", "per": 1, "tiers": [{ "unit_price": "1.75" }] })),
            "storage": metric("20", json!({ "mode": "graduated", "per": 10, "tiers": [
                { "up_to": "100", "unit_price": "2" }, { "unit_price": "1" },
            ] })),
            "jobs": metric("10", json!({ "mode": "package", "per": 50, "tiers": [{ "unit_price": "300" }] })),
        },
    });
    let mut trial = basic.clone();
    trial["id"] = json!("tried");
    trial["rank"] = json!(7);
    trial["trial_days"] = json!(7);
    json!([free, basic, plus, trial])
}

/// These plans as a catalog.
pub(super) fn catalog_of_plans() -> Catalog {
    catalog_with(|_| {})
}

/// The same with a change.
pub(super) fn catalog_with(change: impl FnOnce(&mut Value)) -> Catalog {
    let mut plans = plans();
    change(&mut plans);
    Catalog::new(serde_json::from_value(plans).unwrap()).unwrap()
}

/// A world with these plans in the place of the usual ones.
pub(super) async fn metered(settings: Settings) -> World {
    let world = World::with(settings).await;
    let catalog = catalog_of_plans();
    catalog_store::load(&world.db, &world.env, &catalog).await.unwrap();
    at_stripe::push(&world.stripe, &catalog).await.unwrap();
    world
}

/// What `thousandths` of a total cost under a plan, in millionths of a cent.
fn cost(plan: &str, metric: &str, thousandths: i128) -> i128 {
    let above = |included: i128| (thousandths - included * 1000).max(0);
    // Rates are in hundredths of a cent; a thousandth of a unit at such a rate is 10 millionths of a cent.
    let flat = |above: i128, rate: i128| above * rate * 10;
    let graduated = |above: i128, edge: i128, first: i128, then: i128| {
        let low = above.min(edge * 1000);
        (flat(low, first) + flat(above - low, then)) / 10
    };
    let package = |above: i128, per: i128, cents: i128| (above + per * 1000 - 1) / (per * 1000) * cents * 1_000_000;
    match (plan, metric) {
        ("free", "tokens") => flat(above(50), 400),
        ("basic" | "tried", "tokens") => flat(above(100), 225),
        ("basic" | "tried", "storage") => graduated(above(10), 40, 300, 150),
        ("basic" | "tried", "jobs") => package(above(5), 20, 150),
        ("plus", "tokens") => flat(above(150), 175),
        ("plus", "storage") => graduated(above(20), 100, 200, 100),
        ("plus", "jobs") => package(above(10), 50, 300),
        _ => 0,
    }
}

/// Half to even, to whole cents.
fn round(millionths: i128) -> i128 {
    let (whole, rest) = (millionths.div_euclid(1_000_000), millionths.rem_euclid(1_000_000));
    whole + i128::from(rest > 500_000 || (rest == 500_000 && whole % 2 == 1))
}

/// Every event that was accepted: what it counts, how much in thousandths, and when.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<String, (String, i128, Timestamp)>);

impl Ledger {
    /// Records usage at an instant, and notes it.
    pub(super) async fn spend(&mut self, world: &World, tenant: Uuid, metric: &str, amount: &str, when: Timestamp) {
        let key = format!("{tenant} {}", self.0.len());
        let amount_of = Quantity::parse_amount(amount).unwrap();
        let content = Content::Usage { metric: metric.to_owned(), amount: amount_of };
        record(world, tenant, &key, content, Some(when)).await;
        let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
        let thousandths = format!("{whole}{part:0<3}").parse().unwrap();
        self.0.insert(key, (metric.to_owned(), thousandths, when));
    }

    /// Takes an event back by a correction, and forgets it; counted from 0.
    pub(super) async fn take_back(&mut self, world: &World, tenant: Uuid, number: usize) {
        let key = format!("{tenant} {number}");
        let content = Content::Reversal { reverses: key.clone() };
        record(world, tenant, &format!("back {key}"), content, None).await;
        // The amount goes, the place in the list stays.
        self.0.get_mut(&key).unwrap().1 = 0;
    }

    /// What the periods between these instants cost, in cents. `plans`: from when on which plan priced.
    pub(super) fn price(&self, bounds: &[Timestamp], plans: &[(Timestamp, &str)]) -> i64 {
        let mut sum = 0;
        for period in bounds.windows(2) {
            for metric in ["tokens", "storage", "jobs"] {
                sum += round(self.exact(metric, (period[0], period[1]), plans));
            }
        }
        i64::try_from(sum).unwrap()
    }

    fn exact(&self, metric: &str, (start, end): (Timestamp, Timestamp), plans: &[(Timestamp, &str)]) -> i128 {
        let until = |edge: Timestamp| -> i128 {
            let counts = |(of, _, when): &&(String, i128, Timestamp)| of == metric && *when >= start && *when < edge;
            self.0.values().filter(counts).map(|event| event.1).sum()
        };
        let mut millionths = 0;
        for (position, (from, plan)) in plans.iter().enumerate() {
            let to = plans.get(position + 1).map_or(Timestamp::MAX, |next| next.0);
            let (from, to) = ((*from).max(start), to.min(end));
            if from < to {
                millionths += cost(plan, metric, until(to)) - cost(plan, metric, until(from));
            }
        }
        millionths.max(0)
    }
}

async fn record(world: &World, tenant: Uuid, key: &str, content: Content, timestamp: Option<Timestamp>) {
    let event = NewEvent {
        team_id: None,
        tenant_id: tenant,
        key: key.to_owned(),
        content,
        timestamp,
        received_at: world.now(),
        user_id: None,
        metadata: serde_json::Map::new(),
    };
    let outcome = word(&world.recorder.record(Actor::System, &[event]).await.remove(0).unwrap());
    assert!(outcome.starts_with("accepted"), "{key}: {outcome}");
}

/// What became of a tenant's charges here: `metric sequence cents state target`, by period.
pub(super) async fn charges(world: &World, tenant: Uuid) -> Vec<String> {
    let sql = "select c.metric || ' ' || c.sequence || ' ' || c.charge_amount_cents || ' ' || c.state
                   || coalesce(' ' || i.target, '')
               from tenantry.overage_charges c
               left join tenantry.stripe_invoice_items i on i.tenant_id = c.tenant_id and i.charge_id = c.id
               where c.tenant_id = $1 order by c.billing_period_start, c.metric, c.sequence";
    world.texts(tenant, sql).await
}

/// The sum of a tenant's charges, in cents.
pub(super) async fn charged(world: &World, tenant: Uuid) -> i64 {
    let sql = "select coalesce(sum(charge_amount_cents), 0)::bigint from tenantry.overage_charges where tenant_id = $1";
    world.admin.query_one(sql, &[&tenant]).await.unwrap().get(0)
}

/// The items at Stripe that stand for a tenant's charges, oldest first.
pub(super) async fn items(world: &World, tenant: Uuid) -> Vec<Value> {
    let customer = world.customer(tenant).await;
    let mut items = world.list(&format!("/v1/invoiceitems?limit=100&customer={customer}")).await;
    items.retain(|item| item["metadata"]["charge_id"].is_string());
    items.reverse();
    items
}

/// The lines of a tenant's invoices that stand for charges: status of the invoice, charge, cents.
pub(super) async fn lines(world: &World, tenant: Uuid) -> Vec<(String, String, i64)> {
    let mut lines = Vec::new();
    for invoice in world.invoices(tenant).await {
        let id = invoice["id"].as_str().unwrap();
        for line in world.list(&format!("/v1/invoices/{id}/lines?limit=100")).await {
            if let Some(charge) = line["metadata"]["charge_id"].as_str() {
                let status = invoice["status"].as_str().unwrap().to_owned();
                lines.push((status, charge.to_owned(), line["amount"].as_i64().unwrap()));
            }
        }
    }
    lines
}

/// Whatever was owed is on invoices that are paid, each charge on one line, to the cent.
pub(super) async fn is_paid_once(world: &World, tenant: Uuid, expected: i64) {
    assert_eq!(charged(world, tenant).await, expected, "charges");
    let lines = lines(world, tenant).await;
    let mut seen: Vec<&str> = lines.iter().map(|line| line.1.as_str()).collect();
    seen.sort_unstable();
    let mut ours = world.texts(tenant, "select id::text from tenantry.overage_charges where tenant_id = $1").await;
    ours.sort_unstable();
    assert_eq!(seen, ours, "each charge is on one line");
    assert_eq!(lines.iter().map(|line| line.2).sum::<i64>(), expected, "lines");
    assert!(lines.iter().all(|line| line.0 == "paid"), "{lines:?}");
    let open = charges(world, tenant).await.into_iter().filter(|charge| !charge.contains(" billed ")).count();
    assert_eq!(open, 0, "charges that are not billed");
}
