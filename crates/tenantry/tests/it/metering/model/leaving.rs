//! After all lives: every month leaves, and what was recorded in them is as true as before.

use jiff::SignedDuration;
use tenantry::usage::event::{Content, NewEvent};
use tenantry::usage::retention::{Fate, Month, Retention, prove_files};

use super::super::world::{LATE_WINDOW, World};
use super::compare;
use super::tenant::ModelTenant;

async fn leave(world: &World, folder: &std::path::Path) -> i64 {
    let retention = Retention::new(world.db.clone(), world.env.clone(), Some(folder.to_owned()), LATE_WINDOW);
    let reports = retention.run(Month::of(world.now()).unwrap().back(3).unwrap()).await.unwrap();
    assert!(reports.iter().all(|report| matches!(report.fate, Fate::Left { .. })), "{reports:?}");
    let left = reports.iter().map(|report| if let Fate::Left { events, .. } = report.fate { events } else { 0 }).sum();
    world.books_are_right().await;
    let (_, faults) = prove_files(&world.db, folder, None).await.unwrap();
    assert_eq!(faults, []);
    left
}

pub(super) async fn everything_leaves(world: &World, tenants: &mut [ModelTenant]) {
    world.env.clock.advance(SignedDuration::from_hours(24 * 200));
    world.work().await;
    let folder = tempfile::tempdir().unwrap();
    let recorded = "select count(*) from tenantry.tenant_usage";
    let all = world.count(recorded).await;
    assert!(all > 100, "only {all} events");
    assert_eq!(leave(world, folder.path()).await, all);
    assert_eq!(world.count(recorded).await, 0);
    let mut anew = 0;
    for tenant in tenants {
        tenant.close_due(world.now());
        compare(world, tenant, "after everything left").await;
        let sent = |event: &super::tenant::Counted| NewEvent {
            content: event.content.clone(),
            timestamp: event.given.then_some(event.when),
            ..world.event(tenant.id, &event.key, "calls", "1")
        };
        let again: Vec<NewEvent> = tenant.events.iter().map(sent).collect();
        for word in world.record(&again).await {
            assert!(word.starts_with("duplicate"), "{word}");
        }
        // What left cannot be taken back. What comes now adds up with it.
        let usage = tenant.events.iter().filter(|event| matches!(event.content, Content::Usage { .. }));
        let some: Vec<(String, jiff::Timestamp)> = usage.map(|event| (event.key.clone(), event.when)).take(3).collect();
        for (key, when) in some {
            assert_eq!(
                world.record(&[world.reversal(tenant.id, &format!("{key} back"), &key)]).await,
                ["event_archived"]
            );
            let event =
                NewEvent { timestamp: Some(when), ..world.event(tenant.id, &format!("{key} late"), "tokens", "7.5") };
            anew += i64::from(world.record(&[event]).await[0].starts_with("accepted"));
        }
    }
    assert!(anew > 10, "only {anew} events came late");
    world.books_are_right().await;
    assert_eq!(leave(world, folder.path()).await, anew);
}
