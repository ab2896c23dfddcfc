//! Caps under races: two recorders with pools of their own stand for two replicas.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tenantry::tenancy::Actor;
use tenantry::usage::ingest::Ingest;
use tenantry::usage::spend::change::{self, On};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::super::concurrency::{replica, settings};
use super::super::world::{World, word};
use super::{catalog, world};

const AMOUNTS: [&str; 5] = ["1", "2.5", "0.3", "4", "7"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_of_two_replicas_never_pass_a_cap_over_all_metrics() {
    let world = World::with(6, catalog()).await;
    let t = world.user().await;
    world.cap(t, None, 150).await;
    let replicas = [world.recorder.clone(), replica(&world)].map(|recorder| Ingest::start(&recorder, settings(10_000)));
    let world = Arc::new(world);
    let mut clients = JoinSet::new();
    for client in 0..24_usize {
        let (world, ingest) = (Arc::clone(&world), replicas[client % 2].clone());
        clients.spawn(async move {
            let mut refused = BTreeSet::new();
            for n in 0..8_usize {
                let metric = ["tokens", "minutes"][(client / 2 + n) % 2];
                let amount = AMOUNTS[(client + n) % 5];
                // Each event is sent twice, as by a client that lost its patience.
                let event = world.event(t, &format!("{client}-{n}"), metric, amount);
                let twice =
                    [ingest.submit(Actor::System, vec![event.clone()]), ingest.submit(Actor::System, vec![event])];
                for answers in futures::future::join_all(twice).await {
                    let answers = answers.unwrap();
                    let outcome = word(answers[0].as_ref().unwrap());
                    assert!(
                        ["accepted", "duplicate", "capped"].contains(&outcome.split(' ').next().unwrap()),
                        "{outcome}"
                    );
                    if outcome.starts_with("capped") {
                        refused.insert((metric, amount));
                    }
                }
            }
            refused
        });
    }
    let done = tokio::time::timeout(Duration::from_mins(2), clients.join_all()).await.expect("the clients hang");
    let refused: BTreeSet<_> = done.into_iter().flatten().collect();
    assert!(refused.len() > 3, "{refused:?}");
    let accrued = world.accrued(t, None).await;
    assert!(accrued <= 150, "{accrued}");
    // Each of those that were refused would pass it: nothing was refused for nothing.
    for (metric, amount) in refused {
        world.uncap(t, None).await;
        let key = format!("more {metric} {amount}");
        world.record(&[world.event(t, &key, metric, amount)]).await;
        let after = world.accrued(t, None).await;
        assert!(after > 150, "{metric} {amount}: {accrued} became {after}");
        world.record(&[world.reversal(t, &format!("not {key}"), &key)]).await;
        world.cap(t, None, 150).await;
    }
    assert_eq!(world.accrued(t, None).await, accrued);
    world.books_are_right().await;
}

/// Use of segments that have ended, by metrics that have no price any more, is summed up under locks too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn late_events_of_several_metrics_never_pass_a_cap_over_all() {
    let world = World::with(10, catalog()).await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "50"), world.event(t, "b", "minutes", "20")]).await;
    let then = world.now();
    world.env.clock.advance(jiff::SignedDuration::from_hours(2));
    world.change_plan(t, "lite", world.now()).await;
    world.cap(t, None, 40).await;
    let world = Arc::new(world);
    let mut clients = JoinSet::new();
    for client in 0..8_usize {
        let world = Arc::clone(&world);
        clients.spawn(async move {
            for n in 0..12_usize {
                let metric = ["tokens", "minutes"][(client + n) % 2];
                let event = world.event_at(t, &format!("{client}-{n}"), metric, "1", &then.to_string());
                let outcome = world.record(&[event]).await.pop().unwrap();
                assert!(outcome.starts_with("accepted") || outcome.starts_with("capped"), "{outcome}");
            }
        });
    }
    clients.join_all().await;
    let accrued = world.accrued(t, None).await;
    assert!((38..=40).contains(&accrued), "{accrued}");
    world.books_are_right().await;
}

