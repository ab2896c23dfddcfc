//! Overage through Stripe's meters: quantities on the renewal of their own month, each once, whatever fails; and what
//! becomes an invoice item all the same.

use jiff::Timestamp;
use serde_json::Value;
use tenantry::billing::operations::Asked;
use tenantry::stripe_sync::reconcile::reconcile;
use tenantry::stripe_sync::{OverageBilling, Settings, catalog, overage, sync};
use tenantry::usage::closing::close_ended;
use tenantry_sandbox::{FaultAction, FaultRule};
use uuid::Uuid;

use super::dying::dying;
use super::metered::{Ledger, charged, charges, items, metered};
use super::world::{World, settings, wish};

/// The path of meter events.
const EVENTS: &str = "/v1/billing/meter_events";

pub(super) fn by_meter() -> Settings {
    Settings { overage_billing: OverageBilling::Meter, ..settings() }
}

/// The metered items of a tenant's subscription: metric and unit price, as far as there is one.
async fn metered_items(world: &World, tenant: Uuid) -> Vec<String> {
    let subscription = world.get(&format!("/v1/subscriptions/{}", world.subscription(tenant).await)).await;
    let of_it = |item: &Value| {
        let metric = item["price"]["product"].as_str()?.strip_prefix("tenantry-metric-")?;
        assert_eq!(item["quantity"], Value::Null, "{item}");
        Some(format!("{metric} {}", item["price"]["unit_amount_decimal"].as_str().unwrap_or("tiered")))
    };
    subscription["items"]["data"].as_array().unwrap().iter().filter_map(of_it).collect()
}

/// The metered lines with a quantity on a tenant's invoices, newest first: status, metric, quantity, cents.
async fn counted(world: &World, tenant: Uuid) -> Vec<String> {
    let mut counted = Vec::new();
    for invoice in world.invoices(tenant).await {
        let id = invoice["id"].as_str().unwrap();
        for line in world.list(&format!("/v1/invoices/{id}/lines?limit=100")).await {
            let product = line["pricing"]["price_details"]["product"].as_str().unwrap_or_default();
            if let Some(metric) = product.strip_prefix("tenantry-metric-").filter(|_| line["quantity"] != 0) {
                let status = invoice["status"].as_str().unwrap();
                counted.push(format!("{status} {metric} {} {}", line["quantity"], line["amount"]));
            }
        }
    }
    counted
}

/// What a tenant was told: the differences of a reconciliation.
async fn told(world: &World) -> Vec<String> {
    let found = reconcile(&world.stripe, None, false).await.unwrap();
    assert_eq!(found.failures, []);
    found.differences.into_iter().map(|difference| difference.what).collect()
}

/// A tenant on `basic` a day later, with 20 tokens above what is included.
async fn with_overage(world: &World, email: &str) -> (Uuid, Ledger) {
    let tenant = world.user(email).await;
    world.buy(tenant, "basic").await;
    let mut ledger = Ledger::default();
    ledger.spend(world, tenant, "tokens", "120", world.now()).await;
    (tenant, ledger)
}

/// To the instant at which the first month ends, with its draft made and nothing handed over.
async fn to_renewal(world: &World) -> Timestamp {
    let renewal = world.later("1mo");
    world.move_to(renewal).await;
    renewal
}

