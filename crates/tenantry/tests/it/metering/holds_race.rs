//! Many at once, by two replicas: holds and events over one limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tenantry::storage::Database;
use tenantry::tenancy::Actor;
use tenantry::usage::holds::{HoldError, Settlement};
use tenantry::usage::ingest::{GroupSettings, Recorder};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::holds::{new_hold, said, settling, taken, used};
use super::world::{LATE_WINDOW, World, word};

fn replica(world: &World) -> Recorder {
    let db = Database::new(&world.test.logins).unwrap();
    Recorder::new(db, world.env.clone(), GroupSettings { late_window: LATE_WINDOW })
}

/// What a client does with its holds, and whether it was answered; the units that it was told count.
async fn client(world: Arc<World>, recorder: Recorder, tenant: Uuid, number: u64) -> u32 {
    let mut random = StdRng::seed_from_u64(number);
    let mut counted = 0;
    for round in 0..12 {
        let amount: u32 = random.random_range(1..4);
        // What one client leaves expires while others go on.
        world.env.clock.advance(SignedDuration::from_secs(random.random_range(0..8)));
        if random.random_bool(0.3) {
            let event = world.event(tenant, &format!("{number}-{round}"), "calls", &amount.to_string());
            let answers = recorder.record(Actor::System, &[event]).await;
            counted += if word(answers[0].as_ref().unwrap()).starts_with("accepted") { amount } else { 0 };
            continue;
        }
        let lasts = SignedDuration::from_mins(if random.random_bool(0.2) { 1 } else { 10 });
        let held =
            match recorder.hold(Actor::System, &new_hold(tenant, "calls", &amount.to_string(), lasts), None).await {
                Ok(answer) => answer.done().unwrap().hold.id,
                Err(HoldError::Declined(outcome)) => {
                    assert!(word(&outcome).starts_with("refused"), "{outcome:?}");
                    continue;
                }
                Err(error) => {
                    assert!(error.to_string().is_empty(), "{error}");
                    continue;
                }
            };
        let settlement = match random.random_range(0..4) {
            0 => Settlement::Release,
            // Left to itself.
            1 => continue,
            _ => used(&random.random_range(1..=amount + 1).to_string()),
        };
        // Told twice at once, as by a client that lost its patience.
        let settling = settling(tenant, held);
        let once = || Box::pin(recorder.settle(settling, &settlement, None));
        let twice = [once(), once()];
        let answers: Vec<String> = futures::future::join_all(twice).await.iter().map(said).collect();
        let words: Vec<&str> = answers.iter().map(|answer| answer.split(' ').next().unwrap()).collect();
        match &settlement {
            // What is refused may fit a moment later, and what is committed stays so.
            Settlement::Commit(used, _) if words.contains(&"committed") => {
                assert!(words.iter().all(|word| ["committed", "refused"].contains(word)), "{answers:?}");
                counted += used.to_string().parse::<u32>().unwrap();
            }
            Settlement::Commit(..) => {
                let expired =
                    answers.iter().all(|answer| answer.starts_with("refused") || answer == "not open: expired");
                assert!(expired, "{answers:?}");
            }
            Settlement::Release => {
                assert!(words.iter().all(|word| ["released", "expired"].contains(word)), "{answers:?}");
                assert_eq!(words[0], words[1]);
            }
        }
    }
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn holds_and_events_of_two_replicas_never_pass_the_limit_by_one_unit() {
    let world = Arc::new(World::with_pool(8).await);
    let t = world.user().await;
    world.record(&[world.event(t, "start", "calls", "1")]).await;
    let watcher = world.test.admin_client().await;
    let done = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let sql = "select total + held <= hard_limit and total >= 0 from tenantry.usage_counters
                       where tenant_id = $1 and metric = 'calls'";
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                assert!(watcher.query_one(sql, &[&t]).await.unwrap().get::<_, bool>(0), "above the limit");
                looks += 1;
            }
            looks
        }
    });
    let recorders = [world.recorder.clone(), replica(&world)];
    let mut clients = JoinSet::new();
    for number in 0..24_u64 {
        let recorder = recorders[usize::try_from(number % 2).unwrap()].clone();
        clients.spawn(client(Arc::clone(&world), recorder, t, number));
    }
    let counted: u32 = clients.join_all().await.into_iter().sum();
    done.store(true, Ordering::Relaxed);
    assert!(watching.await.unwrap() > 3);
    let total: String = world.totals(t).await.remove(0);
    assert_eq!(total, format!("calls {}", counted + 1));
    world.books_are_right().await;
    world.env.clock.advance(SignedDuration::from_hours(1));
    world.work().await;
    assert_eq!(world.count("select count(*) from tenantry.usage_counters where held <> 0").await, 0);
    assert_eq!(world.count("select count(*) from tenantry.usage_holds where state = 'open'").await, 0);
    world.books_are_right().await;
}

/// Both ways of one hold at once: one of them is had.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_and_a_release_at_once_are_one_of_them() {
    let world = Arc::new(World::with_pool(8).await);
    let t = world.user().await;
    let other = replica(&world);
    let mut committed = 0;
    for _ in 0..20 {
        let hold = settling(t, taken(&world, t, "tokens", "2", SignedDuration::from_mins(5)).await);
        let (one, two, three) = (used("1"), Settlement::Release, used("2"));
        let answers = tokio::join!(
            world.recorder.settle(hold, &one, None),
            other.settle(hold, &two, None),
            world.recorder.settle(hold, &three, None),
        );
        let answers = [said(&answers.0), said(&answers.1), said(&answers.2)];
        let had: Vec<usize> = (0..3).filter(|n| !answers[*n].starts_with("not open")).collect();
        assert_eq!(had.len(), 1, "{answers:?}");
        committed += [1, 0, 2][had[0]];
    }
    assert!(committed > 0, "every hold was released");
    assert_eq!(world.totals(t).await, [format!("tokens {committed}")]);
    assert_eq!(world.count("select count(*) from tenantry.usage_counters where held <> 0").await, 0);
    world.books_are_right().await;
}
