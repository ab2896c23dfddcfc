//! Sums of days and of dimensions: whatever is read of them, at whatever moment, is the sum of the events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tenantry::billing::catalog_store;
use tenantry::storage::{Database, Login, Query, ReadScope, Tx};
use tenantry::tenancy::Actor;
use tenantry::usage::event::NewEvent;
use tenantry::usage::groups::{GroupBy, Selection};
use tenantry::usage::ingest::{GroupSettings, Recorder};
use tenantry::usage::report::{self, ReportError};
use tenantry::usage::retention::Retention;
use tenantry::usage::rollups::{self, Portions, Round};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::world::{LATE_WINDOW, World, at, catalog, with_dimensions};

mod fast_way;
mod no_sums;

/// Metric, key, sum, number of events.
type Sums = Vec<(String, Option<String>, String, i64)>;

/// Sums of the events themselves; $4 is what they are grouped by.
static NAIVE: Query = Query {
    name: "test::NAIVE",
    login: Login::Service,
    sql: "select u.metric,
                 case $4::text when 'day' then to_char(u.occurred_at at time zone 'UTC', 'YYYY-MM-DD')
                               when 'user' then u.user_id::text
                               when 'metric' then u.metric
                               else nullif(left(coalesce(o.metadata, u.metadata) ->> $4, 128), '') end as key,
                 trim_scale(sum(u.amount))::text, count(*)
          from tenantry.tenant_usage u
          left join tenantry.tenant_usage o on o.tenant_id = u.tenant_id and o.idempotency_key = u.reverses
          where u.tenant_id = $1 and u.occurred_at >= $2 and u.occurred_at < $3
            and ($4 in ('day', 'user', 'metric') or u.metric = 'tokens')
          group by 1, 2 order by 1, 2",
};

const GROUPS: [&str; 5] = ["day", "user", "metric", "model", "region"];

/// Small, so that little usage takes many steps.
const SMALL: Portions = Portions { sums: 7, events: 5 };

impl World {
    /// Brings all sums up to date in steps of this size; how many rounds of one step that took.
    pub(super) async fn keep_up(&self, portions: Portions) -> usize {
        let (mut round, mut steps) = (Round::default(), 1);
        while !rollups::keep_up(&self.db, &self.env, &mut round, (portions, 1)).await.unwrap() {
            steps += 1;
        }
        steps
    }

    async fn declare(&self, dimensions: serde_json::Value) {
        let catalog = with_dimensions(catalog(), &dimensions);
        catalog_store::load(&self.db, &self.env, &catalog).await.unwrap();
    }

