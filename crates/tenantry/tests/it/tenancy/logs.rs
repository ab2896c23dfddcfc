//! Audit trail and security log.

use tenantry::storage::ReadScope;
use tenantry::tenancy::audit::{Fault, Verdict};
use tenantry::tenancy::security::{self, Refusal, Severity};
use tenantry::tenancy::{Actor, organizations};
use tenantry_domain::permission::Role;
use uuid::Uuid;

use super::world::World;

fn refusal(actor: Actor, attempted: Option<Uuid>) -> Refusal<'static> {
    Refusal {
        kind: "insufficient_permissions",
        severity: Severity::Warning,
        actor,
        attempted,
        needed_permission: Some("manageMembers"),
        role: None,
        request_id: Some("r\n1"),
        address: Some("127.0.0.1"),
        details: &[("path", "/api\u{1b}[2J\0")],
    }
}

#[tokio::test]
async fn a_damaged_trail_is_told_with_its_first_broken_link() {
    let damages: [(&str, Option<(i64, Fault)>); 6] = [
        ("update tenantry.billing_events set payload = null, payload_salt = null where sequence = 2", None),
        (
            "update tenantry.billing_events set actor_id = gen_random_uuid() where sequence = 2",
            Some((2, Fault::Fields)),
        ),
        ("update tenantry.billing_events set payload = '{\"x\": 1}' where sequence = 3", Some((3, Fault::Payload))),
        (
            "update tenantry.billing_events set created_at = created_at - interval '1 day' where sequence = 1",
            Some((1, Fault::Fields)),
        ),
        ("delete from tenantry.billing_events where sequence = 2", Some((3, Fault::Gap { expected: 2 }))),
        ("update tenantry.billing_events set hash = previous_hash where sequence = 3", Some((3, Fault::Fields))),
    ];
    let world = World::new().await;
    let owner = world.user().await;
    for (damage, expected) in damages {
        let tenant = world.organization(owner).await;
        world.member(&tenant, Role::Member).await;
        world.member(&tenant, Role::Member).await;
        assert_eq!(world.chain(tenant.id).await, Verdict::Intact { entries: 3, blanked: 0 });
        let sql = format!("{damage} and tenant_id = '{}'", tenant.id);
        assert_eq!(world.admin.execute(&sql, &[]).await.unwrap(), 1);
        match (world.chain(tenant.id).await, expected) {
            (Verdict::Intact { entries: 3, blanked: 1 }, None) => {}
            (Verdict::Broken(link), Some((sequence, fault))) => {
                assert_eq!((link.sequence, link.fault), (sequence, fault), "{damage}");
            }
            (verdict, _) => panic!("{damage}: {verdict:?}"),
        }
    }
}

#[tokio::test]
async fn a_refusal_belongs_to_the_tenant_of_who_was_refused() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let member = world.member(&tenant, Role::Member).await;
    let stranger = world.user().await;
    let key = super::keys::key_of(&world, owner, tenant.id).await;
    for actor in [Actor::User(member), Actor::User(stranger), Actor::Key { id: key, tenant_id: tenant.id }] {
        security::record(&world.db, &world.env, &refusal(actor, Some(tenant.id))).await.unwrap();
    }
    // A tenant that does not exist, none at all, and one of another key.
    security::record(&world.db, &world.env, &refusal(Actor::User(stranger), Some(world.id()))).await.unwrap();
    security::record(&world.db, &world.env, &refusal(Actor::User(stranger), None)).await.unwrap();
    let foreign = refusal(Actor::Key { id: key, tenant_id: tenant.id }, Some(stranger));
    security::record(&world.db, &world.env, &foreign).await.unwrap();
    let seen = async |user: Uuid, tenant: Uuid| {
        let scope = ReadScope { user_id: Some(user), tenant_id: Some(tenant), key_id: None };
        let tx = world.db.read("test", scope).await.unwrap();
        let rows = tenantry::storage::security::latest(&tx, tenant, 10).await.unwrap();
        tx.rollback().await.unwrap();
        rows
    };
    let ours = seen(owner, tenant.id).await;
    let mut actors: Vec<_> = ours.iter().map(|row| (row.user_id, row.key_id)).collect();
    actors.sort();
    assert_eq!(actors, [(None, Some(key)), (None, Some(key)), (Some(member), None)]);
    assert_eq!(seen(stranger, stranger).await.len(), 3);
    assert_eq!(seen(stranger, tenant.id).await.len(), 0);
    let row = &ours[0];
    assert_eq!(row.request_id.as_deref(), Some("r\\u{a}1"));
    assert_eq!(row.details, serde_json::json!({"path": "/api\\u{1b}[2J\\u{0}"}));
}

#[tokio::test]
async fn a_refusal_is_logged_while_its_request_still_holds_the_tenant() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let tx = world.db.begin("test", &[tenant.id]).await.unwrap();
    tenantry::storage::tenants::lock(&tx, tenant.id).await.unwrap().unwrap();
    let refused = refusal(Actor::User(owner), Some(tenant.id));
    let log = security::record(&world.db, &world.env, &refused);
    tokio::time::timeout(std::time::Duration::from_secs(20), log).await.expect("waits for the lock").unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(world.count("select count(*) from tenantry.security_events").await, 1);
}

#[tokio::test]
async fn the_serving_role_cannot_touch_what_is_logged() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    security::record(&world.db, &world.env, &refusal(Actor::User(owner), Some(tenant.id))).await.unwrap();
    for table in ["billing_events", "security_events"] {
        for sql in [
            format!("update tenantry.{table} set created_at = now()"),
            format!("delete from tenantry.{table}"),
            format!("truncate tenantry.{table}"),
        ] {
            let role = "tenantry_service";
            let tried = world.admin.batch_execute(&format!("set role {role}; {sql}")).await.unwrap_err();
            assert_eq!(tried.code().unwrap().code(), "42501", "{sql}");
            world.admin.batch_execute("reset role").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_refused_operation_leaves_no_trace_in_the_trail() {
    let world = World::new().await;
    let owner = world.user().await;
    let tenant = world.organization(owner).await;
    let member = world.member(&tenant, Role::Member).await;
    organizations::delete(&world.db, &world.env, Actor::User(member), tenant.id).await.unwrap_err();
    assert_eq!(world.deeds(tenant.id).await, ["tenant.created", "member.added"]);
}
