//! Metrics that are no sums under spend caps, alerts, holds and previews: judged by what their figures really cost.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tenantry::tenancy::Actor;
use tenantry::usage::check::{Question, Verdict};
use tenantry::usage::event::{Content, NewEvent};
use tenantry::usage::holds::{HoldError, NewHold};
use tenantry::usage::spend::change::{self, On};
use tenantry_domain::plan::{Catalog, Plan};
use uuid::Uuid;

use super::naive::{Raw, due, raw};
use super::{AMOUNTS, METRICS, by, figures_world, some_event};
use crate::metering::world::{World, at, figures_catalog, quantity, word};

async fn cap(world: &World, tenant: Uuid, metric: Option<&str>, cents: Option<i64>) {
    let on = On { actor: Actor::System, tenant_id: tenant };
    match cents {
        Some(cents) => _ = change::set_cap(&world.db, &world.env, on, metric, cents).await.unwrap(),
        None => change::remove_cap(&world.db, &world.env, on, metric).await.unwrap(),
    }
}

/// Start, end and whether it is from before the tenant was here, of the period that contains an instant.
async fn period_at(world: &World, tenant: Uuid, at: Timestamp) -> Option<(Timestamp, Timestamp, bool)> {
    let sql = "select period_start, period_end, historic from tenantry.usage_periods
               where tenant_id = $1 and period_start <= $2 and period_end > $2";
    let row = world.admin.query_opt(sql, &[&tenant, &at]).await.unwrap()?;
    Some((row.get(0), row.get(1), row.get(2)))
}

/// What each metric of a period costs, by its events.
async fn costs(
    world: &World,
    tenant: Uuid,
    period: (Timestamp, Timestamp),
    events: &[Raw],
) -> BTreeMap<&'static str, i64> {
    let mut costs = BTreeMap::new();
    for (metric, aggregation) in METRICS {
        let own: Vec<&Raw> = events.iter().filter(|event| event.metric == metric && event.period == period.0).collect();
        costs.insert(metric, due(world, tenant, (metric, aggregation), period, &own).await);
    }
    costs
}

/// The events with one more, or with one less that stands.
fn with(events: &[Raw], event: &NewEvent, period: Timestamp, order: u128) -> Vec<Raw> {
    let mut events = events.to_vec();
    match &event.content {
        Content::Usage { metric, amount } => events.push(Raw {
            metric: metric.clone(),
            amount: amount.as_decimal(),
            at: event.occurred_at(),
            // Above every id that is there.
            id: Uuid::from_u128(u128::MAX - 1_000_000 + order),
            period,
            key: event.key.clone(),
            stands: true,
            who: event.metadata["who"].to_string(),
        }),
        Content::Reversal { reverses } => {
            events.iter_mut().filter(|known| known.key == *reverses).for_each(|known| known.stands = false);
        }
    }
    events
}

/// A cap that costs would pass.
fn passed(caps: &BTreeMap<Option<&'static str>, i64>, metric: &str, before: &BTreeMap<&str, i64>, after: i64) -> bool {
    let own = before[metric];
    let above = |cap: Option<&i64>, sum: i64| cap.is_some_and(|cap| sum > *cap);
    let own_cap = caps.iter().find(|(of, _)| **of == Some(metric)).map(|(_, cap)| cap);
    after > own && (above(own_cap, after) || above(caps.get(&None), before.values().sum::<i64>() - own + after))
}

