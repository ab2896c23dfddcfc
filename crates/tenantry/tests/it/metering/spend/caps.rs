//! What one cap does to one event after the other.

use jiff::SignedDuration;
use tenantry::tenancy::Actor;
use tenantry::usage::outcome::{Outcome, Refusal, SpendCap};

use super::super::world::at;
use super::world;

#[tokio::test]
async fn a_cap_is_reached_and_never_passed() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, Some("tokens"), 10).await;
    // 50 are included, then 3 cents each: 3 units cost 9, a fourth would make it 12.
    let group = [
        world.event(t, "a", "tokens", "50"),
        world.event(t, "b", "tokens", "4"),
        world.event(t, "c", "tokens", "3"),
        world.event(t, "d", "tokens", "1"),
        // 9.3 is charged as 9, 10.5 as 10: half to even.
        world.event(t, "e", "tokens", "0.1"),
        world.event(t, "f", "tokens", "0.4"),
        world.event(t, "g", "tokens", "0.000000001"),
        world.event(t, "h", "minutes", "1000"),
    ];
    let expected = [
        "accepted 50",
        "capped 50",
        "accepted 53",
        "capped 53",
        "accepted 53.1",
        "accepted 53.5",
        "capped 53.5",
        "accepted 1000",
    ];
    assert_eq!(world.record(&group).await, expected);
    assert_eq!(world.accrued(t, Some("tokens")).await, 10);
    // A refused key was not used up, and a refusal is not counted as one of the limit.
    assert_eq!(world.count("select sum(refused_count)::bigint from tenantry.usage_counters").await, 0);
    // 13.5 is charged as 14.
    world.cap(t, Some("tokens"), 13).await;
    assert_eq!(world.record(&[world.event(t, "d", "tokens", "1")]).await, ["capped 53.5"]);
    world.cap(t, Some("tokens"), 14).await;
    assert_eq!(world.record(&[world.event(t, "d", "tokens", "1")]).await, ["accepted 54.5"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_cap_over_all_metrics_counts_each_as_it_is_charged() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, None, 100).await;
    let group = [
        world.event(t, "a", "tokens", "80"),
        // 7 cents for the ten, then a quarter each: 9.25 is 9, 9.5 is 10, 10.5 is 10, 10.75 is 11.
        world.event(t, "b", "minutes", "39"),
        world.event(t, "c", "minutes", "5"),
        world.event(t, "d", "minutes", "4"),
        world.event(t, "e", "tokens", "0.1"),
        world.event(t, "f", "calls", "100"),
        world.event(t, "g", "calls", "1"),
    ];
    // 90 + 12 would be too much, 90 + 10 is not.
    let expected =
        ["accepted 80", "accepted 39", "accepted 44", "capped 44", "accepted 80.1", "accepted 100", "refused 100"];
    assert_eq!(world.record(&group).await, expected);
    assert_eq!(world.accrued(t, None).await, 100);
    // Both kinds of caps hold; the metric's own is named first.
    world.cap(t, Some("tokens"), 90).await;
    let answers = world.recorder.record(Actor::System, &[world.event(t, "h", "tokens", "1")]).await;
    let Ok(Outcome::Refused(Refusal::SpendCapExceeded(Some(cap)), answer)) = &answers[0] else { panic!("{answers:?}") };
    let due = SpendCap {
        of_metric: true,
        cap_minor: 90,
        accrued_minor: 90,
        held_minor: 0,
        event_minor: 3,
        currency: "usd".parse().unwrap(),
    };
    assert_eq!((*cap, answer.standing.total.to_string().as_str()), (due, "80.1"));
    world.books_are_right().await;
}