#[tokio::test]
async fn what_was_used_is_on_the_renewal_as_quantities_and_costs_what_our_books_say() {
    let world = metered(by_meter()).await;
    let (tenant, mut ledger) = with_overage(&world, "ada@example.com").await;
    assert_eq!(metered_items(&world, tenant).await, ["jobs 150", "storage tiered", "tokens 2.25"]);
    assert_eq!(world.standing(tenant).await, "basic active month full");
    // 40 at 3 cents for ten and 20 at half of it; two packages of 20 begun.
    ledger.spend(&world, tenant, "storage", "70", world.now()).await;
    ledger.spend(&world, tenant, "jobs", "26", world.now()).await;
    world.advance("1mo").await;
    assert_eq!(counted(&world, tenant).await, ["draft jobs 21 300", "draft storage 60 15", "draft tokens 20 45"]);
    let billed = ["jobs 0 300 billed meter", "storage 0 15 billed meter", "tokens 0 45 billed meter"];
    assert_eq!(charges(&world, tenant).await, billed);
    world.advance("2h").await;
    assert_eq!(counted(&world, tenant).await, ["paid jobs 21 300", "paid storage 60 15", "paid tokens 20 45"]);
    assert!(items(&world, tenant).await.is_empty());
    let quantities = "select trim_scale(overage_amount)::text from tenantry.overage_charges
                      where tenant_id = $1 order by metric";
    assert_eq!(world.texts(tenant, quantities).await, ["21", "60", "20"]);
    let paid = world.invoices(tenant).await[0].clone();
    assert_eq!(paid["amount_paid"].as_i64(), Some(2900 + charged(&world, tenant).await));
    assert_eq!(told(&world).await, Vec::<String>::new());
    // Nothing in the second month.
    world.advance("1mo").await;
    world.advance("2h").await;
    assert_eq!(world.invoices(tenant).await[0]["amount_paid"], 2900);
    assert_eq!(told(&world).await, Vec::<String>::new());
    world.finish().await;
}

#[tokio::test]
async fn late_events_change_the_open_draft_and_afterwards_the_next_invoice() {
    let world = metered(by_meter()).await;
    let (tenant, mut ledger) = with_overage(&world, "ada@example.com").await;
    let in_january = world.later("1d");
    world.advance("1mo").await;
    assert_eq!(counted(&world, tenant).await, ["draft tokens 20 45"]);
    ledger.spend(&world, tenant, "tokens", "8", in_january).await;
    world.work().await;
    assert_eq!(counted(&world, tenant).await, ["draft tokens 28 63"]);
    // Given back while it is a draft: less of the same quantity.
    ledger.take_back(&world, tenant, 0).await;
    ledger.spend(&world, tenant, "tokens", "102", in_january).await;
    world.work().await;
    assert_eq!(counted(&world, tenant).await, ["draft tokens 10 23"]);
    // 22.5 cents: Stripe rounds half up, we to even.
    assert_eq!(charged(&world, tenant).await, 22);
    world.advance("2h").await;
    assert!(items(&world, tenant).await.is_empty());
    // Final: what comes now is on the next invoice, with our amount and its own quantity.
    ledger.spend(&world, tenant, "tokens", "4", in_january).await;
    world.work().await;
    let item = items(&world, tenant).await.remove(0);
    assert_eq!(item["description"], "Adjustment to 14 tokens above the included quantity, 2026-01-15 to 2026-02-15");
    assert_eq!((&item["metadata"]["quantity"], &item["invoice"]), (&"14".into(), &Value::Null));
    let all = charges(&world, tenant).await;
    assert!(all[..all.len() - 1].iter().all(|charge| charge.ends_with(" billed meter")), "{all:?}");
    assert!(all[all.len() - 1].ends_with(" billed next"), "{all:?}");
    world.advance("1mo").await;
    world.advance("2h").await;
    assert_eq!(counted(&world, tenant).await, ["paid tokens 10 23"]);
    let last = world.invoices(tenant).await[0].clone();
    assert_eq!(last["amount_paid"].as_i64(), Some(2900 + item["amount"].as_i64().unwrap()));
    world.finish().await;
}

