//! Metrics that are no sums: what each figure is, in every answer and in the end, against a reckoning from raw events.

mod money;
mod naive;
mod raw_rows;

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rust_decimal::Decimal;
use tenantry::billing::catalog_store;
use tenantry::storage::ReadScope;
use tenantry::tenancy::Actor;
use tenantry::usage::check::{Checks, Question, Verdict};
use tenantry::usage::event::{Content, NewEvent};
use tenantry::usage::groups::Selection;
use tenantry::usage::ingest::{GroupSettings, Recorder};
use tenantry::usage::report;
use tenantry_domain::plan::{Catalog, Plan};
use uuid::Uuid;

use self::naive::{Raw, compare, figure, hours, raw};
use super::world::{LATE_WINDOW, World, at, figures_catalog, quantity, word};

const METRICS: [(&str, &str); 5] =
    [("seats", "max"), ("level", "last"), ("people", "unique:who"), ("load", "peak"), ("band", "percentile:99:60")];
const AMOUNTS: [&str; 7] = ["1", "2.5", "4", "7", "9.75", "11", "0.000000001"];

async fn figures_world() -> World {
    World::with(12, figures_catalog()).await
}

/// The catalog with other definitions of some metrics.
fn redefined(changes: &[(&str, serde_json::Value)]) -> Catalog {
    let base = figures_catalog();
    let plans = base.plans().iter().map(|plan| {
        let mut json = serde_json::to_value(plan).unwrap();
        for (metric, definition) in changes {
            if let Some(terms) = json["metrics"].get_mut(*metric) {
                terms["definition"] = definition.clone();
            }
        }
        serde_json::from_value::<Plan>(json).unwrap()
    });
    Catalog::new(plans.collect()).unwrap()
}

/// An event with a value in the field that `people` counts.
fn by(world: &World, tenant: Uuid, (key, metric, amount): (&str, &str, &str), who: &str) -> NewEvent {
    let mut event = world.event(tenant, key, metric, amount);
    event.metadata.insert("who".to_owned(), who.into());
    event
}

#[tokio::test]
async fn each_aggregation_is_what_its_definition_says() {
    let world = figures_world().await;
    let t = world.user().await;
    world.env.clock.set(at("2026-03-16T12:00:00Z"));
    let on = |key: &str, metric: &str, amount: &str, when: &str| world.event_at(t, key, metric, amount, when);
    // The largest amount, also where it comes late.
    let seats = [on("s1", "seats", "4", "2026-03-15T14:00:00Z"), on("s2", "seats", "9", "2026-03-15T13:00:00Z")];
    assert_eq!(world.record(&seats).await, ["accepted 4", "accepted 9"]);
    assert_eq!(world.record(&[on("s3", "seats", "10.5", "2026-03-16T11:00:00Z")]).await, ["refused 9"]);
    // The latest amount; of one instant the one recorded last, in one call and over two.
    let level = |key: &str, amount: &str, hour: &str| on(key, "level", amount, &format!("2026-03-16T{hour}:00:00Z"));
    assert_eq!(world.record(&[level("l1", "5", "08"), level("l2", "3", "07")]).await, ["accepted 5", "accepted 5"]);
    assert_eq!(world.record(&[level("l3", "2", "08"), level("l4", "6", "08")]).await, ["accepted 2", "accepted 6"]);
    assert_eq!(world.record(&[level("l5", "1", "08")]).await, ["accepted 1"]);
    assert_eq!(
        world.record(&[world.reversal(t, "l6", "l5"), world.reversal(t, "l7", "l4")]).await,
        ["accepted 6", "accepted 2"]
    );
    // Values, whatever the amounts; the limit of five is for values.
    let who = ["ada", "bea", "ada", "cy", "dot", "eve"];
    let events: Vec<NewEvent> =
        who.iter().enumerate().map(|(n, who)| by(&world, t, (&format!("p{n}"), "people", "3"), who)).collect();
    assert_eq!(
        world.record(&events).await,
        ["accepted 1", "accepted 2", "accepted 2", "accepted 3", "accepted 4", "accepted 5"]
    );
    assert_eq!(world.record(&[by(&world, t, ("p6", "people", "1"), "fay")]).await, ["refused 5"]);
    assert_eq!(world.record(&[by(&world, t, ("p7", "people", "1"), "eve")]).await, ["accepted 5"]);
    assert_eq!(world.record(&[world.event(t, "p8", "people", "1")]).await, ["metadata_field_required"]);
    // The value leaves with the last event that has it.
    assert_eq!(world.record(&[world.reversal(t, "r1", "p0")]).await, ["accepted 5"]);
    assert_eq!(world.record(&[world.reversal(t, "r2", "p2")]).await, ["accepted 4"]);
    // The highest hour.
    let load = |key: &str, amount: &str, minute: &str| on(key, "load", amount, &format!("2026-03-16T{minute}:00Z"));
    let events =
        [load("h1", "12", "08:10"), load("h2", "7", "09:59"), load("h3", "6", "08:59"), load("h4", "3", "08:00")];
    assert_eq!(world.record(&events).await, ["accepted 12", "accepted 12", "accepted 18", "refused 18"]);
    assert_eq!(world.record(&[world.reversal(t, "h5", "h3")]).await, ["accepted 12"]);
    // 744 hours, of which 737 make the percentile: the seven highest are free.
    for hour in 0..9 {
        let event = on(&format!("b{hour}"), "band", "5", &format!("2026-03-16T{hour:02}:30:00Z"));
        assert_eq!(world.record(&[event]).await, [if hour < 7 { "accepted 0" } else { "accepted 5" }]);
    }
    assert!(compare(&world, t, "definitions").await == 5);
    world.books_are_right().await;
}

