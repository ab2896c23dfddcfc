//! Metrics that are no sums, reckoned from the rows of events: charges, explanations, other catalogs, months that leave.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tenantry::billing::catalog_store;
use tenantry::storage::StoreError;
use tenantry::usage::explain;
use tenantry::usage::groups::Selection;
use tenantry::usage::recompute::{Scope, recompute};
use tenantry::usage::report::{self, ReportError};
use tenantry::usage::retention::{Fate, Retention};
use tenantry::usage::simulate::{Line, Simulation, What, simulate};
use tenantry_domain::plan::Catalog;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::naive::{Raw, figure, hours, raw};
use super::{METRICS, by, figures_world, redefined, some_event};
use crate::metering::world::{LATE_WINDOW, World, at, figures_catalog};

async fn simulated(world: &World, catalog: &Catalog, month: &str) -> BTreeMap<(Uuid, String), Line> {
    let simulation = Simulation { catalog, renamed: &BTreeMap::new(), month: month.parse().unwrap(), tenant: None };
    let mut found = BTreeMap::new();
    simulate(&world.db, &simulation, |tenant, lines| -> Result<(), StoreError> {
        let lines = lines.into_iter().filter(|line| line.what == What::Overage);
        found.extend(lines.map(|line| ((tenant, line.metric.clone()), line)));
        Ok(())
    })
    .await
    .unwrap();
    found
}

/// Charges are the price of what the definitions make of the rows, over plan changes, anchors, corrections and late
/// events; explanations find the total of now; the present catalog comes to what was charged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_starts_from_raw_rows_comes_to_the_figures() {
    let world = figures_world().await;
    let mut tenants = Vec::new();
    for seed in 400..408 {
        let mut random = StdRng::seed_from_u64(seed);
        let tenant = world.user().await;
        tenants.push(tenant);
        let mut sent = Vec::new();
        for step in 0..24 {
            let plan = ["free", "pro"][random.random_range(0..2)];
            let from = world.now().checked_sub(SignedDuration::from_mins(random.random_range(0..30_000))).unwrap();
            match random.random_range(0..10) {
                0..=5 => {
                    let mut events = Vec::new();
                    for n in 0..random.random_range(1..25) {
                        let mut event = some_event(&world, &mut random, tenant, &sent, &format!("{step}-{n}"));
                        if event.timestamp.is_some()
                            && sent.iter().all(|known: &super::NewEvent| known.key != event.key)
                        {
                            let most = [60, 15_000, 40_000][random.random_range(0..3)];
                            let back = random.random_range(0..most);
                            event.timestamp = world.now().checked_sub(SignedDuration::from_mins(back)).ok();
                        }
                        sent.push(event.clone());
                        events.push(event);
                    }
                    world.record(&events).await;
                }
                6 => world.change_plan(tenant, plan, from).await,
                7 => world.new_anchor(tenant, plan, from).await,
                _ => {
                    world.env.clock.advance(SignedDuration::from_mins(random.random_range(1..25_000)));
                    world.work().await;
                }
            }
        }
    }
    let found = recompute(&world.db, Scope::Periods(None, None)).await.unwrap().unwrap();
    assert_eq!(found.differences, []);
    assert!(found.counters > 60 && found.archived.is_empty(), "{found:?}");
    explanations_have_the_figures(&world, &tenants).await;
    the_present_catalog_changes_nothing(&world).await;
}

/// Every explanation of a charge has the figure that its events make now.
async fn explanations_have_the_figures(world: &World, tenants: &[Uuid]) {
    let mut explained = 0;
    for tenant in tenants {
        let events = raw(world, *tenant).await;
        let sql = "select o.id, c.metric, c.aggregation, c.period_start, c.period_end from tenantry.overage_charges o
                   join tenantry.usage_counters c on c.tenant_id = o.tenant_id and c.metric = o.metric
                       and c.period_start = o.billing_period_start
                   where o.tenant_id = $1";
        for row in world.admin.query(sql, &[tenant]).await.unwrap() {
            let (metric, aggregation): (String, String) = (row.get(1), row.get(2));
            let own: Vec<&Raw> =
                events.iter().filter(|event| event.metric == metric && event.period == row.get(3)).collect();
            let total = figure(&aggregation, &own, hours(row.get(3), row.get(4)));
            let tx = world.db.read_as_service("test_explain", &[*tenant]).await.unwrap();
            let found = explain::explain(&tx, *tenant, row.get(0), 1000).await.unwrap().unwrap();
            tx.rollback().await.unwrap();
            assert!(found.holds, "{found:?}");
            assert_eq!(found.events.total, total, "{metric}: {found:?}");
            assert_eq!(found.since.total.map(Quantity::as_decimal), Some(total));
            explained += 1;
        }
    }
    assert!(explained > 15, "{explained}");
}