/// Stripe counts whole units of a month; what is reported is exact.
#[tokio::test]
async fn fractions_are_reported_as_they_are_and_rounded_once_by_stripe() {
    let world = metered(by_meter()).await;
    let tenant = world.user("ada@example.com").await;
    world.buy(tenant, "basic").await;
    let mut ledger = Ledger::default();
    let in_january = world.now();
    ledger.spend(&world, tenant, "tokens", "110.3", in_january).await;
    world.advance("1mo").await;
    assert_eq!(counted(&world, tenant).await, ["draft tokens 10 23"]);
    ledger.spend(&world, tenant, "tokens", "0.3", in_january).await;
    world.work().await;
    assert_eq!(counted(&world, tenant).await, ["draft tokens 11 25"]);
    // 10.6 at 2.25 cents are 23.85.
    assert_eq!(charged(&world, tenant).await, 24);
    world.advance("2h").await;
    world.finish().await;
}

#[tokio::test]
async fn lost_answers_count_once() {
    let world = metered(by_meter()).await;
    for (number, fault) in [
        FaultRule::new(FaultAction::Drop, true, 3),
        FaultRule::new(FaultAction::Drop, false, 3),
        FaultRule::status(500, 3),
        FaultRule { executed: true, ..FaultRule::status(500, 3) },
        FaultRule::status(429, 3),
    ]
    .into_iter()
    .enumerate()
    {
        let (tenant, _) = with_overage(&world, &format!("ada{number}@example.com")).await;
        let renewal = to_renewal(&world).await;
        close_ended(&world.db, &world.env, tenant).await.unwrap();
        world.control.add_fault(fault.clone().only("POST", EVENTS));
        overage::bill_tenant(&world.stripe, tenant).await.unwrap_err();
        assert_eq!(world.control.faults(), [], "{fault:?}");
        assert_eq!(charges(&world, tenant).await, ["tokens 0 45 unbilled"]);
        // The lease was given back, and the draft is open.
        world.work().await;
        assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed meter"], "{fault:?}");
        assert_eq!(counted(&world, tenant).await, ["draft tokens 20 45"], "{fault:?}");
        assert_eq!(world.now(), renewal);
        world.advance("2h").await;
        assert_eq!(counted(&world, tenant).await, ["paid tokens 20 45"], "{fault:?}");
        assert!(items(&world, tenant).await.is_empty());
    }
    world.finish().await;
}

#[tokio::test]
async fn workers_that_die_anywhere_count_once() {
    let world = metered(by_meter()).await;
    let mut tenants = Vec::new();
    for number in 0..16 {
        tenants.push(with_overage(&world, &format!("ada{number}@example.com")).await.0);
    }
    to_renewal(&world).await;
    let (mut died, mut done) = (0, 0);
    for (number, tenant) in tenants.iter().enumerate() {
        close_ended(&world.db, &world.env, *tenant).await.unwrap();
        match dying(number * 6, overage::bill_tenant(&world.stripe, *tenant)).await {
            Some(billed) => done += usize::from(billed.unwrap()),
            None => died += 1,
        }
    }
    assert!(died > 8 && done > 0, "{died} died, {done} were done: die at other places");
    // Their leases are over, the draft is not.
    world.move_to(world.later("2m")).await;
    world.work().await;
    for tenant in &tenants {
        assert_eq!(charges(&world, *tenant).await, ["tokens 0 45 billed meter"]);
        assert_eq!(counted(&world, *tenant).await, ["draft tokens 20 45"]);
    }
    world.advance("2h").await;
    for tenant in tenants {
        assert_eq!(counted(&world, tenant).await, ["paid tokens 20 45"]);
    }
    world.finish().await;
}

