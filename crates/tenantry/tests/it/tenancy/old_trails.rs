//! Trails that were begun before payloads could be blanked.

use tenantry::env::Env;
use tenantry::storage::{Database, migrate};
use tenantry::tenancy::audit::{self, Deed, Verdict};
use tenantry::tenancy::{Actor, accounts};
use tenantry::write_tx;
use uuid::Uuid;

use crate::support::{cluster, logins};

/// The schema as it was then.
const BEFORE: &[&str] = &[
    include_str!("../../../migrations/V1__tenancy.sql"),
    include_str!("../../../migrations/V2__plans_and_subscriptions.sql"),
    include_str!("../../../migrations/V3__logs_and_jobs.sql"),
    include_str!("../../../migrations/V4__usage.sql"),
    include_str!("../../../migrations/V5__stripe.sql"),
    include_str!("../../../migrations/V6__notices.sql"),
    include_str!("../../../migrations/V7__usage_fixes.sql"),
    include_str!("../../../migrations/V8__claims.sql"),
];

/// What came since.
const AFTER: &[&str] = &[
    include_str!("../../../migrations/V9__meters.sql"),
    include_str!("../../../migrations/V10__invitations.sql"),
    include_str!("../../../migrations/V11__teams.sql"),
    include_str!("../../../migrations/V12__views.sql"),
    include_str!("../../../migrations/V13__audit_payloads.sql"),
    include_str!("../../../migrations/V14__keys.sql"),
    include_str!("../../../migrations/V15__erasure.sql"),
    include_str!("../../../migrations/V16__addresses.sql"),
    include_str!("../../../migrations/V17__indexes.sql"),
    include_str!("../../../migrations/V18__counters.sql"),
    include_str!("../../../migrations/V19__holds.sql"),
    include_str!("../../../migrations/V20__spend.sql"),
    include_str!("../../../migrations/V21__retention.sql"),
    include_str!("../../../migrations/V22__aggregations.sql"),
    include_str!("../../../migrations/V23__report_rollups.sql"),
];

/// Two entries with hashes that were computed outside of this program, and one that somebody blanked by hand.
const TRAIL: &str = r#"
    insert into tenantry.users values ('00000000-0000-0000-0000-000000000001', 'zelda@example.com', now(), now());
    insert into tenantry.tenants (id, type, name, slug, owner_id, created_at, updated_at)
    values ('00000000-0000-0000-0000-000000000001', 'user', 'Zelda', 'zelda', '00000000-0000-0000-0000-000000000001', now(), now());
    insert into tenantry.billing_events values
    ('00000000-0000-0000-0000-000000000001', 1, '00000000-0000-0000-0000-000000000002', 'tenant.created', 'user',
     '00000000-0000-0000-0000-000000000003', null, '2026-01-01T00:00:00.123456Z',
     '{"name": "Zoë \"Z\"\n", "amount": "1.50", "count": -3, "list": [true, null], "a": {}}', '0123456789abcdef',
     '\x05a507479b7efc15efd624a514e839fb745f909e61a198eeba2bac5e378966fd', decode(repeat('00', 32), 'hex'),
     '\x7d594f3910100c33c0eb48f56fd6309eacf29f136b71fdad833a0a2051ecfa2f'),
    ('00000000-0000-0000-0000-000000000001', 2, '00000000-0000-0000-0000-000000000004', 'tenant.changed', 'system',
     null, '00000000-0000-0000-0000-000000000005', '2026-01-01T00:00:00.223456Z',
     '{"billing_email": {"from": null, "to": "zelda@example.com"}}', 'fedcba9876543210',
     '\x22d296a3d85f5aba0d60e66b612ff309c5577a52c4aaaa9131af5b188bd34a5f',
     '\x7d594f3910100c33c0eb48f56fd6309eacf29f136b71fdad833a0a2051ecfa2f',
     '\x54bf6b365c6533babf8b37ad10c7f480bfc5de251f31dedfea0e6057c3690537');
"#;

async fn verdict(db: &Database, tenant: Uuid) -> Verdict {
    let tx = db.read_as_service("test", &[tenant]).await.unwrap();
    let verdict = audit::verify(&tx, tenant).await.unwrap();
    tx.rollback().await.unwrap();
    verdict
}

#[tokio::test]
async fn an_old_trail_holds_and_goes_on_and_can_be_blanked() {
    let superuser = cluster::create_database(None).await;
    let admin = migrate::connect(&superuser).await.unwrap();
    let create =
        "do $$ begin execute format('grant create on database %I to tenantry_owner', current_database()); end $$;
                  set role tenantry_owner; set timezone = 'UTC'";
    admin.batch_execute(create).await.unwrap();
    for file in BEFORE {
        admin.batch_execute(file).await.unwrap();
    }
    admin.batch_execute("reset role").await.unwrap();
    admin.batch_execute(TRAIL).await.unwrap();
    // By hand only the payload went: there was no rule yet that the salt goes with it.
    admin.batch_execute("update tenantry.billing_events set payload = null where sequence = 1").await.unwrap();
    admin.batch_execute("set role tenantry_owner").await.unwrap();
    for file in AFTER {
        admin.batch_execute(file).await.unwrap();
    }
    admin.batch_execute("reset role").await.unwrap();

    let (db, env, user) = (Database::new(&logins(&superuser, 4)).unwrap(), Env::system(), Uuid::from_u128(1));
    assert_eq!(verdict(&db, user).await, Verdict::Intact { entries: 2, blanked: 1 });
    let appended: Result<(), tenantry::tenancy::TenancyError> = write_tx!(db, "test", &[user], |tx| {
        let held = tenantry::storage::tenants::lock(tx, user).await?.unwrap();
        let payload = serde_json::json!({ "name": "Zelda" });
        let deed = Deed { kind: "tenant.changed", actor: Actor::System, subject_id: None, payload };
        Ok(audit::append(tx, &held, &env, env.clock.now(), deed).await?)
    });
    appended.unwrap();
    assert_eq!(verdict(&db, user).await, Verdict::Intact { entries: 3, blanked: 1 });
    accounts::delete(&db, &env, Actor::System, user).await.unwrap();
    assert_eq!(verdict(&db, user).await, Verdict::Intact { entries: 4, blanked: 3 });
    let changed =
        "update tenantry.billing_events set actor_id = '00000000-0000-0000-0000-000000000009' where sequence = 2";
    admin.batch_execute(changed).await.unwrap();
    assert!(matches!(verdict(&db, user).await, Verdict::Broken(link) if link.sequence == 2));
}