/// What a naive recorder would say: it keeps all events and computes everything from them, each time.
struct Reckoning {
    events: Vec<(String, Raw)>,
    period: (Timestamp, Timestamp),
    limits: HashMap<String, Decimal>,
}

impl Reckoning {
    fn value(&self, metric: &str) -> Decimal {
        let aggregation = METRICS.iter().find(|known| known.0 == metric).unwrap().1;
        let own: Vec<&Raw> =
            self.events.iter().map(|(_, event)| event).filter(|event| event.metric == metric).collect();
        figure(aggregation, &own, hours(self.period.0, self.period.1))
    }

    fn record(&mut self, event: &NewEvent) -> String {
        if let Some((_, known)) = self.events.iter().find(|(key, _)| *key == event.key) {
            // Keys are used again for the same content only.
            return format!("duplicate {}", self.value(&known.metric).normalize());
        }
        match &event.content {
            Content::Usage { metric, amount } => {
                let raw = Raw {
                    metric: metric.clone(),
                    amount: amount.as_decimal(),
                    at: event.occurred_at(),
                    // In order of arrival.
                    id: Uuid::from_u128(self.events.len() as u128),
                    period: self.period.0,
                    key: event.key.clone(),
                    stands: true,
                    who: event.metadata.get("who").unwrap().to_string(),
                };
                let before = self.value(metric);
                self.events.push((event.key.clone(), raw.clone()));
                let after = self.value(metric);
                if let Some(limit) = self.limits.get(metric) {
                    let own = self
                        .events
                        .iter()
                        .map(|(_, event)| event)
                        .filter(|event| event.metric == *metric && event.stands);
                    let hour = |event: &Raw| event.at.as_second().div_euclid(3600);
                    let in_hour: Decimal =
                        own.filter(|other| hour(other) == hour(&raw)).map(|event| event.amount).sum();
                    let judged = match metric.as_str() {
                        "seats" => raw.amount,
                        "load" => in_hour,
                        _ if after > before => after,
                        _ => Decimal::ZERO,
                    };
                    if judged > *limit {
                        self.events.pop();
                        return format!("refused {}", before.normalize());
                    }
                }
                format!("accepted {}", after.normalize())
            }
            Content::Reversal { reverses } => {
                let Some((_, original)) = self.events.iter_mut().find(|(key, _)| key == reverses) else {
                    return "unknown_key".to_owned();
                };
                if original.amount.is_sign_negative() {
                    return "reversal_of_reversal".to_owned();
                }
                if !original.stands {
                    return "already_reversed".to_owned();
                }
                original.stands = false;
                let raw = Raw { amount: -original.amount, stands: false, ..original.clone() };
                let metric = raw.metric.clone();
                self.events.push((event.key.clone(), raw));
                format!("accepted {}", self.value(&metric).normalize())
            }
        }
    }
}

