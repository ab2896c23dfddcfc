//! Many at once: two recorders with pools of their own stand for two replicas.

use std::sync::Arc;
use std::time::Duration;

use tenantry::storage::Database;
use tenantry::tenancy::Actor;
use tenantry::usage::ingest::{GroupSettings, Ingest, IngestSettings, Recorder};
use tenantry::usage::outcome::SubmitError;
use tokio::task::JoinSet;

use super::world::{LATE_WINDOW, World, at, figures_catalog, word};

/// A second replica over the same database.
pub(super) fn replica(world: &World) -> Recorder {
    let db = Database::new(&world.test.logins).unwrap();
    Recorder::new(db, world.env.clone(), GroupSettings { late_window: LATE_WINDOW })
}

pub(super) fn settings(queue_limit: usize) -> IngestSettings {
    IngestSettings { queue_limit, ..IngestSettings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_clients_of_two_replicas_end_exactly_at_the_limit() {
    let world = World::with_pool(6).await;
    let t = world.user().await;
    let replicas = [world.recorder.clone(), replica(&world)].map(|recorder| Ingest::start(&recorder, settings(10_000)));
    let world = Arc::new(world);
    let mut clients = JoinSet::new();
    for client in 0..64_usize {
        let (world, ingest) = (Arc::clone(&world), replicas[client % 2].clone());
        clients.spawn(async move {
            let mut accepted = 0;
            for n in 0..5 {
                // Each event is sent twice, as by a client that lost its patience.
                let event = world.event(t, &format!("{client}-{n}"), "calls", "1");
                let twice =
                    [ingest.submit(Actor::System, vec![event.clone()]), ingest.submit(Actor::System, vec![event])];
                let words: Vec<String> = futures::future::join_all(twice)
                    .await
                    .into_iter()
                    .map(|answers| word(answers.unwrap()[0].as_ref().unwrap()))
                    .collect();
                let new = words.iter().filter(|word| word.starts_with("accepted")).count();
                assert!(new <= 1, "{words:?}");
                accepted += new;
            }
            accepted
        });
    }
    let accepted: usize = clients.join_all().await.into_iter().sum();
    assert_eq!(accepted, 100);
    assert_eq!(world.totals(t).await, ["calls 100"]);
    assert_eq!(world.count("select count(*) from tenantry.tenant_usage").await, 100);
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_that_is_sent_five_times_at_once_counts_once() {
    let world = World::new().await;
    let tenants = [world.user().await, world.user().await, world.user().await];
    let other = replica(&world);
    let batch: Vec<_> = (0..300_usize)
        .map(|n| world.event(tenants[n % 3], &format!("k{n}"), ["calls", "tokens", "bytes"][n % 3], "0.5"))
        .collect();
    let senders = (0..5).map(|n| {
        let recorder = if n % 2 == 0 { world.recorder.clone() } else { other.clone() };
        let batch = batch.clone();
        tokio::spawn(async move { recorder.record(Actor::System, &batch).await })
    });
    let answers = futures::future::join_all(senders).await;
    for index in 0..batch.len() {
        let words: Vec<String> =
            answers.iter().map(|answers| word(answers.as_ref().unwrap()[index].as_ref().unwrap())).collect();
        let accepted = words.iter().filter(|word| word.starts_with("accepted")).count();
        assert_eq!(accepted, 1, "event {index}: {words:?}");
    }
    assert_eq!(world.count("select count(*) from tenantry.tenant_usage").await, 300);
    world.books_are_right().await;
}

/// The fast way claims keys before counters, the careful one counters before keys: where both meet they step back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_ways_meet_on_the_same_keys_and_counters() {
    let world = Arc::new(World::with_pool(10).await);
    let (full, open) = (world.user().await, world.user().await);
    world.record(&[world.event(full, "start", "calls", "95")]).await;
    let other = replica(&world);
    let mut tasks = JoinSet::new();
    for task in 0..8_usize {
        let recorder = if task % 2 == 0 { world.recorder.clone() } else { other.clone() };
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            for round in 0..15 {
                // Overlapping keys over a counter at its limit and one far from it, in both orders.
                let mut events: Vec<_> = (0..10)
                    .map(|n| {
                        let tenant = if n % 2 == 0 { full } else { open };
                        world.event(tenant, &format!("k{}", (round * 3 + n + task) % 40), "calls", "1")
                    })
                    .collect();
                if task >= 4 {
                    events.reverse();
                }
                for answer in recorder.record(Actor::System, &events).await {
                    answer.unwrap();
                }
            }
        });
    }
    let done = tokio::time::timeout(Duration::from_mins(2), tasks.join_all()).await;
    assert!(done.is_ok(), "the tasks hang");
    assert_eq!(world.totals(full).await, ["calls 100"]);
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_before_anything_is_done() {
    let world = World::new().await;
    let t = world.user().await;
    let ingest = Ingest::start(&world.recorder, settings(10));
    // A transaction that holds the counter keeps the first group waiting.
    world.record(&[world.event(t, "first", "bytes", "1")]).await;
    let holder = world.test.admin_client().await;
    holder.batch_execute("begin; lock table tenantry.usage_counters in exclusive mode").await.unwrap();
    let events = |name: &str, count: usize| -> Vec<_> {
        (0..count).map(|n| world.event(t, &format!("{name}{n}"), "bytes", "1")).collect()
    };
    let waiting = tokio::spawn({
        let (ingest, events) = (ingest.clone(), events("w", 8));
        async move { ingest.submit(Actor::System, events).await }
    });
    while ingest.waiting() < 8 {
        tokio::task::yield_now().await;
    }
    let refused = ingest.submit(Actor::System, events("x", 3)).await;
    assert!(matches!(refused, Err(SubmitError::Overloaded)), "{refused:?}");
    holder.batch_execute("rollback").await.unwrap();
    let answers = waiting.await.unwrap().unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(world.totals(t).await, ["bytes 9"]);
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_answers_what_was_taken_in_and_takes_in_no_more() {
    let world = World::new().await;
    let t = world.user().await;
    let ingest = Ingest::start(&world.recorder, settings(1000));
    let sent: Vec<_> = (0..50)
        .map(|n| {
            let (ingest, event) = (ingest.clone(), world.event(t, &format!("k{n}"), "bytes", "1"));
            tokio::spawn(async move { ingest.submit(Actor::System, vec![event]).await })
        })
        .collect();
    while ingest.waiting() < 50 {
        tokio::task::yield_now().await;
    }
    ingest.drain().await;
    for answer in futures::future::join_all(sent).await {
        assert!(answer.unwrap().unwrap()[0].is_ok());
    }
    let late = ingest.submit(Actor::System, vec![world.event(t, "late", "bytes", "1")]).await;
    assert!(matches!(late, Err(SubmitError::ShuttingDown)), "{late:?}");
    assert_eq!(world.totals(t).await, ["bytes 50"]);
}

/// A caller that goes away loses its answer, not its events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_caller_that_went_away_are_recorded() {
    let world = World::new().await;
    let t = world.user().await;
    let ingest = Ingest::start(&world.recorder, settings(1000));
    for n in 0..20 {
        let event = world.event(t, &format!("k{n}"), "bytes", "1");
        // Polled once, which hands the event over, then dropped.
        let mut sending = Box::pin(ingest.submit(Actor::System, vec![event]));
        assert!(futures::poll!(&mut sending).is_pending());
    }
    ingest.drain().await;
    assert_eq!(world.totals(t).await, ["bytes 20"]);
    world.books_are_right().await;
}

/// One connection is enough: a group never holds one while it waits for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_one_connection_records_into_months_that_do_not_exist_yet() {
    let world = World::with_pool(1).await;
    let t = world.user().await;
    world.env.clock.set(at("2029-05-05T00:00:00Z"));
    let ingest = Ingest::start(&world.recorder, settings(1000));
    let events = (0..4).map(|n| vec![world.event(t, &format!("k{n}"), "bytes", "1")]);
    let sent = futures::future::join_all(events.map(|events| ingest.submit(Actor::System, events)));
    let answers = tokio::time::timeout(Duration::from_mins(1), sent).await.expect("recording hangs");
    assert!(answers.into_iter().all(|answer| answer.unwrap()[0].is_ok()));
    assert_eq!(world.totals(t).await, ["bytes 4"]);
}

