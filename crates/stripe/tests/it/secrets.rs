//! Nothing secret is told: not by errors, not by debug output, not by logs.

use serde_json::json;
use tenantry_stripe::{Client, ClientError, ClientSettings, customers, signature};

use crate::world::{SECRET, Told, World, keep_logs, key, logs, settings};

#[tokio::test]
async fn logs_tell_the_call_and_neither_its_parameters_nor_the_key() {
    keep_logs();
    let world = World::new().await;
    let failure = Told::json(500, &json!({"error": {"message": "Sorry."}})).header("request-id", "req_1");
    let good = Told::json(200, &json!({"id": "cus_private", "email": "private@example.com"}));
    world.tell([failure, good.header("request-id", "req_2").header("idempotent-replayed", "true")]);
    let update = customers::Update { id: "cus_private", email: Some("private@example.com"), ..Default::default() };
    world.client().post(&update, &key("op_1")).await.unwrap();
    let text = logs();
    assert!(!text.contains(SECRET), "{text}");
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("tenantry_stripe")).collect();
    assert_eq!(ours.len(), 2, "{text}");
    for (line, parts) in ours.iter().zip([
        ["status=500", "request_id=\"req_1\"", "attempt=1", "replayed=false"],
        ["status=200", "request_id=\"req_2\"", "attempt=2", "replayed=true"],
    ]) {
        for part in parts.iter().chain(&["DEBUG", "method=POST", "path=\"/v1/customers/{customer}\""]) {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("private"), "{line}");
    }
}

#[tokio::test]
async fn errors_do_not_tell_the_key_even_where_the_server_does() {
    let world = World::new().await;
    let message = format!("Invalid API Key provided: {SECRET}");
    world.tell([Told::json(401, &json!({"error": {"type": "invalid_request_error", "message": message}}))]);
    let error = world.client().post(&customers::Create::default(), &key("op_1")).await.unwrap_err();
    let text = format!("{error} {error:?} {:?} {:?}", world.client(), settings(&world.url));
    assert!(text.contains("Invalid API Key provided: (the secret key)"), "{text}");
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn answers_in_debug_output_show_what_is_read_and_not_the_rest() {
    use tenantry_stripe::FromJson as _;
    let session = json!({"id": "cs_1", "client_secret": "cs_secret_x", "mode": "subscription"});
    let session = tenantry_stripe::checkout_sessions::CheckoutSession::from_json(&session).unwrap();
    let text = format!("{session:?}");
    assert!(text.contains("cs_1") && text.contains("Subscription") && !text.contains("cs_secret_x"), "{text}");
    assert_eq!(session.raw["client_secret"], "cs_secret_x");
}

#[test]
fn settings_that_would_tell_the_key_or_make_no_sense_are_refused() {
    let refused = |change: fn(&mut ClientSettings)| {
        let mut settings = settings("https://api.stripe.com");
        change(&mut settings);
        Client::new(settings).unwrap_err()
    };
    for url in ["", "api.stripe.com", "ftp://api.stripe.com", "https://", "https://a:b@x", "https://x?y", "https://x#y"]
    {
        let mut settings = settings("https://api.stripe.com");
        url.clone_into(&mut settings.base_url);
        assert!(matches!(Client::new(settings), Err(ClientError::BaseUrl)), "{url}");
    }
    let live = |settings: &mut ClientSettings| {
        settings.secret_key = "sk_live_1".to_owned().into();
        settings.base_url = "http://localhost".to_owned();
    };
    assert!(matches!(refused(live), ClientError::LiveKeyInTheClear));
    assert!(matches!(refused(|settings| settings.attempts = 0), ClientError::Attempts));
    for bad in ["", "sk_test 1", "sk_test\n1", "sk_test_\u{e9}"] {
        let mut settings = settings("https://api.stripe.com");
        settings.secret_key = bad.to_owned().into();
        let error = Client::new(settings).unwrap_err();
        assert!(matches!(error, ClientError::SecretKey) && !error.to_string().contains('1'), "{error}");
    }
    let mut live = settings("https://api.stripe.com");
    live.secret_key = "rk_live_1".to_owned().into();
    assert!(Client::new(live).is_ok());
}

#[test]
fn refused_signatures_do_not_tell_the_secret() {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let secrets = [secrecy::SecretString::from("whsec_private".to_owned())];
    let header = signature::sign(b"x", &"whsec_other".to_owned().into(), now);
    let error = signature::verify(b"x", &header, &secrets, now).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("private"), "{error}");
}
