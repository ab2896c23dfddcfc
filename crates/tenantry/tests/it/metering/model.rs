//! Random lives of tenants against a model that keeps every event in a list and computes everything from it.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tenantry::tenancy::Actor;
use tenantry::usage::event::{Content, NewEvent};
use tenantry_domain::period::period_containing;
use tenantry_domain::pricing::{SegmentUse, accrued};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::world::{LATE_WINDOW, World, word};

/// Lives that are led, and steps of each.
const LIVES: u64 = 120;
const STEPS: usize = 20;

/// An event that counts, or a correction of one.
#[derive(Debug, Clone)]
struct Counted {
    key: String,
    content: Content,
    metric: String,
    amount: Quantity,
    when: Timestamp,
    given: bool,
    reversed: bool,
}

#[derive(Debug, Clone)]
struct ModelPeriod {
    end: Timestamp,
    historic: bool,
    closed: bool,
    /// (from, plan), in order.
    segments: Vec<(Timestamp, String)>,
}

#[derive(Debug)]
struct ModelTenant {
    id: Uuid,
    born: Timestamp,
    plan: String,
    periods: BTreeMap<Timestamp, ModelPeriod>,
    events: Vec<Counted>,
}

impl ModelTenant {
    fn new(id: Uuid, born: Timestamp) -> Self {
        let mut tenant = Self { id, born, plan: "free".to_owned(), periods: BTreeMap::new(), events: Vec::new() };
        tenant.open(born);
        tenant
    }

    /// The start of the period that contains an instant; it begins under the plan of the moment in which it is needed.
    fn open(&mut self, when: Timestamp) -> Timestamp {
        let period = period_containing(self.born, when);
        let historic = period.start < self.born;
        let plan = if historic { "free".to_owned() } else { self.plan.clone() };
        self.periods.entry(period.start).or_insert_with(|| ModelPeriod {
            end: period.end,
            historic,
            closed: false,
            segments: vec![(period.start, plan)],
        });
        period.start
    }

    fn in_period(&self, start: Timestamp, metric: &str) -> impl Iterator<Item = &Counted> {
        let end = self.periods[&start].end;
        self.events.iter().filter(move |event| event.metric == metric && event.when >= start && event.when < end)
    }

    fn total(&self, start: Timestamp, metric: &str) -> Quantity {
        self.in_period(start, metric).map(|event| event.amount).sum()
    }

    /// What a metric of a period costs, from the list of events alone.
    fn price(&self, world: &World, start: Timestamp, metric: &str) -> i64 {
        let period = &self.periods[&start];
        let mut reached = Quantity::ZERO;
        let mut uses = Vec::new();
        for (index, (from, plan)) in period.segments.iter().enumerate() {
            let until = period.segments.get(index + 1).map_or(period.end, |next| next.0);
            // What the first segment has before its own start cannot be: it begins with the period.
            let amount: Quantity = self
                .in_period(start, metric)
                .filter(|event| event.when >= *from && event.when < until)
                .map(|event| event.amount)
                .sum();
            let terms = world.terms(plan, metric);
            uses.push(SegmentUse { terms, total_at_start: reached, total_at_end: reached + amount });
            reached = reached + amount;
        }
        accrued(&uses).round_half_even().unwrap()
    }