/// What is decided under locks is no group's business but its own, and neither is who holds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_the_locks_that_others_need() {
    let world = World::with(8, figures_catalog()).await;
    let (careful, full, plain) = (world.user().await, world.user().await, world.user().await);
    world.record(&[world.event(careful, "first", "seats", "1"), world.event(full, "first", "calls", "99")]).await;
    world.record(&[world.event(plain, "first", "bytes", "1")]).await;
    let holder = world.test.admin_client().await;
    let lock = "begin; select from tenantry.usage_counters where metric in ('seats', 'calls') for update";
    holder.batch_execute(lock).await.unwrap();

    let ingest = Ingest::start(&world.recorder, IngestSettings { committers: 1, ..settings(1000) });
    let send = |tenant, key: &str, metrics: &[&str]| {
        let events =
            metrics.iter().map(|metric| world.event(tenant, &format!("{key}-{metric}"), metric, "2")).collect();
        let ingest = ingest.clone();
        tokio::spawn(async move { ingest.submit(Actor::System, events).await.unwrap() })
    };
    // A group of its own: it waits where it is for a while, and is left then.
    let near = send(full, "k", &["calls"]);
    while world.count("select count(*) from pg_locks where not granted").await == 0 {
        tokio::task::yield_now().await;
    }
    // Of a request the whole is decided together, so its sums wait with the rest of it.
    let waiting = send(careful, "k", &["bytes", "seats"]);
    let answered: Vec<_> = (0..20).map(|n| send(plain, &format!("k{n}"), &["bytes"])).collect();
    let answered = tokio::time::timeout(Duration::from_mins(1), futures::future::join_all(answered)).await;
    let answered = answered.expect("others wait for a lock that they do not need");
    assert!(answered.iter().all(|answers| answers.as_ref().unwrap()[0].is_ok()));
    assert!(!waiting.is_finished() && !near.is_finished());
    // Those that were left are answered at the end, too.
    let drained = tokio::spawn({
        let ingest = ingest.clone();
        async move { ingest.drain().await }
    });
    holder.batch_execute("rollback").await.unwrap();
    drained.await.unwrap();
    let mut words = Vec::new();
    for sent in [waiting, near] {
        words.extend(sent.await.unwrap().iter().map(|answer| word(answer.as_ref().unwrap())));
    }
    assert_eq!(words, ["accepted 2", "accepted 2", "refused 99"]);
    assert_eq!(world.totals(plain).await, ["bytes 41"]);
    world.books_are_right().await;
}