/// The answer is lost, and nobody works until Stripe has forgotten the identifier: nothing is sent again. The invoice
/// says whether it counts.
#[tokio::test]
async fn after_a_day_nothing_is_sent_again_and_the_invoice_says_what_counts() {
    for stays_draft in [false, true] {
        for executed in [true, false] {
            let world = metered(by_meter()).await;
            let (tenant, _) = with_overage(&world, "ada@example.com").await;
            to_renewal(&world).await;
            close_ended(&world.db, &world.env, tenant).await.unwrap();
            world.control.add_fault(FaultRule::new(FaultAction::Drop, executed, 3).only("POST", EVENTS));
            overage::bill_tenant(&world.stripe, tenant).await.unwrap_err();
            if stays_draft {
                let draft = world.invoices(tenant).await[0]["id"].as_str().unwrap().to_owned();
                world.post(&format!("/v1/invoices/{draft}"), &[("auto_advance", "false")]).await;
            }
            world.move_to(world.later("25h")).await;
            // One more event would be met by this.
            world.control.add_fault(FaultRule::status(418, 1).only("POST", EVENTS));
            world.work().await;
            assert_eq!(world.control.faults().len(), 1, "an event was sent again");
            let case = format!("draft {stays_draft}, executed {executed}");
            if stays_draft {
                // What a draft counts may still be to come: nobody decides by it.
                assert_eq!(charges(&world, tenant).await, ["tokens 0 45 unbilled"], "{case}");
                let draft = world.invoices(tenant).await[0]["id"].as_str().unwrap().to_owned();
                world.post(&format!("/v1/invoices/{draft}/finalize"), &[]).await;
                world.advance("1h").await;
            }
            if executed {
                assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed meter"], "{case}");
                assert!(items(&world, tenant).await.is_empty(), "{case}");
                assert!(counted(&world, tenant).await[0].ends_with("tokens 20 45"), "{case}");
            } else {
                assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed next"], "{case}");
                assert_eq!(items(&world, tenant).await.len(), 1, "{case}");
                assert_eq!(counted(&world, tenant).await, Vec::<String>::new(), "{case}");
            }
            assert_eq!(told(&world).await, Vec::<String>::new(), "{case}");
            world.finish().await;
        }
    }
}

/// A retry in time, but the draft became final meanwhile: an event now would count nowhere.
#[tokio::test]
async fn nothing_is_reported_for_an_invoice_that_is_final() {
    for executed in [true, false] {
        let world = metered(by_meter()).await;
        let (tenant, _) = with_overage(&world, "ada@example.com").await;
        to_renewal(&world).await;
        close_ended(&world.db, &world.env, tenant).await.unwrap();
        world.control.add_fault(FaultRule::new(FaultAction::Drop, executed, 3).only("POST", EVENTS));
        overage::bill_tenant(&world.stripe, tenant).await.unwrap_err();
        world.move_to(world.later("2h")).await;
        world.work().await;
        let way = if executed { "meter" } else { "next" };
        assert_eq!(charges(&world, tenant).await, [format!("tokens 0 45 billed {way}")]);
        assert_eq!(counted(&world, tenant).await.len(), usize::from(executed));
        assert_eq!(items(&world, tenant).await.len(), usize::from(!executed));
        world.finish().await;
    }
}

#[tokio::test]
async fn what_nobody_can_know_is_told_until_somebody_says_it() {
    for counts in [true, false] {
        in_doubt(counts).await;
    }
}