#[tokio::test]
async fn a_cap_of_nothing_leaves_what_is_included() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, None, 0).await;
    let group = [
        world.event(t, "a", "tokens", "50.1"),
        world.event(t, "b", "tokens", "50.2"),
        world.event(t, "c", "minutes", "20"),
        world.event(t, "d", "jobs", "11"),
    ];
    // What is charged as 0 costs nothing.
    assert_eq!(world.record(&group).await, ["accepted 50.1", "capped 50.1", "accepted 20", "capped 0"]);
    assert_eq!(world.record(&[world.event(t, "e", "tokens", "0.1")]).await, ["capped 50.1"]);
    assert_eq!(world.accrued(t, None).await, 0);
    world.books_are_right().await;
}

#[tokio::test]
async fn bounds_follow_caps_and_alerts_and_plans() {
    let world = world().await;
    let t = world.user().await;
    let all = ["calls", "jobs", "minutes", "tokens"];
    let group = all.map(|metric| world.event(t, metric, metric, "1"));
    world.record(&group).await;
    let none = ["calls none", "jobs none", "minutes none", "tokens none"];
    let whole = ["calls none", "jobs 10", "minutes 20", "tokens 50"];
    assert_eq!(world.bounds(t).await, none);
    world.cap(t, Some("tokens"), 100).await;
    assert_eq!(world.bounds(t).await, ["calls none", "jobs none", "minutes none", "tokens 50"]);
    world.cap(t, None, 100).await;
    assert_eq!(world.bounds(t).await, whole);
    world.uncap(t, Some("tokens")).await;
    assert_eq!(world.bounds(t).await, whole);
    world.uncap(t, None).await;
    assert_eq!(world.bounds(t).await, none);
    world.alert(t, Some("jobs"), 1).await;
    assert_eq!(world.bounds(t).await, ["calls none", "jobs 10", "minutes none", "tokens none"]);
    world.alert(t, None, 1).await;
    assert_eq!(world.bounds(t).await, whole);
    world.books_are_right().await;
    for (plan, due) in [("lite", none), ("pro", ["calls none", "jobs 10", "minutes 0", "tokens 80"]), ("free", whole)] {
        world.env.clock.advance(SignedDuration::from_hours(1));
        world.change_plan(t, plan, world.now()).await;
        assert_eq!(world.bounds(t).await, due, "{plan}");
        world.books_are_right().await;
    }
    // What is moved into a period of its own, and what is opened in the next one.
    world.env.clock.advance(SignedDuration::from_hours(1));
    let then = world.now();
    world.env.clock.advance(SignedDuration::from_hours(1));
    world.record(&[world.event(t, "again", "tokens", "2")]).await;
    world.new_anchor(t, "pro", then).await;
    let mut due = whole.map(str::to_owned).to_vec();
    due.push("tokens 80".to_owned());
    assert_eq!(world.bounds(t).await, due);
    world.env.clock.set(at("2026-05-01T00:00:00Z"));
    world.record(&[world.event(t, "next", "minutes", "1")]).await;
    due.push("minutes 20".to_owned());
    assert_eq!(world.bounds(t).await, due);
    world.books_are_right().await;
    world.work().await;
    assert_eq!(world.bounds(t).await, ["minutes 20"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn what_moves_into_a_new_rhythm_keeps_its_bound() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, None, 100).await;
    world.record(&[world.event(t, "a", "tokens", "1")]).await;
    world.env.clock.set(at("2026-04-25T00:00:00Z"));
    world
        .record(&[world.event_at(t, "b", "tokens", "1", "2026-04-16T00:00:00Z"), world.event(t, "c", "tokens", "60")])
        .await;
    world.follow_anchor(t, "free", at("2026-03-20T00:00:00Z")).await;
    assert_eq!(world.totals(t).await, ["tokens 1", "tokens 1", "tokens 60"]);
    assert_eq!(world.bounds(t).await, ["tokens 50", "tokens 50", "tokens 50"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn what_is_from_before_the_tenant_costs_nothing() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, None, 0).await;
    let old = world.event_at(t, "a", "tokens", "500", "2025-01-01T00:00:00Z");
    assert_eq!(world.record(&[old]).await, ["accepted 500"]);
    assert_eq!(world.bounds(t).await, ["tokens none"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_new_period_begins_at_nothing_under_the_same_cap() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, Some("tokens"), 3).await;
    let both = |name: &str| {
        [world.event(t, &format!("{name} a"), "tokens", "51"), world.event(t, &format!("{name} b"), "tokens", "1")]
    };
    assert_eq!(world.record(&both("march")).await, ["accepted 51", "capped 51"]);
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    assert_eq!(world.record(&both("april")).await, ["accepted 51", "capped 51"]);
    assert_eq!(world.told(t).await, ["capped tokens 3 3", "capped tokens 3 3"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_plan_change_that_passes_a_cap_is_no_fault() {
    let world = world().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "60"), world.event(t, "b", "minutes", "19")]).await;
    world.cap(t, None, 30).await;
    assert_eq!(world.told(t).await, ["capped all 30 30"]);
    assert_eq!(world.record(&[world.event(t, "c", "minutes", "1")]).await, ["accepted 20"]);
    world.env.clock.advance(SignedDuration::from_hours(1));
    // The 20 minutes stay free, since they were used under the old plan; what comes now is priced from the first.
    world.change_plan(t, "pro", world.now()).await;
    let refused = [world.event(t, "d", "minutes", "2"), world.event(t, "e", "tokens", "1")];
    assert_eq!(world.record(&refused).await, ["capped 20", "accepted 61"]);
    assert_eq!(world.accrued(t, None).await, 30);
    // Told of at once, though the change was in the past: then 40 tokens more were dearer than they were.
    world.uncap(t, None).await;
    world.record(&[world.event(t, "f", "tokens", "139")]).await;
    assert_eq!(world.accrued(t, Some("tokens")).await, 300);
    world.cap(t, None, 305).await;
    world.change_plan(t, "free", at("2026-03-15T12:30:00Z")).await;
    world.change_plan(t, "pro", at("2026-03-15T12:30:00Z")).await;
    world.books_are_right().await;
}

#[tokio::test]
async fn a_change_back_in_time_is_told_of_and_refuses_more() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, Some("minutes"), 8).await;
    world.alert(t, None, 9).await;
    world.env.clock.advance(SignedDuration::from_hours(2));
    assert_eq!(world.record(&[world.event(t, "a", "minutes", "30")]).await, ["accepted 30"]);
    assert_eq!(world.told(t).await, Vec::<String>::new());
    // Under pro every minute costs: 15 rather than 7.
    world.change_plan(t, "pro", at("2026-03-15T13:00:00Z")).await;
    assert_eq!(world.accrued(t, None).await, 15);
    assert_eq!(world.told(t).await, ["alert all 9 15", "capped minutes 8 15"]);
    assert_eq!(world.record(&[world.event(t, "b", "minutes", "2")]).await, ["capped 30"]);
    assert_eq!(world.record(&[world.event(t, "c", "tokens", "80")]).await, ["accepted 80"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn late_events_are_judged_in_the_segment_that_they_belong_to() {
    let world = world().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "60"), world.event(t, "b", "minutes", "20")]).await;
    world.env.clock.advance(SignedDuration::from_hours(2));
    // Nothing is priced under lite; what came before it still is.
    world.change_plan(t, "lite", world.now()).await;
    world.cap(t, None, 40).await;
    let earlier = "2026-03-15T13:00:00Z";
    let group = [
        world.event(t, "c", "tokens", "100"),
        world.event_at(t, "d", "tokens", "4", earlier),
        world.event_at(t, "e", "minutes", "15", earlier),
        world.event_at(t, "f", "minutes", "14", earlier),
        world.event_at(t, "g", "tokens", "3", earlier),
        world.event_at(t, "h", "minutes", "8", earlier),
    ];
    // 30 + 12 would be too much; 30 + 8.25 leaves 2, and 3 tokens would cost 9.
    let expected = ["accepted 160", "capped 160", "accepted 35", "capped 35", "capped 160", "accepted 43"];
    assert_eq!(world.record(&group).await, expected);
    assert_eq!(world.accrued(t, None).await, 40);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_closed_period_is_judged_by_the_cap_that_holds_when_its_events_come() {
    let world = world().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "60"), world.event(t, "b", "minutes", "10")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 30"]);
    world.cap(t, None, 35).await;
    let inside = "2026-04-15T11:00:00Z";
    let group = [
        world.event_at(t, "c", "tokens", "2", inside),
        world.event_at(t, "d", "tokens", "1", inside),
        world.event_at(t, "e", "minutes", "13", inside),
        world.event_at(t, "f", "minutes", "12", inside),
    ];
    assert_eq!(world.record(&group).await, ["capped 60", "accepted 61", "accepted 23", "capped 23"]);
    assert_eq!(world.charges(t).await, ["minutes 0 2", "tokens 0 30", "tokens 1 3"]);
    // The running period has its own 35.
    assert_eq!(world.record(&[world.event(t, "g", "tokens", "61")]).await, ["accepted 61"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn corrections_make_room_and_are_judged_like_everything_else() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, None, 24).await;
    let group = [
        world.event(t, "a", "tokens", "50"),
        world.event(t, "b", "tokens", "8"),
        world.event(t, "c", "minutes", "22"),
        world.reversal(t, "r1", "b"),
        world.event(t, "d", "minutes", "3"),
        world.event(t, "e", "tokens", "7"),
        world.event(t, "f", "tokens", "1"),
    ];
    let expected =
        ["accepted 50", "accepted 58", "capped 0", "accepted 50", "accepted 3", "accepted 57", "accepted 58"];
    assert_eq!(world.record(&group).await, expected);
    world.uncap(t, None).await;
    // Eleven jobs above what is included cost 22, ten cost 50: taking one back is the dearer of the two.
    world.record(&[world.event(t, "g", "jobs", "20"), world.event(t, "h", "jobs", "1")]).await;
    world.cap(t, Some("jobs"), 30).await;
    let group = [world.reversal(t, "r2", "h"), world.reversal(t, "r3", "h"), world.event(t, "i", "jobs", "1")];
    assert_eq!(world.record(&group).await, ["capped 21", "capped 21", "accepted 22"]);
    assert_eq!(world.accrued(t, Some("jobs")).await, 24);
    world.books_are_right().await;
}

#[tokio::test]
async fn what_is_held_counts_as_used() {
    let world = world().await;
    let t = world.user().await;
    world.cap(t, None, 12).await;
    world.record(&[world.event(t, "a", "tokens", "50"), world.event(t, "b", "minutes", "1")]).await;
    world.admin.batch_execute("update tenantry.usage_counters set held = 2 where metric = 'tokens'").await.unwrap();
    assert_eq!(world.check(t, "tokens", "3").await, "capped");
    assert_eq!(world.check(t, "tokens", "2").await, "yes");
    let minutes = world.event(t, "e", "minutes", "27");
    let group = [world.event(t, "c", "tokens", "3"), world.event(t, "d", "tokens", "1"), minutes.clone()];
    // 3 used, 6 held and 6 for the minutes are more than 12.
    assert_eq!(world.record(&group).await, ["capped 50", "accepted 51", "capped 1"]);
    let answers = world.recorder.record(Actor::System, std::slice::from_ref(&minutes)).await;
    let Ok(Outcome::Refused(Refusal::SpendCapExceeded(Some(cap)), _)) = &answers[0] else { panic!("{answers:?}") };
    assert_eq!((cap.of_metric, cap.accrued_minor, cap.held_minor, cap.event_minor), (false, 3, 6, 6));
    world.admin.batch_execute("update tenantry.usage_counters set held = 0").await.unwrap();
    assert_eq!(world.record(&[minutes]).await, ["accepted 28"]);
    assert_eq!(world.accrued(t, None).await, 9);
    world.books_are_right().await;
}

/// Random use of all metrics under changing caps and plans: a check says what an event then gets, and reports, which
/// know nothing of caps, say the same of what was accepted and of what was refused.
#[tokio::test]
async fn checks_agree_with_events_and_both_with_the_reports() {
    let world = world().await;
    let t = world.user().await;
    let metrics = ["tokens", "minutes", "jobs"];
    let (mut capped, mut accepted) = (0, 0);
    let mut caps: std::collections::BTreeMap<Option<&str>, i64> = std::collections::BTreeMap::new();
    for step in 0..160_u32 {
        let [what, which, how_much, fraction] = world.env.ids.bytes::<4>();
        let metric = metrics[usize::from(which) % 3];
        world.env.clock.advance(SignedDuration::from_mins(7));
        match what % 16 {
            0 => {
                let scope = (which % 2 == 0).then_some(metric);
                let cents = i64::from(how_much) * if scope.is_none() { 3 } else { 1 };
                caps.insert(scope, cents);
                world.cap(t, scope, cents).await;
            }
            1 => {
                let scope = (which % 2 == 0).then_some(metric);
                if caps.remove(&scope).is_some() {
                    world.uncap(t, scope).await;
                }
            }
            2 => world.change_plan(t, ["free", "lite", "pro"][usize::from(how_much) % 3], world.now()).await,
            _ => {}
        }
        let amount = format!("{}.{}", how_much % 12 + 1, fraction % 10);
        let key = format!("k{step}");
        let is_late = what % 5 == 0;
        let event = if is_late {
            let when = world.now().saturating_sub(SignedDuration::from_mins(7 * i64::from(fraction % 60))).unwrap();
            let when = when.max(at(super::super::world::NOON));
            world.event_at(t, &key, metric, &amount, &when.to_string())
        } else {
            world.event(t, &key, metric, &amount)
        };
        let said = if is_late { None } else { Some(world.check(t, metric, &amount).await) };
        let before = (world.accrued(t, Some(metric)).await, world.accrued(t, None).await);
        let answered = world.record(std::slice::from_ref(&event)).await.pop().unwrap();
        let outcome = answered.split(' ').next().unwrap();
        if let Some(said) = said {
            let due = if outcome == "accepted" { "yes" } else { outcome };
            assert_eq!(said, if ["yes", "capped"].contains(&due) { due } else { "limit" }, "step {step}");
        }
        let passes = |after: (i64, i64)| {
            let above =
                |cap: Option<&i64>, before: i64, after: i64| cap.is_some_and(|cap| after > *cap && after > before);
            above(caps.get(&Some(metric)), before.0, after.0) || above(caps.get(&None), before.1, after.1)
        };
        if outcome == "accepted" {
            accepted += 1;
            let after = (world.accrued(t, Some(metric)).await, world.accrued(t, None).await);
            assert!(!passes(after), "step {step}: {metric} {amount}: {before:?} {after:?} under {caps:?}");
        } else if outcome == "capped" {
            capped += 1;
            // Without caps it is accepted, and then the reports say why it was not.
            for scope in caps.keys() {
                world.uncap(t, *scope).await;
            }
            assert!(world.record(std::slice::from_ref(&event)).await[0].starts_with("accepted"), "step {step}");
            let after = (world.accrued(t, Some(metric)).await, world.accrued(t, None).await);
            assert!(passes(after), "step {step}: {metric} {amount}: {before:?} {after:?} under {caps:?}");
            world.record(&[world.reversal(t, &format!("r{step}"), &key)]).await;
            for (scope, cents) in &caps {
                world.cap(t, *scope, *cents).await;
            }
        }
    }
    assert!(capped > 8 && accepted > 40, "{capped} capped, {accepted} accepted");
    world.books_are_right().await;
}
