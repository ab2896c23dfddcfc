//! Invitations: who may give what, what ends them, and what their tokens and mails leave behind.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tenantry::env::Env;
use tenantry::storage::invitations::{self as rows, InvitationRow};
use tenantry::storage::tenants::TenantRow;
use tenantry::tenancy::idempotency::Answer;
use tenantry::tenancy::invitations::token::{MintedToken, PresentedToken};
use tenantry::tenancy::invitations::{self, Accepted, Invitee, MAX_MAILS, MAX_PENDING, NewInvitation};
use tenantry::tenancy::keys::{self, NewKey};
use tenantry::tenancy::members::{self, MemberPatch};
use tenantry::tenancy::{Actor, TenancyError, organizations};
use tenantry_domain::permission::{Overrides, Permission, Role};
use uuid::Uuid;

use super::world::World;

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An invitation, and its token as it was mailed.
pub(super) struct Invited {
    pub(super) row: InvitationRow,
    pub(super) token: String,
}

/// Invites, as the routes do.
pub(super) async fn invite(
    world: &World,
    (actor, tenant): (Actor, Uuid),
    email: &str,
    role: Role,
) -> Result<Invited, TenancyError> {
    invite_with(world, (actor, tenant), email, (role, Overrides::default())).await
}

async fn invite_with(
    world: &World,
    by: (Actor, Uuid),
    email: &str,
    (role, permissions): (Role, Overrides),
) -> Result<Invited, TenancyError> {
    let token = MintedToken::new(&world.env, by.1);
    let new = NewInvitation { email: email.to_owned(), role, permissions, valid_for: WEEK };
    let made = invitations::create(&world.db, &world.env, by, &new, &token, None).await?;
    Ok(Invited { row: made.done().unwrap(), token: token.expose().to_owned() })
}

async fn resend(world: &World, by: (Actor, Uuid), id: Uuid) -> Result<Invited, TenancyError> {
    let token = MintedToken::of(&world.env, by.1, id);
    let sent = invitations::resend(&world.db, &world.env, by, WEEK, &token, None).await?;
    Ok(Invited { row: sent.done().unwrap(), token: token.expose().to_owned() })
}

pub(super) async fn accept(world: &World, user_id: Uuid, email: &str, token: &str) -> Result<Accepted, TenancyError> {
    let token = PresentedToken::parse(token).unwrap();
    let answer = invitations::accept(&world.db, &world.env, Invitee { user_id, email }, &token, None).await?;
    match answer {
        Answer::Done(accepted) => Ok(accepted),
        Answer::Replayed(kept) => panic!("{kept:?}"),
    }
}

/// A world whose clock stands, so that a test moves it.
async fn standing() -> World {
    let mut world = World::new().await;
    world.env = Env::manual(world.env.clock.now(), 5);
    world
}

async fn founded(world: &World) -> (TenantRow, Actor) {
    let tenant = world.organization(world.user().await).await;
    let owner = Actor::User(tenant.owner_id);
    (tenant, owner)
}

/// The state of each invitation of a tenant, by its address.
async fn states(world: &World, tenant: Uuid) -> Vec<String> {
    let tx = world.db.read_as_service("test", &[tenant]).await.unwrap();
    let listed = rows::list(&tx, tenant, None, 200, (None, world.env.clock.now())).await.unwrap();
    tx.rollback().await.unwrap();
    let mut states: Vec<String> = listed.iter().map(|row| format!("{} {}", row.email, row.state)).collect();
    states.sort();
    states
}