/// Lives with plan changes, new anchors, late events, corrections and closings: a cap refuses what a naive reckoning says
/// that it must, and nothing else; and a preview says beforehand what becomes of each event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caps_refuse_what_a_naive_reckoning_says() {
    let world = figures_world().await;
    let mut seen: HashMap<String, u32> = HashMap::new();
    for seed in 300..318 {
        let mut random = StdRng::seed_from_u64(seed);
        let tenant = world.user().await;
        world.change_plan(tenant, ["free", "pro"][random.random_range(0..2)], world.now()).await;
        world.env.clock.advance(SignedDuration::from_hours(240));
        let mut sent: Vec<NewEvent> = Vec::new();
        let mut caps: BTreeMap<Option<&'static str>, i64> = BTreeMap::new();
        let most = random.random_range(3..25);
        cap(&world, tenant, None, Some(most)).await;
        caps.insert(None, most);
        for step in 0..40 {
            let plan = ["free", "pro"][random.random_range(0..2)];
            let from = world.now().checked_sub(SignedDuration::from_mins(random.random_range(0..9_000))).unwrap();
            match random.random_range(0..14) {
                0..=7 => {
                    let mut events = Vec::new();
                    for n in 0..random.random_range(1..7) {
                        let mut event = some_event(&world, &mut random, tenant, &sent, &format!("{step}-{n}"));
                        if event.timestamp.is_some() && sent.iter().all(|known| known.key != event.key) {
                            let most = [60, 9_000, 12_000][random.random_range(0..3)];
                            let back = random.random_range(0..most);
                            event.timestamp = world.now().checked_sub(SignedDuration::from_mins(back)).ok();
                        }
                        sent.push(event.clone());
                        events.push(event);
                    }
                    judge(&world, tenant, &events, &caps, &mut seen, &format!("seed {seed}, step {step}")).await;
                }
                8..=10 => world.change_plan(tenant, plan, from).await,
                11 => world.new_anchor(tenant, plan, from).await,
                12 => {
                    let metric = [None, Some("level"), Some("band"), Some("people"), Some("load")];
                    let metric = metric[random.random_range(0..5)];
                    let cents = [None, Some(0), Some(4), Some(12), Some(30)][random.random_range(0..5)];
                    if cents.is_some() || caps.contains_key(&metric) {
                        cap(&world, tenant, metric, cents).await;
                        caps.remove(&metric);
                        caps.extend(cents.map(|cents| (metric, cents)));
                    }
                }
                _ => {
                    world.env.clock.advance(SignedDuration::from_mins(random.random_range(1..14_000)));
                    world.work().await;
                }
            }
            super::compare(&world, tenant, &format!("seed {seed}, step {step}")).await;
        }
    }
    world.books_are_right().await;
    for (kind, least) in
        [("capped", 30), ("capped late", 4), ("costs more", 20), ("costs more late", 5), ("accepted", 300)]
    {
        assert!(seen.get(kind).is_some_and(|times| *times >= least), "{kind} hardly came up: {seen:?}");
    }
}

/// Records a batch, after it was previewed, and compares each answer with the naive reckoning.
async fn judge(
    world: &World,
    tenant: Uuid,
    events: &[NewEvent],
    caps: &BTreeMap<Option<&'static str>, i64>,
    seen: &mut HashMap<String, u32>,
    place: &str,
) {
    let preview = world.recorder.preview(Actor::System, events).await.unwrap();
    let mut known = raw(world, tenant).await;
    let words = world.record(events).await;
    assert_eq!(preview.outcomes.iter().map(word).collect::<Vec<_>>(), words, "{place}");
    let totals = world.totals(tenant).await;
    for told in preview.periods.iter().filter(|told| told.total[1].to_string() != "0") {
        assert!(totals.contains(&format!("{} {}", told.metric, told.total[1])), "{place}: {told:?} {totals:?}");
    }
    let mut count = |kind: &str| *seen.entry(kind.to_owned()).or_default() += 1;
    for (order, (event, word)) in events.iter().zip(&words).enumerate() {
        let kind = word.split(' ').next().unwrap();
        if kind != "accepted" && kind != "capped" {
            continue;
        }
        let (metric, at) = match &event.content {
            Content::Usage { metric, .. } => (metric.clone(), event.occurred_at()),
            Content::Reversal { reverses } => {
                let original = known.iter().find(|known| known.key == *reverses).unwrap();
                (original.metric.clone(), original.at)
            }
        };
        let (start, end, is_historic) = period_at(world, tenant, at).await.unwrap();
        let after = with(&known, event, start, order as u128);
        if !is_historic {
            let before = costs(world, tenant, (start, end), &known).await;
            let then = costs(world, tenant, (start, end), &after).await[metric.as_str()];
            let place = format!("{place}: {metric} {event:?} under {caps:?}, {before:?} then {then}");
            assert_eq!(kind == "capped", passed(caps, &metric, &before, then), "{place}");
            let sql = "select segment_start from tenantry.usage_counters
                       where tenant_id = $1 and metric = $2 and period_start = $3";
            let row = world.admin.query_one(sql, &[&tenant, &metric, &start]).await.unwrap();
            let late = if at < row.get::<_, Timestamp>(0) { " late" } else { "" };
            count(kind);
            if kind == "capped" {
                count(&format!("capped{late}"));
            } else if then > before[metric.as_str()] && !caps.is_empty() {
                count(&format!("costs more{late}"));
            }
        }
        if kind == "accepted" {
            known = after;
        }
    }
}

