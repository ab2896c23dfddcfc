//! The mails of invitations: sent once, and their tokens gone as soon as they are no use there.

use jiff::SignedDuration;
use tenantry::tenancy::Actor;
use tenantry::tenancy::invitations::token::MintedToken;
use tenantry::tenancy::invitations::{self, NewInvitation};
use tenantry_domain::permission::{Overrides, Role};
use uuid::Uuid;

use super::smtp::{Caught, SmtpServer};
use super::world::{World, outbound};

const STATES: &str = "select state || case when token is null then '' else ' with token' end
    || coalesce(': ' || last_error, '') from tenantry.invitation_mails order by created_at, id";
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

async fn invite(world: &World, tenant: Uuid) -> (Uuid, String) {
    let token = MintedToken::new(&world.env, tenant);
    let new = NewInvitation {
        email: "bea@example.com".to_owned(),
        role: Role::BillingAdmin,
        permissions: Overrides::default(),
        valid_for: WEEK,
    };
    invitations::create(&world.db, &world.env, (Actor::System, tenant), &new, &token, None).await.unwrap();
    (token.invitation_id, token.expose().to_owned())
}

async fn resend(world: &World, tenant: Uuid, id: Uuid) -> String {
    let token = MintedToken::of(&world.env, tenant, id);
    let by = (Actor::System, tenant);
    invitations::resend(&world.db, &world.env, by, WEEK, &token, None).await.unwrap();
    token.expose().to_owned()
}

/// What a mail says, without what wraps its lines on the way.
fn read(mail: &Caught) -> String {
    mail.data.replace("=\r\n", "").replace("=3D", "=")
}

#[tokio::test]
async fn an_invitation_is_mailed_once_and_forgotten_here() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let acme = world.organization("ada@acme.example").await;
    let (_, token) = invite(&world, acme).await;
    assert_eq!(world.texts(STATES).await, ["pending with token"]);
    world.work(&outbound(Some(server.url.clone()))).await;
    let caught = server.caught();
    let [mail] = caught.as_slice() else { panic!("{caught:?}") };
    assert_eq!(mail.to, ["bea@example.com"]);
    assert_eq!(mail.header("Subject"), "Acme: You are invited");
    let link = format!("https://app.example/invitations/accept?token={token}");
    let text = read(mail);
    assert!(text.contains(&format!("Accept the invitation: {link}")), "{text}");
    assert!(text.contains(&format!("href=\"{link}\"")), "{text}");
    assert!(text.contains("Role: billing admin") && text.contains("Valid until: 22 March 2026, 12:00 UTC"), "{text}");
    assert_eq!(world.texts(STATES).await, ["sent"]);
    world.work(&outbound(Some(server.url.clone()))).await;
    assert_eq!(server.caught().len(), 1);
    // It is no notice: nobody in the tenant is told the token.
    assert_eq!(world.count("select count(*) from tenantry.notifications").await, 0);
    let jobs = "select count(*) from tenantry.jobs where payload::text like '%ti\\_%'";
    assert_eq!(world.count(jobs).await, 0);
}

#[tokio::test]
async fn without_a_mail_server_it_is_kept_until_it_is_over() {
    let world = World::new().await;
    let acme = world.organization("ada@acme.example").await;
    invite(&world, acme).await;
    world.work(&outbound(None)).await;
    assert_eq!(world.texts(STATES).await, ["kept with token"]);
    world.advance(WEEK - SignedDuration::from_secs(1));
    world.work(&outbound(None)).await;
    assert_eq!(world.texts(STATES).await, ["kept with token"]);
    world.advance(SignedDuration::from_secs(1));
    world.work(&outbound(None)).await;
    assert_eq!(world.texts(STATES).await, ["kept"]);
}

#[tokio::test]
async fn a_mail_whose_token_is_dead_is_not_sent() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let acme = world.organization("ada@acme.example").await;
    let (id, first) = invite(&world, acme).await;
    world.advance(SignedDuration::from_secs(1));
    let second = resend(&world, acme, id).await;
    assert_eq!(world.texts(STATES).await, ["canceled", "pending with token"]);
    world.work(&outbound(Some(server.url.clone()))).await;
    let caught = server.caught();
    let [mail] = caught.as_slice() else { panic!("{caught:?}") };
    assert!(read(mail).contains(&second) && !read(mail).contains(&first));
    // One that expires while the mail server is out of reach is no news either.
    world.advance(SignedDuration::from_secs(1));
    resend(&world, acme, id).await;
    world.advance(WEEK);
    world.work(&outbound(Some(server.url.clone()))).await;
    assert_eq!(server.caught().len(), 1);
    assert_eq!(world.texts(STATES).await, ["canceled", "sent", "canceled"]);
}

#[tokio::test]
async fn what_a_mail_server_says_of_the_link_is_not_written_down() {
    let (world, server) = (World::new().await, SmtpServer::start().await);
    let acme = world.organization("ada@acme.example").await;
    let (id, _) = invite(&world, acme).await;
    server.answer_next(&["451 later", "554 blocked for https://app.example/invitations/accept?token=ti_abc"]);
    let outbound = outbound(Some(server.url.clone()));
    world.work(&outbound).await;
    assert_eq!(world.texts(STATES).await, ["pending with token: the mail server answered 451"]);
    world.advance(SignedDuration::from_mins(1));
    world.work(&outbound).await;
    assert_eq!(world.texts(STATES).await, ["failed: the mail server answered 554"]);
    let ids: Vec<String> = server.caught().iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids[0], ids[1]);
    // Given up; it can be sent again.
    world.advance(SignedDuration::from_mins(1));
    resend(&world, acme, id).await;
    world.work(&outbound).await;
    assert_eq!(world.texts(STATES).await, ["failed: the mail server answered 554", "sent"]);
}
