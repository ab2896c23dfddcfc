//! Holds: what they reserve, how they end, and that they are out of the way when they have expired.

use jiff::SignedDuration;
use tenantry::tenancy::Actor;
use tenantry::tenancy::idempotency::Answer;
use tenantry::usage::check::{Checks, Question, Verdict};
use tenantry::usage::groups::Selection;
use tenantry::usage::holds::{Held, HoldError, NewHold, Settlement};
use tenantry::usage::ingest::{GroupSettings, Recorder, Settling};
use tenantry::usage::report;
use tenantry_domain::limit::Standing;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::world::{World, at, word};

const MINUTES: SignedDuration = SignedDuration::from_mins(5);
const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn new_hold(tenant: Uuid, metric: &str, amount: &str, lasts: SignedDuration) -> NewHold {
    NewHold {
        tenant_id: tenant,
        team_id: None,
        metric: metric.to_owned(),
        amount: Quantity::parse_amount(amount).unwrap(),
        lasts,
        user_id: None,
        metadata: serde_json::Map::new(),
    }
}

pub(super) fn settling(tenant: Uuid, hold_id: Uuid) -> Settling {
    Settling { actor: Actor::System, tenant_id: tenant, team_id: None, hold_id }
}

pub(super) fn used(amount: &str) -> Settlement {
    Settlement::Commit(Quantity::parse_amount(amount).unwrap(), serde_json::Map::new())
}

/// What became of a hold: its state with what is used and what is held, or why not.
pub(super) fn said(answer: &Result<Answer<Held>, HoldError>) -> String {
    match answer {
        Ok(Answer::Done(Held { hold, standing })) => format!("{} {} {}", hold.state, standing.total, standing.held),
        Ok(Answer::Replayed(kept)) => format!("replayed {}", kept.status),
        Err(HoldError::Declined(outcome)) => word(outcome),
        Err(HoldError::NotOpen(hold)) => format!("not open: {}", hold.state),
        Err(HoldError::NotFound) => "not found".to_owned(),
        Err(HoldError::NotSupported(aggregation)) => format!("not supported: {aggregation}"),
        Err(HoldError::Tenancy(error)) => format!("failed: {error}"),
    }
}

async fn hold(world: &World, tenant: Uuid, metric: &str, amount: &str) -> String {
    said(&world.recorder.hold(Actor::System, &new_hold(tenant, metric, amount, MINUTES), None).await)
}

/// A hold that is taken.
pub(super) async fn taken(world: &World, tenant: Uuid, metric: &str, amount: &str, lasts: SignedDuration) -> Uuid {
    let answer = world.recorder.hold(Actor::System, &new_hold(tenant, metric, amount, lasts), None).await;
    answer.unwrap().done().unwrap().hold.id
}

pub(super) async fn commit(world: &World, tenant: Uuid, hold: Uuid, amount: &str) -> String {
    said(&world.recorder.settle(settling(tenant, hold), &used(amount), None).await)
}

pub(super) async fn release(world: &World, tenant: Uuid, hold: Uuid) -> String {
    said(&world.recorder.settle(settling(tenant, hold), &Settlement::Release, None).await)
}

/// What the counters of a tenant hold, those with nothing left out, by period and metric.
async fn held(world: &World, tenant: Uuid) -> Vec<String> {
    let sql = "select metric || ' ' || trim_scale(held) from tenantry.usage_counters
               where tenant_id = $1 and held <> 0 order by period_start, metric";
    world.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_is_held_is_as_good_as_used_until_it_is_settled() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "calls", "50")]).await;
    let first = taken(&world, t, "calls", "30", MINUTES).await;
    assert_eq!(hold(&world, t, "calls", "20.000000001").await, "refused 50");
    assert_eq!(hold(&world, t, "calls", "20").await, "open 50 50");
    // Both ways of recording see it: a lone event as one in a group with what goes back in time.
    assert_eq!(world.record(&[world.event(t, "b", "calls", "0.000000001")]).await, ["refused 50"]);
    let group = [world.event(t, "c", "calls", "1"), world.reversal(t, "r", "a"), world.event(t, "c", "calls", "1")];
    assert_eq!(world.record(&group).await, ["refused 50", "accepted 0", "accepted 1"]);
    // Less than was held: the rest is free again.
    assert_eq!(commit(&world, t, first, "10").await, "committed 11 20");
    assert_eq!(world.record(&[world.event(t, "d", "calls", "70")]).await, ["refused 11"]);
    assert_eq!(world.record(&[world.event(t, "d", "calls", "69")]).await, ["accepted 80"]);
    let refusals = "select refused_count from tenantry.usage_counters where metric = 'calls'";
    assert_eq!(world.count(refusals).await, 4);
    world.books_are_right().await;
}