#[tokio::test]
async fn what_is_weighed_is_the_growth_of_the_figure() {
    let world = figures_world().await;
    let t = world.user().await;
    // Four are included, 3 cents each above: 12 cents are 8 of them.
    cap(&world, t, Some("level"), Some(12)).await;
    let level = |key: &str, amount: &str| world.event(t, key, "level", amount);
    assert_eq!(
        world.record(&[level("a", "8.5"), level("b", "8"), level("c", "8")]).await,
        ["capped 0", "accepted 8", "accepted 8"]
    );
    // What falls is always taken, also below a cap that came later.
    cap(&world, t, Some("level"), Some(0)).await;
    assert_eq!(
        world.record(&[level("d", "7"), level("e", "7.5"), level("f", "4")]).await,
        ["accepted 7", "capped 7", "accepted 4"]
    );
    let told = "select count(*) from tenantry.notifications where kind = 'usage_spend_capped'";
    assert_eq!(world.count(told).await, 2);
    // A value that is known costs nothing more.
    world.change_plan(t, "pro", world.now()).await;
    cap(&world, t, None, Some(7)).await;
    let people = |key: &str, who: &str| by(&world, t, (key, "people", "1"), who);
    let events =
        [people("1", "a"), people("2", "b"), people("3", "c"), people("4", "d"), people("5", "e"), people("6", "a")];
    let words = ["accepted 1", "accepted 2", "accepted 3", "accepted 4", "capped 4", "accepted 4"];
    assert_eq!(world.record(&events).await, words);
    world.books_are_right().await;
}

