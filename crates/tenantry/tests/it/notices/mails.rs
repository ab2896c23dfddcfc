//! Mails over SMTP: once, whoever sends them and whenever they die.

use jiff::SignedDuration;
use tenantry::notices::webhooks::UrlPolicy;
use tenantry::notices::{Notice, Outbound, OutboundSettings};
use tenantry::storage::Database;
use tenantry::storage::notices::mails;
use tenantry::{worker, write_tx};
use uuid::Uuid;

use super::samples;
use super::smtp::SmtpServer;
use super::world::{OPEN, World, outbound};

const STATES: &str = "select state || coalesce(': ' || last_error, '') from tenantry.notification_mails order by id";

async fn failed_payment(world: &World, tenant: Uuid) {
    assert!(world.raise(tenant, &Notice::new("1", samples::payment_failed())).await);
    world.hand_out().await;
}

#[tokio::test]
async fn a_mail_says_what_happened_in_text_and_html() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let acme = world.organization("ada@acme.example").await;
    failed_payment(&world, acme).await;
    world.work(&outbound(Some(server.url.clone()))).await;
    let caught = server.caught();
    let [mail] = caught.as_slice() else { panic!("{caught:?}") };
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("billing@tenantry.example", &["ada@acme.example".to_owned()][..])
    );
    assert_eq!(mail.header("From"), "Tenantry <billing@tenantry.example>");
    assert_eq!(mail.header("Subject"), "Acme: Payment of 29.00 USD failed");
    assert_eq!(mail.header("Date"), "Sun, 15 Mar 2026 12:00:00 +0000");
    let id = world.texts("select replace(id::text, '-', '') from tenantry.notification_mails").await.remove(0);
    assert_eq!(mail.header("Message-ID"), format!("<{id}@tenantry.example>"));
    assert!(mail.header("Content-Type").starts_with("multipart/alternative"));
    assert!(
        mail.data.contains("Content-Type: text/plain; charset=utf-8") && mail.data.contains("Content-Type: text/html")
    );
    assert_eq!(world.texts(STATES).await, ["sent"]);
    world.work(&outbound(Some(server.url.clone()))).await;
    assert_eq!(server.caught().len(), 1);
}

#[tokio::test]
async fn a_name_with_line_ends_makes_no_header() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let acme = world.organization("ada@acme.example").await;
    // The routes refuse such a name; whatever else may write one is not trusted with the mails.
    let name = "Acme\r\nBcc: evil@example.com\r\n\r\n<script>";
    world.admin.execute("update tenantry.tenants set name = $1 where id = $2", &[&name, &acme]).await.unwrap();
    failed_payment(&world, acme).await;
    world.work(&outbound(Some(server.url.clone()))).await;
    let mail = server.caught().remove(0);
    assert_eq!(mail.to, ["ada@acme.example"]);
    assert!(!mail.headers().iter().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{}", mail.data);
    let page = mail.data.split_once("Content-Type: text/html").unwrap().1;
    assert!(!page.contains("<script"), "{page}");
}

#[tokio::test]
async fn an_address_that_cannot_be_written_to_is_given_up() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let t = world.user(Some("ada@example.com")).await;
    let address = "a@b>\r\nRCPT TO:<evil@example.com";
    world.admin.execute("update tenantry.users set email = $1 where id = $2", &[&address, &t]).await.unwrap();
    failed_payment(&world, t).await;
    world.work(&outbound(Some(server.url.clone()))).await;
    assert!(server.caught().is_empty());
    assert_eq!(world.texts(STATES).await, ["failed: the address cannot be written to"]);
}

#[tokio::test]
async fn without_a_mail_server_mails_are_kept() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let t = world.user(Some("ada@example.com")).await;
    failed_payment(&world, t).await;
    world.work(&outbound(None)).await;
    assert_eq!(world.texts(STATES).await, ["kept"]);
    // They stay kept: news of long ago is no news.
    world.work(&outbound(Some(server.url.clone()))).await;
    assert!(server.caught().is_empty());
}

