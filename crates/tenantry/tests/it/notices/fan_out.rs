//! Who is told.

use tenantry::notices::Notice;
use tenantry::notices::fan_out::fan_out;
use tenantry::notices::kind::Kind;
use tenantry::notices::webhooks::endpoints::{self, EndpointPatch, On};
use tenantry::tenancy::Actor;
use tenantry_domain::permission::Role;

use super::samples;
use super::world::{OPEN, World};

const ADDRESSES: &str = "select address from tenantry.notification_mails order by address";

#[tokio::test]
async fn billing_contacts_are_told_each_once() {
    let world = World::new().await;
    let acme = world.organization("owner@acme.example").await;
    world.member(acme, Role::Admin, Some("admin@acme.example")).await;
    world.member(acme, Role::BillingAdmin, Some("billing@acme.example")).await;
    world.member(acme, Role::Member, Some("member@acme.example")).await;
    world.member(acme, Role::Owner, None).await;
    let settings =
        r#"update tenantry.tenants set settings = '{"billing_email": "BILLING@acme.example"}' where id = $1"#;
    world.admin.execute(settings, &[&acme]).await.unwrap();
    assert!(world.raise(acme, &Notice::new("1", samples::payment_failed())).await);
    world.hand_out().await;
    let due = ["admin@acme.example", "billing@acme.example", "owner@acme.example"];
    assert_eq!(world.texts(ADDRESSES).await, due);
    // The job may be done twice; nobody is told twice.
    let id: uuid::Uuid = world.admin.query_one("select id from tenantry.notifications", &[]).await.unwrap().get(0);
    fan_out(&world.db, &world.env, acme, id).await.unwrap();
    assert_eq!(world.texts(ADDRESSES).await, due);
    assert_eq!(world.count("select count(*) from tenantry.jobs where kind = 'send_mail'").await, 3);
}

#[tokio::test]
async fn a_billing_address_alone_is_told_and_a_personal_tenants_user() {
    let world = World::new().await;
    let ada = world.user(Some("ada@example.com")).await;
    assert!(world.raise(ada, &Notice::new("1", samples::payment_failed())).await);
    world.hand_out().await;
    assert_eq!(world.texts(ADDRESSES).await, ["ada@example.com"]);

    let nobody = world.user(None).await;
    let settings = r#"update tenantry.tenants set settings = '{"billing_email": "books@acme.example"}' where id = $1"#;
    world.admin.execute(settings, &[&nobody]).await.unwrap();
    assert!(world.raise(nobody, &Notice::new("1", samples::payment_failed())).await);
    world.hand_out().await;
    assert_eq!(world.texts(ADDRESSES).await, ["ada@example.com", "books@acme.example"]);
}

#[tokio::test]
async fn endpoints_get_the_kinds_they_asked_for_while_they_are_enabled() {
    let world = World::new().await;
    let t = world.user(None).await;
    let on = On { actor: Actor::System, tenant_id: t };
    let all = world.endpoint(t, "http://127.0.0.1:9/all").await.row.id;
    let some = world.endpoint(t, "http://127.0.0.1:9/some").await.row.id;
    let other = world.endpoint(t, "http://127.0.0.1:9/other").await.row.id;
    let off = world.endpoint(t, "http://127.0.0.1:9/off").await.row.id;
    for (id, kinds, enabled) in [
        (some, vec![Kind::PaymentFailed, Kind::TrialEnding], true),
        (other, vec![Kind::TrialEnding], true),
        (off, vec![], false),
    ] {
        let patch = EndpointPatch { kinds: Some(kinds), enabled: Some(enabled), ..EndpointPatch::default() };
        endpoints::patch(&world.db, &world.env, on, id, &patch, OPEN).await.unwrap();
    }
    let stranger = world.user(None).await;
    world.endpoint(stranger, "http://127.0.0.1:9/stranger").await;
    assert!(world.raise(t, &Notice::new("1", samples::payment_failed())).await);
    world.hand_out().await;
    let mut due = [all.to_string(), some.to_string()];
    due.sort();
    let told = "select endpoint_id::text from tenantry.webhook_deliveries order by 1";
    assert_eq!(world.texts(told).await, due);
}