#[tokio::test]
async fn what_was_reserved_is_accepted_and_what_goes_beyond_must_fit() {
    let world = World::new().await;
    let t = world.user().await;
    let one = taken(&world, t, "calls", "10", MINUTES).await;
    world.record(&[world.event(t, "a", "calls", "85")]).await;
    let other = taken(&world, t, "calls", "4", MINUTES).await;
    // 1 is left: 11 fits, 11.5 does not, and refusing that changes nothing.
    assert_eq!(commit(&world, t, one, "11.5").await, "refused 85");
    assert_eq!(held(&world, t).await, ["calls 14"]);
    assert_eq!(world.count("select refused_count from tenantry.usage_counters").await, 0);
    assert_eq!(world.count("select count(*) from tenantry.usage_holds where state = 'open'").await, 2);
    assert_eq!(commit(&world, t, one, "11").await, "committed 96 4");
    assert_eq!(commit(&world, t, other, "4").await, "committed 100 0");
    assert_eq!(world.totals(t).await, ["calls 100"]);
    // On a smaller plan, too: it was reserved.
    world.change_plan(t, "pro", world.now()).await;
    let large = taken(&world, t, "calls", "150", MINUTES).await;
    world.change_plan(t, "free", world.now()).await;
    assert_eq!(commit(&world, t, large, "150.1").await, "refused 100");
    assert_eq!(commit(&world, t, large, "150").await, "committed 250 0");
    world.books_are_right().await;
}