/// Two events that wait for their counters while a cap over both is set: neither knew that it would need the other's.
/// Under `pro` both metrics go on being priced, under `lite` neither does, and what came before is priced all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cap_that_is_set_while_events_wait_for_their_counters_is_not_passed() {
    let world = Arc::new(World::with(10, catalog()).await);
    let other = replica(&world);
    for plan in ["pro", "lite"].repeat(3) {
        let t = world.user().await;
        world.record(&[world.event(t, "a", "tokens", "50"), world.event(t, "b", "minutes", "30")]).await;
        let then = world.now();
        world.env.clock.advance(jiff::SignedDuration::from_hours(1));
        world.change_plan(t, plan, world.now()).await;
        let bounds = if plan == "pro" { "case metric when 'tokens' then 80 else 0 end" } else { "null" };
        // What setting a cap does, held open before its commit.
        let setter = world.test.admin_client().await;
        let set = format!(
            "begin;
             select from tenantry.usage_counters where tenant_id = '{t}' order by metric for update;
             insert into tenantry.spend_caps values ('{t}', gen_random_uuid(), null, 40, now(), now());
             update tenantry.usage_counters set sure_limit = {bounds} where tenant_id = '{t}'"
        );
        setter.batch_execute(&set).await.unwrap();
        let waiting = [("tokens", &world.recorder), ("minutes", &other)].map(|(metric, recorder)| {
            // Late in its segment, so that it is decided under locks from the beginning. 30 cents either.
            let amount = if metric == "tokens" { "10" } else { "120" };
            let event = world.event_at(t, metric, metric, amount, &then.to_string());
            let recorder = recorder.clone();
            tokio::spawn(async move { recorder.record(Actor::System, &[event]).await })
        });
        let sql = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock' and query like '%LOCK_COUNTERS%'";
        while world.count(sql).await < 2 {
            tokio::task::yield_now().await;
        }
        setter.batch_execute("commit").await.unwrap();
        let mut words = Vec::new();
        for answers in waiting {
            words.push(word(answers.await.unwrap()[0].as_ref().unwrap()));
        }
        words.sort();
        assert!(words[0].starts_with("accepted") && words[1].starts_with("capped"), "{words:?}");
        let accrued = world.accrued(t, None).await;
        assert!(accrued <= 40, "{accrued}");
    }
    world.books_are_right().await;
}

/// Caps are set, moved and removed while events come: whoever sees an answer after the change was told sees its effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_after_a_cap_was_set_is_judged_by_it() {
    let world = Arc::new(World::with(10, catalog()).await);
    let other = replica(&world);
    for round in 0..6_i64 {
        let t = world.user().await;
        let spenders = (0..4_usize).map(|client| {
            let recorder = if client % 2 == 0 { world.recorder.clone() } else { other.clone() };
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for n in 0..10 {
                    let metric = ["tokens", "minutes"][(client + n) % 2];
                    let events = [world.event(t, &format!("{client}-{n}"), metric, "9")];
                    recorder.record(Actor::System, &events).await.pop().unwrap().unwrap();
                }
            })
        });
        let spenders: Vec<_> = spenders.collect();
        let setter = tokio::spawn(set_while_spending(Arc::clone(&world), t, round));
        let (accrued, cap) = setter.await.unwrap();
        for spender in spenders {
            spender.await.unwrap();
        }
        let end = world.accrued(t, None).await;
        assert!(end <= cap.max(accrued), "round {round}: {accrued} at {cap}, then {end}");
        world.books_are_right().await;
    }
}

