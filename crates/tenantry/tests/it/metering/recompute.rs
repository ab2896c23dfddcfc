//! Charges reckoned again from the raw events.

use tenantry::usage::recompute::{BOOK, Recomputed, Scope, recompute};
use uuid::Uuid;

use super::world::{World, at};

async fn reckoned(world: &World, scope: Scope) -> Recomputed {
    recompute(&world.db, scope).await.unwrap().unwrap()
}

/// Two tenants with closed periods of March and April, with a plan change, corrections, and usage of 0.
async fn two(world: &World) -> [Uuid; 2] {
    let tenants = [world.user().await, world.user().await];
    for t in tenants {
        world.record(&[world.event(t, "a", "tokens", "100"), world.event(t, "b", "calls", "9")]).await;
        world.record(&[world.event(t, "c", "bytes", "5"), world.reversal(t, "r", "c")]).await;
    }
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(tenants[0], "pro", world.now()).await;
    world.record(&[world.event(tenants[0], "d", "tokens", "21.5")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    world.record(&[world.event(tenants[0], "e", "tokens", "99.25")]).await;
    // Late, into a segment that has ended.
    world.record(&[world.event_at(tenants[0], "f", "tokens", "3", "2026-03-16T00:00:00Z")]).await;
    world.env.clock.set(at("2026-05-16T00:00:00Z"));
    world.work().await;
    world.books_are_right().await;
    tenants
}

#[tokio::test]
async fn charges_are_the_price_of_the_raw_events() {
    let world = World::new().await;
    let [one, _] = two(&world).await;
    let all = reckoned(&world, Scope::Periods(None, None)).await;
    assert_eq!((all.counters, all.events, all.differences.len()), (7, 11, 0), "{all:?}");
    let of = |tenant, month: &str| Scope::Periods(tenant, Some(month.parse().unwrap()));
    let march = reckoned(&world, of(None, "2026-03")).await;
    assert_eq!((march.counters, march.events), (6, 10));
    assert_eq!(reckoned(&world, of(Some(one), "2026-03")).await.events, 6);
    assert_eq!(reckoned(&world, of(Some(one), "2026-04")).await.events, 1);
    assert_eq!(reckoned(&world, of(None, "2026-05")).await, Recomputed::default());
    assert_eq!(recompute(&world.db, Scope::Charge(one)).await.unwrap(), None);
}

#[tokio::test]
async fn a_charge_that_is_not_the_price_of_its_events_is_found_although_its_counter_says_so() {
    let world = World::new().await;
    let [one, two] = two(&world).await;
    let sql = "select id from tenantry.overage_charges where tenant_id = $1 and sequence = 0
               order by billing_period_start limit 1";
    let charge: Uuid = world.admin.query_one(sql, &[&one]).await.unwrap().get(0);
    assert_eq!(reckoned(&world, Scope::Charge(charge)).await.events, 3);
    // An event that the counter never knew of: the counter and the charges go on agreeing with each other.
    let forged = "insert into tenantry.tenant_usage
        select tenant_id, gen_random_uuid(), user_id, metric, 10, occurred_at, period_start, period_end, kind, 'forged',
               reverses, metadata, created_at
        from tenantry.tenant_usage where tenant_id = $1 and idempotency_key = 'a'";
    world.admin.execute(forged, &[&one]).await.unwrap();
    for scope in [Scope::Charge(charge), Scope::Periods(None, None), Scope::Periods(Some(one), None)] {
        let found = reckoned(&world, scope).await.differences;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].tenant_id, found[0].book), (one, BOOK));
        // free: 12 + 2.3 * 1.5 - 0.5 ... of 113 tokens; pro: 21.5 * 2.25.
        assert!(found[0].detail.contains("the price of 134.5"), "{}", found[0].detail);
    }
    assert!(reckoned(&world, Scope::Periods(Some(two), None)).await.differences.is_empty());
    // A cent too much is found, too.
    world.admin.execute("delete from tenantry.tenant_usage where idempotency_key = 'forged'", &[]).await.unwrap();
    let cent = "update tenantry.overage_charges set charge_amount_cents = charge_amount_cents + 1 where tenant_id = $1";
    world.admin.execute(cent, &[&two]).await.unwrap();
    assert_eq!(reckoned(&world, Scope::Periods(Some(two), None)).await.differences.len(), 1);
}

#[tokio::test]
async fn archived_months_are_told_and_no_difference() {
    let world = World::new().await;
    two(&world).await;
    // A month in which nothing was used is not there either, and nothing is missing.
    let quiet = world.user().await;
    world.record(&[world.event(quiet, "q", "tokens", "60")]).await;
    world.env.clock.set(at("2026-06-17T00:00:00Z"));
    world.work().await;
    let before = reckoned(&world, Scope::Periods(None, None)).await;
    assert_eq!((before.counters, before.archived.len()), (8, 0), "{before:?}");
    let sql = "alter table tenantry.tenant_usage detach partition tenantry.tenant_usage_2026_03";
    world.admin.batch_execute(sql).await.unwrap();
    let after = reckoned(&world, Scope::Periods(None, None)).await;
    assert_eq!(after.differences, []);
    assert_eq!((after.counters, after.archived.get("2026-03")), (2, Some(&6)), "{after:?}");
    // Rows that are missing while their month is there are a difference.
    world.admin.execute("delete from tenantry.tenant_usage where idempotency_key = 'e'", &[]).await.unwrap();
    assert_eq!(reckoned(&world, Scope::Periods(None, None)).await.differences.len(), 1);
}
