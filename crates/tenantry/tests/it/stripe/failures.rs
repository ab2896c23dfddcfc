//! Stripe fails at each call of each operation, before or after it did what was asked; requests die before the first
//! call. All is done in the end, and nothing twice.

use serde_json::Value;
use tenantry::billing::operations::{Asked, Begun, begin};
use tenantry::stripe_sync::operations::Outcome;
use tenantry::tenancy::Actor;
use tenantry_sandbox::{FaultAction, FaultRule};
use uuid::Uuid;

use super::world::{VISA, World, wish};

/// Asks while each of these calls fails in a row as often as the client tries; what became of it in the end.
async fn through(world: &World, tenant: Uuid, asked: &Asked, fault: &FaultRule, calls: &[(&str, &str)]) -> Value {
    for (method, path) in calls {
        world.control.add_fault(fault.clone().only(method, path));
    }
    let begun = begin(&world.db, &world.env, Actor::System, tenant, asked, None).await.unwrap();
    let Begun::New { operation, .. } = &begun else { panic!("{asked:?}: {begun:?}") };
    let id = operation.id;
    let mut outcome = tenantry::stripe_sync::operations::execute(&world.stripe, begun, tenant).await.unwrap();
    for _ in 0..40 {
        if let Outcome::Done(answer) = outcome {
            assert_eq!(world.control.faults(), [], "{asked:?}: calls that were not made");
            world.work().await;
            return answer;
        }
        assert_eq!(outcome, Outcome::Waits(id), "{asked:?} {fault:?}");
        world.move_to(world.later("5m")).await;
        world.work_undelivered().await;
        let settled = tenantry::stripe_sync::operations::outcome(&world.stripe, tenant, id).await.unwrap();
        outcome = settled.unwrap_or(Outcome::Waits(id));
    }
    panic!("{asked:?} {fault:?}: it is never done");
}

#[tokio::test]
async fn whatever_call_fails_and_how_nothing_is_done_twice() {
    let world = World::new().await;
    for (number, fault) in [
        FaultRule::status(500, 3),
        FaultRule::new(FaultAction::Drop, false, 3),
        FaultRule::new(FaultAction::Drop, true, 3),
        FaultRule::new(FaultAction::HangMs(1600), true, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let user = world.user(&format!("ada{number}@example.com")).await;
        let calls = [
            ("POST", "/v1/customers"),
            ("GET", "/v1/customers/"),
            ("GET", "/v1/checkout/sessions"),
            ("POST", "/v1/checkout/sessions"),
        ];
        let bought = through(&world, user, &Asked::Checkout(wish("pro", None)), &fault, &calls).await;
        assert_eq!(world.list("/v1/customers?limit=100").await.len(), number + 1, "{fault:?}");
        let sessions = world.list(&format!("/v1/checkout/sessions?customer={}", world.customer(user).await)).await;
        assert_eq!(sessions.len(), 1, "{fault:?}");
        world.control.pay_session(bought["sessionId"].as_str().unwrap(), VISA).await.unwrap();
        world.work().await;

        let one = format!("/v1/subscriptions/{}", world.subscription(user).await);
        let calls = [("GET", &*one), ("POST", &*one), ("GET", "/v1/customers/"), ("GET", "/v1/subscriptions")];
        // It counts from a preview that is older than the new period that the change begins.
        let shown_at = world.now();
        world.move_to(world.later("1h")).await;
        let year = Asked::Upgrade(wish("pro", Some("year")), Some(shown_at));
        let changed = through(&world, user, &year, &fault, &calls).await;
        assert_eq!(changed["effectiveAt"], shown_at.to_string(), "{fault:?}");
        through(&world, user, &Asked::Upgrade(wish("scale", None), None), &fault, &calls).await;
        assert_eq!(world.standing(user).await, "scale active year full");
        assert_eq!(world.invoices(user).await.len(), 3, "{fault:?}: each change is charged once");

        let calls = [("POST", "/v1/subscription_schedules"), ("POST", "/v1/subscription_schedules/")];
        through(&world, user, &Asked::Downgrade(wish("pro", None)), &fault, &calls).await;
        assert_eq!(world.current(user).await["pending_plan_id"], "pro");
        through(&world, user, &Asked::Resume, &fault, &calls[1..]).await;
        assert_eq!(world.current(user).await["pending_plan_id"], Value::Null);
        let calls = [("POST", &*one), ("GET", "/v1/customers/")];
        through(&world, user, &Asked::Cancel, &fault, &calls).await;
        assert_eq!(world.current(user).await["cancel_at_period_end"], true);
        through(&world, user, &Asked::Resume, &fault, &calls).await;
        assert_eq!(world.current(user).await["cancel_at_period_end"], false);
        assert_eq!(world.subscriptions(user).await.len(), 1);
        let schedules =
            world.list(&format!("/v1/subscription_schedules?customer={}", world.customer(user).await)).await;
        assert_eq!(schedules.len(), 1, "{fault:?}");
        let changed = world.notices_of(user, "plan_changed").await;
        assert_eq!(changed.len(), 2, "{fault:?} {changed:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_request_that_dies_is_seen_through_by_a_worker() {
    let world = World::new().await;
    let user = world.user("ada@example.com").await;
    let mut before = world.current(user).await;
    for asked in [
        Asked::Checkout(wish("pro", None)),
        Asked::Upgrade(wish("scale", None), None),
        Asked::Downgrade(wish("pro", None)),
        Asked::Resume,
        Asked::Cancel,
    ] {
        let begun = begin(&world.db, &world.env, Actor::System, user, &asked, None).await.unwrap();
        let Begun::New { operation, .. } = begun else { panic!("{begun:?}") };
        // Meanwhile the same is joined, and anything else has to wait.
        let joined = begin(&world.db, &world.env, Actor::System, user, &asked, None).await.unwrap();
        assert!(matches!(joined, Begun::Joined(id) if id == operation.id), "{joined:?}");
        world.work().await;
        assert_eq!(world.current(user).await, before, "{asked:?} is done while its request may still be at it");
        world.advance("2m").await;
        let outcome = tenantry::stripe_sync::operations::outcome(&world.stripe, user, operation.id).await.unwrap();
        let Some(Outcome::Done(answer)) = outcome else { panic!("{asked:?}: {outcome:?}") };
        if let Some(session) = answer["sessionId"].as_str() {
            world.control.pay_session(session, VISA).await.unwrap();
            world.work().await;
        }
        before = world.current(user).await;
    }
    assert_eq!(world.current(user).await["cancel_at_period_end"], true);
    assert_eq!(world.invoices(user).await.len(), 2);
    world.finish().await;
}
