use std::time::Duration;

use serde_json::json;
use tenantry_stripe::{API_VERSION, Client, ClientSettings, StripeError, customers, subscriptions};

use crate::world::{SECRET, Told, World, key, settings};

fn customer() -> Told {
    Told::json(200, &json!({"id": "cus_1", "object": "customer"}))
}

fn failure(status: u16) -> Told {
    Told::json(status, &json!({"error": {"type": "api_error", "message": "Sorry."}}))
}

#[tokio::test]
async fn a_post_carries_everything_and_its_key_on_each_attempt() {
    let world = World::new().await;
    world.tell([failure(500), failure(429), customer()]);
    let create = customers::Create { email: Some("a+b@example.com"), ..customers::Create::default() };
    world.client().post(&create, &key("op_1")).await.unwrap();
    let asked = world.asked();
    assert_eq!(asked.len(), 3);
    for asked in &asked {
        assert_eq!((asked.method.as_str(), asked.path.as_str(), asked.query.as_str()), ("POST", "/v1/customers", ""));
        assert_eq!(asked.body, "email=a%2Bb%40example.com");
        assert_eq!(asked.header("idempotency-key"), Some("op_1"));
        assert_eq!(asked.header("stripe-version"), Some(API_VERSION));
        assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(asked.header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
        assert!(asked.header("user-agent").unwrap().starts_with("tenantry/"));
    }
}

#[tokio::test]
async fn reads_and_ends_have_their_parameters_in_the_query_and_no_key() {
    let world = World::new().await;
    world.tell([customer(), Told::json(200, &json!({"id": "sub_1", "status": "canceled", "customer": "cus_1"}))]);
    let client = world.client();
    client.get(&customers::Retrieve { id: "cus_1", expand: vec!["tax"] }).await.unwrap();
    let cancel = subscriptions::Cancel { id: "sub_1", prorate: Some(true), ..Default::default() };
    client.delete(&cancel).await.unwrap();
    let asked = world.asked();
    let told = |index: usize| (asked[index].method.as_str(), asked[index].path.as_str(), asked[index].query.as_str());
    assert_eq!(told(0), ("GET", "/v1/customers/cus_1", "expand%5B0%5D=tax"));
    assert_eq!(told(1), ("DELETE", "/v1/subscriptions/sub_1", "prorate=true"));
    for asked in &asked {
        assert!(asked.body.is_empty());
        assert_eq!((asked.header("idempotency-key"), asked.header("content-type")), (None, None));
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    for (status, attempts) in
        [(400, 1), (401, 1), (402, 1), (403, 1), (404, 1), (409, 3), (429, 3), (500, 3), (502, 3), (503, 3), (504, 3)]
    {
        let world = World::new().await;
        world.tell(vec![failure(status); 5]);
        let error = world.client().get(&customers::Retrieve { id: "cus_1", ..Default::default() }).await.unwrap_err();
        assert_eq!((world.asked().len(), error.status()), (attempts, Some(status)));
    }
}

#[tokio::test]
async fn stripes_word_decides() {
    for (status, word, attempts) in
        [(500, "false", 1), (429, "false", 1), (409, "false", 1), (400, "true", 3), (402, "true", 3)]
    {
        let world = World::new().await;
        world.tell(vec![failure(status).header("stripe-should-retry", word); 5]);
        let error = world.client().post(&customers::Create::default(), &key("op_1")).await.unwrap_err();
        assert_eq!(world.asked().len(), attempts, "{status} {word}");
        assert_eq!(error.is_retryable_later(), word == "true", "{error}");
    }
}

#[tokio::test]
async fn a_retry_after_beyond_the_longest_pause_is_left_to_the_caller() {
    let world = World::new().await;
    world.tell([failure(429).header("retry-after", "3600")]);
    let error = world.client().get(&customers::Retrieve { id: "cus_1", ..Default::default() }).await.unwrap_err();
    assert_eq!(world.asked().len(), 1);
    assert_eq!(error.retry_after(), Some(Duration::from_hours(1)));
    assert!(error.is_retryable_later());
}

#[tokio::test]
async fn as_many_attempts_are_made_as_were_set() {
    for attempts in [1, 2, 5] {
        let world = World::new().await;
        world.tell(vec![failure(503); 9]);
        let client = Client::new(ClientSettings { attempts, ..settings(&world.url) }).unwrap();
        client.get(&customers::Retrieve { id: "cus_1", ..Default::default() }).await.unwrap_err();
        assert_eq!(world.asked().len(), attempts as usize);
    }
}

#[tokio::test]
async fn an_id_stays_one_segment_of_the_path() {
    let world = World::new().await;
    let client = world.client();
    for (id, path) in [
        ("cus_1/../../x", "/v1/customers/cus_1%2F..%2F..%2Fx"),
        ("a?b=c#d", "/v1/customers/a%3Fb%3Dc%23d"),
        ("%2e%2e", "/v1/customers/%252e%252e"),
        ("a b\u{e9}", "/v1/customers/a%20b%C3%A9"),
        ("...", "/v1/customers/..."),
    ] {
        world.tell([customer()]);
        client.get(&customers::Retrieve { id, ..Default::default() }).await.unwrap();
        assert_eq!(world.asked_once().path, path, "{id}");
    }
    for id in ["", ".", ".."] {
        let error = client.get(&customers::Retrieve { id, ..Default::default() }).await.unwrap_err();
        assert!(matches!(error, StripeError::Unsendable { .. }), "{id}: {error}");
        assert!(!error.is_retryable_later() && !error.is_outcome_unknown());
    }
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn the_address_may_have_a_path() {
    let world = World::new().await;
    for base in ["/stripe", "/stripe/"] {
        world.tell([customer()]);
        let client = Client::new(settings(&format!("{}{base}", world.url))).unwrap();
        client.get(&customers::Retrieve { id: "cus_1", ..Default::default() }).await.unwrap();
        assert_eq!(world.asked_once().path, "/stripe/v1/customers/cus_1");
    }
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let world = World::new().await;
    world.tell([Told::default().header("location", "/v1/customers/cus_2")].map(|told| Told { status: 307, ..told }));
    let error = world.client().get(&customers::Retrieve { id: "cus_1", ..Default::default() }).await.unwrap_err();
    assert_eq!(world.asked().len(), 1);
    assert!(matches!(error, StripeError::Unreadable { status: 307, .. }), "{error}");
}