/// The accrued spend once the cap was set, and the cap.
async fn set_while_spending(world: Arc<World>, t: Uuid, round: i64) -> (i64, i64) {
    let on = On { actor: Actor::System, tenant_id: t };
    let cap = 20 + round * 10;
    for _ in 0..round {
        tokio::task::yield_now().await;
        world.accrued(t, None).await;
    }
    change::set_cap(&world.db, &world.env, on, None, 1000).await.unwrap();
    change::set_cap(&world.db, &world.env, on, None, cap).await.unwrap();
    (world.accrued(t, None).await, cap)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_alert_is_told_once_however_many_pass_it() {
    let world = World::with(6, catalog()).await;
    let t = world.user().await;
    world.alert(t, None, 30).await;
    world.alert(t, None, 60).await;
    world.alert(t, Some("tokens"), 45).await;
    world.alert(t, Some("minutes"), 1_000_000).await;
    world.cap(t, None, 90).await;
    let replicas = [world.recorder.clone(), replica(&world)].map(|recorder| Ingest::start(&recorder, settings(10_000)));
    let world = Arc::new(world);
    let mut clients = JoinSet::new();
    for client in 0..32_usize {
        let (world, ingest) = (Arc::clone(&world), replicas[client % 2].clone());
        clients.spawn(async move {
            for metric in ["tokens", "minutes", "tokens"] {
                let event = world.event(t, &format!("{client} {metric}"), metric, "3");
                ingest.submit(Actor::System, vec![event]).await.unwrap()[0].as_ref().unwrap();
            }
        });
    }
    clients.join_all().await;
    let told = world.told(t).await;
    let kinds: Vec<&str> = told.iter().map(|text| text.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(kinds, ["alert all 30", "alert all 60", "alert tokens 45", "capped all 90"]);
    for text in &told {
        let (amount, accrued) = text.split_once(' ').unwrap().1.split_once(' ').unwrap().1.split_once(' ').unwrap();
        let is_capped = text.starts_with("capped");
        let (amount, accrued): (i64, i64) = (amount.parse().unwrap(), accrued.parse().unwrap());
        assert!(accrued >= amount || is_capped, "{text}");
    }
    assert_eq!(world.count("select count(*) from tenantry.jobs where kind = 'fan_out_notice'").await, {
        world.count("select count(*) from tenantry.notifications").await
    });
    world.books_are_right().await;
}

/// A counter that is being opened, without a bound since nothing is watched, is waited for by whoever sets a cap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cap_waits_for_a_counter_that_is_being_opened() {
    let world = Arc::new(world().await);
    let t = world.user().await;
    world.record(&[world.event(t, "a", "minutes", "1")]).await;
    let opener = world.test.admin_client().await;
    let open = format!(
        "begin;
         select from tenantry.tenant_subscriptions where tenant_id = '{t}' for update;
         insert into tenantry.usage_counters
             (tenant_id, metric, period_start, period_end, segment_sequence, segment_start, in_plan, included)
         select tenant_id, 'tokens', period_start, period_end, segment_sequence, segment_start, true, 50
         from tenantry.usage_counters where tenant_id = '{t}'"
    );
    opener.batch_execute(&open).await.unwrap();
    let setter = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.cap(t, None, 10).await })
    };
    let waits = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock' and query like '%LOCK_SUBSCRIPTIONS%'";
    while !setter.is_finished() && world.count(waits).await == 0 {
        tokio::task::yield_now().await;
    }
    opener.batch_execute("commit").await.unwrap();
    setter.await.unwrap();
    assert_eq!(world.bounds(t).await, ["minutes 20", "tokens 50"]);
    world.books_are_right().await;
}

/// Two changes of the same cap at once, and counters that are opened meanwhile: bounds are right afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_that_are_opened_while_a_cap_is_set_have_its_bound() {
    let world = Arc::new(world().await);
    for round in 0..8 {
        let t = world.user().await;
        let opener = {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for metric in ["tokens", "minutes", "jobs"] {
                    world.record(&[world.event(t, metric, metric, "1")]).await;
                }
            })
        };
        let setters = [10, 20].map(|cents| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                world.cap(t, None, cents).await;
                if round % 2 == 0 {
                    world.alert(t, Some("jobs"), cents).await;
                }
            })
        });
        opener.await.unwrap();
        for setter in setters {
            setter.await.unwrap();
        }
        assert_eq!(world.bounds(t).await, ["jobs 10", "minutes 20", "tokens 50"]);
    }
    world.books_are_right().await;
}