#[tokio::test]
async fn a_hold_is_settled_once_and_repeats_are_answered_again() {
    let world = World::new().await;
    let t = world.user().await;
    let committed = taken(&world, t, "tokens", "5", MINUTES).await;
    assert_eq!(commit(&world, t, committed, "7").await, "committed 7 0");
    assert_eq!(commit(&world, t, committed, "7.0").await, "committed 7 0");
    assert_eq!(commit(&world, t, committed, "5").await, "not open: committed");
    assert_eq!(release(&world, t, committed).await, "not open: committed");
    let released = taken(&world, t, "tokens", "5", MINUTES).await;
    assert_eq!(release(&world, t, released).await, "released 7 0");
    assert_eq!(release(&world, t, released).await, "released 7 0");
    assert_eq!(commit(&world, t, released, "5").await, "not open: released");
    let expired = taken(&world, t, "tokens", "5", MINUTES).await;
    world.env.clock.advance(MINUTES);
    assert_eq!(commit(&world, t, expired, "5").await, "not open: expired");
    assert_eq!(release(&world, t, expired).await, "expired 7 0");
    assert_eq!(commit(&world, t, world.env.ids.uuid_v7(world.now()), "5").await, "not found");
    // The hold of another tenant is none.
    let other = world.user().await;
    let foreign = taken(&world, other, "tokens", "5", MINUTES).await;
    assert_eq!(commit(&world, t, foreign, "5").await, "not found");
    assert_eq!(release(&world, t, foreign).await, "not found");
    assert_eq!(held(&world, other).await, ["tokens 5"]);
    assert_eq!(world.totals(t).await, ["tokens 7"]);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_hold_becomes_an_event_like_any() {
    let world = World::new().await;
    let owner = world.user().await;
    let (acme, bea) = (world.organization(owner).await, world.user().await);
    world.add_member(acme, owner, bea).await;
    let said_first = serde_json::json!({ "model": "large", "step": 1 }).as_object().unwrap().clone();
    let new = NewHold { metadata: said_first, ..new_hold(acme, "tokens", "60", MINUTES) };
    let id = world.recorder.hold(Actor::User(bea), &new, None).await.unwrap().done().unwrap().hold.id;
    // Not another user's, whatever that one may do.
    let by = |user| Settling { actor: Actor::User(user), ..settling(acme, id) };
    assert_eq!(said(&world.recorder.settle(by(owner), &used("70"), None).await), "not found");
    let said_then = serde_json::json!({ "step": 2, "userRole": "king", "organizationId": "x" });
    let settlement = Settlement::Commit(Quantity::parse_amount("70").unwrap(), said_then.as_object().unwrap().clone());
    assert_eq!(said(&world.recorder.settle(by(bea), &settlement, None).await), "committed 70 0");
    let sql = "select user_id, metadata, idempotency_key, occurred_at from tenantry.tenant_usage";
    let row = world.admin.query_one(sql, &[]).await.unwrap();
    let metadata = serde_json::json!({ "model": "large", "step": 2, "userRole": "member", "organizationId": acme });
    assert_eq!(row.get::<_, Uuid>(0), bea);
    assert_eq!(row.get::<_, serde_json::Value>(1), metadata);
    assert_eq!(row.get::<_, String>(2), format!("hold:{id}"));
    assert_eq!(row.get::<_, jiff::Timestamp>(3), world.now());
    // It can be taken back as any event can.
    let key = format!("hold:{id}");
    assert_eq!(world.record(&[world.reversal(acme, "r", &key)]).await, ["accepted 0"]);
    assert_eq!(commit(&world, acme, id, "70").await, "committed 0 0");
    world.books_are_right().await;
}

#[tokio::test]
async fn the_keys_of_holds_are_taken_by_nobody() {
    let world = World::new().await;
    let t = world.user().await;
    let id = taken(&world, t, "calls", "5", MINUTES).await;
    let key = format!("hold:{id}");
    let group = [world.event(t, &key, "calls", "5"), world.event(t, "hold:mine", "calls", "1")];
    assert_eq!(world.record(&group).await, ["reserved_key", "accepted 1"]);
    assert_eq!(world.record(&[world.reversal(t, &key, "hold:mine")]).await, ["reserved_key"]);
    assert_eq!(commit(&world, t, id, "5").await, "committed 6 0");
    // What counts is answered so, as any key is.
    let again = [world.event(t, &key, "calls", "5"), world.event(t, &key, "calls", "4")];
    assert_eq!(world.record(&again).await, ["duplicate 6", "conflict 6"]);
    // An event from before such keys were kept: the hold says so and stays open.
    let old = taken(&world, t, "calls", "5", MINUTES).await;
    world.record(&[world.event(t, "old", "calls", "5")]).await;
    let rename = format!(
        "update tenantry.usage_keys set idempotency_key = 'hold:{old}' where idempotency_key = 'old';
         update tenantry.tenant_usage set idempotency_key = 'hold:{old}' where idempotency_key = 'old'"
    );
    world.admin.batch_execute(&rename).await.unwrap();
    assert_eq!(commit(&world, t, old, "5").await, "conflict 11");
    assert_eq!(held(&world, t).await, ["calls 5"]);
    assert_eq!(release(&world, t, old).await, "released 11 0");
    world.books_are_right().await;
}

#[tokio::test]
async fn overage_and_no_limit_are_held_without_a_limit_and_what_a_plan_lacks_is_not() {
    let world = World::new().await;
    let t = world.user().await;
    assert_eq!(hold(&world, t, "tokens", "999").await, "open 0 999");
    assert_eq!(hold(&world, t, "bytes", "999999999999999").await, "open 0 999999999999999");
    assert_eq!(hold(&world, t, "exports", "1").await, "not in plan 0");
    // What is exact at all is a limit of everything: the total, what is held and what comes.
    let ceiling = "update tenantry.usage_counters set total = 9999000000000000000 where metric = 'bytes'";
    world.admin.batch_execute(ceiling).await.unwrap();
    assert_eq!(hold(&world, t, "bytes", "1.000000001").await, "total_too_large");
    assert_eq!(world.record(&[world.event(t, "a", "bytes", "1.000000001")]).await, ["total_too_large"]);
    assert_eq!(hold(&world, t, "bytes", "1").await, "open 9999000000000000000 1000000000000000");
    let other = "update tenantry.usage_counters set aggregation = 'max' where metric = 'tokens'";
    world.admin.batch_execute(other).await.unwrap();
    assert_eq!(hold(&world, t, "tokens", "1").await, "not supported: max");
}

#[tokio::test]
async fn from_its_expiry_on_a_hold_counts_for_nobody() {
    let world = World::new().await;
    let t = world.user().await;
    let checks = Checks::start(&world.recorder, 10, 1);
    let stands = async || -> Standing {
        let (actor, metric, amount) = (Actor::User(t), "calls".to_owned(), Quantity::parse_amount("1").unwrap());
        let question = Question { actor, tenant_id: t, team_id: None, metric, amount, at: world.now() };
        let Verdict::Standing(outlook) = checks.ask(question).await.unwrap() else { panic!("forbidden") };
        let standing = outlook.standing;
        let tx = world.db.read("test", reader(t)).await.unwrap();
        let report = report::report(&tx, (t, None), (None, None), Selection::default(), world.now()).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(report.current.limits["calls"].standing, standing);
        standing
    };
    taken(&world, t, "calls", "60", MINUTES).await;
    taken(&world, t, "calls", "40", MINUTES + SignedDuration::from_micros(1)).await;
    let standing = stands().await;
    assert_eq!(standing.held.to_string(), "100");
    assert_eq!(standing.remaining().unwrap().to_string(), "0");
    assert!(!standing.admits(Quantity::parse_amount("0.000000001").unwrap()));
    world.env.clock.advance(MINUTES - SignedDuration::from_micros(1));
    assert_eq!(world.record(&[world.event(t, "a", "calls", "1")]).await, ["refused 0"]);
    world.env.clock.advance(SignedDuration::from_micros(1));
    // Nobody has taken it out of the counter, and it counts no more.
    assert_eq!(held(&world, t).await, ["calls 100"]);
    let standing = stands().await;
    assert_eq!(standing.held.to_string(), "40");
    assert_eq!(standing.remaining().unwrap().to_string(), "60");
    assert!(standing.admits(Quantity::parse_amount("60").unwrap()));
    assert_eq!(held(&world, t).await, ["calls 100"]);
    assert_eq!(world.record(&[world.event(t, "a", "calls", "60")]).await, ["accepted 60"]);
    assert_eq!(held(&world, t).await, ["calls 40"]);
    assert_eq!(hold(&world, t, "calls", "1").await, "refused 60");
    world.env.clock.advance(SignedDuration::from_micros(1));
    assert_eq!(hold(&world, t, "calls", "40").await, "open 60 40");
    world.books_are_right().await;
}

fn reader(user: Uuid) -> tenantry::storage::ReadScope {
    tenantry::storage::ReadScope { user_id: Some(user), key_id: None, tenant_id: Some(user) }
}

#[tokio::test]
async fn the_worker_takes_out_what_expired_and_looks_again_when_the_next_does() {
    let world = World::new().await;
    let t = world.user().await;
    taken(&world, t, "calls", "1", DAY).await;
    taken(&world, t, "calls", "10", MINUTES).await;
    taken(&world, t, "tokens", "100", MINUTES).await;
    world.work().await;
    assert_eq!(held(&world, t).await, ["calls 11", "tokens 100"]);
    world.env.clock.advance(MINUTES);
    world.work().await;
    assert_eq!(held(&world, t).await, ["calls 1"]);
    // One that is taken while the next is a day away, and one when nothing is left.
    taken(&world, t, "bytes", "5", MINUTES).await;
    world.env.clock.advance(MINUTES);
    world.work().await;
    assert_eq!(held(&world, t).await, ["calls 1"]);
    world.env.clock.advance(DAY);
    world.work().await;
    assert_eq!(held(&world, t).await, Vec::<String>::new());
    let sql = "select count(*) from tenantry.jobs where kind = 'expire_holds' and finished_at is null";
    assert_eq!(world.count(sql).await, 0);
    taken(&world, t, "bytes", "5", MINUTES).await;
    world.env.clock.advance(MINUTES + SignedDuration::from_mins(1));
    world.work().await;
    assert_eq!(held(&world, t).await, Vec::<String>::new());
    assert_eq!(world.count("select count(*) from tenantry.usage_holds where state = 'expired'").await, 5);
    assert_eq!(world.count("select count(*) from tenantry.usage_holds where settled_at <> expires_at").await, 0);
    assert_eq!(world.count("select count(*) from tenantry.jobs where kind = 'expire_holds'").await, 1);
    world.books_are_right().await;
}

/// A worker has the job in hand and has found nothing more to take out; then a hold is taken, and the worker finishes.
#[tokio::test]
async fn a_hold_that_is_taken_while_the_worker_works_is_not_forgotten() {
    let world = World::new().await;
    let t = world.user().await;
    taken(&world, t, "calls", "1", MINUTES).await;
    world.env.clock.advance(MINUTES);
    let lease = "update tenantry.jobs set lease_token = gen_random_uuid(), lease_until = run_at + interval '1 minute'
                 where kind = 'expire_holds' and finished_at is null";
    assert_eq!(world.admin.execute(lease, &[]).await.unwrap(), 1);
    taken(&world, t, "calls", "10", MINUTES).await;
    let finish = "update tenantry.jobs set finished_at = now(), lease_token = null, lease_until = null
                  where kind = 'expire_holds' and lease_token is not null";
    assert_eq!(world.admin.execute(finish, &[]).await.unwrap(), 0, "the worker has the job still");
    world.env.clock.advance(MINUTES);
    world.work().await;
    assert_eq!(held(&world, t).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hold_settles_in_the_period_in_which_it_was_taken() {
    let world = World::new().await;
    let t = world.user().await;
    // The period runs from the 15th at noon.
    world.env.clock.set(at("2026-04-15T11:00:00Z"));
    world.record(&[world.event(t, "a", "tokens", "50"), world.event(t, "b", "calls", "95")]).await;
    let tokens = taken(&world, t, "tokens", "20", DAY).await;
    let calls = taken(&world, t, "calls", "5", DAY).await;
    taken(&world, t, "bytes", "7", SignedDuration::from_hours(1) + SignedDuration::from_secs(1)).await;
    world.env.clock.set(at("2026-04-15T13:00:00Z"));
    // A report over the period that has ended says what is held now, not what was held at its end.
    assert_eq!(held(&world, t).await, ["bytes 7", "calls 5", "tokens 20"]);
    let tx = world.db.read("test", reader(t)).await.unwrap();
    let span = (Some(at("2026-03-15T12:00:00Z")), Some(at("2026-04-15T12:00:00Z")));
    let ended = report::report(&tx, (t, None), span, Selection::default(), world.now()).await.unwrap();
    tx.rollback().await.unwrap();
    let is_held = |metric: &str| ended.current.limits[metric].standing.held.to_string();
    assert_eq!(["bytes", "calls", "tokens"].map(is_held), ["0", "5", "20"]);
    world.work().await;
    assert_eq!(world.charges(t).await, Vec::<String>::new());
    // The next period knows nothing of them.
    assert_eq!(hold(&world, t, "calls", "100").await, "open 0 100");
    assert_eq!(commit(&world, t, calls, "5.1").await, "refused 95");
    assert_eq!(commit(&world, t, calls, "5").await, "committed 100 0");
    assert_eq!(commit(&world, t, tokens, "20").await, "committed 70 0");
    assert_eq!(world.totals(t).await, ["calls 100", "tokens 70"]);
    // It was closed before: the difference is charged.
    assert_eq!(world.charges(t).await, ["tokens 0 6"]);
    let last = "select count(*) from tenantry.tenant_usage where occurred_at = '2026-04-15T11:59:59.999999Z'";
    assert_eq!(world.count(last).await, 2);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_hold_is_too_late_when_its_period_takes_no_events_any_more() {
    let world = World::new().await;
    let owner = world.user().await;
    world.env.clock.set(at("2026-04-15T11:00:00Z"));
    let id = {
        let answer = world.recorder.hold(Actor::User(owner), &new_hold(owner, "tokens", "20", DAY), None).await;
        answer.unwrap().done().unwrap().hold.id
    };
    let late_window = SignedDuration::from_hours(1);
    let strict = Recorder::new(world.db.clone(), world.env.clone(), GroupSettings { late_window });
    let settling = Settling { actor: Actor::User(owner), ..settling(owner, id) };
    world.env.clock.set(at("2026-04-15T13:00:00.000001Z"));
    assert_eq!(said(&strict.settle(settling, &used("1"), None).await), "timestamp_too_old");
    assert_eq!(held(&world, owner).await, ["tokens 20"]);
    world.env.clock.set(at("2026-04-15T13:00:00Z"));
    assert_eq!(said(&strict.settle(settling, &used("1"), None).await), "committed 1 0");
    world.books_are_right().await;
}

#[tokio::test]
async fn a_new_anchor_takes_holds_along_as_it_does_events() {
    let world = World::new().await;
    let t = world.user().await;
    let before = taken(&world, t, "calls", "7", DAY).await;
    world.env.clock.advance(SignedDuration::from_hours(2));
    let after = taken(&world, t, "calls", "20", DAY).await;
    let alone = taken(&world, t, "tokens", "3", DAY).await;
    world.record(&[world.event(t, "a", "calls", "1")]).await;
    let gone = taken(&world, t, "bytes", "9", SignedDuration::from_secs(1)).await;
    world.env.clock.advance(SignedDuration::from_secs(1));
    // Told of late: it happened an hour ago.
    world.new_anchor(t, "pro", world.now().checked_sub(SignedDuration::from_hours(1)).unwrap()).await;
    assert_eq!(held(&world, t).await, ["bytes 9", "calls 7", "calls 20", "tokens 3"]);
    world.books_are_right().await;
    assert_eq!(commit(&world, t, after, "25").await, "committed 26 0");
    assert_eq!(commit(&world, t, alone, "3").await, "committed 3 0");
    assert_eq!(commit(&world, t, before, "7").await, "committed 7 0");
    assert_eq!(release(&world, t, gone).await, "expired 0 0");
    assert_eq!(world.totals(t).await, ["calls 7", "calls 26", "tokens 3"]);
    assert_eq!(held(&world, t).await, Vec::<String>::new());
    world.books_are_right().await;
}

/// The next period was opened already when it is learned that months count from elsewhere, so that its end moves to
/// before the hold: the hold begins another one.
#[tokio::test]
async fn a_hold_beyond_the_moved_end_of_a_later_period_begins_the_next() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "calls", "1")]).await;
    world.env.clock.set(at("2026-05-10T00:00:00Z"));
    world.work().await;
    let id = taken(&world, t, "calls", "4", DAY).await;
    world.new_anchor(t, "free", at("2026-04-01T00:00:00Z")).await;
    let periods = world.periods(t).await;
    assert_eq!(periods, ["03-15 04-01 closed", "04-01 04-15 open", "04-15 05-01 open", "05-01 06-01 open"]);
    let sql = "select count(*) from tenantry.usage_holds h join tenantry.usage_counters c using (tenant_id, metric, period_start)
               where h.created_at >= c.period_start and h.created_at < c.period_end and c.held = 4";
    assert_eq!(world.count(sql).await, 1);
    assert_eq!(commit(&world, t, id, "4").await, "committed 4 0");
    world.books_are_right().await;
}

#[tokio::test]
async fn a_hold_in_an_ended_segment_is_settled_in_the_running_one() {
    let world = World::new().await;
    let t = world.user().await;
    let id = taken(&world, t, "tokens", "100", DAY).await;
    world.env.clock.advance(SignedDuration::from_hours(1));
    world.change_plan(t, "pro", world.now()).await;
    assert_eq!(commit(&world, t, id, "100").await, "committed 100 0");
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    // 20 above what the new plan includes, at its price.
    assert_eq!(world.charges(t).await, ["tokens 0 45"]);
    world.books_are_right().await;
}
