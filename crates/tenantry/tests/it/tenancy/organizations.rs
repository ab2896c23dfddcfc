//! Organizations: made, changed, deleted.

use futures::future::join_all;
use serde_json::json;
use tenantry::storage::{ReadScope, members, tenants};
use tenantry::tenancy::organizations::{self, NewOrganization, TenantPatch};
use tenantry::tenancy::{Actor, TenancyError};
use tenantry_domain::permission::Role;

use super::world::World;

fn named(name: &str, slug: Option<&str>) -> NewOrganization {
    NewOrganization { name: name.to_owned(), slug: slug.map(str::to_owned), ..NewOrganization::default() }
}

#[tokio::test]
async fn an_organization_has_an_owner_and_a_free_subscription_at_once() {
    let world = World::new().await;
    let owner = world.user().await;
    let new = NewOrganization { billing_email: Some("bills@acme.example".to_owned()), ..named("Acme & Söhne", None) };
    let tenant =
        organizations::create(&world.db, &world.env, Actor::User(owner), &new, None).await.unwrap().done().unwrap();
    assert_eq!(tenant.settings, json!({"billing_email": "bills@acme.example"}));
    let scope = ReadScope { user_id: Some(owner), tenant_id: Some(tenant.id), key_id: None };
    let tx = world.db.read("test", scope).await.unwrap();
    assert_eq!(tenants::get(&tx, tenant.id).await.unwrap(), Some(tenant.clone()));
    let listed = members::list(&tx, tenant.id, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|row| (row.user_id, row.role.as_str())).collect::<Vec<_>>(), [(owner, "owner")]);
    let subscription = tenantry::storage::subscriptions::current(&tx, tenant.id).await.unwrap().unwrap();
    assert_eq!((subscription.plan_id.as_str(), subscription.plan_version), ("free", 1));
    assert_eq!(subscription.anchor, subscription.current_period_start);
    tx.rollback().await.unwrap();
    assert_eq!(world.deeds(tenant.id).await, ["tenant.created"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_organizations_of_one_name_at_once_get_sixteen_slugs() {
    let world = World::new().await;
    let owner = world.user().await;
    let made = join_all((0..16).map(|_| {
        let (db, env) = (world.db.clone(), world.env.clone());
        tokio::spawn(async move {
            let new = named("Twin Peaks", None);
            organizations::create(&db, &env, Actor::User(owner), &new, None).await.unwrap().done().unwrap().slug
        })
    }))
    .await;
    let mut slugs: Vec<String> = made.into_iter().map(Result::unwrap).collect();
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), 16);
    assert_eq!(slugs.iter().filter(|slug| *slug == "twin-peaks").count(), 1);
    assert!(slugs.iter().all(|slug| slug.starts_with("twin-peaks")), "{slugs:?}");
}

#[tokio::test]
async fn a_name_without_letters_gets_a_random_slug() {
    let world = World::new().await;
    let owner = Actor::User(world.user().await);
    let tenant = organizations::create(&world.db, &world.env, owner, &named("!!!", None), None).await.unwrap();
    assert!(tenant.done().unwrap().slug.starts_with("org-"));
}

#[tokio::test]
async fn a_slug_that_was_asked_for_is_never_replaced() {
    let world = World::new().await;
    let owner = Actor::User(world.user().await);
    let first = organizations::create(&world.db, &world.env, owner, &named("One", Some("mine")), None).await.unwrap();
    let before = world.count("select count(*) from tenantry.tenants").await;
    let refused = organizations::create(&world.db, &world.env, owner, &named("Two", Some("mine")), None).await;
    assert!(matches!(refused, Err(TenancyError::SlugTaken(slug)) if slug == "mine"));
    assert_eq!(world.count("select count(*) from tenantry.tenants").await, before);
    let refused = organizations::create(&world.db, &world.env, owner, &named("Two", Some("Not A Slug")), None).await;
    assert!(matches!(refused, Err(TenancyError::Invalid(fields)) if fields[0].field == "slug"));
    // Deleting frees it, and the next one inherits nothing.
    let first = first.done().unwrap();
    organizations::delete(&world.db, &world.env, owner, first.id).await.unwrap();
    let next = organizations::create(&world.db, &world.env, owner, &named("Two", Some("mine")), None).await.unwrap();
    assert_ne!(next.done().unwrap().id, first.id);
}