/// An event at one of few instants, so that slots and ties come up; often again, or a correction of an earlier one.
fn some_event(world: &World, random: &mut StdRng, tenant: Uuid, sent: &[NewEvent], key: &str) -> NewEvent {
    let known = (!sent.is_empty()).then(|| &sent[random.random_range(0..sent.len())]);
    match (random.random_range(0..10), known) {
        (0, Some(known)) => return known.clone(),
        (1..=3, Some(known)) => return world.reversal(tenant, key, &known.key),
        _ => {}
    }
    let metric = METRICS[random.random_range(0..METRICS.len())].0;
    let amount = AMOUNTS[random.random_range(0..AMOUNTS.len())];
    let who = ["ada", "bea", "cy", "dot", "eve", "fay", "a \"long\" name\n"][random.random_range(0..7)];
    let mut event = by(world, tenant, (key, metric, amount), who);
    let who = match random.random_range(0..20) {
        0..=1 => Some(serde_json::json!(random.random_range(0..3))),
        2 => Some(serde_json::json!([1e21, 1.5e-7, -0.0][random.random_range(0..3)])),
        3 => Some("long".repeat(random.random_range(40..43)).into()),
        _ => None,
    };
    event.metadata.extend(who.map(|who| ("who".to_owned(), who)));
    // What is decided for the second time must be given the same instant.
    let minutes = random.random_range(0..13) * 37;
    event.timestamp = world.now().checked_sub(SignedDuration::from_mins(minutes)).ok();
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_what_a_naive_reckoning_says() {
    let world = figures_world().await;
    let mut seen: HashMap<String, u32> = HashMap::new();
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        world.env.clock.advance(SignedDuration::from_hours(1));
        let tenant = world.user().await;
        let began = world.now();
        world.env.clock.advance(SignedDuration::from_hours(20));
        let limits = [("seats", 10), ("people", 5), ("load", 20)];
        let mut reckoning = Reckoning {
            events: Vec::new(),
            period: (
                began,
                began.to_zoned(jiff::tz::TimeZone::UTC).checked_add(jiff::Span::new().months(1)).unwrap().timestamp(),
            ),
            limits: limits.map(|(metric, limit)| (metric.to_owned(), Decimal::from(limit))).into(),
        };
        let mut sent: Vec<NewEvent> = Vec::new();
        for call in 0..12 {
            let mut events = Vec::new();
            for n in 0..random.random_range(1..20) {
                let event = some_event(&world, &mut random, tenant, &sent, &format!("{call}-{n}"));
                sent.push(event.clone());
                events.push(event);
            }
            let expected: Vec<String> = events.iter().map(|event| reckoning.record(event)).collect();
            let found = world.record(&events).await;
            assert_eq!(found, expected, "seed {seed}, call {call}: {events:#?}");
            for word in found {
                *seen.entry(word.split(' ').next().unwrap().to_owned()).or_default() += 1;
            }
        }
        compare(&world, tenant, &format!("seed {seed}")).await;
    }
    world.books_are_right().await;
    for kind in ["accepted", "duplicate", "refused", "unknown_key", "already_reversed", "reversal_of_reversal"] {
        assert!(seen.get(kind).is_some_and(|times| *times > 5), "{kind} hardly came up: {seen:?}");
    }
}

