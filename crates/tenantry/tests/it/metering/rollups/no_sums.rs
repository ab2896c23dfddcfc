//! Groups of metrics that are no sums: figures of parts do not add up, so that there are none, and nothing is summed.

use super::super::world::figures_catalog;
use super::*;

const FIGURES: [&str; 5] = ["seats", "level", "people", "load", "band"];

async fn groups(world: &World, tenant: Uuid, metric: Option<&str>, by: &str) -> Result<Vec<String>, ReportError> {
    let tx = world.db.read_as_service("test", &[tenant]).await.unwrap();
    let by: GroupBy = by.parse().unwrap();
    let selection = Selection { metric, group_by: Some(&by) };
    let found = report::report(&tx, (tenant, None), (None, None), selection, world.now()).await;
    tx.rollback().await.unwrap();
    let told = |group: &tenantry::usage::groups::Group| {
        format!("{} {} {} {}", group.metric, group.key.as_deref().unwrap_or("none"), group.total, group.count)
    };
    Ok(found?.groups.unwrap().iter().map(told).collect())
}

#[tokio::test]
async fn figures_are_grouped_by_metric_alone() {
    let world = World::with(8, figures_catalog()).await;
    let t = world.user().await;
    world.env.clock.set(at("2026-03-18T10:30:00Z"));
    for (day, amount) in [("16", "4"), ("17", "3")] {
        let events = ["seats", "level", "people", "load", "band", "tokens"].map(|metric| {
            let when = format!("2026-03-{day}T08:00:00Z");
            let mut event = world.event_at(t, &format!("{metric} {day}"), metric, amount, &when);
            event.metadata.insert("who".to_owned(), day.into());
            event.metadata.insert("model".to_owned(), "small".into());
            event
        });
        assert!(world.record(&events).await.iter().all(|word| word.starts_with("accepted")));
    }
    for folded in [false, true] {
        if folded {
            world.keep_up(SMALL).await;
        }
        let by_day = ["tokens 2026-03-16 4 1", "tokens 2026-03-17 3 1"];
        assert_eq!(groups(&world, t, None, "day").await.unwrap(), by_day, "{folded}");
        assert_eq!(groups(&world, t, None, "user").await.unwrap(), ["tokens none 7 2"]);
        assert_eq!(groups(&world, t, None, "model").await.unwrap(), ["tokens small 7 2"]);
        let by_metric = ["band band 0 2", "level level 3 2", "load load 4 2", "people people 2 2", "seats seats 4 2"];
        let by_metric = [&by_metric[..], &["tokens tokens 7 2"]].concat();
        assert_eq!(groups(&world, t, None, "metric").await.unwrap(), by_metric);
        assert_eq!(groups(&world, t, Some("seats"), "metric").await.unwrap(), ["seats seats 4 2"]);
        for (metric, by) in FIGURES.into_iter().flat_map(|metric| ["day", "user", "model"].map(|by| (metric, by))) {
            let refused = groups(&world, t, Some(metric), by).await.unwrap_err();
            assert!(matches!(&refused, ReportError::NoSum { metric: named, .. } if named == metric), "{refused}");
        }
        world.books_are_right().await;
    }
}
