//! Webhooks on their way: signed, once, again where they failed, never into the inside of the network.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;
use standardwebhooks::Webhook;
use tenantry::env::Env;
use tenantry::notices::Notice;
use tenantry::notices::webhooks::UrlPolicy;
use tenantry::notices::webhooks::delivery::{DISABLED_AFTER, LADDER};
use tenantry::notices::webhooks::endpoints::{self, EndpointPatch, On};
use tenantry::storage::Database;
use tenantry::storage::notices::deliveries;
use tenantry::tenancy::Actor;
use tenantry::{worker, write_tx};
use uuid::Uuid;

use super::receiver::Receiver;
use super::samples;
use super::world::{OPEN, World, outbound, outbound_under};
use secrecy::ExposeSecret as _;

const STATES: &str =
    "select state || coalesce(' ' || last_status, '') || coalesce(': ' || last_error, '') from tenantry.webhook_deliveries
     order by 1";

async fn tell(world: &World, tenant: Uuid, key: &str) {
    assert!(world.raise(tenant, &Notice::new(key, samples::limit_threshold(80, true))).await);
    world.hand_out().await;
}

#[tokio::test]
async fn a_webhook_is_signed_as_the_specification_says() {
    let receiver = Receiver::start().await;
    // The library's verifier reads the machine's clock.
    let world = World::at(Env::system().clock.now()).await;
    let t = world.user(None).await;
    let secret = world.endpoint(t, &receiver.url).await.secret;
    tell(&world, t, "1").await;
    world.work(&outbound(None)).await;
    let hooks = receiver.hooks();
    let [hook] = hooks.as_slice() else { panic!("{hooks:?}") };
    Webhook::new(secret.expose_secret()).unwrap().verify(&hook.body, &hook.headers).unwrap();
    assert!(hook.is_signed_by(secret.expose_secret()));
    assert_eq!(hook.header("content-type"), "application/json");
    assert_eq!(hook.header("webhook-timestamp"), world.now().as_second().to_string());
    let id = world.texts("select 'msg_' || replace(id::text, '-', '') from tenantry.notifications").await;
    assert_eq!(hook.header("webhook-id"), id[0]);
    assert_eq!(
        hook.json(),
        json!({
            "type": "limit.threshold",
            "timestamp": world.now(),
            "data": {
                "tenantId": t, "metric": "api_calls", "percent": 80, "total": "80.5", "limit": "100",
                "allowOverages": true,
                "period": { "start": "2026-03-15T12:00:00Z", "end": "2026-04-15T12:00:00Z" },
            },
        })
    );
    assert_eq!(world.texts(STATES).await, ["succeeded 204"]);
}

#[tokio::test]
async fn both_secrets_sign_for_a_day_after_a_rotation() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    let on = On { actor: Actor::System, tenant_id: t };
    let made = world.endpoint(t, &receiver.url).await;
    let rotated = endpoints::rotate_secret(&world.db, &world.env, on, made.row.id, None).await.unwrap().done().unwrap();
    let (old, new) = (made.secret.expose_secret(), rotated.secret.expose_secret());
    assert_ne!(old, new);
    let outbound = outbound(None);
    for (key, wait, by_old) in [("1", 0, true), ("2", 23, true), ("3", 1, false)] {
        world.advance(SignedDuration::from_hours(wait));
        tell(&world, t, key).await;
        world.work(&outbound).await;
        let hook = receiver.hooks().pop().unwrap();
        assert!(hook.is_signed_by(new));
        assert_eq!(hook.is_signed_by(old), by_old, "{key}");
    }
}