/// Plan changes, anchors, closings and late events, of now and of the past.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lives_end_with_the_figures_of_their_events() {
    let world = figures_world().await;
    let mut compared = 0;
    for seed in 100..116 {
        let mut random = StdRng::seed_from_u64(seed);
        let tenant = world.user().await;
        let mut sent: Vec<NewEvent> = Vec::new();
        for step in 0..26 {
            let plan = ["free", "pro"][random.random_range(0..2)];
            let back = random.random_range(0..50_000);
            let from = world.now().checked_sub(SignedDuration::from_mins(back)).unwrap();
            match random.random_range(0..10) {
                0..=4 => {
                    let mut events = Vec::new();
                    for n in 0..random.random_range(1..40) {
                        let mut event = some_event(&world, &mut random, tenant, &sent, &format!("{step}-{n}"));
                        if event.timestamp.is_some() && sent.iter().all(|known| known.key != event.key) {
                            let most = [60, 20_000, 60_000][random.random_range(0..3)];
                            let back = random.random_range(0..most);
                            event.timestamp = world.now().checked_sub(SignedDuration::from_mins(back)).ok();
                        }
                        sent.push(event.clone());
                        events.push(event);
                    }
                    world.record(&events).await;
                }
                5..=6 => world.change_plan(tenant, plan, from).await,
                7 => world.new_anchor(tenant, plan, from).await,
                _ => {
                    world.env.clock.advance(SignedDuration::from_mins(random.random_range(1..25_000)));
                    world.work().await;
                }
            }
            compared += compare(&world, tenant, &format!("seed {seed}, step {step}")).await;
        }
    }
    assert!(compared > 1000, "hardly anything was compared: {compared}");
    world.books_are_right().await;
    let adjusted = "select count(*) from tenantry.overage_charges where sequence > 0 and metric in ('level', 'people', 'load', 'band')";
    let adjusted = world.count(adjusted).await;
    assert!(adjusted > 10, "closed periods were hardly adjusted: {adjusted}");
}

/// Several tasks over two recorders: no limit is passed, and the figures are those of the events that were taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_never_passed_by_calls_at_once() {
    let world = figures_world().await;
    let other = Recorder::new(world.db.clone(), world.env.clone(), GroupSettings { late_window: LATE_WINDOW });
    for seed in 200..206 {
        let mut random = StdRng::seed_from_u64(seed);
        let tenants = [world.user().await, world.user().await];
        // So that all events lie in one period.
        world.env.clock.advance(SignedDuration::from_hours(20));
        let mut calls: Vec<Vec<NewEvent>> = vec![Vec::new(); 8];
        let mut sent: Vec<NewEvent> = Vec::new();
        for n in 0..120 {
            let tenant = tenants[random.random_range(0..2)];
            let own: Vec<NewEvent> = sent.iter().filter(|event| event.tenant_id == tenant).cloned().collect();
            let event = some_event(&world, &mut random, tenant, &own, &format!("{seed}-{n}"));
            sent.push(event.clone());
            for call in &mut calls {
                if random.random_bool(0.3) {
                    call.push(event.clone());
                }
            }
        }
        let answers = futures::future::join_all(calls.iter().enumerate().map(|(n, events)| {
            let recorder = if n % 2 == 0 { &world.recorder } else { &other };
            recorder.record(Actor::System, events)
        }))
        .await;
        let mut accepted: HashMap<(Uuid, &str), u32> = HashMap::new();
        for (event, answer) in calls.iter().flatten().zip(answers.into_iter().flatten()) {
            let outcome = answer.unwrap();
            if word(&outcome).starts_with("accepted") {
                *accepted.entry((event.tenant_id, &event.key)).or_default() += 1;
            }
        }
        assert!(accepted.len() > 30 && accepted.values().all(|times| *times == 1), "{accepted:?}");
        for tenant in tenants {
            compare(&world, tenant, &format!("seed {seed}")).await;
            let events = raw(&world, tenant).await;
            let of = |metric: &str| {
                events
                    .iter()
                    .filter(|event| event.metric == metric && !event.amount.is_sign_negative())
                    .collect::<Vec<_>>()
            };
            assert!(of("seats").iter().all(|event| event.amount <= Decimal::from(10)));
            assert_eq!(events.iter().map(|event| event.period).collect::<BTreeSet<_>>().len(), 1);
            assert!(figure("unique:who", &of("people"), 744) <= Decimal::from(5));
            assert!(figure("peak", &of("load"), 744) <= Decimal::from(20));
        }
    }
    world.books_are_right().await;
}