#[tokio::test]
async fn a_mail_server_that_is_busy_is_asked_again_under_the_same_message_id() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let t = world.user(Some("ada@example.com")).await;
    failed_payment(&world, t).await;
    server.answer_next(&["451 later", "451 later"]);
    let outbound = outbound(Some(server.url.clone()));
    for attempts in 1..=3 {
        world.work(&outbound).await;
        assert_eq!(server.caught().len(), attempts);
        // Not before it is due.
        world.work(&outbound).await;
        assert_eq!(server.caught().len(), attempts);
        world.advance(SignedDuration::from_mins(5));
    }
    assert_eq!(world.texts(STATES).await, ["sent"]);
    let mut ids: Vec<String> = server.caught().iter().map(|mail| mail.header("Message-ID")).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_refusal_for_good_is_given_up_at_once_and_a_busy_server_in_the_end() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let outbound = outbound(Some(server.url.clone()));
    let t = world.user(Some("ada@example.com")).await;
    failed_payment(&world, t).await;
    server.answer_next(&["550 no such mailbox"]);
    world.work(&outbound).await;
    let states = world.texts(STATES).await;
    assert!(states[0].starts_with("failed: ") && states[0].contains("no such mailbox"), "{states:?}");

    assert!(world.raise(t, &Notice::new("2", samples::payment_failed())).await);
    server.answer_next(&["451 later"; 20]);
    for _ in 0..20 {
        world.work(&outbound).await;
        world.advance(SignedDuration::from_hours(24));
    }
    assert_eq!(server.caught().len(), 1 + 8);
    assert!(world.texts(STATES).await.iter().all(|state| state.starts_with("failed: ")));
}

#[tokio::test]
async fn a_login_that_is_refused_is_about_us_and_the_mail_waits() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let outbound = outbound(Some(server.url.clone()));
    let t = world.user(Some("ada@example.com")).await;
    failed_payment(&world, t).await;
    server.answer_next(&["535 bad password", "530 must issue STARTTLS first"]);
    for _ in 0..3 {
        world.work(&outbound).await;
        world.advance(SignedDuration::from_mins(5));
    }
    assert_eq!(world.texts(STATES).await, ["sent"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_send_each_mail_once() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let t = world.user(Some("ada@example.com")).await;
    for number in 0..30 {
        assert!(world.raise(t, &Notice::new(number.to_string(), samples::payment_failed())).await);
    }
    world.hand_out().await;
    let other = Database::new(&world.test.logins).unwrap();
    let outbound = outbound(Some(server.url.clone()));
    let (one, two) = tokio::join!(
        worker::deliver_due(&world.db, &world.env, &outbound),
        worker::deliver_due(&other, &world.env, &outbound),
    );
    assert_eq!(one.unwrap() + two.unwrap(), 30);
    let mut ids: Vec<String> = server.caught().iter().map(|mail| mail.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((server.caught().len(), ids.len()), (30, 30));
}

#[tokio::test]
async fn a_mail_of_a_worker_that_died_is_sent_after_its_lease() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let t = world.user(Some("ada@example.com")).await;
    failed_payment(&world, t).await;
    let id: Uuid = world.admin.query_one("select id from tenantry.notification_mails", &[]).await.unwrap().get(0);
    let (now, lease) = (world.now(), world.env.ids.uuid_v7(world.now()));
    let until = now + SignedDuration::from_mins(2);
    let claim = write_tx!(world.db, "test_claim", &[t], |tx| mails::claim(tx, (t, id), lease, (now, until)).await);
    assert!(claim.unwrap().is_some());
    let outbound = outbound(Some(server.url.clone()));
    world.work(&outbound).await;
    assert!(server.caught().is_empty());
    world.advance(SignedDuration::from_mins(2));
    world.work(&outbound).await;
    assert_eq!(server.caught().len(), 1);
    // Back from the dead, the first worker changes nothing.
    let late = write_tx!(world.db, "test_settle", &[t], |tx| {
        mails::settle(tx, (t, id), lease, ("failed", Some("late"), None)).await
    });
    assert!(!late.unwrap());
    assert_eq!(world.texts(STATES).await, ["sent"]);
}

#[test]
fn settings_that_cannot_be_used_are_named_without_their_secrets() {
    let strict = UrlPolicy { https_only: true, allow_private: false };
    for (url, from, policy, says) in [
        ("smtps://user:hunter2@mail.example", None, OPEN, "mail_from is missing"),
        ("smtps://user:hunter2@mail.example", Some("nobody"), OPEN, "mail_from is no address"),
        ("mail://user:hunter2@mail.example", Some("a@b.example"), OPEN, "SMTP_URL cannot be read"),
        ("hunter2", Some("a@b.example"), OPEN, "SMTP_URL cannot be read"),
        ("smtp://user:hunter2@mail.example", Some("a@b.example"), strict, "in the clear"),
    ] {
        let settings = OutboundSettings {
            smtp_url: Some(url.to_owned().into()),
            mail_from: from.map(str::to_owned),
            app_url: String::new(),
            webhooks: policy,
        };
        let error = Outbound::new(&settings).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
    let settings = OutboundSettings {
        smtp_url: Some("smtp://user:hunter2@mail.example?tls=required".to_owned().into()),
        mail_from: Some("a@b.example".to_owned()),
        app_url: String::new(),
        webhooks: strict,
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    assert!(!format!("{:?}", Outbound::new(&settings).unwrap()).contains("hunter2"));
}
