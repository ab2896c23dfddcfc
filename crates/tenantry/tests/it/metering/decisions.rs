//! What becomes of one event: once, limit, overage, conflict, time, permission, correction.

use jiff::SignedDuration;
use tenantry::tenancy::Actor;

use super::world::{World, at};

#[tokio::test]
async fn a_key_counts_once_and_other_content_is_a_conflict() {
    let world = World::new().await;
    let t = world.user().await;
    assert_eq!(world.record(&[world.event(t, "a", "calls", "7")]).await, ["accepted 7"]);
    // The same value in other digits, alone and in one group with new events.
    for same in ["7", "7.0", "0.7e1", "07"] {
        let amounts = tenantry_domain::quantity::Quantity::parse_amount(same);
        if amounts.is_ok() {
            assert_eq!(world.record(&[world.event(t, "a", "calls", same)]).await, ["duplicate 7"], "{same}");
        }
    }
    let group = [
        world.event(t, "b", "calls", "1"),
        world.event(t, "a", "calls", "7"),
        world.event(t, "b", "calls", "1"),
        world.event(t, "a", "calls", "8"),
        world.event(t, "b", "tokens", "1"),
    ];
    assert_eq!(world.record(&group).await, ["accepted 8", "duplicate 8", "duplicate 8", "conflict 8", "conflict 0"]);
    assert_eq!(world.totals(t).await, ["calls 8"]);
    // A key is a tenant's own.
    let other = world.user().await;
    assert_eq!(world.record(&[world.event(other, "a", "calls", "3")]).await, ["accepted 3"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn given_timestamps_are_compared_and_missing_ones_are_not() {
    let world = World::new().await;
    let t = world.user().await;
    let given = "2026-03-15T12:00:00.123456Z";
    let finer = "2026-03-15T12:00:00.123456789Z";
    let other = "2026-03-15T12:00:00.123457Z";
    assert_eq!(world.record(&[world.event_at(t, "a", "calls", "1", given)]).await, ["accepted 1"]);
    assert_eq!(world.record(&[world.event_at(t, "a", "calls", "1", finer)]).await, ["duplicate 1"]);
    assert_eq!(world.record(&[world.event_at(t, "a", "calls", "1", other)]).await, ["conflict 1"]);
    assert_eq!(world.record(&[world.event(t, "a", "calls", "1")]).await, ["duplicate 1"]);
    assert_eq!(world.record(&[world.event(t, "b", "calls", "1")]).await, ["accepted 2"]);
    world.env.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(world.record(&[world.event(t, "b", "calls", "1")]).await, ["duplicate 2"]);
    assert_eq!(world.record(&[world.event_at(t, "b", "calls", "1", given)]).await, ["duplicate 2"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_hard_limit_is_reached_and_never_passed() {
    let world = World::new().await;
    let t = world.user().await;
    let group = [
        world.event(t, "a", "calls", "99"),
        world.event(t, "b", "calls", "1.000000001"),
        world.event(t, "c", "calls", "0.999999999"),
        world.event(t, "d", "calls", "0.000000002"),
        world.event(t, "e", "calls", "0.000000001"),
    ];
    assert_eq!(
        world.record(&group).await,
        ["accepted 99", "refused 99", "accepted 99.999999999", "refused 99.999999999", "accepted 100"]
    );
    assert_eq!(world.record(&[world.event(t, "b", "calls", "0.000000001")]).await, ["refused 100"]);
    // A refused key was not used up: it may come again, smaller, where there is room.
    assert_eq!(world.record(&[world.reversal(t, "r", "a")]).await, ["accepted 1"]);
    assert_eq!(world.record(&[world.event(t, "b", "calls", "99")]).await, ["accepted 100"]);
    let refused = world.count("select refused_count from tenantry.usage_counters where metric = 'calls'").await;
    assert_eq!(refused, 3);
    world.books_are_right().await;
}

#[tokio::test]
async fn overage_unlimited_and_metrics_that_the_plan_does_not_name() {
    let world = World::new().await;
    let t = world.user().await;
    let group = [
        world.event(t, "a", "tokens", "1000"),
        world.event(t, "b", "bytes", "999999999999999.999999999"),
        world.event(t, "c", "exports", "0.000000001"),
    ];
    assert_eq!(world.record(&group).await, ["accepted 1000", "accepted 999999999999999.999999999", "not in plan 0"]);
    world.change_plan(t, "pro", world.now()).await;
    assert_eq!(world.record(&[world.event(t, "c", "exports", "20")]).await, ["accepted 20"]);
    // Back on the smaller plan the total is above the limit; that is no fault, and nothing more fits.
    world.record(&[world.event(t, "d", "calls", "250")]).await;
    world.change_plan(t, "free", world.now()).await;
    let after = [world.event(t, "e", "calls", "1"), world.event(t, "f", "exports", "1")];
    assert_eq!(world.record(&after).await, ["refused 250", "not in plan 20"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn late_early_and_far_away_timestamps() {
    let world = World::new().await;
    let t = world.user().await;
    let user = Actor::User(t);
    let future = [
        world.event_at(t, "f1", "calls", "1", "2026-03-15T12:05:00Z"),
        world.event_at(t, "f2", "calls", "1", "2026-03-15T12:05:00.000001Z"),
    ];
    assert_eq!(world.record_as(user, &future).await, ["accepted 1", "timestamp_in_future"]);
    // The period ends on April 15 at noon; its events are accepted for 72 hours more, to the microsecond.
    let inside = "2026-04-15T11:59:59.999999Z";
    world.env.clock.set(at("2026-04-18T12:00:00Z"));
    assert_eq!(world.record_as(user, &[world.event_at(t, "l1", "calls", "1", inside)]).await, ["accepted 2"]);
    world.env.clock.set(at("2026-04-18T12:00:00.000001Z"));
    assert_eq!(world.record_as(user, &[world.event_at(t, "l2", "calls", "1", inside)]).await, ["timestamp_too_old"]);
    // The instant of the end belongs to the next period.
    let end = "2026-04-15T12:00:00Z";
    assert_eq!(world.record_as(user, &[world.event_at(t, "l3", "calls", "1", end)]).await, ["accepted 1"]);
    // The system may go back as far as usage is kept.
    let old = [
        world.event_at(t, "o1", "tokens", "500", "2000-01-01T00:00:00Z"),
        world.event_at(t, "o2", "tokens", "1", "1999-12-31T23:59:59.999999Z"),
        world.event_at(t, "o3", "tokens", "500", "2024-02-29T12:00:00Z"),
    ];
    assert_eq!(world.record(&old).await, ["accepted 500", "timestamp_too_old", "accepted 500"]);
    let historic = world.count("select count(*) from tenantry.usage_periods where historic").await;
    assert_eq!(historic, 2);
    // What lies before the tenant is shown, never charged.
    world.env.clock.advance(SignedDuration::from_hours(24 * 40));
    world.work().await;
    assert_eq!(world.charges(t).await, Vec::<String>::new());
    world.books_are_right().await;
}

#[tokio::test]
async fn permissions_are_read_with_each_group() {
    let world = World::new().await;
    let owner = world.user().await;
    let acme = world.organization(owner).await;
    let member = world.user().await;
    let event = |key: &str| world.event(acme, key, "calls", "1");
    assert_eq!(world.record_as(Actor::User(member), &[event("a")]).await, ["forbidden"]);
    world.add_member(acme, owner, member).await;
    assert_eq!(world.record_as(Actor::User(member), &[event("a")]).await, ["accepted 1"]);
    let named = tenantry::usage::event::NewEvent { user_id: Some(owner), ..event("b") };
    assert_eq!(world.record_as(Actor::User(member), std::slice::from_ref(&named)).await, ["user_not_allowed"]);
    assert_eq!(world.record_as(Actor::User(member), &[world.reversal(acme, "r", "a")]).await, ["forbidden"]);
    let key = world.key(acme, owner).await;
    let keys = Actor::Key { id: key, tenant_id: acme };
    assert_eq!(world.record_as(keys, &[named]).await, ["accepted 2"]);
    let stranger = world.user().await;
    let strangers = tenantry::usage::event::NewEvent { user_id: Some(stranger), ..event("c") };
    assert_eq!(world.record_as(keys, &[strangers]).await, ["unknown_user"]);
    assert_eq!(world.record_as(keys, &[world.event(owner, "c", "calls", "1")]).await, ["forbidden"]);
    tenantry::tenancy::members::remove(&world.db, &world.env, Actor::User(owner), acme, member).await.unwrap();
    assert_eq!(world.record_as(Actor::User(member), &[event("d")]).await, ["forbidden"]);
    tenantry::tenancy::keys::revoke(&world.db, &world.env, Actor::User(owner), acme, key).await.unwrap();
    assert_eq!(world.record_as(keys, &[event("e")]).await, ["forbidden"]);
    let stored = "select count(*) from tenantry.tenant_usage where metadata->>'userRole' = 'member'
                  and metadata->>'organizationId' = tenant_id::text";
    assert_eq!(world.count(stored).await, 1);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_correction_takes_an_event_back_once() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "70.5"), world.event(t, "b", "tokens", "4.5")]).await;
    assert_eq!(world.record(&[world.reversal(t, "r1", "nothing")]).await, ["unknown_key"]);
    let group = [
        world.reversal(t, "r1", "a"),
        world.reversal(t, "r1", "a"),
        world.reversal(t, "r2", "a"),
        world.reversal(t, "r1", "b"),
        world.event(t, "c", "tokens", "1"),
        world.reversal(t, "r3", "c"),
        world.reversal(t, "r4", "r3"),
    ];
    assert_eq!(
        world.record(&group).await,
        [
            "accepted 4.5",
            "duplicate 4.5",
            "already_reversed",
            "conflict 4.5",
            "accepted 5.5",
            "accepted 4.5",
            "reversal_of_reversal"
        ]
    );
    // The original's key stays used.
    assert_eq!(world.record(&[world.event(t, "a", "tokens", "70.5")]).await, ["duplicate 4.5"]);
    assert_eq!(world.totals(t).await, ["tokens 4.5"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn what_the_database_would_refuse_costs_only_the_culprit() {
    let world = World::new().await;
    let t = world.user().await;
    let mut poison = world.event(t, "p", "calls", "1");
    // jsonb cannot hold this character; the HTTP side refuses it before it gets here.
    poison.metadata.insert("note".to_owned(), "\u{0}".into());
    let mut group: Vec<_> = (0..20).map(|n| world.event(t, &format!("k{n}"), "calls", "1")).collect();
    group.insert(13, poison);
    let answers = world.recorder.record(Actor::System, &group).await;
    let failed: Vec<usize> = answers.iter().enumerate().filter(|(_, a)| a.is_err()).map(|(index, _)| index).collect();
    assert_eq!(failed, [13]);
    assert_eq!(world.totals(t).await, ["calls 20"]);
    world.books_are_right().await;
}

/// An event counts once for ever, and who sends it again after its time is told that it counted.
#[tokio::test]
async fn a_repeat_is_a_duplicate_however_late_it_comes() {
    let world = World::new().await;
    let t = world.user().await;
    let user = Actor::User(t);
    let when = "2026-03-20T00:00:00Z";
    world.env.clock.set(at(when));
    world.record_as(user, &[world.event_at(t, "a", "calls", "7", when), world.event(t, "now", "calls", "1")]).await;
    for later in ["2026-04-18T12:00:00.000001Z", "2026-07-01T00:00:00Z", "2030-01-01T00:00:00Z"] {
        world.env.clock.set(at(later));
        let group = [
            world.event_at(t, "a", "calls", "7", when),
            world.event_at(t, "a", "calls", "8", when),
            world.event_at(t, "a", "calls", "7", "2026-03-20T00:00:01Z"),
            world.event_at(t, "a", "tokens", "7", when),
            world.event_at(t, "now", "calls", "1", "2026-02-01T00:00:00Z"),
            world.event_at(t, "b", "calls", "7", when),
            world.event_at(t, later, "calls", "1", when),
            world.event(t, later, "calls", "1"),
            world.event_at(t, later, "calls", "1", when),
        ];
        let expected = [
            "duplicate 8",
            "conflict 8",
            "conflict 8",
            "conflict 8",
            "duplicate 8",
            "timestamp_too_old",
            "timestamp_too_old",
            "accepted 1",
            "duplicate 1",
        ];
        assert_eq!(world.record_as(user, &group).await, expected, "{later}");
    }
    // Asking makes no month of the past.
    let months = "select count(*) from pg_class where relname in ('tenant_usage_2026_02', 'tenant_usage_2026_05')";
    assert_eq!(world.count(months).await, 0);
    world.books_are_right().await;
}

#[tokio::test]
async fn before_a_tenant_was_here_only_service_keys_and_imports_record() {
    let world = World::new().await;
    let owner = world.user().await;
    let acme = world.organization(owner).await;
    let key = Actor::Key { id: world.key(acme, owner).await, tenant_id: acme };
    let event = || world.event_at(acme, "a", "calls", "1", "2026-03-15T11:59:59.999999Z");
    for actor in [Actor::User(owner), key] {
        assert_eq!(world.record_as(actor, &[event()]).await, ["timestamp_too_old"], "{actor:?}");
    }
    assert_eq!(world.record_as(Actor::System, &[event()]).await, ["accepted 1"]);
    assert_eq!(world.record_as(key, &[event()]).await, ["duplicate 1"]);
    let begins = world.event_at(acme, "b", "calls", "1", "2026-03-15T12:00:00Z");
    assert_eq!(world.record_as(key, &[begins]).await, ["accepted 1"]);
    world.books_are_right().await;
}

/// Corrections of events of the same group are decided with it: in order, in one transaction.
#[tokio::test]
async fn corrections_beside_what_they_correct() {
    let world = World::new().await;
    let t = world.user().await;
    let group = [
        world.reversal(t, "early", "a"),
        world.event(t, "a", "calls", "101"),
        world.reversal(t, "r1", "a"),
        world.event(t, "a", "calls", "60"),
        world.reversal(t, "r2", "a"),
        world.event(t, "b", "calls", "100"),
        world.event(t, "a", "tokens", "1"),
        world.reversal(t, "r3", "a"),
        world.reversal(t, "r2", "a"),
        world.reversal(t, "r4", "b"),
        world.reversal(t, "r5", "r4"),
        world.event(t, "c", "tokens", "5"),
        world.reversal(t, "r6", "c"),
    ];
    let expected = [
        "unknown_key",
        "refused 0",
        "unknown_key",
        "accepted 60",
        "accepted 0",
        "accepted 100",
        "conflict 0",
        "already_reversed",
        "duplicate 100",
        "accepted 0",
        "reversal_of_reversal",
        "accepted 5",
        "accepted 0",
    ];
    assert_eq!(world.record(&group).await, expected);
    world.books_are_right().await;
    // Pair by pair, for as many as a request may have: one transaction, so that nobody waits for thousands.
    let pairs: Vec<_> = (0..1000)
        .flat_map(|n| {
            let key = format!("u{n}");
            [world.event(t, &key, "calls", "100"), world.reversal(t, &format!("v{n}"), &key)]
        })
        .collect();
    let commits = "select count(distinct xmin::text) from tenantry.tenant_usage where idempotency_key like 'u%'";
    let answers = world.record(&pairs).await;
    assert!(answers.chunks(2).all(|pair| pair == ["accepted 100", "accepted 0"]));
    assert_eq!(world.count(commits).await, 1);
    world.books_are_right().await;
}