#[tokio::test]
async fn a_running_counter_keeps_how_it_began_to_count() {
    let world = figures_world().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "seats", "4"), world.event(t, "b", "calls", "2")]).await;
    let max = serde_json::json!({ "aggregation": "max" });
    let edited = redefined(&[("seats", serde_json::json!({})), ("calls", max)]);
    catalog_store::load(&world.db, &world.env, &edited).await.unwrap();
    let more = [world.event(t, "c", "seats", "3"), world.event(t, "d", "calls", "1")];
    assert_eq!(world.record(&more).await, ["accepted 4", "accepted 3"]);
    // A period that is cut in two goes on counting as it did.
    world.env.clock.set(at("2026-03-25T12:00:00Z"));
    world.record(&[world.event(t, "e", "seats", "2"), world.event(t, "f", "calls", "7")]).await;
    world.new_anchor(t, "free", at("2026-03-20T00:00:00Z")).await;
    assert_eq!(world.totals(t).await, ["calls 3", "seats 4", "calls 7", "seats 2"]);
    world.env.clock.set(at("2026-04-21T00:00:00Z"));
    world.work().await;
    let next = ["g", "h"].map(|key| world.event(t, key, "seats", "3"));
    assert_eq!(world.record(&next).await, ["accepted 3", "accepted 6"]);
    let next = ["i", "j"].map(|key| world.event(t, key, "calls", "3"));
    assert_eq!(world.record(&next).await, ["accepted 3", "accepted 3"]);
    world.books_are_right().await;
}

/// An event counts once for ever, and who sends it again learns so, whatever it says of itself the second time.
#[tokio::test]
async fn what_counted_is_a_duplicate_also_without_the_field() {
    let world = figures_world().await;
    let t = world.user().await;
    assert_eq!(world.record(&[by(&world, t, ("a", "people", "1"), "ada")]).await, ["accepted 1"]);
    let bare = ["a", "b"].map(|key| world.event(t, key, "people", "1"));
    assert_eq!(world.record(&bare).await, ["duplicate 1", "metadata_field_required"]);
    world.books_are_right().await;
}

/// Events of a time when their metric was a sum say anything under the name that is counted now.
#[tokio::test]
async fn what_is_no_value_is_none_in_a_span_that_begins_with_sums() {
    let world = figures_world().await;
    let t = world.user().await;
    let values = serde_json::json!(["ada", null, ["ada"], { "a": 1 }, 7, "7", true]);
    for (number, value) in values.as_array().unwrap().iter().enumerate() {
        let mut event = world.event(t, &format!("e{number}"), "calls", "1");
        event.metadata.insert("who".to_owned(), value.clone());
        assert_eq!(world.record(&[event]).await, [format!("accepted {}", number + 1)]);
    }
    let edited = redefined(&[("calls", serde_json::json!({ "aggregation": "unique:who" }))]);
    catalog_store::load(&world.db, &world.env, &edited).await.unwrap();
    world.env.clock.set(at("2026-04-21T00:00:00Z"));
    world.work().await;
    assert_eq!(world.record(&[by(&world, t, ("next", "calls", "1"), "cy")]).await, ["accepted 1"]);
    let scope = ReadScope { user_id: Some(t), key_id: None, tenant_id: Some(t) };
    let tx = world.db.read("test", scope).await.unwrap();
    let span = (Some(at("2026-03-01T00:00:00Z")), Some(at("2026-05-01T00:00:00Z")));
    let found = report::total(&tx, (t, None), "calls", span, world.now()).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!((found.total, found.count), (quantity("5"), 8));
}

