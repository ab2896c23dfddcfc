//! API keys of tenants and of the host application.

use std::time::Duration;

use jiff::SignedDuration;
use tenantry::env::Env;
use tenantry::storage::ReadScope;
use tenantry::tenancy::key_uses::KeyUses;
use tenantry::tenancy::keys::{self, NewKey};
use tenantry::tenancy::members::{self, NewMember};
use tenantry::tenancy::{Actor, TenancyError};
use tenantry_domain::permission::{Overrides, Permission, Role};
use uuid::Uuid;

use super::world::World;

fn new_key(world: &World, scopes: &[Permission]) -> NewKey {
    NewKey {
        id: world.id(),
        prefix: "tk_abcd".to_owned(),
        secret_hash: world.env.ids.bytes(),
        name: "ci".to_owned(),
        scopes: scopes.to_vec(),
        expires_at: None,
        requests_per_minute: None,
    }
}

/// A key that may record usage.
pub(super) async fn key_of(world: &World, user: Uuid, tenant: Uuid) -> Uuid {
    named_key_of(world, user, tenant, "ci").await
}

pub(super) async fn named_key_of(world: &World, user: Uuid, tenant: Uuid, name: &str) -> Uuid {
    let key = NewKey { name: name.to_owned(), ..new_key(world, &[Permission::RecordUsage]) };
    keys::create(&world.db, &world.env, Actor::User(user), tenant, &key, None).await.unwrap();
    key.id
}

#[tokio::test]
async fn a_key_has_at_most_the_scopes_of_who_makes_it() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let billing = world.member(&tenant, Role::BillingAdmin).await;
    let member = world.member(&tenant, Role::Member).await;
    let create = async |user: Uuid, scopes: &[Permission]| {
        let key = new_key(&world, scopes);
        keys::create(&world.db, &world.env, Actor::User(user), tenant.id, &key, None).await
    };
    let needed = |refused: Result<_, TenancyError>| match refused {
        Err(TenancyError::Forbidden { needed, .. }) => needed,
        other => panic!("{other:?}"),
    };
    assert_eq!(needed(create(member, &[Permission::ViewUsage]).await), "manageBilling");
    let too_much = [Permission::ViewUsage, Permission::ManageMembers];
    assert_eq!(needed(create(billing, &too_much).await), "manageMembers");
    let made = create(billing, &[Permission::ViewUsage, Permission::RecordUsage, Permission::ViewUsage]).await;
    let made = made.unwrap().done().unwrap();
    assert_eq!(made.scopes, ["recordUsage", "viewUsage"]);
    assert_eq!(made.created_by, Some(billing));
    assert!(matches!(create(owner, &[]).await, Err(TenancyError::Invalid(fields)) if fields[0].field == "scopes"));
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_only_by_its_own_tenant() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await.id;
    let key = key_of(&world, owner, tenant).await;
    let stranger = world.user().await;
    let revoke = async |user, tenant| keys::revoke(&world.db, &world.env, Actor::User(user), tenant, key).await;
    assert!(matches!(revoke(stranger, tenant).await, Err(TenancyError::NotFound)));
    assert!(matches!(revoke(stranger, stranger).await, Err(TenancyError::NotFound)));
    let find = async || keys::find(&world.db, key).await.unwrap().unwrap().works;
    assert!(find().await);
    let scope = ReadScope { key_id: Some(key), ..ReadScope::default() };
    let visible = async || {
        let tx = world.db.read("test", scope).await.unwrap();
        let listed = tenantry::storage::keys::list(&tx, tenant, None, 10).await.unwrap().len();
        tx.rollback().await.unwrap();
        listed
    };
    assert_eq!(visible().await, 1);
    revoke(owner, tenant).await.unwrap();
    revoke(owner, tenant).await.unwrap();
    assert!(!find().await);
    assert_eq!(visible().await, 0);
    assert_eq!(world.deeds(tenant).await, ["tenant.created", "key.created", "key.revoked"]);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_noted_once_a_minute() {
    let mut world = World::new().await;
    world.env = Env::manual("2026-03-01T12:00:00Z".parse().unwrap(), 1);
    let owner = world.user().await;
    let key = key_of(&world, owner, owner).await;
    let used_at = async |seconds| {
        world.env.clock.advance(SignedDuration::from_secs(seconds));
        let tx = world.db.begin("test", &[owner]).await.unwrap();
        tenantry::storage::keys::touch(&tx, &[(key, world.env.clock.now())]).await.unwrap();
        let row = tenantry::storage::keys::get(&tx, owner, key).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        row.last_used_at.unwrap().to_string()
    };
    assert_eq!(used_at(0).await, "2026-03-01T12:00:00Z");
    assert_eq!(used_at(59).await, "2026-03-01T12:00:00Z");
    assert_eq!(used_at(2).await, "2026-03-01T12:01:01Z");
    // A key that was revoked is tried, not used.
    keys::revoke(&world.db, &world.env, Actor::User(owner), owner, key).await.unwrap();
    assert_eq!(used_at(120).await, "2026-03-01T12:01:01Z");
}