#[tokio::test]
async fn a_delivery_that_fails_climbs_the_ladder_and_is_given_up() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    world.endpoint(t, &receiver.url).await;
    receiver.answer_always(500, "down");
    tell(&world, t, "1").await;
    let outbound = outbound(None);
    world.work(&outbound).await;
    for (index, wait) in LADDER.iter().enumerate() {
        assert_eq!(receiver.hooks().len(), index + 1);
        assert_eq!(world.texts(STATES).await, ["failed 500: answered 500"]);
        world.advance(*wait - SignedDuration::from_micros(1));
        world.work(&outbound).await;
        assert_eq!(receiver.hooks().len(), index + 1, "attempt {} came too early", index + 2);
        world.advance(SignedDuration::from_micros(1));
        world.work(&outbound).await;
    }
    assert_eq!(world.texts(STATES).await, ["dead 500: answered 500"]);
    assert_eq!(receiver.hooks().len(), 10);
    let ids: BTreeSet<String> = receiver.hooks().iter().map(|hook| hook.header("webhook-id").to_owned()).collect();
    let times: BTreeSet<String> =
        receiver.hooks().iter().map(|hook| hook.header("webhook-timestamp").to_owned()).collect();
    assert_eq!((ids.len(), times.len()), (1, 10));
    world.advance(SignedDuration::from_hours(100));
    world.work(&outbound).await;
    assert_eq!(receiver.hooks().len(), 10);
}

#[tokio::test]
async fn a_dead_delivery_is_replayed_under_the_same_id() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    let on = On { actor: Actor::System, tenant_id: t };
    let endpoint = world.endpoint(t, &receiver.url).await.row.id;
    receiver.answer_next(&[410]);
    tell(&world, t, "1").await;
    let outbound = outbound(None);
    world.work(&outbound).await;
    // It missed the notice that it was disabled, too.
    let missed = "dead: the endpoint is disabled";
    assert_eq!(world.texts(STATES).await, ["dead 410: answered 410: the endpoint is gone", missed]);
    let gone = "select id from tenantry.webhook_deliveries where last_status = 410";
    let id: Uuid = world.admin.query_one(gone, &[]).await.unwrap().get(0);
    // Not to an endpoint that gets nothing.
    assert!(endpoints::replay(&world.db, &world.env, on, (endpoint, id), None).await.is_err());
    let enable = EndpointPatch { enabled: Some(true), ..EndpointPatch::default() };
    let row = endpoints::patch(&world.db, &world.env, on, endpoint, &enable, OPEN).await.unwrap();
    assert_eq!((row.state.as_str(), row.disabled_reason, row.failing_since), ("enabled", None, None));
    for _ in 0..2 {
        let row = endpoints::replay(&world.db, &world.env, on, (endpoint, id), None).await.unwrap().done().unwrap();
        assert_eq!((row.state.as_str(), row.attempts), ("pending", 0));
        world.work(&outbound).await;
        assert_eq!(world.texts(STATES).await, [missed, "succeeded 204"]);
    }
    let ids: BTreeSet<String> = receiver.hooks().iter().map(|hook| hook.header("webhook-id").to_owned()).collect();
    assert_eq!((receiver.hooks().len(), ids.len()), (3, 1));
}

