//! Where charges come from: their arithmetic line by line, their events, and what came after them.

use sha2::{Digest as _, Sha256};
use tenantry::usage::explain::{self, Explanation};
use uuid::Uuid;

use super::world::{World, at};

/// 100 tokens, of which 40 were used under pro, and a correction; the period of March 15 is closed.
async fn closed(world: &World) -> Uuid {
    let t = world.user().await;
    world.record(&[world.event(t, "a\tb", "tokens", "60.5"), world.event(t, "c", "tokens", "7")]).await;
    world.record(&[world.reversal(t, "r", "c")]).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(t, "pro", world.now()).await;
    world.record(&[world.event(t, "d", "tokens", "39.5"), world.event(t, "e", "calls", "9")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    assert_eq!(world.charges(t).await, ["tokens 0 48"]);
    t
}

/// The charges of a tenant with their ids, in order of their sequences.
async fn ids(world: &World, tenant: Uuid) -> Vec<Uuid> {
    let sql = "select id from tenantry.overage_charges where tenant_id = $1 order by metric, sequence";
    world.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn explained(world: &World, tenant: Uuid, id: Uuid) -> Explanation {
    let tx = world.db.read_as_service("test_explain", &[tenant]).await.unwrap();
    let found = explain::explain(&tx, tenant, id, 1000).await.unwrap();
    tx.rollback().await.unwrap();
    found.unwrap()
}

/// The lines of segments: plan, then `from-to rate/per amount` at its end, and less what it had at its start.
fn arithmetic(found: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    for segment in &found.segments {
        let (start, end) = (segment.total_at_start, segment.total_at_end);
        lines.push(format!(
            "{} {} {start}-{end} adds {}",
            segment.plan_id,
            segment.plan_version,
            segment.amount.digits()
        ));
        for (sign, priced) in [("", &segment.at_end), ("less ", &segment.at_start)] {
            for line in priced {
                let (from, to, amount) = (line.from, line.to, line.amount.digits());
                lines.push(format!("  {sign}{from}-{to} at {} per {}: {amount}", line.unit_price, line.per));
            }
        }
    }
    lines
}

#[tokio::test]
async fn a_closing_and_its_adjustments_are_explained_from_what_was_true_then() {
    let world = World::new().await;
    let t = closed(&world).await;
    let closing = ids(&world, t).await[0];
    let found = explained(&world, t, closing).await;
    // free: 10.5 units above 50 at 0.3 are 3.15; pro: price(100) - price(60.5) = 20 * 2.25 = 45.
    let due =
        ["free 1 0-60.5 adds 3.15", "  0-10.5 at 3 per 10: 3.15", "pro 1 60.5-100 adds 45", "  0-20 at 2.25 per 1: 45"];
    assert_eq!(arithmetic(&found), due);
    assert_eq!((found.sum.digits(), found.rounded_minor, found.charged_before_minor), ("48.15".to_owned(), 48, 0));
    assert!(found.holds);
    assert_eq!(found.total.to_string(), "100");
    assert_eq!((found.events.count, found.events.corrections), (4, 1));
    assert_eq!(found.since.total, Some(found.total));
    assert_eq!((found.since.adjustments, found.since.charged_minor), (0, 48));

    // Late usage under pro changes what is now, and never what the closing says.
    let late = world.event_at(t, "l", "tokens", "10", "2026-04-10T00:00:00Z");
    assert_eq!(world.record(&[late]).await, ["accepted 110"]);
    assert_eq!(world.charges(t).await, ["tokens 0 48", "tokens 1 23"]);
    let again = explained(&world, t, closing).await;
    assert_eq!((arithmetic(&again), again.holds), (due.map(str::to_owned).to_vec(), true));
    assert_eq!(again.since.total.unwrap().to_string(), "110");
    assert_eq!((again.since.adjustments, again.since.charged_minor), (1, 71));
    assert_ne!(again.events.digest, found.events.digest);
    let adjustment = explained(&world, t, ids(&world, t).await[1]).await;
    // 3.15 + 30 * 2.25 = 70.65, of which 48 were charged.
    assert_eq!(arithmetic(&adjustment)[2..], ["pro 1 60.5-110 adds 67.5", "  0-30 at 2.25 per 1: 67.5"]);
    assert_eq!((adjustment.rounded_minor, adjustment.charged_before_minor), (71, 48));
    assert!(adjustment.holds);
    assert_eq!((adjustment.since.adjustments, adjustment.charge.amount_minor), (0, 23));
    // An id of another tenant is none of this one's.
    let other = world.user().await;
    let tx = world.db.read_as_service("test_explain", &[other, t]).await.unwrap();
    assert!(explain::explain(&tx, other, closing, 1000).await.unwrap().is_none());
    tx.rollback().await.unwrap();
    assert_eq!(explain::find(&world.db, None, closing).await.unwrap().unwrap().tenant_id, t);
    assert!(explain::find(&world.db, Some(other), closing).await.unwrap().is_none());
}

#[tokio::test]
async fn a_segment_that_begins_above_what_is_included_takes_the_price_of_its_start_off() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "100")]).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(t, "pro", world.now()).await;
    world.record(&[world.event(t, "b", "tokens", "20")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    let found = explained(&world, t, ids(&world, t).await[0]).await;
    let due = [
        "free 1 0-100 adds 13.5",
        "  0-40 at 3 per 10: 12",
        "  40-50 at 1.5 per 10: 1.5",
        "pro 1 100-120 adds 45",
        "  0-40 at 2.25 per 1: 90",
        "  less 0-20 at 2.25 per 1: 45",
    ];
    // 58.5 is half way: to the even 58.
    assert_eq!(
        (arithmetic(&found), found.sum.digits(), found.rounded_minor),
        (due.map(str::to_owned).to_vec(), "58.5".to_owned(), 58)
    );
}

#[tokio::test]
async fn the_digest_is_that_of_the_lines_which_the_export_has() {
    let world = World::new().await;
    let t = closed(&world).await;
    let found = explained(&world, t, ids(&world, t).await[0]).await;
    let lines = "2026-03-15T12:00:00.000000Z\ta\\tb\tusage\t60.5\n\
                 2026-03-15T12:00:00.000000Z\tc\tusage\t7\n\
                 2026-03-15T12:00:00.000000Z\tr\treversal\t-7\n\
                 2026-03-20T00:00:00.000000Z\td\tusage\t39.5\n";
    let due: [u8; 32] = Sha256::digest(lines).into();
    assert_eq!(found.events.digest, Some(due));
    let ends = [found.events.first, found.events.last].map(|event| event.unwrap().key);
    assert_eq!(ends, ["a\tb", "d"]);
    // Too many events for a request get none.
    let tx = world.db.read_as_service("test_explain", &[t]).await.unwrap();
    let few = explain::explain(&tx, t, found.charge.id, 3).await.unwrap().unwrap();
    assert_eq!((few.events.digest, few.events.count), (None, 4));
}

#[tokio::test]
async fn a_charge_that_its_inputs_do_not_make_is_told() {
    let world = World::new().await;
    let t = closed(&world).await;
    let id = ids(&world, t).await[0];
    for damage in [
        "update tenantry.overage_charges set charge_amount_cents = charge_amount_cents + 1",
        "update tenantry.overage_charges set charge_amount_cents = 48,
             inputs = jsonb_set(inputs, '{segments,0,totalAtEnd}', '\"61\"')",
    ] {
        world.admin.batch_execute(damage).await.unwrap();
        assert!(!explained(&world, t, id).await.holds, "{damage}");
    }
}

#[tokio::test]
async fn events_that_were_taken_out_of_the_table_are_told_as_such() {
    let world = World::new().await;
    let t = closed(&world).await;
    let sql = "alter table tenantry.tenant_usage detach partition tenantry.tenant_usage_2026_03";
    world.admin.batch_execute(sql).await.unwrap();
    let found = explained(&world, t, ids(&world, t).await[0]).await;
    assert_eq!(found.events.archived, ["2026-03", "2026-04"]);
    assert_eq!((found.events.digest, found.since.total), (None, None));
    assert!(found.holds, "the arithmetic is that of its inputs");
}
