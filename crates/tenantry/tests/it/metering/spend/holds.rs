//! Holds under caps: what is reserved is judged as if it were used, and what was reserved fits when it is used.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry::tenancy::Actor;
use tenantry::usage::ingest::Recorder;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::super::concurrency::replica;
use super::super::holds::{commit, new_hold, release, said, settling, taken, used};
use super::super::world::{World, at};
use super::{catalog, world};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

async fn hold(world: &World, tenant: Uuid, metric: &str, amount: &str) -> String {
    said(&world.recorder.hold(Actor::System, &new_hold(tenant, metric, amount, HOUR), None).await)
}

#[tokio::test]
async fn a_hold_is_refused_where_an_event_would_be() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, None, 12).await;
    world.record(&[world.event(t, "a", "tokens", "50"), world.event(t, "b", "minutes", "21")]).await;
    // 1 for the minute, 9 for three tokens; a fourth would be 13.
    let three = taken(&world, t, "tokens", "3", HOUR).await;
    assert_eq!(hold(&world, t, "tokens", "1").await, "capped 50");
    assert_eq!(world.told(t).await, ["capped all 12 1"]);
    assert_eq!(world.check(t, "tokens", "1").await, "capped");
    let group =
        [world.event(t, "c", "tokens", "1"), world.event(t, "d", "minutes", "4"), world.event(t, "e", "minutes", "1")];
    assert_eq!(world.record(&group).await, ["capped 50", "capped 21", "accepted 22"]);
    // Less was used than was held: the rest is free for others.
    assert_eq!(commit(&world, t, three, "2").await, "committed 52 0");
    assert_eq!(world.record(&[world.event(t, "f", "tokens", "1")]).await, ["accepted 53"]);
    assert_eq!(world.accrued(t, None).await, 10);
    let more = taken(&world, t, "tokens", "0.6", HOUR).await;
    // What goes beyond what was held must fit the cap; the hold stays open.
    assert_eq!(commit(&world, t, more, "1").await, "capped 53");
    assert_eq!(release(&world, t, more).await, "released 53 0");
    world.books_are_right().await;
}

#[tokio::test]
async fn what_was_held_is_accepted_and_told_of_though_the_cap_was_lowered_since() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, Some("tokens"), 30).await;
    world.alert(t, Some("tokens"), 25).await;
    world.record(&[world.event(t, "a", "tokens", "50")]).await;
    let (first, second) = (taken(&world, t, "tokens", "6", HOUR).await, taken(&world, t, "tokens", "4", HOUR).await);
    assert_eq!(hold(&world, t, "tokens", "0.5").await, "capped 50");
    assert_eq!(commit(&world, t, first, "6").await, "committed 56 4");
    world.cap(t, Some("tokens"), 20).await;
    // Beyond what was held the cap judges, with all of it.
    assert_eq!(commit(&world, t, second, "4.1").await, "capped 56");
    assert_eq!(commit(&world, t, second, "4").await, "committed 60 0");
    assert_eq!(world.accrued(t, None).await, 30);
    assert_eq!(world.told(t).await, ["alert tokens 25 30", "capped tokens 20 30", "capped tokens 30 0"]);
    assert_eq!(world.record(&[world.event(t, "b", "tokens", "1")]).await, ["capped 60"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn what_has_expired_is_in_nobodys_way() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, None, 9).await;
    world.record(&[world.event(t, "a", "tokens", "50"), world.event(t, "b", "minutes", "20")]).await;
    taken(&world, t, "tokens", "3", HOUR).await;
    assert_eq!(world.check(t, "minutes", "10").await, "capped");
    world.env.clock.set(at("2026-03-15T13:00:00Z"));
    assert_eq!(world.check(t, "minutes", "10").await, "yes");
    // The expired hold is of another counter than the event's; it is taken out all the same.
    assert_eq!(world.record(&[world.event(t, "c", "minutes", "10")]).await, ["accepted 30"]);
    assert_eq!(world.count("select count(*) from tenantry.usage_counters where held <> 0").await, 0);
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn holds_and_events_of_two_metrics_never_pass_a_cap_over_both() {
    let world = World::with(10, catalog()).await;
    let t = world.user().await;
    world.cap(t, None, 100).await;
    let other = replica(&world);
    let world = Arc::new(world);
    let mut clients = JoinSet::new();
    for client in 0..10_usize {
        let recorder = if client % 2 == 0 { world.recorder.clone() } else { other.clone() };
        let world = Arc::clone(&world);
        clients.spawn(async move {
            for n in 0..8_usize {
                let metric = ["tokens", "minutes"][(client / 2 + n) % 2];
                if client % 3 == 0 {
                    let event = world.event(t, &format!("{client}-{n}"), metric, "4");
                    recorder.record(Actor::System, &[event]).await.pop().unwrap().unwrap();
                } else {
                    hold_and_settle(&recorder, t, metric, n).await;
                }
            }
        });
    }
    let done = tokio::time::timeout(Duration::from_mins(2), clients.join_all()).await;
    assert!(done.is_ok(), "the clients hang");
    let accrued = world.accrued(t, None).await;
    assert!((60..=100).contains(&accrued), "{accrued}");
    world.books_are_right().await;
}

/// Reserves five, and uses three to five of them.
async fn hold_and_settle(recorder: &Recorder, tenant: Uuid, metric: &str, n: usize) {
    let held = recorder.hold(Actor::System, &new_hold(tenant, metric, "5", HOUR), None).await;
    if let Ok(answer) = &held {
        let id = match answer {
            tenantry::tenancy::idempotency::Answer::Done(held) => held.hold.id,
            tenantry::tenancy::idempotency::Answer::Replayed(_) => unreachable!("no key was given"),
        };
        let amount = ["3", "4", "5"][n % 3];
        let settled = recorder.settle(settling(tenant, id), &used(amount), None).await;
        // Nobody lowers the cap, so what was reserved fits.
        assert!(said(&settled).starts_with("committed"), "{}", said(&settled));
    } else {
        assert!(said(&held).starts_with("capped"), "{}", said(&held));
    }
}