/// Less than a unit: the invoice shows the same whether it counts or not. It is neither sent again nor billed otherwise.
async fn in_doubt(counts: bool) {
    let world = metered(by_meter()).await;
    let tenant = world.user("ada@example.com").await;
    world.buy(tenant, "basic").await;
    Ledger::default().spend(&world, tenant, "tokens", "100.4", world.now()).await;
    to_renewal(&world).await;
    close_ended(&world.db, &world.env, tenant).await.unwrap();
    world.control.add_fault(FaultRule::new(FaultAction::Drop, true, 3).only("POST", EVENTS));
    overage::bill_tenant(&world.stripe, tenant).await.unwrap_err();
    world.move_to(world.later("25h")).await;
    world.control.add_fault(FaultRule::status(418, 1).only("POST", EVENTS));
    world.work().await;
    let charge = world.texts(tenant, "select id::text from tenantry.overage_charges where tenant_id = $1").await;
    let draft = world.invoices(tenant).await[0]["id"].as_str().unwrap().to_owned();
    let expected = format!(
        "nobody can know whether the meter event {} (0.4 of tenantry_overage_tokens) counts on invoice {draft}: it is \
         not sent again; look it up at Stripe and say it with `tenantry stripe resolve`",
        charge[0]
    );
    assert_eq!(told(&world).await, std::slice::from_ref(&expected));
    world.advance("1mo").await;
    world.advance("2h").await;
    assert_eq!(world.control.faults().len(), 1, "an event was sent again");
    assert_eq!(charges(&world, tenant).await, ["tokens 0 1 unbilled"]);
    assert!(items(&world, tenant).await.is_empty());
    assert_eq!(told(&world).await, [expected]);
    // Somebody looks it up, and says it once.
    let charge: Uuid = charge[0].parse().unwrap();
    let stranger = world.user("bea@example.com").await;
    assert!(!overage::resolve(&world.stripe, stranger, charge, true).await.unwrap());
    assert!(overage::resolve(&world.stripe, tenant, charge, counts).await.unwrap());
    assert!(!overage::resolve(&world.stripe, tenant, charge, counts).await.unwrap());
    let way = if counts { "meter" } else { "next" };
    assert_eq!(charges(&world, tenant).await, [format!("tokens 0 1 billed {way}")]);
    assert_eq!(items(&world, tenant).await.len(), usize::from(!counts));
    assert_eq!(world.audit(tenant, "overage.").await, ["overage.doubt_resolved"]);
    assert_eq!(told(&world).await, Vec::<String>::new());
    world.finish().await;
}

#[tokio::test]
async fn what_stripe_refuses_or_was_decided_otherwise_becomes_an_item() {
    let world = metered(by_meter()).await;
    let (refused, _) = with_overage(&world, "ada@example.com").await;
    let (decided, mut ledger) = with_overage(&world, "bea@example.com").await;
    let in_january = world.now();
    to_renewal(&world).await;
    for tenant in [refused, decided] {
        close_ended(&world.db, &world.env, tenant).await.unwrap();
    }
    // A slow worker decided for an item before the draft was there.
    let sql = "insert into tenantry.stripe_charge_ways (tenant_id, charge_id, way, began_at)
               select tenant_id, id, 'item', now() from tenantry.overage_charges where tenant_id = $1";
    world.admin.execute(sql, &[&decided]).await.unwrap();
    overage::bill_tenant(&world.stripe, decided).await.unwrap();
    // What comes after it for the same month goes the same way: there is no quantity to change.
    ledger.spend(&world, decided, "tokens", "8", in_january).await;
    overage::bill_tenant(&world.stripe, decided).await.unwrap();
    assert_eq!(charges(&world, decided).await, ["tokens 0 45 billed draft", "tokens 1 18 billed draft"]);
    let meters = world.list("/v1/billing/meters?limit=100").await;
    let tokens = meters.iter().find(|meter| meter["event_name"] == "tenantry_overage_tokens").unwrap();
    world.post(&format!("/v1/billing/meters/{}/deactivate", tokens["id"].as_str().unwrap()), &[]).await;
    overage::bill_tenant(&world.stripe, refused).await.unwrap();
    assert_eq!(charges(&world, refused).await, ["tokens 0 45 billed draft"]);
    assert_eq!((items(&world, refused).await.len(), items(&world, decided).await.len()), (1, 2));
    world.advance("2h").await;
    for (tenant, paid) in [(refused, 2945), (decided, 2963)] {
        assert_eq!(counted(&world, tenant).await, Vec::<String>::new());
        assert_eq!(world.invoices(tenant).await[0]["amount_paid"], paid);
    }
    world.finish().await;
}

