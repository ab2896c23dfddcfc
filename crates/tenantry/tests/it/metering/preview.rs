//! A preview tells what recording does, and leaves nothing behind.

use tenantry::tenancy::Actor;
use tenantry::usage::event::NewEvent;
use tenantry::usage::ingest::{PeriodPreview, Preview};
use tenantry::usage::outcome::Outcome;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::world::{World, at, word};

async fn previewed(world: &World, events: &[NewEvent]) -> Preview {
    world.recorder.preview(Actor::System, events).await.unwrap()
}

fn words(preview: &Preview) -> Vec<String> {
    preview.outcomes.iter().map(word).collect()
}

/// `metric total before-after, cost before-after, adjustment`.
fn figures(periods: &[PeriodPreview]) -> Vec<String> {
    periods
        .iter()
        .map(|period| {
            let ([before, after], [cheap, dear]) = (period.total, period.cost_minor);
            let adjustment = period.adjustment_minor.map_or_else(|| "open".to_owned(), |minor| minor.to_string());
            format!("{} {before}-{after}, {cheap}-{dear}, {adjustment}", period.metric)
        })
        .collect()
}

/// Every row of every table. That a month has an empty partition already is no row.
async fn everything(world: &World) -> Vec<String> {
    let tables =
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where n.nspname = 'tenantry' and c.relkind in ('r', 'p') and not c.relispartition order by 1";
    let mut found = Vec::new();
    for table in world.admin.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let sql =
            format!("select count(*), md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {table} t");
        let row = world.admin.query_one(&sql, &[]).await.unwrap();
        found.push(format!("{table} {} {}", row.get::<_, i64>(0), row.get::<_, String>(1)));
    }
    assert!(found.len() > 20, "only {found:?}");
    found
}

/// Previews, makes sure that nothing stayed, does it, and makes sure that it came to the same.
async fn preview_then_do(world: &World, tenant: Uuid, events: &[NewEvent]) -> Preview {
    let (rows, charges) = (everything(world).await, charged(world, tenant).await);
    let preview = previewed(world, events).await;
    assert_eq!(everything(world).await, rows, "a preview left something");
    assert_eq!(world.record(events).await, words(&preview));
    // Nothing is left to be told: the totals are those of after, and the charges grew by the adjustments.
    let after = previewed(world, events).await;
    let adjustments: i64 = preview.periods.iter().filter_map(|period| period.adjustment_minor).sum();
    assert_eq!(charged(world, tenant).await - charges, adjustments);
    for (now, told) in after.periods.iter().zip(&preview.periods) {
        assert_eq!((now.total[0], now.cost_minor[0]), (told.total[1], told.cost_minor[1]), "{now:?} {told:?}");
    }
    world.books_are_right().await;
    preview
}

async fn charged(world: &World, tenant: Uuid) -> i64 {
    let sql = "select coalesce(sum(charge_amount_cents), 0)::bigint from tenantry.overage_charges where tenant_id = $1";
    world.admin.query_one(sql, &[&tenant]).await.unwrap().get(0)
}

#[tokio::test]
async fn usage_of_an_open_period_is_previewed_as_it_is_recorded() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "40"), world.event(t, "b", "calls", "95")]).await;
    let events = [
        world.event(t, "c", "tokens", "60"),
        world.event(t, "a", "tokens", "40"),
        world.event(t, "a", "tokens", "41"),
        world.event(t, "d", "calls", "6"),
        world.event(t, "e", "calls", "5"),
        world.event(t, "c", "tokens", "60"),
        world.event(t, "n", "exports", "1"),
        world.reversal(t, "r", "nothing"),
    ];
    // The counter of exports is opened by whoever asks first.
    world.record(&[world.event(t, "m", "exports", "1")]).await;
    let preview = preview_then_do(&world, t, &events).await;
    assert_eq!(
        words(&preview),
        [
            "accepted 100",
            "duplicate 100",
            "conflict 100",
            "refused 95",
            "accepted 100",
            "duplicate 100",
            "not in plan 0",
            "unknown_key"
        ]
    );
    assert_eq!(
        figures(&preview.periods),
        ["calls 95-100, 0-0, open", "exports 0-0, 0-0, open", "tokens 40-100, 0-14, open"]
    );
}