#[tokio::test]
async fn uses_of_keys_are_written_behind_the_requests() {
    let mut world = World::new().await;
    world.env = Env::manual("2026-03-01T12:00:00Z".parse().unwrap(), 1);
    let owner = world.user().await;
    let keys = [key_of(&world, owner, owner).await, key_of(&world, owner, owner).await];
    let uses = KeyUses::new(world.db.clone(), world.env.clone());
    let written = async |at: &str| {
        let sql = format!("select count(*) from tenantry.api_keys where last_used_at = '{at}'");
        world.admin.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    for (seconds, at) in [(0, "2026-03-01T12:00:00Z"), (60, "2026-03-01T12:01:00Z")] {
        world.env.clock.advance(SignedDuration::from_secs(seconds));
        for key in keys.iter().cycle().take(100) {
            uses.note(*key);
        }
        let all = async {
            while written(at).await < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("the uses were never written");
    }
}

#[tokio::test]
async fn a_key_acts_within_its_scopes_and_its_tenant_and_never_as_an_owner() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let other = world.organization(owner).await;
    let key = new_key(
        &world,
        &[Permission::ManageMembers, Permission::ViewBilling, Permission::ViewUsage, Permission::RecordUsage],
    );
    keys::create(&world.db, &world.env, Actor::User(owner), tenant.id, &key, None).await.unwrap();
    let actor = Actor::Key { id: key.id, tenant_id: tenant.id };
    let user_id = world.user().await;
    let add = async |actor, tenant, role| {
        let new = NewMember { user_id, role, permissions: Overrides::default() };
        members::add(&world.db, &world.env, actor, tenant, &new, None).await
    };
    assert!(matches!(add(actor, tenant.id, Role::Owner).await, Err(TenancyError::Grant { .. })));
    assert!(matches!(add(actor, tenant.id, Role::BillingAdmin).await, Err(TenancyError::Grant { .. })));
    assert!(matches!(add(actor, other.id, Role::Member).await, Err(TenancyError::NotFound)));
    let forged = Actor::Key { id: key.id, tenant_id: other.id };
    assert!(matches!(add(forged, other.id, Role::Member).await, Err(TenancyError::NotFound)));
    let as_service = Actor::ServiceKey(key.id);
    assert!(matches!(add(as_service, tenant.id, Role::Member).await, Err(TenancyError::NotFound)));
    add(actor, tenant.id, Role::Member).await.unwrap();
    keys::revoke(&world.db, &world.env, Actor::User(owner), tenant.id, key.id).await.unwrap();
    assert!(matches!(add(actor, tenant.id, Role::Member).await, Err(TenancyError::NotFound)));
}

#[tokio::test]
async fn a_service_key_belongs_to_no_tenant_and_no_tenant_revokes_it() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await.id;
    let key = new_key(&world, &Permission::ALL);
    keys::create_service(&world.db, &world.env, &key).await.unwrap();
    assert_eq!(keys::find(&world.db, key.id).await.unwrap().unwrap().tenant_id, None);
    let refused = keys::revoke(&world.db, &world.env, Actor::User(owner), tenant, key.id).await;
    assert!(matches!(refused, Err(TenancyError::NotFound)));
    let user_id = world.user().await;
    let new = NewMember { user_id, role: Role::Owner, permissions: Overrides::default() };
    members::add(&world.db, &world.env, Actor::ServiceKey(key.id), tenant, &new, None).await.unwrap();
    assert!(keys::revoke_service(&world.db, &world.env, key.id).await.unwrap());
    assert!(!keys::revoke_service(&world.db, &world.env, key.id).await.unwrap());
    let refused = members::remove(&world.db, &world.env, Actor::ServiceKey(key.id), tenant, user_id).await;
    assert!(matches!(refused, Err(TenancyError::NotFound)));
}