/// Under the present catalog every month costs what it was charged.
async fn the_present_catalog_changes_nothing(world: &World) {
    let mut compared = 0;
    for month in 3..=12 {
        for line in simulated(world, &figures_catalog(), &format!("2026-{month:02}")).await.into_values() {
            let found = line.simulated.as_ref().unwrap();
            // What was recorded under a limit and is above that of a later plan is told, and costs nothing there.
            if found.would_be_refused.to_string() == "0" {
                assert_eq!(found.minor, line.current_minor, "{line:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 30, "{compared}");
}

#[tokio::test]
async fn a_charge_that_sums_what_is_no_sum_is_found() {
    let world = figures_world().await;
    let t = world.user().await;
    let level = |key: &str, amount: &str| world.event(t, key, "level", amount);
    world.record(&[level("a", "9"), level("b", "6")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["level 0 6"]);
    let reckoned = async || recompute(&world.db, Scope::Periods(None, None)).await.unwrap().unwrap();
    assert_eq!(reckoned().await.differences, []);
    // The price of 15, which is their sum.
    let summed = "update tenantry.overage_charges set charge_amount_cents = 33";
    world.admin.batch_execute(summed).await.unwrap();
    let found = reckoned().await.differences;
    assert_eq!(found.len(), 1);
    assert!(found[0].detail.contains("charged 33, the price of 6 is 6"), "{}", found[0].detail);
}

#[tokio::test]
async fn another_catalog_may_count_in_another_way() {
    let world = figures_world().await;
    let t = world.user().await;
    let events = [("a", "9", "ada"), ("b", "6", "bea"), ("c", "2", "ada")];
    world.record(&events.map(|(key, amount, who)| by(&world, t, (key, "level", amount), who))).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(t, "pro", world.now()).await;
    world.record(&[by(&world, t, ("d", "level", "11"), "cy"), world.event(t, "e", "tokens", "60")]).await;
    world.record(&[world.event(t, "f", "tokens", "70")]).await;
    let level = async |aggregation: &str| {
        let definition = serde_json::json!({ "aggregation": aggregation });
        let changes = [("level", definition.clone()), ("tokens", definition)];
        let found = simulated(&world, &redefined(&changes), "2026-03").await;
        let of = |metric: &str| found[&(t, metric.to_owned())].simulated.as_ref().unwrap().minor;
        (of("level"), of("tokens"))
    };
    // `free` prices what is above 4 at 3 cents, `pro` what is above 7 at 1.5. Tokens: 80 are included in pro, 2.25 each.
    assert_eq!(level("last").await, (6, 0));
    assert_eq!(level("max").await, (15 + 3, 0));
    assert_eq!(level("sum").await, (39 + 17, 112));
    // What left is not made up.
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    let sql = "alter table tenantry.tenant_usage detach partition tenantry.tenant_usage_2026_03";
    world.admin.batch_execute(sql).await.unwrap();
    let found =
        simulated(&world, &redefined(&[("tokens", serde_json::json!({ "aggregation": "max" }))]), "2026-03").await;
    let gap = found[&(t, "tokens".to_owned())].simulated.as_ref().unwrap_err().to_string();
    assert_eq!(gap, "`tokens` is counted in another way in the catalog, and events of 2026-03 have left");
    assert_eq!(found[&(t, "level".to_owned())].simulated.as_ref().unwrap().minor, 6);
}

/// What became of a month.
async fn fate(world: &World, month: &str) -> String {
    let retention =
        Retention { lock_tries: 2, ..Retention::new(world.db.clone(), world.env.clone(), None, LATE_WINDOW) };
    let before = at("2026-06-01T00:00:00Z").to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m").to_string();
    let reports = retention.run(before.parse().unwrap()).await.unwrap();
    match reports.into_iter().find(|report| report.month.to_string() == month).map(|report| report.fate) {
        Some(Fate::Left { events, .. }) => format!("left {events}"),
        Some(Fate::Stays { reason }) => format!("stays: {reason}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_month_with_a_figure_stays_with_all_that_it_is_made_of() {
    let world = figures_world().await;
    let t = world.user().await;
    world.record(&METRICS.map(|(metric, _)| by(&world, t, (metric, metric, "6"), "ada"))).await;
    world.env.clock.set(at("2026-08-03T00:00:00Z"));
    world.work().await;
    let why = "stays: 5 of its counters are no sums, so that a late event could not be counted without the others";
    assert_eq!(fate(&world, "2026-03").await, why);
    // So a late word of it is still counted as if all of it were new.
    let late = [world.reversal(t, "back", "level"), world.event_at(t, "late", "seats", "2", "2026-03-16T00:00:00Z")];
    assert_eq!(world.record(&late).await, ["accepted 0", "accepted 6"]);
    assert_eq!(world.record(&[world.reversal(t, "less", "seats")]).await, ["accepted 2"]);
    super::compare(&world, t, "kept").await;
    world.books_are_right().await;
}

/// Months that were sums and left, of a metric that is a maximum since then.
#[tokio::test]
async fn what_left_while_it_was_a_sum_is_never_part_of_a_figure() {
    let world = figures_world().await;
    let sums = redefined(&[("seats", serde_json::json!({}))]);
    catalog_store::load(&world.db, &world.env, &sums).await.unwrap();
    let t = world.user().await;
    assert_eq!(
        world.record(&[world.event(t, "a", "seats", "4"), world.event(t, "b", "seats", "5")]).await,
        ["accepted 4", "accepted 9"]
    );
    catalog_store::load(&world.db, &world.env, &figures_catalog()).await.unwrap();
    world.env.clock.set(at("2026-08-03T00:00:00Z"));
    world.work().await;
    assert_eq!(fate(&world, "2026-03").await, "left 2");
    world.record(&[world.event(t, "c", "seats", "3")]).await;
    let total = async |from: &str, to: &str| {
        let tx = world.db.read_as_service("test", &[t]).await.unwrap();
        let span = (Some(at(from)), Some(at(to)));
        let whole = report::report(&tx, (t, None), span, Selection::default(), world.now()).await;
        let whole = whole.map(|found| found.usage["seats"].total);
        let one = report::total(&tx, (t, None), "seats", span, world.now()).await.map(|found| found.total);
        tx.rollback().await.unwrap();
        let shown = |found: Result<Quantity, ReportError>| match found {
            Ok(total) => total.to_string(),
            Err(error) => error.to_string(),
        };
        let (whole, one) = (shown(whole), shown(one));
        assert_eq!(whole, one, "{from}");
        one
    };
    assert_eq!(
        total("2026-03-01T00:00:00Z", "2026-09-01T00:00:00Z").await,
        "seats is no sum, and events of it from before 2026-04-01T00:00:00Z have left: ask from then on, or for one period"
    );
    assert_eq!(total("2026-04-01T00:00:00Z", "2026-09-01T00:00:00Z").await, "3");
    // The period itself has its sum, also where its events are gone.
    assert_eq!(total("2026-03-15T12:00:00Z", "2026-04-15T12:00:00Z").await, "9");
    world.books_are_right().await;
    // Late words of the month that left: a counter that is opened now counts as the catalog says, and keeps its events.
    let late = |key: &str, metric: &str, amount: &str| world.event_at(t, key, metric, amount, "2026-03-16T00:00:00Z");
    assert_eq!(
        world.record(&[late("d", "seats", "1"), late("e", "level", "9"), world.reversal(t, "r", "a")]).await,
        ["accepted 10", "accepted 9", "event_archived"]
    );
    assert_eq!(world.record(&[world.reversal(t, "s", "e")]).await, ["accepted 0"]);
    assert!(fate(&world, "2026-03").await.starts_with("stays: 1 of its counters are no sums"));
    world.books_are_right().await;
}