/// A draft that is final in a moment may be so before Stripe counts: an item does not wait for that.
#[tokio::test]
async fn a_draft_with_little_time_left_gets_an_item() {
    let world = metered(by_meter()).await;
    let (tenant, _) = with_overage(&world, "ada@example.com").await;
    to_renewal(&world).await;
    world.move_to(world.later("56m")).await;
    world.work().await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed draft"]);
    world.advance("2h").await;
    assert_eq!(counted(&world, tenant).await, Vec::<String>::new());
    assert_eq!(world.invoices(tenant).await[0]["amount_paid"], 2945);
    world.finish().await;
}

/// Stripe would price the whole month by the plan in which it ended: it is billed by an item, and what is taken back of
/// it later gives back what it cost.
#[tokio::test]
async fn a_month_with_an_upgrade_is_an_item_and_the_items_follow_the_plan() {
    let world = metered(by_meter()).await;
    let (tenant, mut ledger) = with_overage(&world, "ada@example.com").await;
    world.advance("10d").await;
    world.done(tenant, &Asked::Upgrade(wish("plus", None), None)).await;
    world.work().await;
    assert_eq!(world.standing(tenant).await, "plus active month full");
    assert_eq!(metered_items(&world, tenant).await, ["jobs 300", "storage tiered", "tokens 1.75"]);
    ledger.spend(&world, tenant, "tokens", "60", world.now()).await;
    world.advance("22d").await;
    // 20 above the 100 of basic, then 30 above the 150 of plus: 97.5 cents.
    assert_eq!(charges(&world, tenant).await, ["tokens 0 98 billed draft"]);
    assert_eq!(counted(&world, tenant).await, Vec::<String>::new());
    // The first event was 120 of 100: without it 60 of 150 were used, and nothing is owed.
    ledger.take_back(&world, tenant, 0).await;
    world.work().await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 98 billed draft", "tokens 1 -98 billed next"]);
    // Down again: the month ends with what it had, and the items follow when its invoice is final.
    world.done(tenant, &Asked::Downgrade(wish("basic", None))).await;
    ledger.spend(&world, tenant, "tokens", "160", world.now()).await;
    let renewal = world.current(tenant).await["current_period_end"].as_str().unwrap().parse::<Timestamp>().unwrap();
    while world.now() < renewal {
        world.advance("1d").await;
    }
    assert_eq!(world.standing(tenant).await, "basic active month full");
    assert_eq!(counted(&world, tenant).await[0], "draft tokens 10 18");
    assert_eq!(metered_items(&world, tenant).await, ["jobs 300", "storage tiered", "tokens 1.75"]);
    world.advance("3h").await;
    assert_eq!(counted(&world, tenant).await[0], "paid tokens 10 18");
    assert_eq!(metered_items(&world, tenant).await, ["jobs 150", "storage tiered", "tokens 2.25"]);
    // And a cancellation is taken back.
    world.done(tenant, &Asked::Cancel).await;
    world.done(tenant, &Asked::Resume).await;
    world.work().await;
    assert_eq!(world.current(tenant).await["cancel_at"], Value::Null);
    world.finish().await;
}