/// A plan that does not name a metric takes nothing of it, also a value that is known and a slot that is free; and what
/// is opened under it counts as the plan to come does.
#[tokio::test]
async fn a_plan_without_the_metric_takes_nothing() {
    let full = figures_catalog();
    let bare = full.plans().iter().map(|plan| {
        let mut json = serde_json::to_value(plan).unwrap();
        if plan.id.as_str() == "free" {
            let metrics = json["metrics"].as_object_mut().unwrap();
            metrics.retain(|metric, _| METRICS.iter().all(|(name, _)| name != metric));
        }
        serde_json::from_value::<Plan>(json).unwrap()
    });
    let world = World::with(8, Catalog::new(bare.collect()).unwrap()).await;
    let t = world.user().await;
    let events = |run: &str| METRICS.map(|(metric, _)| by(&world, t, (&format!("{metric} {run}"), metric, "4"), "ada"));
    let nothing = ["not in plan 0"; 5];
    assert_eq!(world.record(&events("a")).await, nothing);
    world.change_plan(t, "pro", world.now()).await;
    assert_eq!(
        world.record(&events("b")).await,
        ["accepted 4", "accepted 4", "accepted 1", "accepted 4", "accepted 0"]
    );
    world.change_plan(t, "free", world.now()).await;
    let refused = ["not in plan 4", "not in plan 4", "not in plan 1", "not in plan 4", "not in plan 0"];
    assert_eq!(world.record(&events("c")).await, refused);
    let checks = Checks::start(&world.recorder, 100, 1);
    for (metric, _) in METRICS {
        let (actor, metric, amount) = (Actor::User(t), metric.to_owned(), quantity("1"));
        let question = Question { actor, tenant_id: t, team_id: None, metric, amount, at: world.now() };
        let Verdict::Standing(outlook) = checks.ask(question).await.unwrap() else { panic!("forbidden") };
        assert!(!outlook.admits(amount), "{outlook:?}");
    }
    world.books_are_right().await;
}

