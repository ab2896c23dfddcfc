//! Random lives of tenants against a model that keeps every event in a list and computes everything from it: calls
//! over many tenants, calls at the same time, plan changes and anchors of now and of the past, closed periods too.

mod leaving;
mod price;
mod tenant;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tenantry::tenancy::Actor;
use tenantry::usage::event::{Content, NewEvent};
use tenantry::usage::holds::Settlement;

use self::price::{nanos, show};
use self::tenant::ModelTenant;
use super::holds::{new_hold, said, settling, used};
use super::world::{World, word};

/// Worlds, since the periods of all earlier lives go on in theirs; lives that are led in each, and steps of each.
const WORLDS: u64 = 5;
const LIVES: u64 = 15;
const STEPS: usize = 46;
const TENANTS: usize = 3;
const METRICS: [&str; 4] = ["calls", "tokens", "bytes", "exports"];
/// What is used: most often what costs something.
const USED: [&str; 6] = ["calls", "tokens", "tokens", "tokens", "bytes", "exports"];
/// What is held: most often what has a limit.
const HELD: [&str; 6] = ["calls", "calls", "calls", "tokens", "bytes", "exports"];
const AMOUNTS: [&str; 6] = ["1", "7.5", "12.25", "30", "0.000000001", "95"];
/// What is used of a hold: most often more than was held, so that limits are asked again.
const SPENT: [&str; 4] = ["0.000000001", "12.25", "95", "95"];

/// One life: its tenants, and what makes it random.
struct Life {
    number: u64,
    random: StdRng,
    tenants: Vec<ModelTenant>,
    fresh: u32,
}

impl Life {
    fn fresh_key(&mut self) -> String {
        self.fresh += 1;
        format!("{}-{}", self.number, self.fresh)
    }