#[tokio::test]
async fn a_plan_that_ends_or_is_paid_by_the_year_keeps_invoice_items() {
    let world = World::with(by_meter()).await;
    let (ending, yearly) = (world.user("ada@example.com").await, world.user("bea@example.com").await);
    let (moving, falling) = (world.user("cyn@example.com").await, world.user("dot@example.com").await);
    world.buy(falling, "scale").await;
    world.buy(ending, "pro").await;
    world.buy_with(yearly, &wish("pro", Some("year")), super::world::VISA).await;
    world.buy(moving, "pro").await;
    assert_eq!(metered_items(&world, yearly).await, Vec::<String>::new());
    for (tenant, amount) in [(ending, "90"), (yearly, "90"), (moving, "90"), (falling, "110")] {
        world.use_up(tenant, amount, "tokens", amount).await;
    }
    world.done(ending, &Asked::Cancel).await;
    // To the year in the middle: the metered items go with the same call, as the preview says.
    world.advance("10d").await;
    assert_eq!(metered_items(&world, moving).await, ["tokens 2"]);
    let year = wish("pro", Some("year"));
    let at = Timestamp::from_second(world.now().as_second()).unwrap();
    let shown = tenantry::stripe_sync::operations::preview::preview(&world.stripe, moving, ("pro", "year"), at).await;
    let tenantry::stripe_sync::operations::preview::Previewed::Invoice(shown) = shown.unwrap() else {
        panic!("no preview")
    };
    world.done(moving, &Asked::Upgrade(year, Some(at))).await;
    assert_eq!(world.invoices(moving).await[0]["total"].as_i64(), Some(shown.total));
    assert_eq!(metered_items(&world, moving).await, Vec::<String>::new());
    assert_eq!(world.standing(moving).await, "pro active year full");
    // To the year with the next month.
    world.done(falling, &Asked::Downgrade(wish("pro", Some("year")))).await;
    world.advance("1mo").await;
    world.advance("3h").await;
    assert_eq!(world.standing(falling).await, "pro active year full");
    assert_eq!(metered_items(&world, falling).await, Vec::<String>::new());
    assert_eq!(charges(&world, falling).await, ["tokens 0 20 billed draft"]);
    assert_eq!(charges(&world, ending).await, ["tokens 0 20 billed own"]);
    assert_eq!(charges(&world, yearly).await, ["tokens 0 20 billed next"]);
    assert_eq!(charges(&world, moving).await, ["tokens 0 20 billed next"]);
    for tenant in [ending, yearly, moving, falling] {
        assert_eq!(items(&world, tenant).await.len(), 1);
        assert_eq!(counted(&world, tenant).await, Vec::<String>::new());
    }
    world.finish().await;
}

#[tokio::test]
async fn the_way_of_billing_can_be_switched() {
    let mut world = metered(settings()).await;
    let (tenant, mut ledger) = with_overage(&world, "ada@example.com").await;
    world.advance("1mo").await;
    world.advance("3h").await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed draft"]);
    assert_eq!(metered_items(&world, tenant).await, Vec::<String>::new());
    // On, with the catalog pushed: the items come with the next look at the customer.
    world.stripe.settings = std::sync::Arc::new(by_meter());
    let plans = super::metered::catalog_of_plans();
    assert!(!catalog::push(&world.stripe, &plans).await.unwrap().is_empty());
    sync::sync_tenant(&world.stripe, tenant).await.unwrap();
    world.work().await;
    assert_eq!(metered_items(&world, tenant).await.len(), 3);
    ledger.spend(&world, tenant, "tokens", "110", world.now()).await;
    world.advance("1mo").await;
    assert_eq!(counted(&world, tenant).await, ["paid tokens 10 23"]);
    // And off: what was begun as an event ends as one, and the items go.
    world.stripe.settings = std::sync::Arc::new(settings());
    ledger.spend(&world, tenant, "tokens", "130", world.now()).await;
    sync::sync_tenant(&world.stripe, tenant).await.unwrap();
    world.work().await;
    assert_eq!(metered_items(&world, tenant).await, Vec::<String>::new());
    world.advance("1mo").await;
    world.advance("3h").await;
    let billed = ["tokens 0 45 billed draft", "tokens 0 22 billed meter", "tokens 0 68 billed draft"];
    assert_eq!(charges(&world, tenant).await, billed);
    assert_eq!(counted(&world, tenant).await, ["paid tokens 10 23"]);
    world.finish().await;
}