#[tokio::test]
async fn the_last_amount_is_priced_once_by_the_last_segment() {
    let world = figures_world().await;
    let t = world.user().await;
    let level = |key: &str, amount: &str| world.event(t, key, "level", amount);
    world.record(&[level("a", "20")]).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(t, "pro", world.now()).await;
    world.record(&[level("b", "9")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    // 9 - 7 included, at 1.5: what it was before costs nothing any more.
    assert_eq!(world.charges(t).await, ["level 0 3"]);
    // It falls, and rises, in a closed period.
    world.record(&[world.event_at(t, "c", "level", "8", "2026-03-21T00:00:00Z")]).await;
    world.record(&[world.event_at(t, "d", "level", "11", "2026-03-21T00:00:00Z")]).await;
    assert_eq!(world.charges(t).await, ["level 0 3", "level 1 -1", "level 2 4"]);
    compare(&world, t, "last").await;
    world.books_are_right().await;
}

#[tokio::test]
async fn reports_have_the_figure_of_the_span() {
    let world = figures_world().await;
    let t = world.user().await;
    world.env.clock.set(at("2026-03-18T00:00:00Z"));
    let events: Vec<NewEvent> =
        [("15T13", "9", "ada"), ("16T13", "3", "bea"), ("17T13", "5", "ada"), ("17T14", "4", "cy")]
            .iter()
            .flat_map(|(when, amount, who)| {
                METRICS.map(|(metric, _)| {
                    let mut event = by(&world, t, (&format!("{metric} {when}"), metric, amount), who);
                    event.timestamp = Some(at(&format!("2026-03-{when}:30:00Z")));
                    event.user_id = Some(t);
                    event
                })
            })
            .collect();
    assert!(world.record(&events).await.iter().all(|word| word.starts_with("accepted")));
    world.record(&[world.reversal(t, "r", "seats 15T13")]).await;
    let read = async |from: Option<&str>, to: Option<&str>, only: Option<Uuid>| {
        let scope = ReadScope { user_id: Some(t), key_id: None, tenant_id: Some(t) };
        let tx = world.db.read("test", scope).await.unwrap();
        let span = (from.map(at), to.map(at));
        let whole = report::report(&tx, (t, only), span, Selection::default(), world.now()).await.unwrap();
        let mut told = Vec::new();
        for (metric, _) in METRICS {
            let one = report::total(&tx, (t, only), metric, span, world.now()).await.unwrap();
            let in_report = whole.usage.get(metric).map(|used| (used.total, used.count, used.aggregation.clone()));
            assert_eq!(Some((one.total, one.count, one.aggregation)), in_report, "{metric}");
            told.push(format!("{metric} {}", one.total));
            let by_user = whole.usage[metric].by_user.iter().map(|(user, figure)| (*user, *figure)).collect::<Vec<_>>();
            assert_eq!(by_user, only.map(|user| (Some(user), one.total)).into_iter().collect::<Vec<_>>());
        }
        tx.rollback().await.unwrap();
        told
    };
    assert_eq!(read(None, None, None).await, ["seats 5", "level 4", "people 3", "load 9", "band 0"]);
    let two_days = (Some("2026-03-16T00:00:00Z"), Some("2026-03-17T14:00:00Z"));
    assert_eq!(read(two_days.0, two_days.1, None).await, ["seats 5", "level 5", "people 2", "load 5", "band 5"]);
    assert_eq!(read(two_days.0, two_days.1, Some(t)).await, ["seats 5", "level 5", "people 2", "load 5", "band 5"]);
    let other = world.user().await;
    let tx = world.db.read_as_service("test", &[t]).await.unwrap();
    let nothing = report::report(&tx, (t, Some(other)), (None, None), Selection::default(), world.now()).await.unwrap();
    assert!(nothing.usage.is_empty());
    let limits: Vec<String> =
        nothing.current.limits.iter().map(|(name, limit)| format!("{name} {}", limit.aggregation)).collect();
    assert!(
        limits.contains(&"band percentile:99:60".to_owned()) && limits.contains(&"calls sum".to_owned()),
        "{limits:?}"
    );
}

#[tokio::test]
async fn a_check_says_what_the_recording_will_do() {
    let world = figures_world().await;
    let t = world.user().await;
    let checks = Checks::start(&world.recorder, 100, 2);
    let mut random = StdRng::seed_from_u64(7);
    let mut said = BTreeSet::new();
    for n in 0..150 {
        if n % 10 == 0 {
            world.env.clock.advance(SignedDuration::from_mins(20));
        }
        let (metric, _) = METRICS[random.random_range(0..METRICS.len())];
        let amount = AMOUNTS[random.random_range(0..AMOUNTS.len())];
        let question = Question {
            actor: Actor::User(t),
            tenant_id: t,
            team_id: None,
            metric: metric.to_owned(),
            amount: quantity(amount),
            at: world.now(),
        };
        let Verdict::Standing(outlook) = checks.ask(question).await.unwrap() else { panic!("forbidden") };
        let allowed = outlook.admits(quantity(amount));
        // A value that nobody has: for such a one a check speaks.
        let event = by(&world, t, (&n.to_string(), metric, amount), &format!("user {n}"));
        let recorded = world.record(&[event]).await;
        assert_eq!(recorded[0].starts_with("accepted"), allowed, "{metric} {amount}: {recorded:?} {outlook:?}");
        said.insert((metric, allowed));
    }
    assert_eq!(said.len(), 8, "seats, people and load are both taken and refused: {said:?}");
}