#[tokio::test]
async fn only_the_host_application_names_another_owner() {
    let world = World::new().await;
    let (one, two) = (world.user().await, world.user().await);
    let create = async |actor, owner_id| {
        let new = NewOrganization { owner_id, ..named("Acme", None) };
        organizations::create(&world.db, &world.env, actor, &new, None).await.map(|answer| answer.done().unwrap())
    };
    let field = |refused: Result<_, TenancyError>| match refused {
        Err(TenancyError::Invalid(fields)) => fields[0].field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(create(Actor::User(one), Some(two)).await), "ownerId");
    assert_eq!(field(create(Actor::System, None).await), "ownerId");
    assert_eq!(field(create(Actor::System, Some(world.id())).await), "ownerId");
    assert_eq!(create(Actor::System, Some(two)).await.unwrap().owner_id, two);
    let unknown_key = create(Actor::ServiceKey(world.id()), Some(two)).await;
    assert!(matches!(unknown_key, Err(TenancyError::NotFound)));
    let tenant_key = create(Actor::Key { id: world.id(), tenant_id: one }, None).await;
    assert!(matches!(tenant_key, Err(TenancyError::Forbidden { .. })));
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let change = async |actor, patch: TenantPatch| {
        organizations::patch(&world.db, &world.env, Actor::User(actor), tenant.id, &patch).await
    };
    let with_email =
        |email: Option<&str>| TenantPatch { billing_email: Some(email.map(str::to_owned)), ..TenantPatch::default() };
    let row = change(owner, with_email(Some("a@b.c"))).await.unwrap();
    assert_eq!((row.name.as_str(), row.settings), ("Acme", json!({"billing_email": "a@b.c"})));
    let row = change(owner, TenantPatch { name: Some("New".to_owned()), ..TenantPatch::default() }).await.unwrap();
    assert_eq!((row.name.as_str(), row.slug.as_str()), ("New", tenant.slug.as_str()));
    assert_eq!(row.settings, json!({"billing_email": "a@b.c"}));
    assert_eq!(change(owner, with_email(None)).await.unwrap().settings, json!({}));
    // Nothing changed: nothing is in the trail.
    change(owner, TenantPatch { name: Some("New".to_owned()), ..TenantPatch::default() }).await.unwrap();
    assert_eq!(world.deeds(tenant.id).await, ["tenant.created", "tenant.changed", "tenant.changed", "tenant.changed"]);

    let other = world.organization(owner).await;
    let taken = change(owner, TenantPatch { slug: Some(other.slug.clone()), ..TenantPatch::default() }).await;
    assert!(matches!(taken, Err(TenancyError::SlugTaken(slug)) if slug == other.slug));
    let member = world.member(&tenant, Role::BillingAdmin).await;
    let refused = change(member, with_email(None)).await;
    assert!(matches!(
        refused,
        Err(TenancyError::Forbidden { needed: "manageMembers", role: Some(Role::BillingAdmin) })
    ));
    let stranger = world.user().await;
    assert!(matches!(change(stranger, with_email(None)).await, Err(TenancyError::NotFound)));
}

#[tokio::test]
async fn deleting_ends_membership_keys_and_subscription() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let admin = world.member(&tenant, Role::Admin).await;
    let key = super::keys::key_of(&world, owner, tenant.id).await;
    let delete = async |user| organizations::delete(&world.db, &world.env, Actor::User(user), tenant.id).await;
    assert!(matches!(delete(admin).await, Err(TenancyError::Forbidden { role: Some(Role::Admin), .. })));
    delete(owner).await.unwrap();
    assert!(matches!(delete(owner).await, Err(TenancyError::NotFound)));
    let found = tenantry::tenancy::keys::find(&world.db, key).await.unwrap().unwrap();
    assert!(!found.works);
    for sql in [
        "select count(*) from tenantry.tenant_members where tenant_id = '{}'",
        "select count(*) from tenantry.tenant_subscriptions where tenant_id = '{}' and ended_at is null",
        "select count(*) from tenantry.tenants where id = '{}' and deleted_at is null",
    ] {
        assert_eq!(world.count(&sql.replace("{}", &tenant.id.to_string())).await, 0, "{sql}");
    }
    assert_eq!(world.deeds(tenant.id).await.last().unwrap(), "tenant.deleted");
    let scope = ReadScope { user_id: Some(owner), ..ReadScope::default() };
    let tx = world.db.read("test", scope).await.unwrap();
    assert_eq!(tenants::get(&tx, tenant.id).await.unwrap(), None);
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn a_personal_tenant_and_one_that_pays_are_not_deleted() {
    let world = World::new().await;
    let owner = world.user().await;
    let refused = organizations::delete(&world.db, &world.env, Actor::User(owner), owner).await;
    assert!(matches!(refused, Err(TenancyError::PersonalTenant(_))));
    let tenant = world.organization(owner).await;
    world
        .admin
        .execute("update tenantry.tenant_subscriptions set plan_id = 'pro' where tenant_id = $1", &[&tenant.id])
        .await
        .unwrap();
    let refused = organizations::delete(&world.db, &world.env, Actor::User(owner), tenant.id).await;
    assert!(matches!(refused, Err(TenancyError::ActiveSubscription(plan)) if plan == "pro"));
}

#[tokio::test]
async fn metacharacters_in_names_come_back_as_text() {
    let world = World::new().await;
    let owner = Actor::User(world.user().await);
    for name in ["'; select set_config('app.tenants', '', false); --", "$1 %s {} \\ \" ` $.a[*]", "日本 \u{1f600}"] {
        let tenant = organizations::create(&world.db, &world.env, owner, &named(name, None), None).await.unwrap();
        assert_eq!(tenant.done().unwrap().name, name);
    }
}