/// What was sent was sent, also where overage is billed by items by the time its answer is looked for.
#[tokio::test]
async fn an_event_without_an_answer_stays_an_event_when_the_way_is_switched() {
    let mut world = metered(by_meter()).await;
    let (tenant, _) = with_overage(&world, "ada@example.com").await;
    to_renewal(&world).await;
    close_ended(&world.db, &world.env, tenant).await.unwrap();
    world.control.add_fault(FaultRule::new(FaultAction::Drop, true, 3).only("POST", EVENTS));
    overage::bill_tenant(&world.stripe, tenant).await.unwrap_err();
    world.stripe.settings = std::sync::Arc::new(settings());
    world.work().await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed meter"]);
    assert_eq!(counted(&world, tenant).await, ["draft tokens 20 45"]);
    assert!(items(&world, tenant).await.is_empty());
    world.advance("2h").await;
    world.finish().await;
}

/// A new version of the plan counts from the next month on: until then the month keeps the price that it began with.
#[tokio::test]
async fn changed_terms_reach_the_items_with_the_next_month() {
    let world = metered(by_meter()).await;
    let (tenant, mut ledger) = with_overage(&world, "ada@example.com").await;
    let dearer = super::metered::catalog_with(|plans| {
        plans[1]["metrics"]["tokens"]["overage"]["tiers"][0]["unit_price"] = "3".into();
    });
    tenantry::billing::catalog_store::load(&world.db, &world.env, &dearer).await.unwrap();
    catalog::push(&world.stripe, &dearer).await.unwrap();
    sync::sync_tenant(&world.stripe, tenant).await.unwrap();
    world.work().await;
    assert_eq!(metered_items(&world, tenant).await, ["jobs 150", "storage tiered", "tokens 2.25"]);
    world.advance("1mo").await;
    world.advance("3h").await;
    assert_eq!(counted(&world, tenant).await, ["paid tokens 20 45"]);
    assert_eq!(metered_items(&world, tenant).await, ["jobs 150", "storage tiered", "tokens 3"]);
    ledger.spend(&world, tenant, "tokens", "101", world.now()).await;
    world.advance("1mo").await;
    assert_eq!(counted(&world, tenant).await[0], "paid tokens 1 3");
    world.finish().await;
}

#[tokio::test]
async fn a_trial_is_billed_by_items_and_the_months_behind_it_by_the_meter() {
    let world = metered(by_meter()).await;
    let tenant = world.user("ada@example.com").await;
    world.buy(tenant, "tried").await;
    assert_eq!(metered_items(&world, tenant).await.len(), 3);
    let mut ledger = Ledger::default();
    ledger.spend(&world, tenant, "tokens", "120", world.now()).await;
    world.advance("7d").await;
    world.advance("3h").await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed draft"]);
    ledger.spend(&world, tenant, "tokens", "110", world.now()).await;
    world.advance("1mo").await;
    world.advance("3h").await;
    assert_eq!(charges(&world, tenant).await, ["tokens 0 45 billed draft", "tokens 0 22 billed meter"]);
    assert_eq!(counted(&world, tenant).await, ["paid tokens 10 23"]);
    world.finish().await;
}

/// That Stripe takes an event does not say that it counts, nor that nobody else reports.
#[tokio::test]
async fn an_invoice_that_counts_something_else_than_was_reported_is_told() {
    let world = metered(by_meter()).await;
    let (tenant, _) = with_overage(&world, "ada@example.com").await;
    world.advance("1mo").await;
    assert_eq!(told(&world).await, Vec::<String>::new());
    let (customer, at) = (world.customer(tenant).await, (world.now().as_second() - 10).to_string());
    let form = [
        ("event_name", "tenantry_overage_tokens"),
        ("payload[stripe_customer_id]", &customer),
        ("payload[value]", "5"),
        ("timestamp", &at),
    ];
    world.post(EVENTS, &form).await;
    world.advance("2h").await;
    let invoice = world.invoices(tenant).await[0]["id"].as_str().unwrap().to_owned();
    let expected = format!("invoice {invoice} counts 25 of tenantry_overage_tokens, and 20 were reported for it");
    assert_eq!(told(&world).await, [expected]);
    world.finish().await;
}