    async fn folded(&self, tenant: Uuid) -> Vec<String> {
        let sql = "select metric || ' ' || to_char(folded_until at time zone 'UTC', 'MM-DD HH24')
                   from tenantry.usage_counters where tenant_id = $1 order by period_start, metric";
        self.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn report(&self, tenant: Uuid, span: (&str, &str), group: &str) -> Result<Sums, ReportError> {
        let scope = ReadScope { user_id: Some(tenant), key_id: None, tenant_id: Some(tenant) };
        let tx = self.db.read("test", scope).await.unwrap();
        let found = reported(&tx, tenant, (at(span.0), at(span.1)), group, self.now()).await;
        tx.rollback().await.unwrap();
        found
    }

    /// Every report of a span is the sum of its events, for whoever reads it.
    async fn reports_are_sums(&self, tenant: Uuid, spans: &[(&str, &str)]) {
        for span in spans {
            for group in GROUPS {
                let tx = self.db.read_as_service("test", &[tenant]).await.unwrap();
                let summed = naive(&tx, tenant, (at(span.0), at(span.1)), group).await;
                tx.rollback().await.unwrap();
                assert_eq!(self.report(tenant, *span, group).await.unwrap(), summed, "{span:?} by {group}");
            }
        }
    }
}

async fn reported(
    tx: &Tx,
    tenant: Uuid,
    (from, to): (Timestamp, Timestamp),
    group: &str,
    now: Timestamp,
) -> Result<Sums, ReportError> {
    let group: GroupBy = group.parse().unwrap();
    let selection = Selection { metric: None, group_by: Some(&group) };
    let found = report::report(tx, (tenant, None), (Some(from), Some(to)), selection, now).await?;
    let groups = found.groups.unwrap();
    // What the report has of users besides adds up to the same.
    for (metric, used) in &found.usage {
        let own: Vec<_> = groups.iter().filter(|group| group.metric == *metric).collect();
        if !own.is_empty() {
            assert_eq!(own.iter().map(|group| group.count).sum::<i64>(), used.count, "{metric}");
            assert_eq!(own.iter().map(|group| group.total).sum::<tenantry_domain::quantity::Quantity>(), used.total);
        }
    }
    let mut sums: Sums =
        groups.into_iter().map(|group| (group.metric, group.key, group.total.to_string(), group.count)).collect();
    // As the database orders them: what has no key comes last.
    sums.sort_by_key(|(metric, key, ..)| (metric.clone(), key.is_none(), key.clone()));
    Ok(sums)
}

async fn naive(tx: &Tx, tenant: Uuid, (from, to): (Timestamp, Timestamp), group: &str) -> Sums {
    let rows = tx.rows(&NAIVE, &[&tenant, &from, &to, &group]).await.unwrap();
    let mut sums: Sums = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    sums.sort_by_key(|(metric, key, ..)| (metric.clone(), key.is_none(), key.clone()));
    sums
}

/// Spans of the tests' month: whole, odd at both ends, within a day, over the boundary of two periods.
const SPANS: &[(&str, &str)] = &[
    ("2026-03-15T12:00:00Z", "2026-04-15T12:00:00Z"),
    ("2026-03-15T00:00:00Z", "2026-04-20T00:00:00Z"),
    ("2026-03-16T05:00:00Z", "2026-03-28T17:00:00Z"),
    ("2026-03-17T00:00:00Z", "2026-03-19T00:00:00Z"),
    ("2026-03-18T03:00:00Z", "2026-03-18T21:00:00Z"),
    ("2026-03-18T23:00:00Z", "2026-03-19T01:00:00Z"),
    ("2026-03-10T00:00:00Z", "2026-03-15T12:00:00Z"),
    ("2026-03-10T07:00:00Z", "2026-03-16T00:00:00Z"),
];

/// Usage of three days before and many after the beginning of the tenant's first period.
fn some_usage(world: &World, tenant: Uuid, name: &str, random: &mut StdRng, until_hours: i64) -> Vec<NewEvent> {
    let users = [None, Some(tenant)];
    (0..60)
        .map(|n| {
            let when = at("2026-03-12T00:00:00Z")
                .checked_add(SignedDuration::from_mins(random.random_range(0..until_hours * 60)))
                .unwrap();
            let metric = ["tokens", "tokens", "bytes"][random.random_range(0..3_usize)];
            let amount = ["1", "0.5", "12.000000001"][random.random_range(0..3_usize)];
            let mut event = world.event_at(tenant, &format!("{name}{n}"), metric, amount, &when.to_string());
            event.user_id = users[random.random_range(0..2_usize)];
            event.metadata = described(random);
            event
        })
        .collect()
}

fn described(random: &mut StdRng) -> serde_json::Map<String, serde_json::Value> {
    let values = [json!("small"), json!("large"), json!(""), json!(null), json!(7), json!(1.50), json!(true)];
    let mut metadata = serde_json::Map::new();
    for name in ["model", "region"] {
        if random.random_bool(0.8) {
            metadata.insert(name.to_owned(), values[random.random_range(0..values.len())].clone());
        }
    }
    metadata
}

#[tokio::test]
async fn folded_or_not_a_report_is_the_sum_of_its_events() {
    let world = World::new().await;
    let t = world.user().await;
    let mut random = StdRng::seed_from_u64(1);
    world.env.clock.set(at("2026-03-22T10:30:00Z"));
    let events = some_usage(&world, t, "a", &mut random, 10 * 24);
    assert!(world.record(&events).await.iter().all(|word| word.starts_with("accepted")));
    world.reports_are_sums(t, SPANS).await;
    world.keep_up(Portions { sums: 0, ..SMALL }).await;
    assert!(world.folded(t).await.iter().all(|counter| counter.ends_with("01-01 00")), "nothing was to be folded yet");
    // Hours are folded a few at a time, up to the last quarter of a day, in both periods; reports are right in between.
    assert!(world.keep_up(SMALL).await > 8);
    world.reports_are_sums(t, SPANS).await;
    assert!(world.folded(t).await.iter().all(|counter| counter.ends_with("03-22 06")), "{:?}", world.folded(t).await);
    assert_eq!(world.keep_up(SMALL).await, 1, "nothing is left to do");
    assert_eq!(world.count("select count(*) from tenantry.usage_dimensions where not settled").await, 0);
    // What comes late goes into hours and days, by the fast way and under locks; what is corrected leaves both.
    let late = some_usage(&world, t, "b", &mut random, 9 * 24);
    assert!(world.record(&late).await.iter().all(|word| word.starts_with("accepted")));
    world.reports_are_sums(t, SPANS).await;
    let corrections: Vec<_> =
        (0..40).map(|n| world.reversal(t, &format!("r{n}"), &format!("{}{n}", ["a", "b"][n % 2]))).collect();
    assert!(world.record(&corrections).await.iter().all(|word| word.starts_with("accepted")));
    // An event and its correction in one group, whose own metadata says something else.
    let mut pair = vec![world.event_at(t, "p", "tokens", "5", "2026-03-17T10:00:00Z"), world.reversal(t, "q", "p")];
    for (event, model) in pair.iter_mut().zip(["small", "large"]) {
        event.metadata.insert("model".to_owned(), json!(model));
    }
    assert!(world.record(&pair).await.iter().all(|word| word.starts_with("accepted")));
    world.reports_are_sums(t, SPANS).await;
    world.books_are_right().await;
    assert!(world.folded(t).await.iter().all(|counter| counter.ends_with("03-22 06")), "nothing was unfolded");
    // The next days are folded in their turn.
    world.env.clock.set(at("2026-03-25T00:06:00Z"));
    world.keep_up(Portions::default()).await;
    assert!(world.folded(t).await.iter().any(|counter| counter.ends_with("03-25 00")));
    world.reports_are_sums(t, SPANS).await;
    world.books_are_right().await;
}

#[tokio::test]
async fn events_that_move_to_another_period_move_in_all_sums() {
    let world = World::new().await;
    let t = world.user().await;
    let mut random = StdRng::seed_from_u64(2);
    world.env.clock.set(at("2026-03-22T10:30:00Z"));
    world.record(&some_usage(&world, t, "a", &mut random, 10 * 24)).await;
    world.keep_up(Portions::default()).await;
    for anchor in ["2026-03-18T09:20:00Z", "2026-03-20T00:00:00Z", "2026-03-16T23:00:00Z"] {
        world.new_anchor(t, "pro", at(anchor)).await;
        world.reports_are_sums(t, SPANS).await;
        world.books_are_right().await;
        world.record(&some_usage(&world, t, anchor, &mut random, 10 * 24)).await;
        world.reports_are_sums(t, &[("2026-03-10T00:00:00Z", anchor), (anchor, "2026-04-20T00:00:00Z")]).await;
        world.books_are_right().await;
        world.keep_up(SMALL).await;
        world.reports_are_sums(t, SPANS).await;
        world.books_are_right().await;
    }
}

#[tokio::test]
async fn a_dimension_that_is_declared_later_is_summed_from_the_first_event_on() {
    let world = World::new().await;
    let t = world.user().await;
    let mut random = StdRng::seed_from_u64(3);
    world.declare(json!({})).await;
    world.env.clock.set(at("2026-03-22T10:30:00Z"));
    world.record(&some_usage(&world, t, "a", &mut random, 10 * 24)).await;
    world.record(&(0..10).map(|n| world.reversal(t, &format!("r{n}"), &format!("a{n}"))).collect::<Vec<_>>()).await;
    world.keep_up(Portions::default()).await;
    let whole = ("2026-03-10T00:00:00Z", "2026-04-20T00:00:00Z");
    let refused = world.report(t, whole, "model").await.unwrap_err();
    assert!(matches!(refused, ReportError::Undeclared(_)), "{refused}");
    world.declare(json!({ "tokens": ["region", "model"] })).await;
    let refused = world.report(t, whole, "model").await.unwrap_err();
    assert!(matches!(refused, ReportError::NotSummed { since: None, .. }), "{refused}");
    // Step by step, from the newest event back; what is recorded meanwhile is summed where it belongs.
    let (mut round, mut steps, mut spans) = (Round::default(), 0, BTreeSet::new());
    while !rollups::keep_up(&world.db, &world.env, &mut round, (SMALL, 1)).await.unwrap() {
        steps += 1;
        let late = some_usage(&world, t, &format!("s{steps}-"), &mut random, 10 * 24);
        world.record(&late[..2]).await;
        match world.report(t, whole, "model").await {
            Err(ReportError::NotSummed { since: Some(since), .. }) => {
                let since = since.to_string();
                world.reports_are_sums(t, &[(&since, whole.1)]).await;
                spans.insert(since);
            }
            Err(ReportError::NotSummed { since: None, .. }) => {}
            other => assert!(other.is_ok(), "{other:?}"),
        }
        world.books_are_right().await;
    }
    assert!(spans.len() > 1, "{spans:?}");
    world.reports_are_sums(t, SPANS).await;
    assert_eq!(world.count("select count(*) from tenantry.usage_dimensions where not settled").await, 0);
    // Another list is summed anew; none forgets.
    world.declare(json!({ "tokens": ["model"] })).await;
    world.keep_up(SMALL).await;
    let by_model = world.report(t, whole, "model").await.unwrap();
    assert!(matches!(world.report(t, whole, "region").await, Err(ReportError::Undeclared(_))));
    world.books_are_right().await;
    // A counter that is opened under the new list has it from its first event on.
    let fresh = world.user().await;
    world.record(&[world.event(fresh, "x", "tokens", "1")]).await;
    assert_eq!(world.report(fresh, whole, "model").await.unwrap(), [("tokens".to_owned(), None, "1".to_owned(), 1)]);
    assert_eq!(world.report(t, whole, "model").await.unwrap(), by_model);
    world.declare(json!({})).await;
    world.keep_up(SMALL).await;
    let left = "select count(*) from tenantry.usage_dimension_rollups";
    assert_eq!(world.count(left).await + world.count(&left.replace("rollups", "day_rollups")).await, 0);
    world.books_are_right().await;
}

/// While the worker takes them away, sums of a dimension that is not declared any more are in no report.
#[tokio::test]
async fn a_dimension_that_was_removed_is_in_no_groups() {
    let world = World::new().await;
    let t = world.user().await;
    world.declare(json!({ "tokens": ["model"], "calls": ["model"] })).await;
    world.record(&[world.event(t, "a", "tokens", "1"), world.event(t, "b", "calls", "2")]).await;
    let whole = ("2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z");
    let of = |metric: &str, sum: &str| (metric.to_owned(), None, sum.to_owned(), 1);
    assert_eq!(world.report(t, whole, "model").await.unwrap(), [of("calls", "2"), of("tokens", "1")]);
    world.declare(json!({ "tokens": ["model"] })).await;
    assert_eq!(world.report(t, whole, "model").await.unwrap(), [of("tokens", "1")]);
}

/// More counters than are looked at in one go, of tenants that are.
#[tokio::test]
async fn a_round_leaves_no_counter_out() {
    let world = World::new().await;
    for number in 0..130 {
        let t = world.user().await;
        world.record(&[world.event(t, &format!("k{number}"), "tokens", "1")]).await;
    }
    world.env.clock.set(world.now() + SignedDuration::from_hours(30));
    let unfolded = "select count(*) from tenantry.usage_counters where folded_until < '2026-01-01'";
    assert_eq!(world.count(unfolded).await, 130);
    let (mut round, portions) = (Round::default(), Portions::default());
    while !rollups::keep_up(&world.db, &world.env, &mut round, (portions, 1000)).await.unwrap() {}
    assert_eq!(world.count(unfolded).await, 0);
}

#[tokio::test]
async fn events_that_are_gone_cannot_be_summed_and_nobody_says_so() {
    let world = World::new().await;
    let t = world.user().await;
    world.declare(json!({})).await;
    for (n, day) in ["16", "18", "20"].into_iter().enumerate() {
        world.env.clock.set(at(&format!("2026-03-{day}T10:30:00Z")));
        world.record(&[world.event(t, &format!("k{n}"), "tokens", "1")]).await;
    }
    world.declare(json!({ "tokens": ["model"] })).await;
    world.admin.execute("delete from tenantry.tenant_usage where occurred_at < '2026-03-19'", &[]).await.unwrap();
    world.keep_up(Portions { sums: 100, events: 1 }).await;
    let end = "2026-04-15T12:00:00Z";
    let refused = world.report(t, ("2026-03-15T12:00:00Z", end), "model").await.unwrap_err();
    let ReportError::NotSummed { since: Some(since), .. } = refused else { panic!("{refused}") };
    assert_eq!(since, at("2026-03-20T10:00:00Z"));
    world.record(&[world.event(t, "k3", "tokens", "2")]).await;
    let found = world.report(t, (&since.to_string(), end), "model").await.unwrap();
    assert_eq!(found, [("tokens".to_owned(), None, "3".to_owned(), 2)]);
    assert_eq!(world.keep_up(SMALL).await, 1, "it is not tried for ever");
}

/// Once a month has left, its events can be summed no more: what was summed before stays, and is proven by the sums of
/// users.
#[tokio::test]
async fn sums_of_months_that_left_stay_what_they_are() {
    let world = World::new().await;
    let t = world.user().await;
    let mut random = StdRng::seed_from_u64(4);
    world.env.clock.set(at("2026-03-22T10:30:00Z"));
    world.record(&some_usage(&world, t, "a", &mut random, 10 * 24)).await;
    world.record(&[world.reversal(t, "r", "a7")]).await;
    world.env.clock.set(at("2026-08-03T00:00:00Z"));
    world.work().await;
    world.keep_up(Portions::default()).await;
    let mut before = Vec::new();
    for group in GROUPS {
        for span in SPANS {
            before.push(world.report(t, *span, group).await.unwrap());
        }
    }
    let retention = Retention::new(world.db.clone(), world.env.clone(), None, LATE_WINDOW);
    retention.run("2026-05".parse().unwrap()).await.unwrap();
    assert_eq!(world.count("select count(*) from tenantry.tenant_usage").await, 0);
    let mut after = Vec::new();
    for group in GROUPS {
        for span in SPANS {
            after.push(world.report(t, *span, group).await.unwrap());
        }
    }
    assert_eq!(after, before);
    world.books_are_right().await;
    // What comes after its month left is added.
    let mut late = world.event_at(t, "late", "tokens", "3", "2026-03-18T04:30:00Z");
    late.metadata.insert("model".to_owned(), json!("late"));
    assert!(world.record(&[late]).await[0].starts_with("accepted"));
    let day = ("2026-03-18T00:00:00Z", "2026-03-19T00:00:00Z");
    let found = world.report(t, day, "model").await.unwrap();
    assert!(found.contains(&("tokens".to_owned(), Some("late".to_owned()), "3".to_owned(), 1)), "{found:?}");
    world.books_are_right().await;
    let damage = "update tenantry.usage_dimension_rollups set amount = amount + 1 where value = 'small'";
    assert!(world.admin.execute(damage, &[]).await.unwrap() > 0);
    let found = world.differences().await;
    assert!(found.iter().any(|line| line.starts_with("dimension_rollups: ")), "{found:?}");
    // A list that comes later begins where events are kept.
    world.declare(json!({ "tokens": ["model"] })).await;
    world.keep_up(SMALL).await;
    let refused = world.report(t, day, "model").await.unwrap_err();
    assert!(matches!(refused, ReportError::NotSummed { since: Some(_), .. }), "{refused}");
    world.record(&[world.event(t, "now", "tokens", "1")]).await;
    let now = ("2026-08-02T00:00:00Z", "2026-08-04T00:00:00Z");
    assert_eq!(world.report(t, now, "model").await.unwrap(), [("tokens".to_owned(), None, "1".to_owned(), 1)]);
    world.books_are_right().await;
}

#[tokio::test]
async fn values_are_texts_numbers_and_truth_values() {
    let world = World::new().await;
    let t = world.user().await;
    let long = "ü".repeat(200);
    let values = [
        json!("small"),
        json!(""),
        json!(null),
        json!({"a": 1}),
        json!([1]),
        json!(true),
        json!(12),
        json!(1.50),
        json!(long),
    ];
    let mut events: Vec<_> =
        (0..=values.len()).map(|n| world.event(t, &format!("k{n}"), "tokens", &(1 << n).to_string())).collect();
    for (event, value) in events.iter_mut().zip(&values) {
        event.metadata.insert("model".to_owned(), value.clone());
    }
    world.record(&events).await;
    let span = ("2026-03-15T12:00:00Z", "2026-04-15T12:00:00Z");
    let live = world.report(t, span, "model").await.unwrap();
    let keys: Vec<Option<String>> = live.iter().map(|group| group.1.clone()).collect();
    let cut = "ü".repeat(128);
    let expected = [Some("1.5"), Some("12"), Some("small"), Some("true"), Some(&*cut), None];
    assert_eq!(keys, expected.map(|key| key.map(ToOwned::to_owned)));
    // The empty text, null, what is no value, and what is missing.
    assert_eq!(live[5].2, (2 + 4 + 8 + 16 + 512).to_string());
    // Summed again from what is kept, they are the same.
    world.declare(json!({ "tokens": ["model"] })).await;
    world.keep_up(SMALL).await;
    assert_eq!(world.report(t, span, "model").await.unwrap(), live);
    world.books_are_right().await;
}

/// What the tasks of the test under load have in common.
#[derive(Clone)]
struct Load {
    world: Arc<World>,
    tenant: Uuid,
    is_over: Arc<AtomicBool>,
    compared: Arc<AtomicUsize>,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Records usage of all hours, most of them folded by then, and takes some of it back.
    async fn write(self, number: u64, recorder: Recorder) {
        let mut random = StdRng::seed_from_u64(100 + number);
        for round in 0..40 {
            let name = format!("w{number}-{round}-");
            let mut events = some_usage(&self.world, self.tenant, &name, &mut random, 5 * 24);
            events.truncate(random.random_range(1..30));
            if round % 3 == 2 {
                let back = format!("w{number}-{}-0", round - 1);
                events.push(self.world.reversal(self.tenant, &format!("{name}back"), &back));
            }
            for answer in recorder.record(Actor::System, &events).await {
                answer.unwrap();
            }
        }
    }

