//! Three months of a tenant with overage: usage every few days, an upgrade in the middle of the second, late events, a
//! correction. What Stripe's invoices ask for is the price of the events, also with a crash at each step.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use tenantry::billing::operations::Asked;
use tenantry::stripe_sync::overage;
use tenantry::usage::closing;
use tenantry::worker;
use tenantry_sandbox::{FaultAction, FaultRule};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::dying::dying;
use super::metered::{Ledger, charges, is_paid_once, items, metered};
use super::world::{VISA, World, settings, wish};

/// What goes wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Nothing,
    /// Workers die at whatever they wait for.
    Crashes,
    /// Stripe does what it is asked for and the answer is lost, as often as a call is tried.
    LostAnswers,
    /// Stripe answers 500, sometimes after it did what it was asked for.
    Errors,
}

struct Life {
    world: World,
    tenant: Uuid,
    trouble: Trouble,
    crashes: Cell<usize>,
    /// Workers that died before they were done, or calls that met a fault.
    harmed: Cell<usize>,
}

impl Life {
    async fn work(&self) {
        let faults: &[FaultRule] = match self.trouble {
            Trouble::Nothing => &[],
            Trouble::Crashes => return self.crash().await,
            Trouble::LostAnswers => &[FaultRule::new(FaultAction::Drop, true, 3)],
            Trouble::Errors => &[FaultRule::status(500, 3), FaultRule::new(FaultAction::Status(500), true, 3)],
        };
        self.world.control.clear_faults();
        for path in ["/v1/invoiceitems", "/v1/invoices"] {
            for fault in faults {
                self.world.control.add_fault(fault.clone().only("POST", path));
            }
        }
        self.world.work().await;
        let left = self.world.control.faults().iter().map(|fault| usize::try_from(fault.times).unwrap()).sum::<usize>();
        let all: usize = faults.iter().map(|fault| 2 * usize::try_from(fault.times).unwrap()).sum();
        self.harmed.set(self.harmed.get() + all - left);
    }

    /// Workers die a few times, each at another step than the one before, and leave their leases behind.
    async fn crash(&self) {
        self.world.deliver().await;
        for _ in 0..3 {
            let count = self.crashes.get();
            self.crashes.set(count + 1);
            let never = CancellationToken::new();
            let lives = async {
                worker::run_due(&self.world.db, &self.world.env, &never).await.unwrap();
                worker::work_due(&self.world.stripe).await.unwrap()
            };
            let died = dying(1 + (count * 7) % 101, lives).await.is_none();
            self.harmed.set(self.harmed.get() + usize::from(died));
        }
        // By then every lease is over.
        self.world.move_to(self.world.later("3m")).await;
        self.world.work().await;
    }

    /// Lets time pass up to an instant, with the trouble wherever something falls due.
    async fn until(&self, to: Timestamp) {
        loop {
            self.work().await;
            let here = self.world.next_due_here().await.map(|at| at.max(self.world.now()));
            let next = [here, self.world.control.clock().next_due].into_iter().flatten().min().filter(|at| *at < to);
            let Some(next) = next else { break };
            let next = Timestamp::from_second(next.as_second() + i64::from(next.subsec_nanosecond() > 0)).unwrap();
            self.world.move_to(next.max(self.world.later("1s")).min(to.max(self.world.now()))).await;
        }
        if self.world.now() < to {
            self.world.move_to(to).await;
        }
        self.work().await;
    }
}

