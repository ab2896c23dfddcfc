//! Plan changes and anchors that are told late: of the past, of closed periods, after others that happened later.

use jiff::SignedDuration;
use tenantry::tenancy::Actor;
use tenantry::usage::instant::{Begins, possible};

use super::world::{World, at};

/// 100 tokens under free in the period of March 15, which is closed and charged with 14 cents; now is April 16.
async fn closed_month(world: &World) -> uuid::Uuid {
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "60"), world.event(t, "b", "calls", "90")]).await;
    world.env.clock.set(at("2026-04-01T00:00:00Z"));
    world.record(&[world.event(t, "c", "tokens", "40")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 14"]);
    t
}

#[tokio::test]
async fn a_plan_change_in_a_closed_period_adjusts_its_charges() {
    let world = World::new().await;
    let t = closed_month(&world).await;
    world.change_plan(t, "pro", at("2026-03-20T00:00:00Z")).await;
    // free: price(60) = 3; pro: price(100) - price(60) = 20 * 2.25 = 45; of 48 cents 14 are charged.
    assert_eq!(world.charges(t).await, ["tokens 0 14", "tokens 1 34"]);
    world.books_are_right().await;
    // A late event belongs to its segment: 10 more under free are 3 cents and leave pro 100 to 110.
    let late = world.event_at(t, "l", "tokens", "10", "2026-03-19T00:00:00Z");
    assert_eq!(world.record(&[late]).await, ["accepted 110"]);
    // free: price(70) = 6; pro: 30 * 2.25 = 67.5; 73.5 is 74.
    assert_eq!(world.charges(t).await, ["tokens 0 14", "tokens 1 34", "tokens 2 26"]);
    // Its limits are those of the new plan too.
    let calls = world.event_at(t, "m", "calls", "200", "2026-04-10T00:00:00Z");
    assert_eq!(world.record(&[calls]).await, ["accepted 290"]);
    world.books_are_right().await;
    // Told again, nothing changes.
    world.change_plan(t, "pro", at("2026-03-20T00:00:00Z")).await;
    assert_eq!(world.charges(t).await.len(), 3);
}

#[tokio::test]
async fn an_anchor_in_a_closed_period_gives_back_what_moves_on() {
    let world = World::new().await;
    let t = closed_month(&world).await;
    world.new_anchor(t, "pro", at("2026-03-20T00:00:00Z")).await;
    // 60 tokens stay (3 cents); 40 begin the new period, within what pro includes.
    assert_eq!(world.charges(t).await, ["tokens 0 14", "tokens 1 -11"]);
    assert_eq!(world.totals(t).await, ["calls 90", "tokens 60", "tokens 40"]);
    // The period that was opened when the old one was closed keeps its start and runs in the new rhythm.
    assert_eq!(world.periods(t).await, ["03-15 03-20 closed", "03-20 04-15 open", "04-15 04-20 open"]);
    world.books_are_right().await;
    world.record(&[world.event_at(t, "d", "tokens", "50", "2026-04-10T00:00:00Z")]).await;
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 14", "tokens 1 -11", "tokens 0 22"]);
    world.env.clock.set(at("2026-04-25T00:00:00Z"));
    world.work().await;
    assert_eq!(world.record(&[world.event(t, "e", "tokens", "1")]).await, ["accepted 1"]);
    let periods = world.periods(t).await;
    assert_eq!(periods[1..], ["03-20 04-15 closed", "04-15 04-20 closed", "04-20 05-20 open"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_late_plan_change_reaches_a_following_period_in_which_nothing_was_used() {
    let world = World::new().await;
    let t = closed_month(&world).await;
    world.change_plan(t, "pro", at("2026-04-10T00:00:00Z")).await;
    assert_eq!(world.record(&[world.event(t, "d", "calls", "300")]).await, ["accepted 300"]);
    world.books_are_right().await;
    // Two periods back, over one that is closed and one that is open.
    let next = world.user().await;
    world.record(&[world.event(next, "a", "tokens", "100")]).await;
    world.env.clock.set(at("2026-05-17T12:00:00Z"));
    world.work().await;
    world.record(&[world.event(next, "b", "tokens", "100")]).await;
    world.env.clock.set(at("2026-06-17T12:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(next).await, ["tokens 0 14", "tokens 0 14"]);
    world.change_plan(next, "pro", at("2026-04-20T00:00:00Z")).await;
    // The first 100 were used before the change; those of the next period cost 20 * 2.25.
    assert_eq!(world.charges(next).await, ["tokens 0 14", "tokens 0 14", "tokens 1 31"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_new_anchor_is_followed_though_the_next_period_was_opened_under_the_old_one() {
    let world = World::new().await;
    let t = world.user().await;
    world.env.clock.set(at("2026-04-15T11:58:00Z"));
    let ahead = world.event_at(t, "a", "calls", "1", "2026-04-15T12:01:00Z");
    assert_eq!(world.record(&[ahead]).await, ["accepted 1"]);
    world.new_anchor(t, "pro", at("2026-04-05T00:00:00Z")).await;
    assert_eq!(world.periods(t).await, ["03-15 04-05 open", "04-05 04-15 open", "04-15 05-05 open"]);
    assert_eq!(world.record(&[world.event_at(t, "b", "calls", "299", "2026-04-15T12:02:00Z")]).await, ["accepted 300"]);
    world.books_are_right().await;
    world.env.clock.set(at("2026-05-10T00:00:00Z"));
    world.work().await;
    assert_eq!(world.periods(t).await[2..], ["04-15 05-05 closed", "05-05 06-05 open"]);
    let anchors = "select count(distinct anchor) from tenantry.usage_periods where period_start > '2026-04-01'";
    assert_eq!(world.count(anchors).await, 1);
    world.books_are_right().await;
}

#[tokio::test]
async fn an_anchor_where_a_period_begins_anyway_brings_it_into_its_rhythm() {
    let world = World::new().await;
    world.env.clock.set(at("2026-01-31T08:00:00Z"));
    let t = world.user().await;
    world.env.clock.set(at("2026-03-01T00:00:00Z"));
    world.work().await;
    // The month from February 28 belongs to an anchor on the 31st; from now on it is one on the 28th.
    world.record(&[world.event(t, "a", "calls", "1")]).await;
    world.new_anchor(t, "pro", at("2026-02-28T08:00:00Z")).await;
    assert_eq!(world.periods(t).await, ["01-31 02-28 closed", "02-28 03-28 open"]);
    assert_eq!(world.record(&[world.event(t, "b", "calls", "299")]).await, ["accepted 300"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn usage_beyond_the_new_end_of_a_later_period_moves_on() {
    let world = World::new().await;
    world.env.clock.set(at("2026-01-31T08:00:00Z"));
    let t = world.user().await;
    world.env.clock.set(at("2026-03-30T00:00:00Z"));
    let days = ["2026-02-28T09:00:00Z", "2026-03-20T00:00:00Z", "2026-03-29T00:00:00Z"];
    let events = days.map(|day| world.event_at(t, day, "tokens", "30", day));
    assert_eq!(world.record(&events).await, ["accepted 30", "accepted 60", "accepted 90"]);
    // The anchor's month ends on March 28, the old period on March 31.
    world.new_anchor(t, "free", at("2026-02-28T08:30:00Z")).await;
    assert_eq!(
        world.periods(t).await,
        ["01-31 02-28 open", "02-28 02-28 open", "02-28 03-28 open", "03-28 04-28 open"]
    );
    assert_eq!(world.totals(t).await, ["tokens 60", "tokens 30"]);
    world.books_are_right().await;
    world.env.clock.set(at("2026-04-29T00:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 3"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn an_anchor_overtakes_plan_changes_that_were_told_before() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "60")]).await;
    for (n, (day, plan)) in [("03-20", "pro"), ("03-22", "free"), ("03-24", "pro")].into_iter().enumerate() {
        let from = at(&format!("2026-{day}T00:00:00Z"));
        world.env.clock.set(from);
        world.change_plan(t, plan, from).await;
        world.record(&[world.event(t, &format!("k{n}"), "tokens", "20")]).await;
    }
    world.books_are_right().await;
    world.new_anchor(t, "pro", at("2026-03-19T00:00:00Z")).await;
    assert_eq!(world.totals(t).await, ["tokens 60", "tokens 60"]);
    world.books_are_right().await;
    // What comes late into the ended period is judged and priced by the plan of its time.
    let late = [
        world.event_at(t, "l", "tokens", "10", "2026-03-18T00:00:00Z"),
        world.event_at(t, "m", "calls", "101", "2026-03-18T00:00:00Z"),
    ];
    assert_eq!(world.record(&late).await, ["accepted 70", "refused 0"]);
    world.env.clock.set(at("2026-04-25T00:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 6"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn the_newest_word_counts_from_its_instant_on() {
    let world = World::new().await;
    let t = world.user().await;
    let day = |day: &str| at(&format!("2026-{day}T00:00:00Z"));
    for (n, when) in ["03-18", "03-21", "03-23", "03-25"].into_iter().enumerate() {
        world.env.clock.set(day(when));
        world.record(&[world.event(t, &format!("k{n}"), "tokens", "30")]).await;
    }
    world.change_plan(t, "pro", day("03-22")).await;
    world.change_plan(t, "free", day("03-24")).await;
    world.books_are_right().await;
    // Of March 20 it is told last; then of March 21 and a half, in between.
    world.change_plan(t, "pro", day("03-20")).await;
    let segments = "select count(*) from tenantry.usage_segments where plan_id = 'pro'";
    assert_eq!(world.count(segments).await, 2);
    world.books_are_right().await;
    world.change_plan(t, "pro", day("03-22")).await;
    world.change_plan(t, "free", day("03-24")).await;
    world.change_plan(t, "pro", at("2026-03-23T12:00:00Z")).await;
    world.books_are_right().await;
    world.env.clock.set(day("04-20"));
    world.work().await;
    // free: price(30) = 0; pro: price(120) - price(30) = 40 * 2.25.
    assert_eq!(world.charges(t).await, ["tokens 0 90"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn who_subscribes_again_keeps_the_running_period_and_its_totals() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "calls", "90")]).await;
    world.env.clock.set(at("2026-04-01T00:00:00Z"));
    world.follow_anchor(t, "free", world.now()).await;
    assert_eq!(world.record(&[world.event(t, "b", "calls", "10")]).await, ["accepted 100"]);
    world.env.clock.set(at("2026-04-15T12:31:00Z"));
    world.work().await;
    assert_eq!(world.record(&[world.event(t, "c", "calls", "1")]).await, ["accepted 1"]);
    world.env.clock.set(at("2026-05-02T00:00:00Z"));
    world.work().await;
    assert_eq!(world.periods(t).await, ["03-15 04-15 closed", "04-15 05-01 closed", "05-01 06-01 open"]);
    world.books_are_right().await;
}

/// Nothing before the tenant was here is ever billed, whatever is told of that time.
#[tokio::test]
async fn changes_of_before_the_tenant_was_here_reach_what_came_after() {
    let world = World::new().await;
    let t = world.user().await;
    let old = world.event_at(t, "o", "tokens", "500", "2026-03-10T00:00:00Z");
    assert_eq!(world.record(&[old, world.event(t, "a", "tokens", "100")]).await, ["accepted 500", "accepted 100"]);
    world.new_anchor(t, "pro", at("2026-03-01T00:00:00Z")).await;
    assert_eq!(world.periods(t).await, ["02-15 03-15 historic", "03-15 04-01 open"]);
    assert_eq!(world.record_as(Actor::System, &[world.event(t, "b", "calls", "300")]).await, ["accepted 300"]);
    world.books_are_right().await;
    world.env.clock.advance(SignedDuration::from_hours(24 * 40));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 45"]);
    assert_eq!(world.periods(t).await[1..], ["03-15 04-01 closed", "04-01 05-01 open"]);
    world.books_are_right().await;
}

/// Segments that began beyond an end that moved are empty, and nothing of what is told of the time before it.
#[tokio::test]
async fn a_shortened_period_takes_changes_of_its_time() {
    let world = World::new().await;
    let t = world.user().await;
    let day = |day: &str| at(&format!("2026-{day}T00:00:00Z"));
    for (from, plan) in [("03-20", "pro"), ("03-24", "free")] {
        world.env.clock.set(day(from));
        world.change_plan(t, plan, day(from)).await;
    }
    world.new_anchor(t, "pro", day("03-22")).await;
    let tx = world.db.read_as_service("test", &[t]).await.unwrap();
    for (told, begins, expected) in [
        ("03-21", Begins::Segment, "03-21"),
        ("03-21", Begins::Period, "03-21"),
        ("03-18", Begins::Segment, "03-20"),
        ("03-23", Begins::Segment, "03-23"),
    ] {
        assert_eq!(possible(&tx, t, day(told), begins).await.unwrap(), day(expected), "{told} {begins:?}");
    }
    tx.rollback().await.unwrap();
    world.books_are_right().await;
}