    fn some<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())]
    }

    /// An instant of now, or up to six weeks ago.
    fn some_instant(&mut self, now: Timestamp) -> Timestamp {
        let back = if self.random.random_bool(0.4) { 0 } else { self.random.random_range(0..60_000) };
        now.checked_sub(SignedDuration::from_mins(back)).unwrap()
    }

    /// An event, or a correction; many repeat, contradict or correct earlier ones.
    fn some_event(&mut self, world: &World, of: usize) -> NewEvent {
        let (tenant, key) = (self.tenants[of].id, self.fresh_key());
        let (metric, amount) = (self.some(&USED), self.some(&AMOUNTS));
        let events = &self.tenants[of].events;
        let known = (!events.is_empty() && self.random.random_bool(0.3))
            .then(|| events[self.random.random_range(0..events.len())].clone());
        let mut event = match known {
            Some(known) if self.random.random_bool(0.4) => {
                let key = if self.random.random_bool(0.8) { key } else { known.key.clone() };
                world.reversal(tenant, &key, &known.key)
            }
            Some(known) => {
                let mut again = world.event(tenant, &known.key, metric, amount);
                if self.random.random_bool(0.7) {
                    again.content = known.content.clone();
                    again.timestamp = self.random.random_bool(0.5).then_some(known.when);
                    return again;
                }
                again
            }
            None if self.random.random_bool(0.05) => world.reversal(tenant, &key, "unheard of"),
            None => world.event(tenant, &key, metric, amount),
        };
        let is_usage = matches!(event.content, Content::Usage { .. });
        if is_usage && self.random.random_bool(0.5) {
            let back = self.some(&[-3, 0, 30, 600, 5000, 12_000, 60_000]);
            event.timestamp = world.now().checked_sub(SignedDuration::from_mins(back)).ok();
        }
        event
    }

    /// A call, over one tenant by its user or over all by the system; some of its events are corrected in it.
    async fn call(&mut self, world: &World, seen: &mut HashMap<String, u32>) {
        let by_user = self.random.random_bool(0.5).then(|| self.random.random_range(0..TENANTS));
        let mut events = Vec::new();
        let mut of = Vec::new();
        for _ in 0..self.random.random_range(1..14) {
            let tenant = by_user.unwrap_or_else(|| self.random.random_range(0..TENANTS));
            let event = self.some_event(world, tenant);
            if self.random.random_bool(0.2) {
                let reversal = world.reversal(event.tenant_id, &self.fresh_key(), &event.key);
                events.extend([event, reversal]);
                of.extend([tenant, tenant]);
            } else {
                events.push(event);
                of.push(tenant);
            }
        }
        let actor = by_user.map_or(Actor::System, |tenant| Actor::User(self.tenants[tenant].id));
        for (index, tenant) in self.tenants.iter_mut().enumerate() {
            let own: Vec<&NewEvent> =
                events.iter().zip(&of).filter(|(_, of)| **of == index).map(|(event, _)| event).collect();
            tenant.open_for(&own, by_user.is_none());
        }
        let expected: Vec<String> =
            events.iter().zip(&of).map(|(event, of)| self.tenants[*of].record(event, by_user.is_none())).collect();
        let answers = world.recorder.record(actor, &events).await;
        let found: Vec<String> = answers.iter().map(|answer| word(answer.as_ref().unwrap())).collect();
        assert_eq!(found, expected, "life {}: {events:#?}", self.number);
        for word in found {
            *seen.entry(word.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
    }

    /// Calls at the same time, with events in common. Which comes first is open; what holds in any order is checked.
    async fn calls_at_once(&mut self, world: &World) {
        let mut calls: Vec<Vec<(usize, NewEvent)>> = vec![Vec::new(); 3];
        for _ in 0..self.random.random_range(4..20) {
            let (of, key) = (self.random.random_range(0..TENANTS), self.fresh_key());
            let event = world.event(self.tenants[of].id, &key, self.some(&USED), self.some(&AMOUNTS));
            for call in &mut calls {
                if self.random.random_bool(0.6) {
                    call.push((of, event.clone()));
                }
            }
        }
        let sent = calls.iter().map(|call| {
            let events: Vec<NewEvent> = call.iter().map(|(_, event)| event.clone()).collect();
            async move { world.recorder.record(Actor::System, &events).await }
        });
        let answers = futures::future::join_all(sent).await;
        let mut words: BTreeMap<String, (usize, NewEvent, Vec<String>)> = BTreeMap::new();
        for ((of, event), answer) in calls.into_iter().flatten().zip(answers.into_iter().flatten()) {
            let entry = words.entry(event.key.clone()).or_insert_with(|| (of, event, Vec::new()));
            entry.2.push(word(&answer.unwrap()).split(' ').next().unwrap().to_owned());
        }
        let now = world.now();
        let usage = |event: &NewEvent| match &event.content {
            Content::Usage { metric, amount } => (metric.clone(), nanos(&amount.to_string())),
            Content::Reversal { .. } => unreachable!("none was made"),
        };
        // A tenant of whom no call spoke has no period opened by one.
        let meant: BTreeSet<usize> = words.values().map(|(of, ..)| *of).collect();
        let totals = |tenants: &mut [ModelTenant]| -> BTreeMap<usize, Vec<i128>> {
            let of = |of: usize| {
                let start = tenants[of].open(now);
                (of, METRICS.map(|metric| tenants[of].total(start, metric)).to_vec())
            };
            meant.iter().copied().map(of).collect()
        };
        let before = totals(&mut self.tenants);
        let mut refused = Vec::new();
        for (of, event, mut words) in words.into_values() {
            words.sort_unstable();
            let (metric, amount) = usage(&event);
            if words[0] == "accepted" {
                assert!(words[1..].iter().all(|word| word == "duplicate"), "{words:?} {event:?}");
                self.tenants[of].count(&event, metric, amount, now);
            } else {
                assert!(words.iter().all(|word| word == "refused" || word == "not"), "{words:?} {event:?}");
                refused.push((of, metric, amount));
            }
        }
        let totals = totals(&mut self.tenants);
        for (of, totals) in totals {
            let tenant = &mut self.tenants[of];
            let start = tenant.open(now);
            for (index, metric) in METRICS.iter().enumerate() {
                // Above the limit is only what a change of plan left there.
                let most = tenant.limit(start, metric).1.map_or(i128::MAX, |limit| limit.max(before[&of][index]));
                assert!(totals[index] <= most, "life {}: {metric} {}", self.number, totals[index]);
            }
        }
        // Totals only grow meanwhile: what did not fit does not fit after it either.
        for (of, metric, amount) in refused {
            let start = self.tenants[of].open(now);
            let limit = self.tenants[of].limit(start, &metric).1.unwrap();
            let held = self.tenants[of].held(start, &metric, now);
            assert!(self.tenants[of].total(start, &metric) + held + amount > limit, "life {}: {metric}", self.number);
        }
    }

    /// A hold, most often of what a limit or a price is near.
    async fn hold(&mut self, world: &World, seen: &mut HashMap<String, u32>) {
        let of = self.random.random_range(0..TENANTS);
        let (metric, amount) = (self.some(&HELD), self.some(&AMOUNTS));
        let lasts = SignedDuration::from_mins(self.some(&[1, 300, 1440, 1440]));
        let now = world.now();
        let expected = self.tenants[of].judge_hold(metric, nanos(amount), now);
        let answer =
            world.recorder.hold(Actor::System, &new_hold(self.tenants[of].id, metric, amount, lasts), None).await;
        assert_eq!(said(&answer), expected, "life {}: {metric} {amount}", self.number);
        if let Ok(held) = answer {
            self.tenants[of].take(held.done().unwrap().hold.id, metric, nanos(amount), (now, lasts));
        }
        note(seen, "hold", &expected);
    }

    /// Ends a hold, or says again how it ended, or another way.
    async fn settle(&mut self, world: &World, seen: &mut HashMap<String, u32>) {
        let of = self.random.random_range(0..TENANTS);
        let holds = &self.tenants[of].holds;
        if holds.is_empty() {
            return;
        }
        // The latest ones are those that may be open.
        let latest = holds.len() - self.random.random_range(0..holds.len().min(3)) - 1;
        let (id, metric, held) = (holds[latest].id, holds[latest].metric.clone(), holds[latest].amount);
        let (settlement, model) = if self.random.random_bool(0.35) {
            (Settlement::Release, None)
        } else {
            let exact = self.random.random_bool(0.3);
            let amount = if exact { show(held) } else { self.some(&SPENT).to_owned() };
            let settlement = used(&amount);
            let Settlement::Commit(quantity, _) = &settlement else { unreachable!() };
            let content = Content::Usage { metric, amount: *quantity };
            (settlement, Some((nanos(&amount), content)))
        };
        let expected = self.tenants[of].settle(latest, model, world.now());
        let answer = world.recorder.settle(settling(self.tenants[of].id, id), &settlement, None).await;
        let found = said(&answer);
        let found = if expected.contains(' ') { found } else { found.split(' ').next().unwrap().to_owned() };
        assert_eq!(found, expected, "life {}: hold {latest}, {settlement:?}", self.number);
        note(seen, "settle", &expected);
    }

    async fn step(&mut self, world: &World, seen: &mut HashMap<String, u32>) {
        let of = self.random.random_range(0..TENANTS);
        let plan = self.some(&["free", "pro"]);
        match self.random.random_range(0..34) {
            0..=8 => self.call(world, seen).await,
            9..=10 => self.calls_at_once(world).await,
            11..=13 => {
                let from = self.some_instant(world.now());
                self.tenants[of].change_plan(plan, from);
                world.change_plan(self.tenants[of].id, plan, from).await;
            }
            14..=15 => {
                let from = self.some_instant(world.now());
                self.tenants[of].set_anchor(plan, from, world.now());
                world.new_anchor(self.tenants[of].id, plan, from).await;
            }
            16..=20 => self.hold(world, seen).await,
            21..=27 => self.settle(world, seen).await,
            28 => {
                world.env.clock.advance(SignedDuration::from_mins(self.random.random_range(1..1000)));
            }
            _ => {
                world.env.clock.advance(SignedDuration::from_mins(self.random.random_range(1..25_000)));
                world.work().await;
                for tenant in &mut self.tenants {
                    tenant.close_due(world.now());
                }
            }
        }
    }
}

/// Counts what was answered: what was asked, and the answer without its figures.
fn note(seen: &mut HashMap<String, u32>, asked: &str, answer: &str) {
    let words: Vec<&str> =
        answer.split(' ').filter(|word| !word.starts_with(|digit: char| digit.is_ascii_digit())).collect();
    *seen.entry(format!("{asked} {}", words.join(" "))).or_default() += 1;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lives_are_what_the_model_says() {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let (mut adjusted, mut emptied) = (0, 0);
    for world_number in 0..WORLDS {
        let world = World::new().await;
        let mut tenants = Vec::new();
        for number in world_number * LIVES..(world_number + 1) * LIVES {
            tenants.extend(lead(&world, number, &mut seen).await);
        }
        world.books_are_right().await;
        let sql = "select count(distinct tenant_id) from tenantry.overage_charges where sequence > 0";
        adjusted += world.count(sql).await;
        let sql = "select count(*) from tenantry.usage_segments s join tenantry.usage_periods p using (tenant_id, period_start)
                   where s.started_at >= p.period_end";
        emptied += world.count(sql).await;
        leaving::everything_leaves(&world, &mut tenants).await;
    }
    assert!(adjusted > 15, "closed periods were hardly adjusted: {adjusted}");
    assert!(emptied > 5, "anchors hardly overtook plan changes: {emptied}");
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
        "hold open",
        "hold refused",
        "hold not in plan",
        "settle committed",
        "settle released",
        "settle refused",
        "settle not open: committed",
        "settle not open: released",
        "settle not open: expired",
        "settle expired",
    ] {
        assert!(seen.get(kind).is_some_and(|times| *times > 5), "{kind} hardly came up: {seen:?}");
    }
}

async fn lead(world: &World, number: u64, seen: &mut HashMap<String, u32>) -> Vec<ModelTenant> {
    let mut life = Life { number, random: StdRng::seed_from_u64(number), tenants: Vec::new(), fresh: 0 };
    for _ in 0..TENANTS {
        life.tenants.push(ModelTenant::new(world.user().await, world.now()));
    }
    for step in 0..STEPS {
        life.step(world, seen).await;
        for tenant in &life.tenants {
            compare(world, tenant, &format!("life {number}, step {step}")).await;
        }
    }
    life.tenants
}

/// Periods, the totals of each, and the charges of every closed one are what the list of events says.
async fn compare(world: &World, tenant: &ModelTenant, place: &str) {
    let sql = "select period_start, period_end, historic, state = 'closed' from tenantry.usage_periods
               where tenant_id = $1 order by 1";
    let rows = world.admin.query(sql, &[&tenant.id]).await.unwrap();
    let found: Vec<(Timestamp, Timestamp, bool, bool)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let expected: Vec<(Timestamp, Timestamp, bool, bool)> =
        tenant.periods.iter().map(|(start, own)| (*start, own.end, own.historic, own.closed)).collect();
    assert_eq!(found, expected, "{place}");
    let sql = "select c.period_start, c.metric, (c.held - coalesce((
                          select sum(h.amount) from tenantry.usage_holds h
                          where h.tenant_id = c.tenant_id and h.metric = c.metric and h.period_start = c.period_start
                            and h.state = 'open' and h.expires_at <= $2), 0))::text
               from tenantry.usage_counters c where c.tenant_id = $1";
    let mut held = 0;
    for row in &world.admin.query(sql, &[&tenant.id, &world.now()]).await.unwrap() {
        let (start, metric): (Timestamp, &str) = (row.get(0), row.get(1));
        let found = nanos(row.get(2));
        assert_eq!(found, tenant.held(start, metric, world.now()), "{place}: {metric} held in the period from {start}");
        held += usize::from(found != 0);
    }
    let holding =
        tenant.periods.keys().flat_map(|start| METRICS.map(|metric| tenant.held(*start, metric, world.now())));
    assert_eq!(held, holding.filter(|held| *held != 0).count(), "{place}: what is held");
    let sql = "select c.period_start, c.metric, c.total::text,
                      (select coalesce(sum(charge_amount_cents), 0)::bigint from tenantry.overage_charges o
                       where o.tenant_id = c.tenant_id and o.metric = c.metric and o.billing_period_start = c.period_start)
               from tenantry.usage_counters c where c.tenant_id = $1 order by 1, 2";
    let rows = world.admin.query(sql, &[&tenant.id]).await.unwrap();
    let mut compared = 0;
    for row in &rows {
        let (start, metric): (Timestamp, &str) = (row.get(0), row.get(1));
        let place = format!("{place}: {metric} in the period from {start}");
        let total = nanos(row.get(2));
        assert_eq!(total, tenant.total(start, metric), "{place}");
        let due = if tenant.periods[&start].closed { tenant.due(start, metric) } else { 0 };
        assert_eq!(row.get::<_, i64>(3), due, "{place}: charges");
        compared += usize::from(total != 0);
    }
    let used = tenant.periods.keys().flat_map(|start| METRICS.map(|metric| tenant.total(*start, metric)));
    assert_eq!(compared, used.filter(|total| *total != 0).count(), "{place}: counters");
}