/// An older segment has another price: the period's figure stays what it is, and costs more all the same.
#[tokio::test]
async fn late_events_are_weighed_where_they_are_priced() {
    let world = figures_world().await;
    let t = world.user().await;
    let people = |key: &str, who: &str, when: &str| {
        let mut event = by(&world, t, (key, "people", "1"), who);
        event.timestamp = Some(at(when));
        event
    };
    world.change_plan(t, "pro", world.now()).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(t, "free", world.now()).await;
    let who = ["a", "b", "c", "d", "e"];
    let now: Vec<NewEvent> = who.iter().map(|who| people(who, who, "2026-03-20T00:00:00Z")).collect();
    assert_eq!(world.record(&now).await.last().unwrap(), "accepted 5");
    // Under `pro` three are included and each other costs 7 cents; under `free` none costs anything.
    cap(&world, t, None, Some(7)).await;
    let late: Vec<NewEvent> =
        who.iter().map(|who| people(&format!("late {who}"), who, "2026-03-17T00:00:00Z")).collect();
    let words = ["accepted 5", "accepted 5", "accepted 5", "accepted 5", "capped 5"];
    assert_eq!(world.record(&late).await, words);
    assert_eq!(world.record(&[world.reversal(t, "back", "late d")]).await, ["accepted 5"]);
    assert_eq!(world.record(&[people("again", "e", "2026-03-16T00:00:00Z")]).await, ["accepted 5"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn alerts_are_told_by_the_cost_of_the_figure() {
    let world = figures_world().await;
    let t = world.user().await;
    let on = On { actor: Actor::System, tenant_id: t };
    change::add_alert(&world.db, &world.env, on, (Some("level"), 12), None).await.unwrap();
    let told = "select count(*) from tenantry.notifications where kind = 'usage_spend_alert'";
    // Together they are more than that, but no sum is.
    for (key, amount) in [("a", "5"), ("b", "6"), ("c", "7.5")] {
        world.record(&[world.event(t, key, "level", amount)]).await;
    }
    assert_eq!(world.count(told).await, 0);
    world.record(&[world.event(t, "d", "level", "8")]).await;
    assert_eq!(world.count(told).await, 1);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_check_says_how_the_figure_would_grow_and_which_cap_refuses_that() {
    let world = figures_world().await;
    let t = world.user().await;
    let mut random = StdRng::seed_from_u64(11);
    let mut seen: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for n in 0..260 {
        if n % 9 == 0 {
            world.env.clock.advance(SignedDuration::from_mins(40));
        }
        if n == 120 {
            cap(&world, t, None, Some(40)).await;
        }
        let (metric, _) = METRICS[random.random_range(0..METRICS.len())];
        let amount = AMOUNTS[random.random_range(0..AMOUNTS.len())];
        let question = Question {
            actor: Actor::System,
            tenant_id: t,
            team_id: None,
            metric: metric.to_owned(),
            amount: quantity(amount),
            at: world.now(),
        };
        let verdict = world.recorder.standings(&[question]).await.unwrap().remove(0);
        let (said, outlook) = match verdict {
            Verdict::Standing(outlook) if outlook.admits(quantity(amount)) => ("accepted", outlook),
            Verdict::Standing(outlook) => ("refused", outlook),
            Verdict::Capped(outlook, _) => ("capped", outlook),
            other => panic!("{other:?}"),
        };
        let recorded = world.record(&[by(&world, t, (&n.to_string(), metric, amount), &format!("user {n}"))]).await;
        let total = if said == "accepted" {
            outlook.standing.total + outlook.growth(quantity(amount))
        } else {
            outlook.standing.total
        };
        assert_eq!(recorded[0], format!("{said} {total}"), "{metric} {amount}: {outlook:?}");
        *seen.entry((metric, said)).or_default() += 1;
    }
    for kind in
        [("level", "capped"), ("band", "capped"), ("band", "accepted"), ("load", "refused"), ("people", "refused")]
    {
        assert!(seen.contains_key(&kind), "{kind:?} did not come up: {seen:?}");
    }
}

#[tokio::test]
async fn only_sums_are_held() {
    let world = figures_world().await;
    let t = world.user().await;
    for (metric, aggregation) in METRICS {
        let hold = NewHold {
            tenant_id: t,
            team_id: None,
            metric: metric.to_owned(),
            amount: quantity("1"),
            lasts: SignedDuration::from_mins(5),
            user_id: None,
            metadata: serde_json::Map::new(),
        };
        // Also where an event would lack what is counted.
        match world.recorder.hold(Actor::System, &hold, None).await {
            Err(HoldError::NotSupported(found)) => assert_eq!(found, aggregation),
            other => panic!("{metric}: {other:?}"),
        }
    }
    assert_eq!(world.count("select count(*) from tenantry.usage_holds").await, 0);
}

/// Under volume prices less can cost more; a figure that falls is the truth all the same.
#[tokio::test]
async fn what_falls_is_taken_also_where_that_costs_more() {
    let volume = serde_json::json!({
        "mode": "volume", "per": 1, "tiers": [{ "up_to": "10", "unit_price": "5" }, { "unit_price": "2" }],
    });
    let base = figures_catalog();
    let plans = base.plans().iter().map(|plan| {
        let mut json = serde_json::to_value(plan).unwrap();
        json["metrics"]["level"]["overage"] = volume.clone();
        serde_json::from_value::<Plan>(json).unwrap()
    });
    let world = World::with(8, Catalog::new(plans.collect()).unwrap()).await;
    let t = world.user().await;
    cap(&world, t, None, Some(45)).await;
    let level = |key: &str, amount: &str| world.event(t, key, "level", amount);
    // 20 above what is included are 40 cents, 10 are 50, 9.5 are 47.5, and 23 are 46.
    let events = [level("a", "24"), level("b", "14"), level("c", "13.5"), level("d", "14"), level("e", "27")];
    let words = ["accepted 24", "accepted 14", "accepted 13.5", "capped 13.5", "accepted 27"];
    assert_eq!(world.record(&events).await, words);
    world.books_are_right().await;
}