async fn three_months(trouble: Trouble) {
    let world = metered(settings()).await;
    let (tenant, _) = world.organization("owner@example.com").await;
    world.move_to(world.later("1h")).await;
    let begin = world.now();
    world.buy(tenant, "basic").await;
    let life = Life { world, tenant, trouble, crashes: Cell::new(0), harmed: Cell::new(0) };
    let world = &life.world;
    let bounds: Vec<Timestamp> = ["0mo", "1mo", "2mo", "3mo", "4mo"].iter().map(|span| world.later(span)).collect();
    let after = |instant: Timestamp, hours: i64| instant.checked_add(SignedDuration::from_hours(hours)).unwrap();
    let mut ledger = Ledger::default();
    let mut plans = vec![(begin, "basic")];
    for month in 0..3 {
        for day in (2..26).step_by(4) {
            life.until(after(bounds[month], day * 24)).await;
            let now = world.now();
            ledger.spend(world, tenant, "tokens", "33.333", now).await;
            ledger.spend(world, tenant, "storage", "11.5", now).await;
            ledger.spend(world, tenant, "jobs", "7", now).await;
            if month == 1 && day == 14 {
                let answer = world.done(tenant, &Asked::Upgrade(wish("plus", None), None)).await;
                plans.push((answer["effectiveAt"].as_str().unwrap().parse().unwrap(), "plus"));
                ledger.spend(world, tenant, "tokens", "100", world.now()).await;
            }
        }
        // The draft of the renewal is an hour old and final; what comes now adjusts.
        life.until(after(bounds[month + 1], 30)).await;
        ledger.spend(world, tenant, "tokens", "12.001", after(bounds[month], 24 * 20)).await;
        ledger.spend(world, tenant, "storage", "80", after(bounds[month], 24 * 3)).await;
        life.work().await;
        ledger.take_back(world, tenant, month * 20 + 2).await;
    }
    life.until(after(bounds[4], 3)).await;
    world.control.clear_faults();
    world.advance("3h").await;
    let expected = ledger.price(&bounds, &plans);
    assert!(expected > 1000, "the months cost something: {expected}");
    is_paid_once(world, life.tenant, expected).await;
    let harmed = life.harmed.get();
    match trouble {
        Trouble::Nothing => assert_eq!(harmed, 0),
        _ => assert!(harmed > 20, "{trouble:?} happened {harmed} times"),
    }
    world.finish().await;
}

#[tokio::test]
async fn every_unit_is_billed_once() {
    three_months(Trouble::Nothing).await;
}

#[tokio::test]
async fn every_unit_is_billed_once_by_workers_that_die() {
    three_months(Trouble::Crashes).await;
}

#[tokio::test]
async fn every_unit_is_billed_once_though_answers_are_lost() {
    three_months(Trouble::LostAnswers).await;
}

#[tokio::test]
async fn every_unit_is_billed_once_though_stripe_fails() {
    three_months(Trouble::Errors).await;
}

/// Every this many waits a worker dies, each time of another tenant.
const STRIDE: usize = 9;

#[tokio::test]
async fn a_worker_dies_further_and_further_into_closing_and_billing() {
    let world = metered(settings()).await;
    let mut tenants = Vec::new();
    for number in 0..16 {
        let tenant = world.user(&format!("user{number}@example.com")).await;
        let answer = world.done(tenant, &Asked::Checkout(wish("basic", None))).await;
        world.control.pay_session(answer["sessionId"].as_str().unwrap(), VISA).await.unwrap();
        tenants.push(tenant);
    }
    world.work().await;
    let mut ledger = Ledger::default();
    for tenant in &tenants {
        ledger.spend(&world, *tenant, "tokens", "110.5", world.now()).await;
        ledger.spend(&world, *tenant, "storage", "25", world.now()).await;
    }
    world.move_to(world.later("1mo")).await;
    let mut finished = 0;
    for (number, tenant) in tenants.iter().enumerate() {
        let waits = 1 + number * STRIDE;
        let closes = closing::close_ended(&world.db, &world.env, *tenant);
        if dying(1 + number, closes).await.is_none() {
            closing::close_ended(&world.db, &world.env, *tenant).await.unwrap();
        }
        let bills = overage::bill_tenant(&world.stripe, *tenant);
        finished += usize::from(dying(waits, bills).await.is_some());
    }
    assert!((1..14).contains(&finished), "workers die at too few steps: {finished} lived");
    world.move_to(world.later("3m")).await;
    world.advance("2h").await;
    for tenant in tenants {
        // 10.5 above at 2.25, 15 above at 3 for 10.
        assert_eq!(charges(&world, tenant).await, ["storage 0 4 billed draft", "tokens 0 24 billed draft"]);
        assert_eq!(items(&world, tenant).await.len(), 2);
        is_paid_once(&world, tenant, 28).await;
    }
    world.finish().await;
}
