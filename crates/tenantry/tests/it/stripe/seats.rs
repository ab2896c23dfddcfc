//! Seats follow members.

use jiff::SignedDuration;
use serde_json::Value;
use tenantry::billing::catalog_store;
use tenantry::billing::operations::{Asked, OperationError};
use tenantry::billing::plan_choice::Refused;
use tenantry::tenancy::invitations::token::{MintedToken, PresentedToken};
use tenantry::tenancy::invitations::{self, Invitee, NewInvitation};
use tenantry::tenancy::members::{self, NewMember};
use tenantry::tenancy::{Actor, TenancyError};
use tenantry_domain::permission::{Overrides, Role};
use tenantry_domain::plan::{Catalog, Plan};
use tenantry_sandbox::FaultRule;
use uuid::Uuid;

use super::world::{VISA, World, catalog, wish};

/// Quantities at Stripe and here.
async fn seats(world: &World, tenant: Uuid) -> (i64, i64) {
    let item = world.subscriptions(tenant).await[0]["items"]["data"][0].clone();
    (item["quantity"].as_i64().unwrap(), world.current(tenant).await["quantity"].as_i64().unwrap())
}

#[tokio::test]
async fn seats_follow_members() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    world.buy(tenant, "team").await;
    assert_eq!(seats(&world, tenant).await, (1, 1));
    let first = world.member(tenant, "a@example.com", Role::Member).await;
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (2, 2));
    // Three changes at once come to one.
    world.member(tenant, "b@example.com", Role::Member).await;
    world.member(tenant, "c@example.com", Role::Member).await;
    world.leave(tenant, first).await;
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (3, 3));
    let changes = world.audit(tenant, "subscription.seats_changed").await;
    assert_eq!(changes.len(), 2, "{changes:?}");
    // What a seat more costs for the rest of the month comes with the next invoice.
    world.advance("1mo").await;
    let invoice = &world.invoices(tenant).await[0];
    assert_eq!(invoice["lines"]["data"].as_array().unwrap().len(), 5, "{invoice:#}");
    world.finish().await;
}

#[tokio::test]
async fn who_accepts_an_invitation_gets_a_seat_and_who_waits_has_none() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    world.buy(tenant, "team").await;
    let by = (Actor::System, tenant);
    let mut tokens = Vec::new();
    for email in ["a@example.com", "b@example.com"] {
        let token = MintedToken::new(&world.env, tenant);
        let new = NewInvitation {
            email: email.to_owned(),
            role: Role::Member,
            permissions: Overrides::default(),
            valid_for: SignedDuration::from_hours(24),
        };
        invitations::create(&world.db, &world.env, by, &new, &token, None).await.unwrap();
        tokens.push(token);
    }
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (1, 1));
    let user_id = world.user("a@example.com").await;
    let token = PresentedToken::parse(tokens[0].expose()).unwrap();
    let invitee = Invitee { user_id, email: "a@example.com" };
    invitations::accept(&world.db, &world.env, invitee, &token, None).await.unwrap();
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (2, 2));
    world.finish().await;
}

#[tokio::test]
async fn no_plan_is_changed_to_that_has_too_few_places() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    world.buy(tenant, "team").await;
    world.member(tenant, "a@example.com", Role::Member).await;
    let places =
        |plan: &Plan| Plan { max_members: Some(if plan.id.as_str() == "pro" { 2 } else { 1 }), ..plan.clone() };
    let plans = catalog().plans().iter().map(places).collect();
    catalog_store::load(&world.db, &world.env, &Catalog::new(plans).unwrap()).await.unwrap();
    for asked in [
        Asked::Downgrade(wish("starter", None)),
        Asked::Downgrade(wish("free", None)),
        Asked::Upgrade(wish("scale", None), None),
    ] {
        let refused = world.ask_as(Actor::System, tenant, &asked).await.unwrap_err();
        let full = matches!(&refused, OperationError::Refused(Refused::TooManyMembers { places: 1, members: 2, .. }));
        assert!(full, "{asked:?}: {refused:?}");
    }
    world.done(tenant, &Asked::Downgrade(wish("pro", None))).await;
    // To end is always possible; the members stay, and nobody more comes in.
    world.done(tenant, &Asked::Resume).await;
    world.done(tenant, &Asked::Cancel).await;
    world.work().await;
    world.advance("1mo 1d").await;
    assert_eq!(world.standing(tenant).await, "free active month full");
    let user_id = world.user("b@example.com").await;
    let new = NewMember { user_id, role: Role::Member, permissions: Overrides::default() };
    let full = members::add(&world.db, &world.env, Actor::System, tenant, &new, None).await.unwrap_err();
    assert!(matches!(full, TenancyError::MembersFull { places: 1, .. }), "{full:?}");
    world.finish().await;
}

#[tokio::test]
async fn who_joins_while_a_page_is_open_or_a_change_is_pending_gets_a_seat() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    let answer = world.done(tenant, &Asked::Checkout(wish("team", None))).await;
    world.member(tenant, "a@example.com", Role::Member).await;
    world.work().await;
    world.control.pay_session(answer["sessionId"].as_str().unwrap(), VISA).await.unwrap();
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (2, 2));

    // Another plan: one seat where it is not per seat, one for each member where it is.
    world.done(tenant, &Asked::Upgrade(wish("scale", None), None)).await;
    assert_eq!(seats(&world, tenant).await, (1, 1));
    world.done(tenant, &Asked::Downgrade(wish("team", None))).await;
    world.member(tenant, "b@example.com", Role::Member).await;
    world.work().await;
    assert_eq!(seats(&world, tenant).await, (1, 1));
    world.advance("1mo 1d").await;
    assert_eq!(world.standing(tenant).await, "team active month full");
    assert_eq!(seats(&world, tenant).await, (3, 3));
    world.finish().await;
}

#[tokio::test]
async fn a_seat_whose_call_got_lost_is_brought_later() {
    let world = World::new().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    world.buy(tenant, "team").await;
    for executed in [false, true] {
        world.member(tenant, &format!("{executed}@example.com"), Role::Member).await;
        let path = format!("/v1/subscriptions/{}", world.subscription(tenant).await);
        let fault = FaultRule { executed, ..FaultRule::status(500, 3) }.only("POST", &path);
        world.control.add_fault(fault);
        world.work_undelivered().await;
        // Somebody joins while the change is still under way.
        world.member(tenant, &format!("{executed}.2@example.com"), Role::Member).await;
        world.work().await;
        world.advance("10m").await;
        assert_eq!(world.control.faults(), []);
    }
    assert_eq!(seats(&world, tenant).await, (5, 5));
    assert_eq!(world.current(tenant).await["pending_plan_id"], Value::Null);
    world.finish().await;
}