#[tokio::test]
async fn late_usage_and_corrections_tell_the_adjustment_that_they_make() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "60"), world.event(t, "b", "tokens", "40")]).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(t, "pro", world.now()).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 14"]);
    let late = world.event_at(t, "l", "tokens", "30", "2026-04-10T00:00:00Z");
    let preview = preview_then_do(&world, t, std::slice::from_ref(&late)).await;
    // pro: price(130) - price(100) = 30 * 2.25; with 13.5 that is 81.
    assert_eq!(figures(&preview.periods), ["tokens 100-130, 14-81, 67"]);
    assert!(preview.periods[0].closed && !preview.periods[0].historic);
    assert_eq!((preview.periods[0].start, preview.periods[0].currency.as_str()), (at("2026-03-15T12:00:00Z"), "usd"));
    // Taking it back, and one of the first segment, and one of them twice.
    let corrections = [world.reversal(t, "r1", "l"), world.reversal(t, "r2", "b"), world.reversal(t, "r3", "b")];
    let preview = preview_then_do(&world, t, &corrections).await;
    assert_eq!(words(&preview), ["accepted 100", "accepted 60", "already_reversed"]);
    assert_eq!(figures(&preview.periods), ["tokens 130-60, 81-3, -78"]);
    // A correction of an event of its own group, beside usage that is open.
    let both = [world.event(t, "x", "tokens", "90"), world.reversal(t, "y", "x"), world.event(t, "z", "tokens", "81")];
    world.record(&[world.event(t, "w", "tokens", "1")]).await;
    let preview = preview_then_do(&world, t, &both).await;
    assert_eq!(words(&preview), ["accepted 91", "accepted 1", "accepted 82"]);
    assert_eq!(figures(&preview.periods), ["tokens 1-82, 0-4, open"]);
    // Repeats of what is too old to count.
    world.env.clock.set(at("2026-05-25T00:00:00Z"));
    world.work().await;
    let old = NewEvent { received_at: world.now(), ..late };
    let user = world.recorder.preview(Actor::User(t), &[old, world.event(t, "v", "calls", "1")]).await.unwrap();
    assert_eq!(words(&user), ["duplicate 60", "accepted 1"]);
}

#[tokio::test]
async fn history_is_priced_for_display_and_never_adjusted() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event_at(t, "o", "tokens", "1", "2026-02-20T00:00:00Z")]).await;
    let events = [world.event_at(t, "p", "tokens", "99", "2026-02-20T00:00:00Z")];
    let preview = preview_then_do(&world, t, &events).await;
    assert_eq!(figures(&preview.periods), ["tokens 1-100, 0-14, open"]);
    assert!(preview.periods[0].historic && !preview.periods[0].closed);
}

#[tokio::test]
async fn previews_and_recording_at_once_neither_lose_nor_count_anything_twice() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "first", "tokens", "1"), world.event(t, "call", "calls", "1")]).await;
    let events = |prefix: &str| -> Vec<NewEvent> {
        let metric = |n: usize| if n.is_multiple_of(2) { "tokens" } else { "calls" };
        (0..40).map(|n| world.event(t, &format!("{prefix}{n}"), metric(n), "2")).collect()
    };
    let (recorded, looked_at) = (events("k"), events("p"));
    // Events are recorded one by one, and others of the same metrics previewed as a whole, over and over.
    let record = async {
        for event in &recorded {
            assert!(world.record(std::slice::from_ref(event)).await[0].starts_with("accepted"));
        }
    };
    let preview = async {
        let mut least = [Quantity::ZERO; 2];
        for _ in 0..20 {
            let found = previewed(&world, &looked_at).await;
            for (period, least) in found.periods.iter().zip(&mut least) {
                // Before is what was there when it was decided: 20 events of 2 later it is what the last one answers.
                let of_metric =
                    |outcome: &&Outcome| matches!(outcome, Outcome::Accepted(answer) if answer.metric == period.metric);
                let end = found.outcomes.iter().rfind(of_metric).map(word);
                assert_eq!(end, Some(format!("accepted {}", period.total[1])));
                assert_eq!((period.total[1] - period.total[0]).to_string(), "40", "{period:?}");
                assert!(*least <= period.total[0], "{period:?}");
                *least = period.total[0];
            }
        }
    };
    tokio::join!(record, preview);
    assert_eq!(world.totals(t).await, ["calls 41", "tokens 41"]);
    world.books_are_right().await;
}