    /// Days end, and are folded in small steps.
    async fn fold(self) {
        let mut days = 0;
        while self.goes_on() {
            self.world.keep_up(Portions { sums: 20, events: 50 }).await;
            days = (days + 1) % 4;
            self.world.env.clock.set(at(&format!("2026-03-{}T10:30:00Z", 18 + days)));
        }
    }

    /// The catalog declares and takes back; a period is cut now and then.
    async fn change(self) {
        let lists = [json!({}), json!({ "tokens": ["region", "model"] })];
        let mut turn = 0;
        while self.goes_on() {
            turn += 1;
            self.world.declare(lists[usize::from(turn % 3 != 0)].clone()).await;
            if turn % 2 == 0 && turn < 20 {
                let anchor = at("2026-03-15T13:20:00Z").checked_add(SignedDuration::from_hours(turn * 3)).unwrap();
                self.world.new_anchor(self.tenant, "pro", anchor).await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Compares reports with the events of their own snapshot.
    async fn read(self, number: u64) {
        let (world, tenant) = (&self.world, self.tenant);
        let mut random = StdRng::seed_from_u64(number);
        let mut last = 0;
        while self.goes_on() {
            let tx = world.db.read_as_service("test", &[tenant]).await.unwrap();
            let (from, to) = SPANS[random.random_range(0..SPANS.len())];
            let (span, group) = ((at(from), at(to)), GROUPS[random.random_range(0..GROUPS.len())]);
            match reported(&tx, tenant, span, group, world.now()).await {
                Ok(sums) => {
                    assert_eq!(sums, naive(&tx, tenant, span, group).await, "{from} to {to} by {group}");
                    self.compared.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let is_told = matches!(error, ReportError::NotSummed { .. } | ReportError::Undeclared(_));
                    assert!(is_told, "{error}");
                }
            }
            // What was answered is never taken back: corrections are events, too.
            let all = (at("2026-03-01T00:00:00Z"), at("2026-06-01T00:00:00Z"));
            let sums = reported(&tx, tenant, all, "metric", world.now()).await.unwrap();
            let count = sums.iter().map(|sum| sum.3).sum();
            assert!(count >= last, "{count} events after {last}");
            last = count;
            tx.rollback().await.unwrap();
        }
    }
}

/// Writers of two replicas, late events into folded days, corrections, folding, catalogs that change and periods that
/// are cut, all at once; and readers who compare every report with the events in their own snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reports_equal_their_events_at_every_moment_under_load() {
    let world = Arc::new(World::with_pool(16).await);
    let tenant = world.user().await;
    world.env.clock.set(at("2026-03-17T10:30:00Z"));
    let other = Database::new(&world.test.logins).unwrap();
    let other = Recorder::new(other, world.env.clone(), GroupSettings { late_window: LATE_WINDOW });
    let load = Load { world: Arc::clone(&world), tenant, is_over: Arc::default(), compared: Arc::default() };
    let (mut writers, mut others) = (JoinSet::new(), JoinSet::new());
    for number in 0..4 {
        let recorder = if number % 2 == 0 { world.recorder.clone() } else { other.clone() };
        writers.spawn(load.clone().write(number, recorder));
    }
    others.spawn(load.clone().fold());
    others.spawn(load.clone().change());
    others.spawn(load.clone().read(0));
    others.spawn(load.clone().read(1));
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    load.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = others.join_next().await {
        ended.unwrap();
    }
    let compared = load.compared.load(Ordering::Relaxed);
    assert!(compared > 20, "{compared} reports were compared");
    world.books_are_right().await;
    world.declare(json!({ "tokens": ["region", "model"] })).await;
    world.keep_up(Portions::default()).await;
    world.reports_are_sums(tenant, SPANS).await;
    world.books_are_right().await;
}
