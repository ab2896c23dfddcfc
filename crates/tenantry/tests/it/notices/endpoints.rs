//! Operations on endpoints: secrets stay secret, every change is written down, nothing is left behind.

use secrecy::ExposeSecret as _;
use tenantry::notices::Notice;
use tenantry::notices::webhooks::UrlPolicy;
use tenantry::notices::webhooks::endpoints::{self, EndpointPatch, NewEndpoint, On};
use tenantry::tenancy::{Actor, TenancyError};
use tokio_postgres::error::SqlState;

use super::receiver::Receiver;
use super::samples;
use super::world::{OPEN, World, outbound};

#[tokio::test]
async fn readers_cannot_read_a_secret() {
    let world = World::new().await;
    let t = world.user(None).await;
    let made = world.endpoint(t, "http://127.0.0.1:9/").await;
    assert!(!format!("{made:?}").contains(made.secret.expose_secret()));
    let client = world.test.user_client().await;
    client.batch_execute(&format!("set app.user_id = '{t}'")).await.unwrap();
    assert_eq!(client.query("select id from tenantry.webhook_endpoints", &[]).await.unwrap().len(), 1);
    for column in ["secret", "previous_secret", "*"] {
        let sql = format!("select {column} from tenantry.webhook_endpoints");
        let error = client.query(&sql, &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{column}");
    }
}

#[tokio::test]
async fn an_endpoint_is_deleted_with_what_was_sent_to_it() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    let on = On { actor: Actor::System, tenant_id: t };
    let id = world.endpoint(t, &receiver.url).await.row.id;
    assert!(world.raise(t, &Notice::new("1", samples::payment_failed())).await);
    world.hand_out().await;
    endpoints::delete(&world.db, &world.env, on, id).await.unwrap();
    // The job that is left finds nothing to do.
    world.work(&outbound(None)).await;
    assert!(receiver.hooks().is_empty());
    assert_eq!(
        world.count("select count(*) from tenantry.jobs where kind = 'deliver_webhook' and finished_at is null").await,
        0
    );
    assert_eq!(world.count("select count(*) from tenantry.webhook_deliveries").await, 0);
    let again = endpoints::delete(&world.db, &world.env, on, id).await;
    assert!(matches!(again, Err(TenancyError::NotFound)), "{again:?}");
}

#[tokio::test]
async fn a_test_is_sent_once_and_says_nothing_of_the_endpoints_health() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(Some("ada@example.com")).await;
    let on = On { actor: Actor::System, tenant_id: t };
    let id = world.endpoint(t, &receiver.url).await.row.id;
    world.endpoint(t, &format!("{}/other", receiver.url)).await;
    receiver.answer_next(&[500, 204]);
    for state in ["dead", "succeeded"] {
        let made = endpoints::test(&world.db, &world.env, on, id, None).await.unwrap().done().unwrap();
        world.work(&outbound(None)).await;
        let sql = format!("select state from tenantry.webhook_deliveries where id = '{}'", made.id);
        assert_eq!(world.texts(&sql).await, [state]);
    }
    let hooks = receiver.hooks();
    assert_eq!(hooks.len(), 2);
    assert!(hooks.iter().all(|hook| hook.json()["type"] == "test" && hook.path == "/hooks"));
    assert_eq!(world.count("select count(*) from tenantry.webhook_endpoints where failing_since is not null").await, 0);
    assert_eq!(world.count("select count(*) from tenantry.notification_mails").await, 0);
}

#[tokio::test]
async fn a_tenant_has_ten_endpoints_at_most_however_many_ask_at_once() {
    let world = World::new().await;
    let t = world.user(None).await;
    let on = On { actor: Actor::System, tenant_id: t };
    let new = NewEndpoint { url: "http://127.0.0.1:9/".to_owned(), ..NewEndpoint::default() };
    let all = (0..16).map(|_| endpoints::create(&world.db, &world.env, on, &new, OPEN, None));
    let made = futures::future::join_all(all).await;
    assert_eq!(made.iter().filter(|answer| answer.is_ok()).count(), 10);
    assert!(made.iter().all(|answer| matches!(answer, Ok(_) | Err(TenancyError::Conflict(_)))));
}

#[tokio::test]
async fn what_a_deployment_does_not_allow_is_refused_by_name() {
    let world = World::new().await;
    let t = world.user(None).await;
    let on = On { actor: Actor::System, tenant_id: t };
    let strict = UrlPolicy { https_only: true, allow_private: false };
    let id = world.endpoint(t, "http://127.0.0.1:9/").await.row.id;
    for url in ["http://example.com/", "https://10.0.0.1/", "https://[fd00::1]/", "https://localhost/", "nowhere"] {
        let new = NewEndpoint { url: url.to_owned(), ..NewEndpoint::default() };
        let made = endpoints::create(&world.db, &world.env, on, &new, strict, None).await.map(drop);
        let patch = EndpointPatch { url: Some(url.to_owned()), ..EndpointPatch::default() };
        let changed = endpoints::patch(&world.db, &world.env, on, id, &patch, strict).await.map(drop);
        for refused in [made, changed] {
            let Err(TenancyError::Invalid(fields)) = refused else { panic!("{url}: {refused:?}") };
            assert_eq!(fields[0].field, "url");
        }
    }
    // What browsers would repair is repaired before it is stored.
    let new = NewEndpoint { url: " HTTPS://Hooks.Example.com/a\tb\u{0}c?\u{0} ".to_owned(), ..NewEndpoint::default() };
    let made = endpoints::create(&world.db, &world.env, on, &new, strict, None).await.unwrap().done().unwrap();
    assert_eq!(made.row.url, "https://hooks.example.com/ab%00c?");
    for description in ["x".repeat(501), "a\nb".to_owned()] {
        let patch = EndpointPatch { description: Some(description), ..EndpointPatch::default() };
        assert!(endpoints::patch(&world.db, &world.env, on, id, &patch, strict).await.is_err());
    }
}
