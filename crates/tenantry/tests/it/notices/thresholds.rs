//! Limits that come near or are reached, told in the transaction of the events.

use std::sync::Arc;

use jiff::SignedDuration;
use tenantry::tenancy::Actor;
use tenantry::usage::event::{Content, NewEvent};
use tenantry::usage::ingest::{Ingest, IngestSettings};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::world::World;

/// Records as the system, each answer being one.
async fn record(world: &World, events: &[NewEvent]) {
    for answer in world.recorder().record(Actor::System, events).await {
        answer.unwrap();
    }
}

async fn use_up(world: &World, tenant: Uuid, metric: &str, key: &str, amount: &str) {
    record(world, &[world.event(tenant, key, metric, amount)]).await;
}

#[tokio::test]
async fn each_threshold_is_told_once_and_the_first_refusal_too() {
    let world = World::new().await;
    let t = world.user(None).await;
    use_up(&world, t, "calls", "1", "79.999999999").await;
    assert!(world.limits(t).await.is_empty());
    use_up(&world, t, "calls", "2", "0.000000001").await;
    assert_eq!(world.limits(t).await, ["limit_threshold calls 80 80/100"]);
    use_up(&world, t, "calls", "3", "19").await;
    use_up(&world, t, "calls", "4", "2").await;
    use_up(&world, t, "calls", "4", "2").await;
    use_up(&world, t, "calls", "5", "3").await;
    assert_eq!(world.limits(t).await, ["limit_refused calls 99/100", "limit_threshold calls 80 80/100"]);
    use_up(&world, t, "calls", "6", "1").await;
    let all = ["limit_refused calls 99/100", "limit_threshold calls 100 100/100", "limit_threshold calls 80 80/100"];
    assert_eq!(world.limits(t).await, all);
    assert_eq!(world.count("select count(*) from tenantry.jobs where kind = 'fan_out_notice'").await, 3);
    // The next period is told of its own.
    world.advance(SignedDuration::from_hours(24 * 40));
    use_up(&world, t, "calls", "7", "85").await;
    assert_eq!(world.limits(t).await.len(), 4);
}

#[tokio::test]
async fn a_jump_over_both_thresholds_tells_of_both_on_the_fast_way() {
    let world = World::new().await;
    let t = world.user(None).await;
    use_up(&world, t, "tokens", "1", "5").await;
    // Above what is included more is priced, so nothing is refused and no lock is needed.
    record(&world, &[world.event(t, "2", "tokens", "30"), world.event(t, "3", "tokens", "25")]).await;
    let due = ["limit_threshold tokens 100 60/50", "limit_threshold tokens 80 60/50"];
    assert_eq!(world.limits(t).await, due);
    use_up(&world, t, "tokens", "4", "500").await;
    assert_eq!(world.limits(t).await, due);
}

#[tokio::test]
async fn a_jump_over_both_thresholds_tells_of_both_on_the_careful_way() {
    let world = World::new().await;
    let t = world.user(None).await;
    use_up(&world, t, "calls", "1", "10").await;
    // The second does not fit any more, so the group is decided under locks.
    record(&world, &[world.event(t, "2", "calls", "90"), world.event(t, "3", "calls", "1")]).await;
    let due = ["limit_refused calls 100/100", "limit_threshold calls 100 100/100", "limit_threshold calls 80 100/100"];
    assert_eq!(world.limits(t).await, due);
}

#[tokio::test]
async fn what_has_no_allowance_tells_of_none() {
    let world = World::new().await;
    let t = world.user(None).await;
    use_up(&world, t, "bytes", "1", "1000000").await;
    use_up(&world, t, "exports", "2", "1").await;
    use_up(&world, t, "exports", "3", "1").await;
    assert_eq!(world.limits(t).await, ["limit_refused exports 0/0"]);
}

#[tokio::test]
async fn another_limit_within_the_period_is_told_of_anew() {
    let world = World::new().await;
    let t = world.user(None).await;
    use_up(&world, t, "calls", "1", "100").await;
    use_up(&world, t, "calls", "2", "1").await;
    assert_eq!(world.limits(t).await.len(), 3);
    world.change_plan(t, "pro").await;
    use_up(&world, t, "calls", "3", "200").await;
    use_up(&world, t, "calls", "4", "1").await;
    use_up(&world, t, "calls", "5", "1").await;
    let mut told = world.limits(t).await;
    told.retain(|one| one.ends_with("/300"));
    told.sort();
    let due = ["limit_refused calls 300/300", "limit_threshold calls 100 300/300", "limit_threshold calls 80 300/300"];
    assert_eq!(told, due);
    assert_eq!(world.limits(t).await.len(), 6);
}

#[tokio::test]
async fn use_taken_back_and_made_again_tells_of_nothing_new() {
    let world = World::new().await;
    let t = world.user(None).await;
    use_up(&world, t, "calls", "1", "85").await;
    let reversal =
        NewEvent { content: Content::Reversal { reverses: "1".to_owned() }, ..world.event(t, "2", "calls", "1") };
    record(&world, &[reversal]).await;
    use_up(&world, t, "calls", "3", "85").await;
    assert_eq!(world.limits(t).await, ["limit_threshold calls 80 85/100"]);
}

#[tokio::test]
async fn late_events_of_a_period_that_is_over_tell_of_nothing() {
    let world = World::new().await;
    let t = world.user(None).await;
    use_up(&world, t, "calls", "1", "10").await;
    let then = world.now();
    world.advance(SignedDuration::from_hours(24 * 32));
    let late = NewEvent { timestamp: Some(then), ..world.event(t, "2", "calls", "75") };
    let refused = NewEvent { timestamp: Some(then), ..world.event(t, "3", "calls", "75") };
    record(&world, &[late, refused]).await;
    assert_eq!(world.count("select sum(total)::bigint from tenantry.usage_counters").await, 85);
    assert!(world.limits(t).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_clients_of_two_replicas_are_told_once() {
    let world = World::new().await;
    let t = world.user(None).await;
    let replicas =
        [world.recorder(), world.recorder()].map(|recorder| Ingest::start(&recorder, IngestSettings::default()));
    let world = Arc::new(world);
    let mut clients = JoinSet::new();
    for client in 0..64_usize {
        let (world, ingest) = (Arc::clone(&world), replicas[client % 2].clone());
        clients.spawn(async move {
            for n in 0..3 {
                // Each event is sent twice, as by a client that lost its patience.
                for metric in ["calls", "tokens"] {
                    let event = world.event(t, &format!("{metric}-{client}-{n}"), metric, "1");
                    let twice =
                        [ingest.submit(Actor::System, vec![event.clone()]), ingest.submit(Actor::System, vec![event])];
                    for answers in futures::future::join_all(twice).await {
                        answers.unwrap()[0].as_ref().unwrap();
                    }
                }
            }
        });
    }
    clients.join_all().await;
    let told = world.limits(t).await;
    let kinds: Vec<&str> = told.iter().map(|text| text.rsplit_once(' ').unwrap().0).collect();
    let due = [
        "limit_refused calls",
        "limit_threshold calls 100",
        "limit_threshold calls 80",
        "limit_threshold tokens 100",
        "limit_threshold tokens 80",
    ];
    assert_eq!(kinds, due);
}
