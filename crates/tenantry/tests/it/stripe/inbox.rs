//! Webhooks at the door: what is not Stripe's is not stored, what cannot be handled stays visible.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tenantry::storage::StoreError;
use tenantry::storage::stripe::events::{self as rows, EventRow};
use tenantry::stripe_sync::Settings;
use tenantry::stripe_sync::inbox::{ReceiveError, receive};
use tenantry::write_tx;
use tenantry_sandbox::{FaultAction, FaultRule, Switches};
use tenantry_stripe::signature::{SignatureError, sign};

use super::world::{SECRET, START, World, at, settings};

fn event(id: &str) -> Vec<u8> {
    let event = json!({
        "id": id, "object": "event", "type": "customer.updated", "created": 1_768_471_200,
        "data": { "object": { "id": "cus_1", "object": "customer", "name": "A\u{0}B" } },
    });
    event.to_string().into_bytes()
}

fn signed(body: &[u8], secret: &str, seconds: i64) -> String {
    sign(body, &secret.to_owned().into(), at(START).checked_add(SignedDuration::from_secs(seconds)).unwrap())
}

async fn stored(world: &World) -> i64 {
    world.count("select count(*) from tenantry.stripe_events").await
}

#[tokio::test]
async fn what_is_not_stripes_is_not_stored() {
    let world = World::new().await;
    let before = stored(&world).await;
    let body = event("evt_1");
    let other = event("evt_2");
    let refused = [
        (String::new(), &body, SignatureError::BadPart),
        ("t=1,v1=zz".to_owned(), &body, SignatureError::BadSignature),
        (signed(&body, "whsec_another", 0), &body, SignatureError::Mismatch),
        (signed(&body, SECRET, 0), &other, SignatureError::Mismatch),
        (signed(&body, SECRET, -301), &body, SignatureError::TooOld),
        (signed(&body, SECRET, 301), &body, SignatureError::TooNew),
    ];
    for (signature, body, why) in refused {
        match receive(&world.stripe, &signature, body, at(START)).await {
            Err(ReceiveError::Signature(found)) => assert_eq!(found, why, "{signature}"),
            other => panic!("{signature}: {other:?}"),
        }
    }
    let huge = vec![b'x'; 5 * 1024 * 1024];
    let deep = "[".repeat(100_000).into_bytes();
    for body in [&b""[..], b"{", b"null", b"[]", b"{}", br#"{"id":"evt_1"}"#, b"\0", b"\xff\xfe", &huge, &deep] {
        let outcome = receive(&world.stripe, &signed(body, SECRET, 0), body, at(START)).await;
        assert!(matches!(outcome, Err(ReceiveError::NoEvent(_))), "{outcome:?}");
    }
    assert_eq!(stored(&world).await, before);
}

#[tokio::test]
async fn an_event_is_stored_once_under_either_secret_of_a_roll() {
    let secrets = vec!["whsec_new".to_owned().into(), SECRET.to_owned().into()];
    let world = World::with(Settings { webhook_secrets: secrets, ..settings() }).await;
    let before = stored(&world).await;
    let body = event("evt_1\u{0}");
    assert!(receive(&world.stripe, &signed(&body, "whsec_new", 299), &body, at(START)).await.unwrap());
    assert!(!receive(&world.stripe, &signed(&body, SECRET, -299), &body, at(START)).await.unwrap());
    assert_eq!(stored(&world).await, before + 1);
    world.finish().await;
}

async fn dead(world: &World) -> Vec<EventRow> {
    let tx = world.db.read_as_service("test_dead", &[]).await.unwrap();
    let dead = rows::of_state(&tx, "dead", 100).await.unwrap();
    tx.rollback().await.unwrap();
    dead
}

#[tokio::test]
async fn events_that_fail_too_often_are_dead_visible_and_revived() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    let path = format!("/v1/subscriptions/{}", world.subscription(user).await);
    world.delete(&path).await;
    // Stripe answers nothing for a day.
    world.control.add_fault(FaultRule::new(FaultAction::Status(500), false, 100_000).only("GET", "/v1/customers"));
    world.advance("1d").await;
    let found = dead(&world).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&*found[0].kind, found[0].attempts), ("customer.subscription.deleted", 12));
    assert!(found[0].last_error.as_ref().unwrap().contains("500"), "{found:?}");
    assert_eq!(world.standing(user).await, "pro active month full");
    world.control.clear_faults();
    world.work().await;
    assert_eq!(dead(&world).await.len(), 1);
    let now = world.now();
    let revived: Result<u64, StoreError> =
        write_tx!(world.db, "test_revive", &[], |tx| rows::revive_dead(tx, now).await);
    assert_eq!(revived.unwrap(), 1);
    world.work().await;
    assert_eq!(world.standing(user).await, "free active month full");
    assert_eq!(world.notices_of(user, "subscription_canceled").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn what_was_lost_is_found() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    world.buy(user, "pro").await;
    world.control.set_switches(Switches { paused: true, drop_next: u32::MAX, ..Switches::default() });
    world.delete(&format!("/v1/subscriptions/{}", world.subscription(user).await)).await;
    world.work().await;
    assert_eq!(world.standing(user).await, "pro active month full");
    let found = tenantry::stripe_sync::sweep::undelivered_events(&world.stripe).await.unwrap();
    assert_eq!(found, 1);
    assert_eq!(tenantry::stripe_sync::sweep::undelivered_events(&world.stripe).await.unwrap(), 0);
    world.work().await;
    assert_eq!(world.standing(user).await, "free active month full");

    // What is not even listed any more is found by looking at the customer.
    world.buy(user, "pro").await;
    assert_eq!(world.standing(user).await, "free active month full");
    world.move_to(later(&world, 24)).await;
    assert_eq!(tenantry::stripe_sync::sweep::stale_customers(&world.stripe).await.unwrap(), 1);
    assert_eq!(world.standing(user).await, "pro active month full");
    world.finish().await;
}

fn later(world: &World, hours: i64) -> Timestamp {
    world.now().checked_add(SignedDuration::from_hours(hours)).unwrap()
}
