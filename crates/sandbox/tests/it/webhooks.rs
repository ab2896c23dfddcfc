use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tenantry_sandbox::{Switches, WebhookTarget};

use crate::world::{DAY, World, id, list, start_time, text};

/// An endpoint that keeps what it gets, and answers with what it is told.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Got>>);

/// Signatures with their bodies, and the statuses that the next answers have.
type Got = (Vec<(String, String)>, Vec<u16>);

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let app = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (receiver, url)
    }

    fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().0.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }

    fn types(&self) -> Vec<String> {
        self.bodies().iter().map(|event| text(&event["type"])).collect()
    }

    fn clear(&self) {
        self.0.lock().unwrap().0.clear();
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let mut inner = receiver.0.lock().unwrap();
    inner.0.push((headers["stripe-signature"].to_str().unwrap().to_owned(), body));
    let status = if inner.1.is_empty() { 200 } else { inner.1.remove(0) };
    StatusCode::from_u16(status).unwrap()
}

async fn world(secrets: &[&str]) -> (World, Receiver) {
    let world = World::start().await;
    let (receiver, url) = Receiver::start().await;
    world.control.set_switches(Switches { paused: true, ..Switches::default() });
    let secrets = secrets.iter().map(|secret| (*secret).to_owned().into()).collect();
    world.control.set_webhook(Some(WebhookTarget { url, secrets })).await;
    (world, receiver)
}

#[tokio::test]
async fn every_secret_signs_and_success_counts_down() {
    let (world, receiver) = world(&["whsec_a", "whsec_b"]).await;
    world.customer().await;
    assert!(!world.control.dump().to_string().contains("whsec_"), "signing secrets stay inside");
    let path = "/v1/events?delivery_success=false";
    assert_eq!(world.get("/v1/events").await["data"][0]["pending_webhooks"], 1);
    receiver.0.lock().unwrap().1 = vec![500, 302];
    for state in ["pending", "pending", "delivered"] {
        assert_eq!(world.control.deliver().await[0].state, state);
    }
    assert_eq!(world.control.deliveries()[0].attempts, ["500", "302", "200"]);
    assert_eq!(list(&world.get(path).await).len(), 0);
    let (signature, body) = receiver.0.lock().unwrap().0[2].clone();
    let time = start_time().as_second();
    let sign = |secret: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{time}.{body}").as_bytes());
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    };
    assert_eq!(signature, format!("t={time},v1={},v1={}", sign("whsec_a"), sign("whsec_b")));
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["api_version"], "2025-08-27.basil");
}

#[tokio::test]
async fn duplicates_losses_and_reversed_order_on_demand() {
    let (world, receiver) = world(&["whsec_a"]).await;
    world.control.set_switches(Switches { paused: true, duplicate: true, reorder: true, ..Switches::default() });
    world.post("/v1/products", &[("name", "A")]).await;
    world.customer().await;
    world.control.deliver().await;
    assert_eq!(receiver.types(), ["customer.created", "customer.created", "product.created", "product.created"]);
    receiver.clear();
    world.control.set_switches(Switches { paused: true, drop_next: 1, ..Switches::default() });
    world.customer().await;
    world.post("/v1/products", &[("name", "B")]).await;
    let states: Vec<String> = world.control.deliver().await.into_iter().map(|report| report.state).collect();
    assert_eq!(states, ["delivered", "delivered", "dropped", "delivered"]);
    assert_eq!(receiver.types(), ["product.created"]);
    let lost = world.get("/v1/events?delivery_success=false").await;
    assert_eq!(list(&lost).len(), 1);
    assert_eq!(list(&lost)[0]["type"], "customer.created");
}

#[tokio::test]
async fn payloads_of_a_later_version_and_of_one_second() {
    let (world, receiver) = world(&["whsec_a"]).await;
    world.control.set_switches(Switches {
        paused: true,
        later_version: true,
        same_second: true,
        ..Switches::default()
    });
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[]).await;
    world.advance(100).await;
    world.post(&format!("/v1/subscriptions/{}", id(&subscription)), &[("metadata[a]", "b")]).await;
    world.control.deliver().await;
    let changed =
        receiver.bodies().into_iter().rfind(|event| event["type"] == "customer.subscription.updated").unwrap();
    assert_eq!(changed["api_version"], "2026-10-28.endive");
    assert_eq!(changed["created"], start_time().as_second());
    assert_eq!(changed["data"]["object"]["id"], subscription["id"]);
    assert!(changed["data"]["object"]["customer"].is_object());
    // What is asked for afterwards is of the version that was asked for.
    let fresh = world.get(&format!("/v1/subscriptions/{}", id(&subscription))).await;
    assert!(fresh["customer"].is_string());
}

#[tokio::test]
async fn while_the_clock_advances_a_receiver_can_act_at_the_time_of_an_event() {
    let (world, receiver) = world(&["whsec_a"]).await;
    let pro = world.price("Pro", "2900", "month").await;
    world.subscribed(&pro, &[]).await;
    let to = world.control.clock().now + jiff::SignedDuration::from_secs(32 * DAY);
    world.control.advance_delivering(to).await.unwrap();
    let types = receiver.types();
    let created = types.iter().rposition(|kind| kind == "invoice.created").unwrap();
    let finalized = types.iter().rposition(|kind| kind == "invoice.finalized").unwrap();
    assert!(created < finalized);
    let invoice = list(&world.get("/v1/invoices").await)[0].clone();
    let told = invoice["webhooks_delivered_at"].as_i64().unwrap();
    assert!(told < invoice["status_transitions"]["finalized_at"].as_i64().unwrap());
    assert_eq!(world.control.clock().now, to);
}

#[tokio::test]
async fn without_a_pause_events_go_out_by_themselves() {
    let (world, receiver) = world(&["whsec_a"]).await;
    world.control.set_switches(Switches::default());
    world.customer().await;
    while receiver.types().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(receiver.types(), ["customer.created"]);
}