/// The short name of what came out.
fn outcome<T>(result: Result<T, TenancyError>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(TenancyError::Forbidden { .. }) => "forbidden",
        Err(TenancyError::Grant { .. }) => "more than the actor has",
        Err(TenancyError::NotFound) => "not found",
        Err(TenancyError::PersonalTenant(_)) => "personal",
        Err(TenancyError::AlreadyMember) => "already",
        Err(TenancyError::Conflict(_)) => "conflict",
        Err(TenancyError::InvitationInvalid) => "invalid",
        Err(TenancyError::InvitationOfAnother) => "another's",
        Err(TenancyError::TooManyInvitations { .. }) => "too many",
        Err(TenancyError::MailedTooOften { .. }) => "too often",
        Err(TenancyError::Invalid(fields)) => fields[0].field,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_invites_above_themselves_or_into_a_personal_tenant() {
    let world = World::new().await;
    let (tenant, owner) = founded(&world).await;
    let admin = Actor::User(world.member(&tenant, Role::Admin).await);
    let narrow = Actor::User(world.member_with(&tenant, Role::Admin, r#"{"manageBilling": false}"#).await);
    let billing = Actor::User(world.member(&tenant, Role::BillingAdmin).await);
    let member = Actor::User(world.member(&tenant, Role::Member).await);
    let stranger = Actor::User(world.user().await);
    let try_it = async |actor: Actor, into: Uuid, role: Role, permissions: &str| {
        let permissions = serde_json::from_str(permissions).unwrap();
        outcome(invite_with(&world, (actor, into), "bea@example.com", (role, permissions)).await)
    };
    assert_eq!(try_it(stranger, tenant.id, Role::Member, "{}").await, "not found");
    assert_eq!(try_it(owner, world.id(), Role::Member, "{}").await, "not found");
    assert_eq!(try_it(member, tenant.id, Role::Member, "{}").await, "forbidden");
    assert_eq!(try_it(billing, tenant.id, Role::Member, "{}").await, "forbidden");
    assert_eq!(try_it(narrow, tenant.id, Role::Admin, "{}").await, "more than the actor has");
    assert_eq!(try_it(narrow, tenant.id, Role::Member, r#"{"manageBilling": true}"#).await, "more than the actor has");
    assert_eq!(try_it(admin, tenant.id, Role::Owner, "{}").await, "more than the actor has");
    assert_eq!(try_it(owner, tenant.id, Role::Owner, "{}").await, "role");
    assert_eq!(try_it(owner, tenant.owner_id, Role::Member, "{}").await, "personal");
    assert_eq!(world.count("select count(*) from tenantry.invitations").await, 0);
    assert_eq!(world.count("select count(*) from tenantry.invitation_mails").await, 0);
    assert_eq!(outcome(invite(&world, (owner, tenant.id), "no address", Role::Member).await), "email");
    assert_eq!(try_it(admin, tenant.id, Role::Admin, "{}").await, "done");
    assert_eq!(try_it(narrow, tenant.id, Role::Member, r#"{"viewUsage": false}"#).await, "done");
}

#[tokio::test]
async fn who_accepts_becomes_what_the_invitation_says_once() {
    let world = World::new().await;
    let (tenant, owner) = founded(&world).await;
    let narrowed = serde_json::from_str(r#"{"viewUsage": false}"#).unwrap();
    let invited =
        invite_with(&world, (owner, tenant.id), "Bea@Example.com", (Role::BillingAdmin, narrowed)).await.unwrap();
    assert_eq!((invited.row.state.as_str(), invited.row.mail.as_deref()), ("pending", Some("pending")));
    let (user, other) = (world.user().await, world.user().await);
    assert_eq!(outcome(accept(&world, other, "cleo@example.com", &invited.token).await), "another's");
    let accepted = accept(&world, user, "bEA@example.COM", &invited.token).await.unwrap();
    assert_eq!((accepted.tenant.id, accepted.member.user_id), (tenant.id, user));
    assert_eq!(accepted.member.role, "billing_admin");
    assert_eq!(accepted.member.permissions, serde_json::json!({ "viewUsage": false }));
    // The same user again is a member; anybody else with that address comes too late.
    assert_eq!(outcome(accept(&world, user, "bea@example.com", &invited.token).await), "already");
    assert_eq!(outcome(accept(&world, other, "bea@example.com", &invited.token).await), "invalid");
    // Who left since does not come back by it.
    members::leave(&world.db, &world.env, user, tenant.id, None).await.unwrap();
    assert_eq!(outcome(accept(&world, user, "bea@example.com", &invited.token).await), "invalid");
    assert_eq!(states(&world, tenant.id).await, ["Bea@Example.com accepted"]);
    assert_eq!(
        world.deeds(tenant.id).await,
        ["tenant.created", "invitation.created", "invitation.accepted", "member.left"]
    );
}

#[tokio::test]
async fn a_member_stays_what_it_is() {
    let world = World::new().await;
    let (tenant, owner) = founded(&world).await;
    let member = world.member(&tenant, Role::Member).await;
    let invited = invite(&world, (owner, tenant.id), "bea@example.com", Role::Admin).await.unwrap();
    assert_eq!(outcome(accept(&world, member, "bea@example.com", &invited.token).await), "already");
    let sql = format!("select count(*) from tenantry.tenant_members where user_id = '{member}' and role = 'member'");
    assert_eq!(world.count(&sql).await, 1);
    assert_eq!(states(&world, tenant.id).await, ["bea@example.com pending"]);
}

#[tokio::test]
async fn a_newer_token_is_the_only_one() {
    let world = standing().await;
    let (tenant, owner) = founded(&world).await;
    let by = (owner, tenant.id);
    let user = world.user().await;
    let try_it = async |invited: &Invited| outcome(accept(&world, user, "bea@example.com", &invited.token).await);
    let first = invite(&world, by, "bea@example.com", Role::Member).await.unwrap();
    assert!(world.env.clock.advance(SignedDuration::from_hours(6 * 24)));
    let second = resend(&world, by, first.row.id).await.unwrap();
    assert_eq!(second.row.expires_at.duration_since(first.row.expires_at), SignedDuration::from_hours(6 * 24));
    assert_eq!(try_it(&first).await, "invalid");
    // The same address in other letters is the same address.
    let third = invite(&world, by, "BEA@example.com", Role::BillingAdmin).await.unwrap();
    assert_eq!(try_it(&second).await, "invalid");
    assert_eq!(states(&world, tenant.id).await, ["BEA@example.com pending", "bea@example.com revoked"]);
    assert_eq!(outcome(resend(&world, by, first.row.id).await), "conflict");
    invitations::revoke(&world.db, &world.env, owner, tenant.id, third.row.id).await.unwrap();
    assert_eq!(try_it(&third).await, "invalid");
    assert_eq!(outcome(resend(&world, by, third.row.id).await), "conflict");
    // Revoked once more, nothing happens.
    invitations::revoke(&world.db, &world.env, owner, tenant.id, third.row.id).await.unwrap();
    let fourth = invite(&world, by, "bea@example.com", Role::Member).await.unwrap();
    assert_eq!(try_it(&fourth).await, "done");
    let revoked = invitations::revoke(&world.db, &world.env, owner, tenant.id, fourth.row.id).await;
    assert_eq!(outcome(revoked), "conflict");
    let dead = "select count(*) from tenantry.invitation_mails where token is not null";
    assert_eq!(world.count(dead).await, 0, "a token outlived its invitation");
    let deeds = world.deeds(tenant.id).await;
    let of = |kind: &str| deeds.iter().filter(|deed| *deed == kind).count();
    assert_eq!(
        (of("invitation.created"), of("invitation.resent"), of("invitation.revoked"), of("invitation.accepted")),
        (3, 1, 1, 1)
    );
}

#[tokio::test]
async fn an_invitation_expires_by_itself() {
    let world = standing().await;
    let (tenant, owner) = founded(&world).await;
    let by = (owner, tenant.id);
    let user = world.user().await;
    let invited = invite(&world, by, "bea@example.com", Role::Member).await.unwrap();
    assert!(world.env.clock.set(invited.row.expires_at));
    assert_eq!(outcome(accept(&world, user, "bea@example.com", &invited.token).await), "invalid");
    assert_eq!(states(&world, tenant.id).await, ["bea@example.com expired"]);
    let listed = async |state: &str| {
        let tx = world.db.read_as_service("test", &[tenant.id]).await.unwrap();
        let listed = rows::list(&tx, tenant.id, None, 10, (Some(state), world.env.clock.now())).await.unwrap();
        tx.rollback().await.unwrap();
        listed.len()
    };
    assert_eq!((listed("expired").await, listed("pending").await), (1, 0));
    // Sent again it lives; invited anew the expired one stays what it was.
    let again = resend(&world, by, invited.row.id).await.unwrap();
    assert!(world.env.clock.set(again.row.expires_at - SignedDuration::from_micros(1)));
    let other = invite(&world, by, "cleo@example.com", Role::Member).await.unwrap();
    assert_eq!(outcome(accept(&world, user, "bea@example.com", &again.token).await), "done");
    assert!(world.env.clock.set(other.row.expires_at));
    invite(&world, by, "cleo@example.com", Role::Member).await.unwrap();
    let states = states(&world, tenant.id).await;
    assert_eq!(states, ["bea@example.com accepted", "cleo@example.com expired", "cleo@example.com pending"]);
}

#[tokio::test]
async fn who_invited_must_still_be_able_to_give_it() {
    let world = World::new().await;
    let (tenant, owner) = founded(&world).await;
    let admin = world.member(&tenant, Role::Admin).await;
    let user = world.user().await;
    let change = async |role: Role, permissions: &str| {
        let permissions = Some(serde_json::from_str(permissions).unwrap());
        let patch = MemberPatch { role: Some(role), permissions };
        members::change(&world.db, &world.env, owner, tenant.id, admin, &patch).await.unwrap();
    };
    let by = (Actor::User(admin), tenant.id);
    let invited = invite(&world, by, "bea@example.com", Role::Admin).await.unwrap();
    let try_it = async |token: &str| outcome(accept(&world, user, "bea@example.com", token).await);
    change(Role::Member, "{}").await;
    assert_eq!(try_it(&invited.token).await, "invalid");
    // Still manages members, and lacks what the invitation gives.
    change(Role::Admin, r#"{"manageBilling": false}"#).await;
    assert_eq!(try_it(&invited.token).await, "invalid");
    members::remove(&world.db, &world.env, owner, tenant.id, admin).await.unwrap();
    assert_eq!(try_it(&invited.token).await, "invalid");
    // Who sends it again vouches for it.
    let again = resend(&world, (owner, tenant.id), invited.row.id).await.unwrap();
    assert_eq!(again.row.inviter_id, Some(tenant.owner_id));
    assert_eq!(try_it(&again.token).await, "done");
}

#[tokio::test]
async fn what_a_key_invited_dies_with_the_key() {
    let world = World::new().await;
    let (tenant, owner) = founded(&world).await;
    let key = NewKey {
        id: world.id(),
        prefix: "tk_".to_owned(),
        secret_hash: [7; 32],
        name: "host".to_owned(),
        scopes: vec![
            Permission::ManageMembers,
            Permission::ViewBilling,
            Permission::ViewUsage,
            Permission::RecordUsage,
        ],
        expires_at: None,
        requests_per_minute: None,
    };
    keys::create(&world.db, &world.env, owner, tenant.id, &key, None).await.unwrap();
    let by = (Actor::Key { id: key.id, tenant_id: tenant.id }, tenant.id);
    assert_eq!(outcome(invite(&world, by, "bea@example.com", Role::Admin).await), "more than the actor has");
    let (one, two) = ("bea@example.com", "cleo@example.com");
    let (first, second) =
        (invite(&world, by, one, Role::Member).await.unwrap(), invite(&world, by, two, Role::Member).await.unwrap());
    assert_eq!(outcome(accept(&world, world.user().await, one, &first.token).await), "done");
    keys::revoke(&world.db, &world.env, owner, tenant.id, key.id).await.unwrap();
    assert_eq!(outcome(accept(&world, world.user().await, two, &second.token).await), "invalid");
}

#[tokio::test]
async fn a_deleted_organization_takes_its_invitations_along() {
    let world = World::new().await;
    let (tenant, owner) = founded(&world).await;
    let invited = invite(&world, (owner, tenant.id), "bea@example.com", Role::Member).await.unwrap();
    organizations::delete(&world.db, &world.env, owner, tenant.id).await.unwrap();
    let user = world.user().await;
    assert_eq!(outcome(accept(&world, user, "bea@example.com", &invited.token).await), "invalid");
    assert_eq!(world.count("select count(*) from tenantry.invitations where state = 'revoked'").await, 1);
    let sql = "select count(*) from tenantry.invitation_mails where state = 'canceled' and token is null";
    assert_eq!(world.count(sql).await, 1);
}

#[tokio::test]
async fn there_is_an_end_to_invitations_and_to_mails() {
    let world = standing().await;
    let (tenant, owner) = founded(&world).await;
    let by = (owner, tenant.id);
    let mut last = None;
    for number in 0..MAX_PENDING {
        last = Some(invite(&world, by, &format!("a{number}@example.com"), Role::Member).await.unwrap());
    }
    assert_eq!(outcome(invite(&world, by, "bea@example.com", Role::Member).await), "too many");
    // In place of another there is room, and where one is revoked or has expired.
    invite(&world, by, "a0@example.com", Role::Admin).await.unwrap();
    let last = last.unwrap().row;
    invitations::revoke(&world.db, &world.env, owner, tenant.id, last.id).await.unwrap();
    assert!(world.env.clock.advance(SignedDuration::from_mins(1)));
    let late = invite(&world, by, "bea@example.com", Role::Member).await.unwrap().row;
    assert!(world.env.clock.set(last.expires_at));
    for number in 1..MAX_PENDING {
        invite(&world, by, &format!("b{number}@example.com"), Role::Member).await.unwrap();
    }
    assert_eq!(outcome(invite(&world, by, "c@example.com", Role::Member).await), "too many");
    // One that has expired counts again when it is sent again.
    assert!(world.env.clock.set(late.expires_at));
    invite(&world, by, "d@example.com", Role::Member).await.unwrap();
    assert_eq!(outcome(resend(&world, by, late.id).await), "too many");
    assert!(world.env.clock.advance(WEEK));
    let many = resend(&world, by, late.id).await.unwrap().row;
    for _ in 1..MAX_MAILS {
        resend(&world, by, many.id).await.unwrap();
    }
    assert_eq!(outcome(resend(&world, by, many.id).await), "too often");
    invitations::revoke(&world.db, &world.env, owner, tenant.id, many.id).await.unwrap();
    assert_eq!(outcome(invite(&world, by, "Bea@example.com", Role::Member).await), "too often");
    assert!(world.env.clock.advance(SignedDuration::from_hours(24)));
    assert_eq!(outcome(invite(&world, by, "bea@example.com", Role::Member).await), "done");
}

#[tokio::test]
async fn the_token_is_nowhere_but_in_the_mail() {
    let world = World::new().await;
    let (tenant, owner) = founded(&world).await;
    let invited = invite(&world, (owner, tenant.id), "bea@example.com", Role::Member).await.unwrap();
    let tables = world
        .admin
        .query("select relname::text from pg_class where relnamespace = 'tenantry'::regnamespace and relkind in ('r', 'p')", &[])
        .await
        .unwrap();
    let mut found = Vec::new();
    for table in tables.iter().map(|row| row.get::<_, String>(0)) {
        let sql = format!("select count(*) from tenantry.{table} t where t::text like '%{}%'", &invited.token[60..]);
        if world.count(&sql).await > 0 {
            found.push(table);
        }
    }
    assert_eq!(found, ["invitation_mails"]);
    // What it is recognized by is a hash of its random bytes.
    let bytes = URL_SAFE_NO_PAD.decode(&invited.token["ti_".len()..]).unwrap();
    let stored = world.admin.query_one("select token_hash from tenantry.invitations", &[]).await.unwrap();
    assert_eq!(stored.get::<_, Vec<u8>>(0), Sha256::digest(&bytes[32..64]).to_vec());
    let payload = "select payload from tenantry.billing_events where type = 'invitation.created'";
    let payload: Value = world.admin.query_one(payload, &[]).await.unwrap().get(0);
    assert_eq!(payload["email"], "bea@example.com");
}
