//! Connections that break, hang or bring rubbish.

use std::time::Duration;

use serde_json::json;
use tenantry_stripe::{Client, ClientSettings, StripeError, customers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Told, World, key, settings};

const CUT: &str = "HTTP/1.1 200 OK\r\nrequest-id: req_cut\r\ncontent-length: 1000\r\n\r\n{\"id\": \"cus_";
const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n{\"id\": \"cus_1\"}";

fn retrieve() -> customers::Retrieve<'static> {
    customers::Retrieve { id: "cus_1", ..Default::default() }
}

/// Reads one request up to the end of its head.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.unwrap();
        read.push(byte);
    }
    String::from_utf8(read).unwrap()
}

/// A server that sends these bytes, one for each connection, and hangs up.
async fn sends(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            heads.push(head(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        heads
    });
    (url, served)
}

#[tokio::test]
async fn an_answer_cut_short_is_asked_for_again_under_the_same_key() {
    let (url, served) = sends(vec![CUT, "", "HTTP/1.1 200 OK\r\n", WHOLE]).await;
    let client = Client::new(ClientSettings { attempts: 4, ..settings(&url) }).unwrap();
    let customer = client.post(&customers::Create::default(), &key("op_cut")).await.unwrap();
    assert_eq!(customer.id, "cus_1");
    let heads = served.await.unwrap();
    assert_eq!(heads.len(), 4);
    for head in heads {
        assert!(head.contains("idempotency-key: op_cut\r\n"), "{head}");
    }
}

#[tokio::test]
async fn an_answer_that_stays_cut_short_leaves_the_outcome_unknown() {
    let (url, served) = sends(vec![CUT; 3]).await;
    let error = Client::new(settings(&url)).unwrap().get(&retrieve()).await.unwrap_err();
    assert_eq!(served.await.unwrap().len(), 3);
    assert!(matches!(error, StripeError::Unreachable { is_timeout: false, .. }), "{error:?}");
    assert_eq!((error.status(), error.request_id()), (Some(200), Some("req_cut")));
    assert!(error.is_retryable_later() && error.is_outcome_unknown());
}

#[tokio::test]
async fn nobody_there_is_said_without_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(settings(&url)).unwrap();
    let list = customers::List { email: Some("secret@example.com"), ..Default::default() };
    let error = client.get(&list).await.unwrap_err();
    assert!(matches!(error, StripeError::Unreachable { status: None, .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("example.com"), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It takes connections and says nothing, for as long as it lives.
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let client = Client::new(ClientSettings { timeout: Duration::from_millis(50), attempts: 2, ..settings(&url) });
    let error = client.unwrap().get(&retrieve()).await.unwrap_err();
    assert!(matches!(error, StripeError::Unreachable { is_timeout: true, .. }), "{error:?}");
    assert!(error.is_retryable_later());
    silent.abort();
}

#[tokio::test]
async fn rubbish_is_unreadable_and_names_the_request() {
    for (body, reason) in [
        ("<html>", "the answer is not JSON"),
        ("", "the answer is not JSON"),
        ("[]", "the answer is not an object"),
        ("{}", "id is not there"),
        (r#"{"id": 5}"#, "id is not a text"),
        (r#"{"id": "c", "metadata": {"a": 1}}"#, "metadata.a is not a text"),
        (r#"{"id": "c", "created": "soon"}"#, "created is not a time"),
        (r#"{"id": "c", "created": 99999999999999}"#, "created is not a time"),
        (r#"{"id": "c", "address": {"city": []}}"#, "address.city is not a text"),
        (r#"{"id": "c", "preferred_locales": ["de", 5]}"#, "preferred_locales[1] is not a text"),
    ] {
        let world = World::new().await;
        world.tell([Told { status: 200, body: body.to_owned(), ..Told::default() }.header("request-id", "req_7")]);
        let error = world.client().get(&retrieve()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Stripe's answer cannot be read: {reason} (status 200, request req_7)"));
        assert_eq!(world.asked().len(), 1, "an answer that came is not asked for again");
        assert!(error.is_outcome_unknown());
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_it() {
    let world = World::new().await;
    world.tell([Told { status: 200, body: "x".repeat(16 * 1024 * 1024 + 1), ..Told::default() }]);
    let error = world.client().get(&retrieve()).await.unwrap_err();
    assert!(error.to_string().contains("not within the size that is read"), "{error}");
    world.tell([Told::json(200, &json!({"id": "cus_1", "description": "x".repeat(10 * 1024 * 1024)}))]);
    assert_eq!(world.client().get(&retrieve()).await.unwrap().id, "cus_1");
}