#[tokio::test]
async fn an_endpoint_that_fails_for_five_days_is_disabled_and_its_tenant_told() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(Some("ada@example.com")).await;
    let endpoint = world.endpoint(t, &format!("{}?token=hunter2", receiver.url)).await.row.id;
    let outbound = outbound(None);
    let state = "select state || coalesce(' ' || disabled_reason, '') from tenantry.webhook_endpoints";
    // A success in between begins the days anew.
    receiver.answer_next(&[500, 204]);
    tell(&world, t, "first").await;
    world.work(&outbound).await;
    world.advance(SignedDuration::from_secs(5));
    world.work(&outbound).await;
    assert_eq!(world.count("select count(*) from tenantry.webhook_endpoints where failing_since is null").await, 1);
    receiver.answer_always(503, "");
    tell(&world, t, "second").await;
    world.work(&outbound).await;
    world.advance(DISABLED_AFTER - SignedDuration::from_secs(1));
    tell(&world, t, "third").await;
    world.work(&outbound).await;
    assert_eq!(world.texts(state).await, ["enabled"]);
    world.advance(SignedDuration::from_secs(5));
    world.work(&outbound).await;
    assert_eq!(world.texts(state).await, ["disabled failing"]);
    let told = "select data ->> 'url' from tenantry.notifications where kind = 'webhook_endpoint_disabled'";
    assert_eq!(world.texts(told).await, [receiver.url.as_str()]);
    let mailed = "select count(*) from tenantry.notification_mails m join tenantry.notifications n
                  on n.id = m.notification_id where n.kind = 'webhook_endpoint_disabled' and m.state = 'kept'";
    assert_eq!(world.count(mailed).await, 1);
    let deeds = "select type from tenantry.billing_events where type like 'webhook%' order by sequence";
    assert_eq!(world.texts(deeds).await, ["webhook_endpoint.created", "webhook_endpoint.disabled"]);
    // Nothing more is sent, and what comes due is given up.
    let sent = receiver.hooks().len();
    tell(&world, t, "fourth").await;
    world.advance(SignedDuration::from_hours(24));
    world.work(&outbound).await;
    assert_eq!(receiver.hooks().len(), sent);
    assert_eq!(world.count("select count(*) from tenantry.webhook_deliveries where state = 'failed'").await, 0);
    let named = "select data ->> 'endpointId' from tenantry.notifications where kind = 'webhook_endpoint_disabled'";
    assert_eq!(world.texts(named).await, [endpoint.to_string()]);
    // What it missed meanwhile is there to be replayed.
    let missed = "select d.id from tenantry.webhook_deliveries d join tenantry.notifications n
                  on n.tenant_id = d.tenant_id and n.id = d.notification_id where n.dedupe_key = 'fourth'";
    let missed: Uuid = world.admin.query_one(missed, &[]).await.unwrap().get(0);
    let on = On { actor: Actor::System, tenant_id: t };
    let enable = EndpointPatch { enabled: Some(true), ..EndpointPatch::default() };
    endpoints::patch(&world.db, &world.env, on, endpoint, &enable, OPEN).await.unwrap();
    receiver.answer_always(204, "");
    endpoints::replay(&world.db, &world.env, on, (endpoint, missed), None).await.unwrap().done().unwrap();
    world.work(&outbound).await;
    assert_eq!(receiver.hooks().len(), sent + 1);
}

#[tokio::test]
async fn one_failure_long_after_a_delivery_was_given_up_disables_nothing() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    let endpoint = world.endpoint(t, &receiver.url).await.row.id;
    let outbound = outbound(None);
    receiver.answer_next(&[500; 10]);
    tell(&world, t, "first").await;
    world.work(&outbound).await;
    for wait in LADDER {
        world.advance(wait);
        world.work(&outbound).await;
    }
    assert_eq!(world.texts(STATES).await, ["dead 500: answered 500"]);
    world.advance(SignedDuration::from_hours(24 * 30));
    receiver.answer_next(&[503]);
    tell(&world, t, "second").await;
    world.work(&outbound).await;
    world.advance(LADDER[0]);
    world.work(&outbound).await;
    assert_eq!(world.texts(STATES).await, ["dead 500: answered 500", "succeeded 204"]);
    // Another host does not inherit what the one before did not answer.
    receiver.answer_next(&[503]);
    tell(&world, t, "third").await;
    world.work(&outbound).await;
    let patch = EndpointPatch { url: Some(format!("{}/other", receiver.url)), ..EndpointPatch::default() };
    let on = On { actor: Actor::System, tenant_id: t };
    let row = endpoints::patch(&world.db, &world.env, on, endpoint, &patch, OPEN).await.unwrap();
    assert_eq!(row.failing_since, None);
}

