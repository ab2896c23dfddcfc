//! `Idempotency-Key`, with real transactions.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use tenantry::env::Env;
use tenantry::storage::tenants::TenantRow;
use tenantry::tenancy::idempotency::{Answer, Idempotent, IdempotentRequest, Kept, KeyRefusal, Scope};
use tenantry::tenancy::organizations::{self, NewOrganization};
use tenantry::tenancy::{Actor, TenancyError};
use uuid::Uuid;

use super::world::World;

fn request(user: Uuid, key: &str, body: &str) -> IdempotentRequest {
    let scope = Scope { caller: &format!("user:{user}"), tenant: None, method: "POST", route: "/api/tenants" };
    IdempotentRequest::new(&scope, key, "/api/tenants", body.as_bytes()).unwrap()
}

fn kept(row: &TenantRow) -> Kept {
    Kept { status: 201, body: json!({"tenant": {"id": row.id}}) }
}

async fn create(world: &World, user: Uuid, key: &str, name: &str) -> Result<Answer<TenantRow>, TenancyError> {
    let new = NewOrganization { name: name.to_owned(), ..NewOrganization::default() };
    let request = request(user, key, name);
    let idempotent = Idempotent { request: &request, keep: &kept };
    organizations::create(&world.db, &world.env, Actor::User(user), &new, Some(&idempotent)).await
}

const ORGANIZATIONS: &str = "select count(*) from tenantry.tenants where type = 'organization'";

#[tokio::test]
async fn the_same_request_is_answered_again_and_does_nothing() {
    let world = World::new().await;
    let user = world.user().await;
    let first = create(&world, user, "k1", "Acme").await.unwrap().done().unwrap();
    let again = create(&world, user, "k1", "Acme").await.unwrap();
    assert_eq!(again, Answer::Replayed(Kept { status: 201, body: json!({"tenant": {"id": first.id}}) }));
    let other = create(&world, user, "k1", "Other").await;
    assert!(matches!(other, Err(TenancyError::Key(KeyRefusal::OtherRequest))));
    assert_eq!(world.count(ORGANIZATIONS).await, 1);
    // Another key, and the same key of another user, are other requests.
    assert!(create(&world, user, "k2", "Acme").await.unwrap().done().is_some());
    assert!(create(&world, world.user().await, "k1", "Acme").await.unwrap().done().is_some());
}

#[tokio::test]
async fn a_refused_request_keeps_no_answer() {
    let world = World::new().await;
    let user = world.id();
    assert!(matches!(create(&world, user, "k", "Acme").await, Err(TenancyError::Invalid(_))));
    assert_eq!(world.count("select count(*) from tenantry.idempotency_keys").await, 0);
    tenantry::tenancy::users::ensure(&world.db, &world.env, Actor::User(user), user, None).await.unwrap();
    assert!(create(&world, user, "k", "Acme").await.unwrap().done().is_some());
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let mut world = World::new().await;
    world.env = Env::manual("2026-03-01T12:00:00Z".parse().unwrap(), 1);
    let user = world.user().await;
    create(&world, user, "k", "Acme").await.unwrap();
    let kept = "select count(*) from tenantry.idempotency_keys where expires_at = created_at + interval '24 hours'";
    assert_eq!(world.count(kept).await, 1);
    world.env.clock.advance(SignedDuration::from_hours(24) - SignedDuration::from_micros(1));
    assert!(matches!(create(&world, user, "k", "Acme").await.unwrap(), Answer::Replayed(_)));
    world.env.clock.advance(SignedDuration::from_micros(1));
    assert!(create(&world, user, "k", "Other").await.unwrap().done().is_some());
    assert!(matches!(create(&world, user, "k", "Other").await.unwrap(), Answer::Replayed(_)));
    let tx = world.db.begin("test", &[]).await.unwrap();
    let now = world.env.clock.now();
    let drop_expired = tenantry::storage::idempotency::delete_expired;
    assert_eq!(drop_expired(&tx, now, 10).await.unwrap(), 0);
    assert_eq!(drop_expired(&tx, now + SignedDuration::from_hours(24), 10).await.unwrap(), 1);
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_request_eight_times_at_once_does_one_thing() {
    let world = std::sync::Arc::new(World::new().await);
    let user = world.user().await;
    for round in 0..20 {
        let before = world.count(ORGANIZATIONS).await;
        let answers = join_all((0..8).map(|_| {
            let world = world.clone();
            tokio::spawn(async move { create(&world, user, &format!("k{round}"), "Acme").await })
        }))
        .await;
        let (mut done, mut replayed, mut in_flight) = (0, 0, 0);
        for answer in answers {
            match answer.unwrap() {
                Ok(Answer::Done(_)) => done += 1,
                Ok(Answer::Replayed(_)) => replayed += 1,
                Err(TenancyError::Key(KeyRefusal::InFlight)) => in_flight += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((done, replayed + in_flight), (1, 7), "round {round}");
        assert_eq!(world.count(ORGANIZATIONS).await, before + 1);
    }
}
