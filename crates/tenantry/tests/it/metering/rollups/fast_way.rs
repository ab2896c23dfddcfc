//! The fast way writes further sums in the one round trip of its last statements, and sends no statement where none is due.

use super::*;

impl World {
    /// Lets every group fail that is decided under locks: that way alone writes how many events were refused.
    async fn allow_only_the_fast_way(&self) {
        let sql = "
            create function public.forbidden() returns trigger language plpgsql as
                $$ begin raise exception 'not this way'; end $$;
            create trigger only_fast before update of refused_count on tenantry.usage_counters
                for each row execute function public.forbidden()";
        self.admin.batch_execute(sql).await.unwrap();
    }

    /// Lets every statement fail that adds to further sums, also one that adds nothing.
    async fn forbid_further_sums(&self) {
        for table in FURTHER {
            let sql = format!(
                "create trigger no_statement before insert on tenantry.{table}
                 for each statement execute function public.forbidden()"
            );
            self.admin.batch_execute(&sql).await.unwrap();
        }
    }
}

const FURTHER: [&str; 5] = [
    "usage_day_rollups",
    "usage_user_totals",
    "usage_hour_totals",
    "usage_dimension_rollups",
    "usage_dimension_day_rollups",
];

#[tokio::test]
async fn the_fast_way_adds_late_events_to_days_and_values() {
    let world = World::new().await;
    let t = world.user().await;
    let mut random = StdRng::seed_from_u64(5);
    world.env.clock.set(at("2026-03-22T10:30:00Z"));
    // The periods are there, and what is near a limit: later groups have nothing to decide.
    world.record(&some_usage(&world, t, "a", &mut random, 10 * 24)).await;
    world.keep_up(Portions::default()).await;
    world.allow_only_the_fast_way().await;
    let refused = world.recorder.record(Actor::System, &[world.reversal(t, "r", "a1")]).await;
    assert!(refused[0].is_err(), "a correction is decided under locks: {refused:?}");
    let before = world.count(&format!("select sum(event_count)::bigint from tenantry.{}", FURTHER[0])).await;
    // Of today and of folded days.
    for group in some_usage(&world, t, "b", &mut random, 10 * 24 + 10).chunks(7) {
        assert!(world.record(group).await.iter().all(|word| word.starts_with("accepted")));
    }
    let after = world.count(&format!("select sum(event_count)::bigint from tenantry.{}", FURTHER[0])).await;
    assert!(after > before + 40, "{before} events in days, then {after}");
    world.reports_are_sums(t, SPANS).await;
    world.books_are_right().await;
}

#[tokio::test]
async fn a_metric_without_dimensions_costs_no_statement_more() {
    let world = World::new().await;
    let t = world.user().await;
    world.env.clock.set(at("2026-03-22T10:30:00Z"));
    world.record(&[world.event(t, "a", "bytes", "1"), world.event(t, "b", "tokens", "1")]).await;
    world.keep_up(Portions::default()).await;
    world.allow_only_the_fast_way().await;
    world.forbid_further_sums().await;
    assert_eq!(world.record(&[world.event(t, "c", "bytes", "1")]).await, ["accepted 2"]);
    // A metric with dimensions, and a late event of one without, would each have sent one.
    for event in [world.event(t, "d", "tokens", "1"), world.event_at(t, "e", "bytes", "1", "2026-03-20T10:00:00Z")] {
        assert!(world.recorder.record(Actor::System, &[event]).await[0].is_err());
    }
    assert_eq!(world.totals(t).await, ["bytes 2", "tokens 1"], "what failed last left nothing");
}