    /// What is answered to an event, after doing it.
    fn record(&mut self, world: &World, event: &NewEvent) -> String {
        let (metric, amount, when) = match &event.content {
            Content::Usage { metric, amount } => (metric.clone(), *amount, event.occurred_at()),
            Content::Reversal { reverses } => match self.events.iter().find(|known| known.key == *reverses) {
                Some(Counted { content: Content::Usage { metric, amount }, when, .. }) => {
                    (metric.clone(), Quantity::ZERO - *amount, *when)
                }
                Some(_) => return "reversal_of_reversal".to_owned(),
                None => return "unknown_key".to_owned(),
            },
        };
        let is_usage = matches!(event.content, Content::Usage { .. });
        if when.duration_since(event.received_at) > SignedDuration::from_mins(5) {
            return "timestamp_in_future".to_owned();
        }
        let long_ago = SignedDuration::from_hours(31 * 24 + 72) + SignedDuration::from_mins(5);
        let is_long_ago = is_usage && event.received_at.duration_since(when) > long_ago;
        if !is_long_ago {
            self.open(when);
        }
        let until = period_containing(self.born, when).end.saturating_add(LATE_WINDOW).unwrap();
        let is_too_late = is_long_ago || is_usage && (when < self.born || event.received_at > until);
        if let Some(known) = self.events.iter().find(|known| known.key == event.key) {
            let compared = known.given && event.timestamp.is_some();
            let same = known.content == event.content && (!compared || known.when == when);
            // What may not count any more is answered where the key counted.
            let (metric, place) = if is_too_late { (known.metric.clone(), known.when) } else { (metric, when) };
            let start = self.open(place);
            return format!("{} {}", if same { "duplicate" } else { "conflict" }, self.total(start, &metric));
        }
        if is_too_late {
            return "timestamp_too_old".to_owned();
        }
        let start = self.open(when);
        let total = self.total(start, &metric);
        if let Content::Reversal { reverses } = &event.content {
            let original = self.events.iter_mut().find(|known| known.key == *reverses).unwrap();
            if original.reversed {
                return "already_reversed".to_owned();
            }
            original.reversed = true;
        } else {
            let plan = &self.periods[&start].segments.last().unwrap().1;
            let terms = world.terms(plan, &metric);
            let limit = terms.map_or(Some(Quantity::ZERO), tenantry_domain::plan::MetricTerms::hard_limit);
            if limit.is_some_and(|limit| total + amount > limit) {
                let why = if terms.is_some() { "refused" } else { "not in plan" };
                return format!("{why} {total}");
            }
        }
        let (key, content, given) = (event.key.clone(), event.content.clone(), event.timestamp.is_some());
        self.events.push(Counted { key, content, metric, amount, when, given, reversed: false });
        format!("accepted {}", total + amount)
    }

    fn change_plan(&mut self, plan: &str, now: Timestamp) {
        let start = self.open(now);
        plan.clone_into(&mut self.plan);
        let segments = &mut self.periods.get_mut(&start).unwrap().segments;
        match segments.last_mut() {
            Some(last) if now <= last.0 => plan.clone_into(&mut last.1),
            _ => segments.push((now, plan.to_owned())),
        }
        // Periods that were opened ahead begin under the new plan too.
        for (_, ahead) in self.periods.range_mut(start..).skip(1) {
            ahead.segments = vec![(ahead.segments[0].0, plan.to_owned())];
        }
    }

    fn close_due(&mut self, now: Timestamp) {
        loop {
            let due = self.periods.iter().find(|(_, period)| {
                !period.closed
                    && !period.historic
                    && now >= period.end.saturating_add(SignedDuration::from_mins(30)).unwrap()
            });
            let Some((start, end)) = due.map(|(start, period)| (*start, period.end)) else { return };
            self.periods.get_mut(&start).unwrap().closed = true;
            self.open(end);
        }
    }
}

/// Makes events of which many repeat, contradict or correct earlier ones.
fn some_event(world: &World, random: &mut StdRng, tenant: &ModelTenant, fresh: &mut u32) -> NewEvent {
    let known = (!tenant.events.is_empty() && random.random_bool(0.3))
        .then(|| tenant.events[random.random_range(0..tenant.events.len())].clone());
    *fresh += 1;
    let new_key = format!("{}-{fresh}", tenant.born.as_second());
    let metric = ["calls", "tokens", "bytes", "exports"][random.random_range(0..4)];
    let amount = ["1", "7", "12.25", "30", "0.000000001", "41.5"][random.random_range(0..6)];
    let mut event = match known {
        Some(known) if random.random_bool(0.4) => {
            let key = if random.random_bool(0.8) { new_key } else { known.key.clone() };
            world.reversal(tenant.id, &key, &known.key)
        }
        Some(known) => {
            let mut again = world.event(tenant.id, &known.key, metric, amount);
            if random.random_bool(0.7) {
                again.content = known.content.clone();
                again.timestamp = random.random_bool(0.5).then_some(known.when);
                return again;
            }
            again
        }
        None if random.random_bool(0.05) => world.reversal(tenant.id, &new_key, "unheard of"),
        None => world.event(tenant.id, &new_key, metric, amount),
    };
    if random.random_bool(0.5) {
        let back = [-3, 0, 30, 600, 5000, 12_000, 60_000][random.random_range(0..7)];
        event.timestamp = world.now().checked_sub(SignedDuration::from_mins(back)).ok();
    }
    event
}