#[tokio::test]
async fn who_lost_the_lease_says_nothing_of_the_endpoint() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    world.endpoint(t, &receiver.url).await;
    tell(&world, t, "1").await;
    receiver.answer_next(&[410]);
    receiver.hold_next();
    let outbound = outbound(None);
    let slow = world.work(&outbound);
    let other = async {
        while receiver.hooks().is_empty() {
            tokio::task::yield_now().await;
        }
        let steal = "update tenantry.webhook_deliveries set lease_token = gen_random_uuid()";
        assert_eq!(world.admin.execute(steal, &[]).await.unwrap(), 1);
        receiver.go_on();
    };
    tokio::join!(slow, other);
    assert_eq!(
        world.texts("select state from tenantry.webhook_endpoints where failing_since is null").await,
        ["enabled"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_send_each_webhook_once() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    for number in 0..3 {
        world.endpoint(t, &format!("{}/{number}", receiver.url)).await;
    }
    for number in 0..10 {
        tell(&world, t, &number.to_string()).await;
    }
    let other = Database::new(&world.test.logins).unwrap();
    let outbound = outbound(None);
    let (one, two) = tokio::join!(
        worker::deliver_due(&world.db, &world.env, &outbound),
        worker::deliver_due(&other, &world.env, &outbound),
    );
    assert_eq!(one.unwrap() + two.unwrap(), 30);
    let sent: BTreeSet<(String, String)> =
        receiver.hooks().iter().map(|hook| (hook.path.clone(), hook.header("webhook-id").to_owned())).collect();
    assert_eq!((receiver.hooks().len(), sent.len()), (30, 30));
}

#[tokio::test]
async fn a_delivery_of_a_worker_that_died_is_sent_after_its_lease() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    world.endpoint(t, &receiver.url).await;
    tell(&world, t, "1").await;
    let id: Uuid = world.admin.query_one("select id from tenantry.webhook_deliveries", &[]).await.unwrap().get(0);
    let (now, lease) = (world.now(), world.env.ids.uuid_v7(world.now()));
    let until = now + SignedDuration::from_mins(1);
    let claim = write_tx!(world.db, "test_claim", &[t], |tx| deliveries::claim(tx, (t, id), lease, (now, until)).await);
    assert!(claim.unwrap().is_some());
    let outbound = outbound(None);
    world.work(&outbound).await;
    assert!(receiver.hooks().is_empty());
    world.advance(SignedDuration::from_mins(1));
    world.work(&outbound).await;
    assert_eq!(receiver.hooks().len(), 1);
    assert_eq!(world.texts(STATES).await, ["succeeded 204"]);
}

#[tokio::test]
async fn redirects_are_not_followed_and_answers_are_read_in_part() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    world.endpoint(t, &receiver.url).await;
    receiver.answer_next(&[307]);
    tell(&world, t, "1").await;
    let outbound = outbound(None);
    world.work(&outbound).await;
    assert_eq!(world.texts(STATES).await, ["failed 307: answered 307; redirects are not followed"]);
    assert_eq!(receiver.hooks().len(), 1);
    receiver.answer_always(400, &format!("no\0\u{1b}[2J{}", "é".repeat(1_000_000)));
    world.advance(SignedDuration::from_secs(5));
    world.work(&outbound).await;
    let snippet = world.texts("select response_snippet from tenantry.webhook_deliveries").await.remove(0);
    assert!(snippet.starts_with("no  [2Jé") && snippet.chars().count() == 1024, "{snippet}");
}

#[tokio::test]
async fn the_inside_of_the_network_is_not_reached() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    let t = world.user(None).await;
    // Made while the deployment allowed it.
    world.endpoint(t, &receiver.url).await;
    world.endpoint(t, &receiver.url.replace("127.0.0.1", "localhost")).await;
    world.endpoint(t, &receiver.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")).await;
    tell(&world, t, "1").await;
    world.work(&outbound_under(None, UrlPolicy { https_only: false, allow_private: false })).await;
    assert!(receiver.hooks().is_empty());
    assert_eq!(world.texts(STATES).await, ["failed: the URL is not allowed any more"; 3]);
}
