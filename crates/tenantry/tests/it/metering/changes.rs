//! Plan changes, new anchors, closing, and what comes after it.

use jiff::SignedDuration;
use tenantry::storage::StoreError;
use tenantry::tenancy::Actor;
use tenantry::usage::closing::{Closed, close_period};
use tenantry::usage::plan_change::{self, NewTerms};
use tenantry::write_tx;

use super::world::{NOON, World, at, terms};

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// 100 tokens on free: 50 above, 40 at 3 per 10 and 10 at 1.5 per 10, so 13.5 cents; half to even is 14.
#[tokio::test]
async fn closing_charges_the_rounded_price_once_and_opens_the_next_period() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "100"), world.event(t, "b", "calls", "5")]).await;
    assert_eq!(close_period(&world.db, &world.env, t, at(NOON)).await.unwrap(), Closed::NotYet);
    world.env.clock.set(at("2026-04-15T12:29:59Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, Vec::<String>::new());
    world.env.clock.set(at("2026-04-15T12:30:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 14"]);
    // Again, and by many at once: nothing more.
    let closers = (0..8).map(|_| close_period(&world.db, &world.env, t, at(NOON)));
    for closed in futures::future::join_all(closers).await {
        assert_eq!(closed.unwrap(), Closed::Before);
    }
    assert_eq!(world.charges(t).await, ["tokens 0 14"]);
    let open =
        "select count(*) from tenantry.usage_periods where state = 'open' and period_start = '2026-04-15T12:00Z'";
    assert_eq!(world.count(open).await, 1);
    let current = "select count(*) from tenantry.tenant_subscriptions where current_period_start = '2026-04-15T12:00Z'";
    assert_eq!(world.count(current).await, 1);
    // Totals of the new period begin at 0.
    assert_eq!(world.record(&[world.event(t, "c", "calls", "1")]).await, ["accepted 1"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn late_events_and_corrections_adjust_a_closed_period() {
    let world = World::new().await;
    let t = world.user().await;
    let late = "2026-04-15T11:00:00Z";
    world.record(&[world.event(t, "a", "tokens", "100")]).await;
    world.env.clock.set(at("2026-04-16T12:00:00Z"));
    world.work().await;
    let events = [world.event_at(t, "l1", "tokens", "10", late), world.event_at(t, "l2", "tokens", "0.1", late)];
    assert_eq!(world.record_as(Actor::User(t), &events).await, ["accepted 110", "accepted 110.1"]);
    // 60.1 above: 12 + 20.1 * 0.15 = 15.015, rounded 15, of which 14 are charged.
    assert_eq!(world.charges(t).await, ["tokens 0 14", "tokens 1 1"]);
    assert_eq!(world.record(&[world.reversal(t, "r", "a")]).await, ["accepted 10.1"]);
    assert_eq!(world.charges(t).await, ["tokens 0 14", "tokens 1 1", "tokens 2 -15"]);
    // The hard limit of a closed period holds as well.
    let limit = [world.event_at(t, "l3", "calls", "101", late), world.event_at(t, "l4", "calls", "100", late)];
    assert_eq!(world.record(&limit).await, ["refused 0", "accepted 100"]);
    world.books_are_right().await;
}

/// 60 tokens under free, then pro; the 60 are priced by free (10 above: 3 cents), what follows by pro.
#[tokio::test]
async fn a_plan_change_prices_each_segment_by_its_own_plan() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "60"), world.event(t, "b", "calls", "90")]).await;
    world.env.clock.advance(hours(24));
    let change = world.now();
    world.change_plan(t, "pro", change).await;
    assert_eq!(world.record(&[world.event(t, "c", "calls", "200")]).await, ["accepted 290"]);
    assert_eq!(world.record(&[world.event(t, "d", "tokens", "40")]).await, ["accepted 100"]);
    // Two changes at one instant leave one segment; the last one counts.
    world.change_plan(t, "free", change).await;
    world.change_plan(t, "pro", change).await;
    assert_eq!(world.count("select count(*) from tenantry.usage_segments").await, 2);
    // An event of before the change belongs to the first segment: free prices 70 - 50 = 20 above, 6 cents.
    let early = world.event_at(t, "e", "tokens", "10", "2026-03-15T18:00:00Z");
    assert_eq!(world.record(&[early]).await, ["accepted 110"]);
    // The instant of the change itself belongs to the second one.
    let on_it = world.event_at(t, "f", "tokens", "1", &change.to_string());
    assert_eq!(world.record(&[on_it]).await, ["accepted 111"]);
    world.env.clock.advance(hours(24 * 31));
    world.work().await;
    // free: price(70) = 6; pro: price(111) - price(70) = 31 * 2.25 = 69.75; together 75.75.
    assert_eq!(world.charges(t).await, ["tokens 0 76"]);
    // The next period is under pro.
    assert_eq!(world.record(&[world.event(t, "g", "exports", "20")]).await, ["accepted 20"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_new_anchor_ends_the_period_and_takes_later_events_along() {
    let world = World::new().await;
    let t = world.user().await;
    let user = Actor::User(t);
    world.env.clock.set(at("2026-03-20T10:00:00Z"));
    let events = [
        world.event_at(t, "a", "tokens", "60", "2026-03-18T00:00:00Z"),
        world.event_at(t, "b", "tokens", "7", "2026-03-20T09:30:00Z"),
        world.event_at(t, "c", "calls", "5", "2026-03-20T09:59:59Z"),
    ];
    assert_eq!(world.record_as(user, &events).await, ["accepted 60", "accepted 67", "accepted 5"]);
    world.new_anchor(t, "pro", at("2026-03-20T09:30:00Z")).await;
    // By period, then by metric: 60 tokens stay, the rest moved.
    assert_eq!(world.totals(t).await, ["tokens 60", "calls 5", "tokens 7"]);
    assert_eq!(world.record_as(user, &[world.event(t, "d", "calls", "295")]).await, ["accepted 300"]);
    world.books_are_right().await;
    world.env.clock.set(at("2026-04-20T10:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 3"]);
    let periods = "select count(*) from tenantry.usage_periods where period_start in
                   ('2026-03-15T12:00Z', '2026-03-20T09:30Z', '2026-04-20T09:30Z') and not historic";
    assert_eq!(world.count(periods).await, 3);
    world.books_are_right().await;
}

/// Changes of now and of the past, while usage of now and of the past is recorded and periods are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_race_with_recording_and_closing_and_the_books_stay_right() {
    let world = std::sync::Arc::new(World::with_pool(10).await);
    let t = world.user().await;
    let recording: Vec<_> = (0..4)
        .map(|task| {
            let world = std::sync::Arc::clone(&world);
            tokio::spawn(async move {
                for n in 0..40 {
                    world.env.clock.advance(hours(6));
                    let when = |back: i64| world.now().checked_sub(hours(back)).unwrap().max(at(NOON)).to_string();
                    let group = [
                        world.event(t, &format!("{task}-{n}"), "tokens", "1"),
                        world.event_at(t, &format!("{task}-{n}-l"), "tokens", "1", &when(24 * (n % 20))),
                        world.event(t, &format!("{task}-{n}-c"), "calls", "0.5"),
                    ];
                    for answer in world.record(&group).await {
                        assert!(answer.starts_with("accepted") || answer.starts_with("refused"), "{answer}");
                    }
                    if n % 8 == 7 {
                        world.work().await;
                    }
                }
            })
        })
        .collect();
    let mut rounds = 0_i64;
    while !recording.iter().all(tokio::task::JoinHandle::is_finished) {
        let back = hours([0, 30, 300, 800][usize::try_from(rounds % 4).unwrap()]);
        let from = world.now().checked_sub(back).unwrap().max(at(NOON));
        if rounds % 3 == 2 {
            world.new_anchor(t, "pro", from).await;
        } else {
            world.change_plan(t, if rounds % 2 == 0 { "pro" } else { "free" }, from).await;
        }
        rounds += 1;
    }
    for task in recording {
        task.await.unwrap();
    }
    assert!(rounds > 8, "only {rounds} changes");
    let tokens = world.count("select sum(amount)::bigint from tenantry.tenant_usage where metric = 'tokens'").await;
    assert_eq!(tokens, 320);
    world.books_are_right().await;
    world.env.clock.advance(hours(24 * 32));
    world.work().await;
    world.books_are_right().await;
    let closed = "select count(*) from tenantry.usage_periods where state = 'closed'";
    assert!(world.count(closed).await > 1, "nothing was closed");
}

#[tokio::test]
async fn an_anchor_on_the_31st_comes_back_after_short_months() {
    let world = World::new().await;
    world.env.clock.set(at("2026-01-31T08:00:00Z"));
    let t = world.user().await;
    for month in 0..5 {
        world.record(&[world.event(t, &format!("k{month}"), "calls", "1")]).await;
        world.env.clock.advance(hours(24 * 30));
        world.work().await;
    }
    let starts: Vec<String> = world
        .admin
        .query("select to_char(period_start at time zone 'UTC', 'MM-DD') from tenantry.usage_periods order by period_start", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(starts, ["01-31", "02-28", "03-31", "04-30", "05-31", "06-30"][..starts.len()]);
    assert!(starts.len() >= 5, "{starts:?}");
    world.books_are_right().await;
}

/// A closed period whose total stays what it was costs something else all the same.
#[tokio::test]
async fn usage_that_moves_between_segments_of_a_closed_period_is_charged() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "70")]).await;
    world.env.clock.advance(hours(24));
    world.change_plan(t, "pro", world.now()).await;
    world.record(&[world.event(t, "b", "tokens", "10"), world.event(t, "c", "tokens", "20")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    // free: price(70) = 6; pro: price(100) - price(70) = 20 * 2.25 = 45.
    assert_eq!(world.charges(t).await, ["tokens 0 51"]);
    let group = [world.event_at(t, "l", "tokens", "10", "2026-03-15T13:00:00Z"), world.reversal(t, "r", "b")];
    assert_eq!(world.record(&group).await, ["accepted 110", "accepted 100"]);
    // free: price(80) = 9; pro: 45.
    assert_eq!(world.charges(t).await, ["tokens 0 51", "tokens 1 3"]);
    world.books_are_right().await;
}

/// While a payment is overdue limits are those of the default plan, and what is charged stays as it was.
#[tokio::test]
async fn a_charge_counts_overage_by_the_plan_that_prices() {
    let world = World::new().await;
    let t = world.user().await;
    world.change_plan(t, "pro", world.now()).await;
    world.record(&[world.event(t, "a", "tokens", "100")]).await;
    let (env, terms) = (&world.env, NewTerms { limits: ("free".to_owned(), 1), ..terms("pro") });
    let at_once = world.now().checked_add(hours(1)).unwrap();
    let done: Result<_, StoreError> = write_tx!(world.db, "test_fallback", &[t], |tx| {
        plan_change::start_segment(tx, env, t, at_once, &terms).await
    });
    done.unwrap();
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    // pro includes 80 of the 100 tokens; free, by which they are limited, 50.
    assert_eq!(world.charges(t).await, ["tokens 0 45"]);
    let overage = "select count(*) from tenantry.overage_charges where overage_amount = 20";
    assert_eq!(world.count(overage).await, 1);
}
