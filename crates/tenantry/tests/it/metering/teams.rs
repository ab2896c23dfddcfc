//! Use in the name of a team, beside the owner's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tenantry::storage::Database;
use tenantry::storage::teams::TeamRow;
use tenantry::tenancy::{Actor, teams};
use tenantry::usage::event::NewEvent;
use tenantry::usage::ingest::{GroupSettings, Ingest, IngestSettings, Recorder};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::world::{LATE_WINDOW, World, word};

/// An owner with a plan to share, and a team with one member.
async fn shared(world: &World) -> (Uuid, TeamRow, Uuid) {
    let (owner, member) = (world.user().await, world.user().await);
    world.change_plan(owner, "pro", world.now()).await;
    let team = teams::create(&world.db, &world.env, owner, "Research", None).await.unwrap().done().unwrap();
    put(world, &team, member).await;
    (owner, team, member)
}

async fn put(world: &World, team: &TeamRow, member: Uuid) {
    teams::add_member(&world.db, &world.env, team.tenant_id, team, member, None).await.unwrap();
}

fn in_team(team: &TeamRow, event: NewEvent) -> NewEvent {
    NewEvent { team_id: Some(team.id), ..event }
}

#[tokio::test]
async fn one_group_judges_each_caller_by_what_it_names() {
    let world = World::new().await;
    let (owner, team, member) = shared(&world).await;
    let stranger = world.user().await;
    let acme = world.organization(stranger).await;
    let ingest = Ingest::start(&world.recorder, IngestSettings::default());
    let ask = async |actor: Actor, key: &str, tenant: Uuid, named: Option<Uuid>| {
        let event = NewEvent { team_id: named, ..world.event(tenant, key, "calls", "1") };
        word(ingest.submit(actor, vec![event]).await.unwrap()[0].as_ref().unwrap())
    };
    let (user, own, strange) = (Actor::User(member), Actor::User(owner), Actor::User(stranger));
    let key = Actor::Key { id: world.key(owner, owner).await, tenant_id: owner };
    let (theirs, unknown) = (Some(team.id), Some(world.env.ids.uuid_v7(world.now())));
    let words = tokio::join!(
        ask(user, "a", owner, None),
        ask(strange, "b", owner, theirs),
        ask(user, "c", owner, unknown),
        // A team says nothing of a tenant that does not own it.
        ask(user, "d", acme, theirs),
        ask(user, "e", stranger, theirs),
        // Nor do keys act in teams, not even the owner's.
        ask(key, "f", owner, theirs),
        ask(user, "g", owner, theirs),
        ask(own, "h", owner, theirs),
        ask(own, "i", owner, None),
    );
    let refused = [&words.0, &words.1, &words.2, &words.3, &words.4, &words.5];
    assert_eq!(refused.map(String::as_str), ["forbidden"; 6]);
    for accepted in [&words.6, &words.7, &words.8] {
        assert!(accepted.starts_with("accepted"), "{accepted}");
    }
    assert_eq!(world.totals(owner).await, ["calls 3"]);
    let correction = in_team(&team, world.reversal(owner, "r", "i"));
    assert_eq!(world.record_as(user, std::slice::from_ref(&correction)).await, ["forbidden"]);
    assert_eq!(world.record_as(own, &[correction]).await, ["forbidden"]);
    world.change_plan(owner, "free", world.now()).await;
    let late = in_team(&team, world.event(owner, "late", "calls", "1"));
    assert_eq!(world.record_as(user, &[late]).await, ["team inactive"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn the_owners_key_names_whoever_is_in_a_team_of_the_owners() {
    let world = World::new().await;
    let (owner, team, member) = shared(&world).await;
    let (other, beside) = (shared(&world).await, world.user().await);
    let key = Actor::Key { id: world.key(owner, owner).await, tenant_id: owner };
    let naming = |key: &str, user: Uuid| NewEvent { user_id: Some(user), ..world.event(owner, key, "calls", "1") };
    let events = [naming("a", member), naming("b", owner), naming("c", other.2), naming("d", beside)];
    let words = world.record_as(key, &events).await;
    assert_eq!(words, ["accepted 1", "accepted 2", "unknown_user", "unknown_user"]);
    let sql = "select string_agg(metadata ->> 'userRole', ' ' order by idempotency_key) from tenantry.tenant_usage";
    assert_eq!(world.admin.query_one(sql, &[]).await.unwrap().get::<_, String>(0), "team_member owner");
    teams::remove_member(&world.db, &world.env, owner, &team, member).await.unwrap();
    assert_eq!(world.record_as(key, &[naming("e", member)]).await, ["unknown_user"]);
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attack_25_owner_and_team_end_exactly_at_the_limit() {
    let world = World::with_pool(6).await;
    let (owner, team, member) = shared(&world).await;
    let second = world.user().await;
    put(&world, &team, second).await;
    world.record(&[world.event(owner, "start", "calls", "200")]).await;
    let db = Database::new(&world.test.logins).unwrap();
    let replica = Recorder::new(db, world.env.clone(), GroupSettings { late_window: LATE_WINDOW });
    let replicas =
        [world.recorder.clone(), replica].map(|recorder| Ingest::start(&recorder, IngestSettings::default()));
    let world = Arc::new(world);
    let mut clients = JoinSet::new();
    for client in 0..36_usize {
        let (world, ingest, team) = (Arc::clone(&world), replicas[client % 2].clone(), team.clone());
        let user = [owner, member, second][client % 3];
        clients.spawn(async move {
            let mut accepted = 0;
            for n in 0..5 {
                let event = world.event(owner, &format!("{client}-{n}"), "calls", "1");
                // The owner without the team and with it; the others by it.
                let event = if user == owner && n % 2 == 0 { event } else { in_team(&team, event) };
                let twice = [
                    ingest.submit(Actor::User(user), vec![event.clone()]),
                    ingest.submit(Actor::User(user), vec![event]),
                ];
                let words: Vec<String> = futures::future::join_all(twice)
                    .await
                    .into_iter()
                    .map(|answers| word(answers.unwrap()[0].as_ref().unwrap()))
                    .collect();
                assert!(!words.contains(&"forbidden".to_owned()), "{words:?}");
                let new = words.iter().filter(|word| word.starts_with("accepted")).count();
                assert!(new <= 1, "{words:?}");
                accepted += new;
            }
            (user, accepted)
        });
    }
    let mut by_user = std::collections::BTreeMap::from([(owner, 0_usize), (member, 0), (second, 0)]);
    for (user, accepted) in clients.join_all().await {
        *by_user.entry(user).or_default() += accepted;
    }
    assert_eq!(by_user.values().sum::<usize>(), 100, "{by_user:?}");
    assert_eq!(world.totals(owner).await, ["calls 300"]);
    // Each under the name of who used it.
    for (user, accepted) in by_user {
        let sql = "select coalesce(sum(event_count), 0)::bigint from tenantry.usage_rollups where user_id = $1";
        let counted: i64 = world.admin.query_one(sql, &[&user]).await.unwrap().get(0);
        assert_eq!(usize::try_from(counted).unwrap(), accepted);
    }
    world.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attack_25_nothing_counts_after_the_answer_that_a_member_is_out() {
    let world = Arc::new(World::with_pool(8).await);
    let (owner, team, member) = shared(&world).await;
    let ingest = Ingest::start(&world.recorder, IngestSettings::default());
    let is_out = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..6 {
        let (world, ingest, team, is_out) = (Arc::clone(&world), ingest.clone(), team.clone(), Arc::clone(&is_out));
        clients.spawn(async move {
            let (mut accepted, mut refused) = (0, 0);
            // Goes on until some came after the removal.
            while refused < 5 {
                let key = format!("{client}-{accepted}-{refused}");
                let event = in_team(&team, world.event(owner, &key, "bytes", "1"));
                let came_after = is_out.load(Ordering::SeqCst);
                let answers = ingest.submit(Actor::User(member), vec![event]).await.unwrap();
                match word(answers[0].as_ref().unwrap()).as_str() {
                    "forbidden" => refused += 1,
                    accepting => {
                        assert!(accepting.starts_with("accepted"), "{accepting}");
                        assert!(!came_after, "used after it was out: {key}");
                        accepted += 1;
                    }
                }
            }
            accepted
        });
    }
    // In the middle of it, once something counted.
    while world.count("select count(*) from tenantry.tenant_usage").await == 0 {
        tokio::task::yield_now().await;
    }
    teams::remove_member(&world.db, &world.env, owner, &team, member).await.unwrap();
    is_out.store(true, Ordering::SeqCst);
    let accepted: i64 = clients.join_all().await.into_iter().sum();
    assert!(accepted > 0);
    assert_eq!(world.count("select count(*) from tenantry.tenant_usage").await, accepted);
    world.books_are_right().await;
}
