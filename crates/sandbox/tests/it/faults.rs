use std::time::Duration;

use tenantry_sandbox::{FaultAction, FaultRule};

use crate::world::{KEY, World, list};

#[tokio::test]
async fn faults_happen_as_often_as_asked_to_the_requests_that_fit() {
    let world = World::start().await;
    let mut rule = FaultRule::status(503, 2).only("POST", "/v1/customers");
    rule.should_retry = Some(true);
    world.control.add_fault(rule);
    let send = || world.client().post(world.url("/v1/customers")).bearer_auth(KEY).send();
    for _ in 0..2 {
        let response = send().await.unwrap();
        assert_eq!(response.status().as_u16(), 503);
        assert_eq!(response.headers()["stripe-should-retry"], "true");
    }
    assert_eq!(list(&world.get("/v1/customers").await).len(), 0);
    assert_eq!(send().await.unwrap().status().as_u16(), 200);
    world.control.add_fault(FaultRule::status(429, 1));
    assert_eq!(send().await.unwrap().status().as_u16(), 429);
    assert!(world.control.faults().is_empty());
}

#[tokio::test]
async fn a_lost_answer_was_executed_and_its_key_finds_it_again() {
    let world = World::start().await;
    world.control.add_fault(FaultRule::lost_answer());
    let send = |key: &'static str| {
        let request = world.client().post(world.url("/v1/customers")).bearer_auth(KEY).header("idempotency-key", key);
        request.send()
    };
    assert!(send("k").await.is_err());
    assert_eq!(list(&world.get("/v1/customers").await).len(), 1);
    let again = send("k").await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(list(&world.get("/v1/customers").await).len(), 1);

    // A 500 that came after the execution is what the key remembers, as with Stripe.
    world.control.add_fault(FaultRule::new(FaultAction::Status(500), true, 1));
    assert_eq!(send("k5").await.unwrap().status().as_u16(), 500);
    let again = send("k5").await.unwrap();
    assert_eq!((again.status().as_u16(), &again.headers()["idempotent-replayed"]), (500, &"true".parse().unwrap()));
}

#[tokio::test]
async fn a_key_in_flight_is_a_conflict() {
    let world = World::start().await;
    world.control.add_fault(FaultRule::new(FaultAction::HangMs(60_000), false, 1));
    let send = || {
        let request = world.client().post(world.url("/v1/customers")).bearer_auth(KEY).header("idempotency-key", "k");
        request.timeout(Duration::from_secs(20)).send()
    };
    let hanging = send();
    let mut hanging = std::pin::pin!(hanging);
    // The second request is sent when the first one has taken its fault.
    let second = async {
        while !world.control.faults().is_empty() {
            tokio::task::yield_now().await;
        }
        send().await.unwrap()
    };
    let second = tokio::select! {
        _ = hanging.as_mut() => panic!("the first request must hang"),
        second = second => second,
    };
    assert_eq!(second.status().as_u16(), 409);
    assert!(second.text().await.unwrap().contains("idempotency_key_in_use"));
}
