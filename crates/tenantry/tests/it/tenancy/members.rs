//! Who may make whom what.

use tenantry::tenancy::members::{self, MemberPatch, NewMember};
use tenantry::tenancy::{Actor, TenancyError};
use tenantry_domain::permission::{Overrides, Role};
use uuid::Uuid;

use super::world::World;

fn to(role: Role) -> MemberPatch {
    MemberPatch { role: Some(role), permissions: None }
}

fn with(permissions: &str) -> MemberPatch {
    MemberPatch { role: None, permissions: Some(serde_json::from_str(permissions).unwrap()) }
}

/// The short name of what came out.
fn outcome<T>(result: Result<T, TenancyError>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(TenancyError::Forbidden { .. }) => "forbidden",
        Err(TenancyError::Grant { .. }) => "more than the actor has",
        Err(TenancyError::LastOwner) => "last owner",
        Err(TenancyError::NotFound) => "not found",
        Err(TenancyError::PersonalTenant(_)) => "personal",
        Err(TenancyError::AlreadyMember) => "already",
        Err(TenancyError::Invalid(fields)) => fields[0].field,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_makes_anybody_more_than_themselves() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let admin = world.member(&tenant, Role::Admin).await;
    let narrow = world.member_with(&tenant, Role::Admin, r#"{"manageBilling": false}"#).await;
    let billing = world.member(&tenant, Role::BillingAdmin).await;
    let member = world.member(&tenant, Role::Member).await;
    let other = world.member(&tenant, Role::Member).await;
    let change = async |actor: Uuid, user: Uuid, patch: MemberPatch| {
        outcome(members::change(&world.db, &world.env, Actor::User(actor), tenant.id, user, &patch).await)
    };
    assert_eq!(change(member, member, to(Role::Admin)).await, "forbidden");
    assert_eq!(change(billing, member, to(Role::BillingAdmin)).await, "forbidden");
    assert_eq!(change(admin, member, to(Role::Owner)).await, "more than the actor has");
    assert_eq!(change(admin, owner, to(Role::Member)).await, "more than the actor has");
    assert_eq!(change(admin, owner, with(r#"{"viewUsage": false}"#)).await, "more than the actor has");
    assert_eq!(change(narrow, member, to(Role::Admin)).await, "more than the actor has");
    assert_eq!(change(narrow, member, with(r#"{"manageBilling": true}"#)).await, "more than the actor has");
    assert_eq!(change(narrow, narrow, with("{}")).await, "more than the actor has");
    assert_eq!(change(owner, owner, with(r#"{"viewUsage": false}"#)).await, "more than the actor has");
    assert_eq!(change(owner, owner, to(Role::Admin)).await, "last owner");
    assert_eq!(change(admin, world.user().await, to(Role::Member)).await, "not found");
    assert_eq!(change(world.user().await, other, to(Role::Member)).await, "not found");
    assert_eq!(change(narrow, other, with(r#"{"manageMembers": true}"#)).await, "done");
    assert_eq!(change(admin, other, to(Role::Admin)).await, "done");
    assert_eq!(change(owner, narrow, to(Role::Owner)).await, "done");
    // Made an owner: nothing narrows it any more, and so the first one can go down.
    assert_eq!(change(narrow, owner, to(Role::Member)).await, "done");
    assert_eq!(change(owner, narrow, to(Role::Member)).await, "forbidden");
    let deeds = world.deeds(tenant.id).await;
    assert_eq!(deeds.iter().filter(|deed| *deed == "member.changed").count(), 4, "refusals are no deeds: {deeds:?}");
}

#[tokio::test]
async fn members_are_added_by_who_may_and_only_if_they_exist() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let admin = world.member(&tenant, Role::Admin).await;
    let member = world.member(&tenant, Role::Member).await;
    let stranger = world.user().await;
    let add = async |actor: Actor, into: Uuid, user_id: Uuid, role: Role| {
        let new = NewMember { user_id, role, permissions: Overrides::default() };
        outcome(members::add(&world.db, &world.env, actor, into, &new, None).await)
    };
    assert_eq!(add(Actor::User(stranger), tenant.id, stranger, Role::Owner).await, "not found");
    assert_eq!(add(Actor::User(member), tenant.id, stranger, Role::Member).await, "forbidden");
    assert_eq!(add(Actor::User(admin), tenant.id, stranger, Role::Owner).await, "more than the actor has");
    assert_eq!(add(Actor::User(owner), tenant.id, world.id(), Role::Member).await, "userId");
    assert_eq!(add(Actor::User(owner), tenant.id, member, Role::Admin).await, "already");
    assert_eq!(add(Actor::User(owner), owner, stranger, Role::Member).await, "personal");
    assert_eq!(add(Actor::User(owner), world.id(), stranger, Role::Member).await, "not found");
    assert_eq!(add(Actor::User(admin), tenant.id, stranger, Role::Member).await, "done");
    assert_eq!(add(Actor::System, tenant.id, world.user().await, Role::Owner).await, "done");
}

#[tokio::test]
async fn who_is_removed_or_leaves_has_nothing_left_and_the_last_owner_stays() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let admin = world.member(&tenant, Role::Admin).await;
    let member = world.member(&tenant, Role::Member).await;
    let remove = async |actor: Uuid, user: Uuid| {
        outcome(members::remove(&world.db, &world.env, Actor::User(actor), tenant.id, user).await)
    };
    let leave = async |user: Uuid| outcome(members::leave(&world.db, &world.env, user, tenant.id, None).await);
    assert_eq!(remove(member, admin).await, "forbidden");
    assert_eq!(remove(admin, owner).await, "more than the actor has");
    assert_eq!(remove(owner, owner).await, "last owner");
    assert_eq!(leave(owner).await, "last owner");
    assert_eq!(remove(admin, member).await, "done");
    assert_eq!(remove(admin, member).await, "not found");
    assert_eq!(leave(member).await, "not found");
    assert_eq!(leave(admin).await, "done");
    // Removed a moment ago: the next deed is refused.
    assert_eq!(remove(admin, owner).await, "not found");
    assert_eq!(outcome(members::leave(&world.db, &world.env, owner, owner, None).await), "personal");
    assert_eq!(
        world.deeds(tenant.id).await,
        ["tenant.created", "member.added", "member.added", "member.removed", "member.left"]
    );
}