#[tokio::test]
async fn random_lives_are_what_the_model_says() {
    let world = World::new().await;
    let mut seen: HashMap<String, u32> = HashMap::new();
    for life in 0..LIVES {
        let mut random = StdRng::seed_from_u64(life);
        let mut tenants = Vec::new();
        for _ in 0..2 {
            tenants.push(ModelTenant::new(world.user().await, world.now()));
        }
        let mut fresh = 0;
        for step in 0..STEPS {
            let tenant = &mut tenants[random.random_range(0..2)];
            match random.random_range(0..10) {
                0..=5 => {
                    let events: Vec<NewEvent> = (0..random.random_range(1..10))
                        .map(|_| some_event(&world, &mut random, tenant, &mut fresh))
                        .collect();
                    let expected: Vec<String> = events.iter().map(|event| tenant.record(&world, event)).collect();
                    let answers = world.recorder.record(Actor::User(tenant.id), &events).await;
                    let found: Vec<String> = answers.iter().map(|answer| word(answer.as_ref().unwrap())).collect();
                    assert_eq!(found, expected, "life {life}, step {step}: {events:#?}");
                    for word in found {
                        *seen.entry(word.split(' ').next().unwrap().to_owned()).or_default() += 1;
                    }
                }
                6 => {
                    let plan = ["free", "pro"][random.random_range(0..2)];
                    let now = world.now();
                    tenant.change_plan(plan, now);
                    world.change_plan(tenant.id, plan, now).await;
                }
                _ => {
                    world.env.clock.advance(SignedDuration::from_mins(random.random_range(1..6000)));
                    world.work().await;
                    for tenant in &mut tenants {
                        tenant.close_due(world.now());
                    }
                }
            }
        }
        for tenant in &tenants {
            compare(&world, tenant, life).await;
        }
    }
    world.books_are_right().await;
    for kind in [
        "accepted",
        "duplicate",
        "conflict",
        "refused",
        "not",
        "unknown_key",
        "already_reversed",
        "reversal_of_reversal",
        "timestamp_too_old",
    ] {
        assert!(seen.get(kind).is_some_and(|times| *times > 5), "{kind} hardly came up: {seen:?}");
    }
}

/// Totals of every period, and charges of every closed one, are what the list of events says.
async fn compare(world: &World, tenant: &ModelTenant, life: u64) {
    let sql = "select c.period_start, c.metric, c.total::text, p.state = 'closed',
                      (select coalesce(sum(charge_amount_cents), 0)::bigint from tenantry.overage_charges o
                       where o.tenant_id = c.tenant_id and o.metric = c.metric and o.billing_period_start = c.period_start)
               from tenantry.usage_counters c join tenantry.usage_periods p using (tenant_id, period_start)
               where c.tenant_id = $1 order by 1, 2";
    let rows = world.admin.query(sql, &[&tenant.id]).await.unwrap();
    let mut compared = 0;
    for row in &rows {
        let (start, metric): (Timestamp, &str) = (row.get(0), row.get(1));
        let place = format!("life {life}: {metric} in the period from {start}");
        let total: Quantity = row.get::<_, &str>(2).parse().unwrap();
        assert_eq!(total, tenant.total(start, metric), "{place}");
        let period = &tenant.periods[&start];
        let is_closed: bool = row.get(3);
        assert_eq!(is_closed, period.closed, "{place}");
        let charged: i64 = row.get(4);
        let due = if period.closed { tenant.price(world, start, metric) } else { 0 };
        assert_eq!(charged, due, "{place}: charges");
        compared += usize::from(total != Quantity::ZERO);
    }
    let expected = tenant
        .periods
        .keys()
        .flat_map(|start| ["calls", "tokens", "bytes", "exports"].map(|metric| tenant.total(*start, metric)))
        .filter(|total| *total != Quantity::ZERO)
        .count();
    assert_eq!(compared, expected, "life {life}: counters");
}
