//! Old months leave: the books stay right, what counted once counts once, and a run may end anywhere.

use std::collections::BTreeSet;
use std::future::Future as _;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use jiff::SignedDuration;
use tempfile::TempDir;
use tenantry::storage::StoreError;
use tenantry::tenancy::Actor;
use tenantry::usage::instant::{Begins, possible};
use tenantry::usage::plan_change::{self, Billing};
use tenantry::usage::retention::{Fate, Month, MonthReport, Retention, RetentionError, prove_files};
use tenantry::write_tx;
use uuid::Uuid;

use super::world::{LATE_WINDOW, World, at, terms};

/// Months before it leave, in these tests.
const BEFORE: &str = "2026-05";

struct Old {
    world: World,
    folder: TempDir,
    acme: Uuid,
    user: Uuid,
}

impl Old {
    /// Usage of March and April, closed, over a plan change and with a correction, and of August, which is open.
    async fn new() -> Self {
        let world = World::new().await;
        let user = world.user().await;
        let acme = world.organization(user).await;
        let mut first = world.event(acme, "a", "tokens", "60");
        first.user_id = Some(user);
        first.metadata.insert("large".to_owned(), serde_json::json!(12_345_678_901_234_567_u64));
        let historic = world.event_at(acme, "h", "calls", "7", "2026-03-02T00:00:00Z");
        world.record(&[first, world.event(acme, "b", "calls", "90"), historic]).await;
        world.env.clock.set(at("2026-03-20T00:00:00Z"));
        world.change_plan(acme, "pro", world.now()).await;
        world.record(&[world.event(acme, "c", "tokens", "40"), world.event(acme, "d", "tokens", "2")]).await;
        world.record(&[world.reversal(acme, "r", "d"), world.event(user, "u", "calls", "5")]).await;
        world.env.clock.set(at("2026-04-10T00:00:00Z"));
        world.record(&[world.event(acme, "e", "tokens", "0.000000001")]).await;
        world.env.clock.set(at("2026-04-20T00:00:00Z"));
        world.record(&[world.event(acme, "f", "tokens", "11")]).await;
        world.env.clock.set(at("2026-08-03T00:00:00Z"));
        world.work().await;
        world.record(&[world.event(acme, "now", "tokens", "3")]).await;
        world.books_are_right().await;
        Self { world, folder: tempfile::tempdir().unwrap(), acme, user }
    }

    fn retention(&self) -> Retention {
        retention(&self.world, Some(self.folder.path()))
    }

    async fn run(&self) -> Vec<String> {
        words(&self.retention().run(BEFORE.parse().unwrap()).await.unwrap())
    }

    /// What is wrong with the files.
    async fn file_faults(&self) -> (usize, Vec<String>) {
        let (read, found) = prove_files(&self.world.db, self.folder.path(), None).await.unwrap();
        (read, found.into_iter().map(|found| found.detail).collect())
    }

    async fn files(&self) -> Vec<String> {
        let sql = "select file_name from tenantry.usage_archive_parts where state = 'archived' order by month, part, event_count";
        let rows = self.world.admin.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
    }
}

/// Lets March go as the last step of a run does; the tenants whose events it would not let go.
async fn detach_march(world: &World) -> Vec<Uuid> {
    let service = world.test.service_client().await;
    let rows = service.query("select tenantry.detach_usage_month('2026-03-01Z')", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn retention(world: &World, folder: Option<&Path>) -> Retention {
    let folder = folder.map(Path::to_owned);
    Retention { lock_tries: 2, ..Retention::new(world.db.clone(), world.env.clone(), folder, LATE_WINDOW) }
}

/// What became of the months of these tests; a new database has more of them.
fn words(reports: &[MonthReport]) -> Vec<String> {
    let ours = |month: &Month| *month >= "2026-03".parse().unwrap() && *month < BEFORE.parse().unwrap();
    let word = |fate: &Fate| match fate {
        Fate::Left { tenants, events, files } => format!("left {tenants} {events} {files}"),
        Fate::Finished => "finished".to_owned(),
        Fate::Due => "due".to_owned(),
        Fate::Stays { reason } => format!("stays: {reason}"),
        Fate::Kept { reason } => format!("kept: {reason}"),
    };
    reports
        .iter()
        .filter(|report| ours(&report.month))
        .map(|report| format!("{} {}", report.month, word(&report.fate)))
        .collect()
}

const LEFT: [&str; 2] = ["2026-03 left 2 7 2", "2026-04 left 1 2 1"];

#[tokio::test]
async fn a_month_leaves_and_everything_stays_as_it_was() {
    let old = Old::new().await;
    let (world, acme) = (&old.world, old.acme);
    let before = (world.totals(acme).await, world.charges(acme).await, world.periods(acme).await);
    assert!(!before.1.is_empty());
    assert_eq!(words(&old.retention().preview(BEFORE.parse().unwrap()).await.unwrap()), ["2026-03 due", "2026-04 due"]);
    assert_eq!(old.run().await, LEFT);
    assert_eq!((world.totals(acme).await, world.charges(acme).await, world.periods(acme).await), before);
    assert_eq!(world.count("select count(*) from tenantry.tenant_usage").await, 1);
    assert_eq!(
        world.count("select count(*) from pg_class where relname ~ '^(tenant_usage_2026_0[34]|usage_detached_)'").await,
        0
    );
    world.books_are_right().await;
    assert_eq!(old.file_faults().await, (3, Vec::new()));
    // The lines are those of an export, to the digit.
    let file = old.folder.path().join(format!("{acme}/2026-03.ndjson.zst"));
    let text = String::from_utf8(zstd::decode_all(std::fs::File::open(file).unwrap()).unwrap()).unwrap();
    assert_eq!(text.lines().count(), 6);
    assert!(text.contains(r#""large": 12345678901234567"#), "{text}");
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["kind"], &first["data"]["metric"]), (&"usageEvent".into(), &"calls".into()));
    // Nothing is left to be done.
    assert_eq!(old.run().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_left_counts_once_for_ever() {
    let old = Old::new().await;
    let (world, acme) = (&old.world, old.acme);
    let events = [
        world.event_at(acme, "a", "tokens", "60", "2026-03-15T12:00:00Z"),
        world.event(acme, "a", "tokens", "60.0"),
        world.event(acme, "a", "tokens", "61"),
        world.event(acme, "a", "calls", "60"),
        world.event_at(acme, "h", "calls", "7", "2026-03-02T00:00:00Z"),
        world.event_at(acme, "h", "calls", "7", "2026-03-03T00:00:00Z"),
        world.event(acme, "h", "calls", "7"),
        world.reversal(acme, "r", "d"),
        world.reversal(acme, "r", "c"),
        world.event(acme, "r", "tokens", "2"),
    ];
    let first_words = |answers: Vec<String>| -> Vec<String> {
        answers.iter().map(|answer| answer.split(' ').next().unwrap().to_owned()).collect()
    };
    let due = first_words(world.record(&events).await);
    let kinds: BTreeSet<&str> = due.iter().map(String::as_str).collect();
    assert_eq!(kinds, BTreeSet::from(["conflict", "duplicate"]));
    assert_eq!(old.run().await, LEFT);
    assert_eq!(first_words(world.record(&events).await), due);
    // One by one, too, and by who may not go back.
    for (event, due) in events.iter().zip(&due) {
        assert_eq!(
            first_words(world.record(std::slice::from_ref(event)).await),
            std::slice::from_ref(due),
            "{event:?}"
        );
    }
    let own = world.event(old.user, "u", "calls", "5");
    assert_eq!(world.record_as(Actor::User(old.user), &[own]).await, ["duplicate 0"]);
    // What an event counted that left is not known any more.
    let again = [
        world.reversal(acme, "r1", "a"),
        world.reversal(acme, "r2", "d"),
        world.reversal(acme, "r3", "r"),
        world.reversal(acme, "r4", "nothing"),
        world.reversal(acme, "r5", "f"),
        world.reversal(acme, "r6", "now"),
        world.reversal(acme, "r", "a"),
    ];
    let due =
        ["event_archived", "event_archived", "event_archived", "unknown_key", "event_archived", "accepted", "conflict"];
    assert_eq!(first_words(world.record(&again).await), due);
    world.books_are_right().await;
}

#[tokio::test]
async fn what_comes_after_its_month_left_adds_up_with_it_and_leaves_in_its_turn() {
    let old = Old::new().await;
    let (world, acme) = (&old.world, old.acme);
    assert_eq!(old.run().await, LEFT);
    let (before, charges) = (world.totals(acme).await, world.charges(acme).await);
    let late = [
        world.event_at(acme, "late", "tokens", "10", "2026-03-16T00:00:00Z"),
        world.event_at(acme, "later", "tokens", "20", "2026-03-25T00:00:00Z"),
        world.event_at(acme, "calls", "calls", "1", "2026-03-02T00:30:00Z"),
    ];
    assert_eq!(world.record(&late).await, ["accepted 110.000000001", "accepted 130.000000001", "accepted 8"]);
    assert_ne!(world.totals(acme).await, before);
    assert!(world.charges(acme).await.len() > charges.len(), "nothing was adjusted");
    world.books_are_right().await;
    assert_eq!(world.record(&late).await, ["duplicate 130.000000001", "duplicate 130.000000001", "duplicate 8"]);
    assert_eq!(world.record(&[world.reversal(acme, "back", "later")]).await, ["accepted 110.000000001"]);
    world.books_are_right().await;
    assert_eq!(old.run().await, ["2026-03 left 1 4 1"]);
    world.books_are_right().await;
    assert_eq!(old.file_faults().await, (4, Vec::new()));
    assert!(old.files().await.contains(&format!("{acme}/2026-03.2.ndjson.zst")));
    let again = [late[0].clone(), world.reversal(acme, "back", "later"), world.reversal(acme, "more", "late")];
    assert_eq!(world.record(&again).await, ["duplicate 110.000000001", "duplicate 110.000000001", "event_archived"]);
    // A month that was only looked at is made and leaves without a trace.
    world.record(&[world.event_at(acme, "a", "tokens", "60", "2026-03-15T12:00:00Z")]).await;
    old.run().await;
    assert_eq!(old.file_faults().await, (4, Vec::new()));
    world.books_are_right().await;
}

#[tokio::test]
async fn months_that_are_open_or_young_stay() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "calls", "1")]).await;
    let run = async |before: &str| words(&retention(&world, None).run(before.parse().unwrap()).await.unwrap());
    world.env.clock.set(at("2026-05-03T00:00:00Z"));
    assert_eq!(
        run("2026-04").await,
        ["2026-03 stays: periods that touch it may take late events until 2026-05-05T00:00:00Z"]
    );
    world.env.clock.set(at("2026-05-05T00:00:00Z"));
    let stays = run("2026-04").await;
    let due = "2026-03 stays: 1 of the periods that touch it are not closed yet, the first from 2026-03-15 12:00:00+00";
    assert_eq!(stays, [due]);
    // The database refuses, too, whoever asks.
    let service = world.test.service_client().await;
    let error = service.query("select tenantry.detach_usage_month('2026-03-01Z')", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "55000");
    assert_eq!(run("2026-03").await, Vec::<String>::new());
    world.work().await;
    let counting = "update tenantry.usage_counters set aggregation = ";
    world.admin.batch_execute(&format!("{counting}'max'")).await.unwrap();
    assert!(run("2026-04").await[0].starts_with("2026-03 stays: 1 of its counters are no sums"));
    world.admin.batch_execute(&format!("{counting}'sum'")).await.unwrap();
    world.books_are_right().await;
    assert_eq!(run("2026-04").await, ["2026-03 left 1 1 0"]);
    world.books_are_right().await;
    assert_eq!(retention(&world, None).before(3), Some("2026-02".parse().unwrap()));
}

#[tokio::test]
async fn a_reader_keeps_the_month_in_place_and_ingest_goes_on() {
    let old = Old::new().await;
    let (world, acme) = (&old.world, old.acme);
    let reader = world.test.admin_client().await;
    reader.batch_execute("begin; select count(*) from tenantry.tenant_usage").await.unwrap();
    let recording = async {
        let mut count = 0;
        while count < 40 {
            let event = world.event(acme, &format!("while {count}"), "bytes", "1");
            assert!(world.record(&[event]).await[0].starts_with("accepted"));
            count += 1;
        }
    };
    let (stays, ()) = tokio::join!(old.run(), recording);
    assert!(stays.iter().all(|word| word.contains("stays: somebody reads")) && stays.len() == 2, "{stays:?}");
    world.books_are_right().await;
    // All of it is staged. What is recorded now is not, and the database sees it.
    let late = world.event_at(acme, "late", "tokens", "1", "2026-03-21T00:00:00Z");
    assert_eq!(world.record(&[late]).await, ["accepted 101.000000001"]);
    reader.batch_execute("rollback").await.unwrap();
    assert_eq!(detach_march(world).await, [acme]);
    assert_eq!(world.count("select count(*) from tenantry.usage_archives").await, 0);
    assert_eq!(old.run().await, ["2026-03 left 2 8 2", "2026-04 left 1 2 1"]);
    world.books_are_right().await;
    assert_eq!(old.file_faults().await, (3, Vec::new()));
}

#[tokio::test]
async fn a_late_plan_change_between_reading_and_leaving_is_seen() {
    let old = Old::new().await;
    let world = &old.world;
    let reader = world.test.admin_client().await;
    reader.batch_execute("begin; select count(*) from tenantry.tenant_usage").await.unwrap();
    old.run().await;
    reader.batch_execute("rollback").await.unwrap();
    // No event comes or goes: its amounts belong to other segments now.
    world.change_plan(old.acme, "free", at("2026-03-18T00:00:00Z")).await;
    assert_eq!(detach_march(world).await, [old.acme]);
    assert_eq!(old.run().await, LEFT);
    world.books_are_right().await;
}

#[tokio::test]
async fn a_run_that_ended_after_the_month_was_out_is_finished_by_the_next() {
    let old = Old::new().await;
    let world = &old.world;
    let reader = world.test.admin_client().await;
    reader.batch_execute("begin; select count(*) from tenantry.tenant_usage").await.unwrap();
    old.run().await;
    reader.batch_execute("rollback").await.unwrap();
    assert!(detach_march(world).await.is_empty());
    world.books_are_right().await;
    // Usage of the month is recorded beside the table that is still there.
    let late = world.event_at(old.acme, "late", "tokens", "1", "2026-03-21T00:00:00Z");
    assert_eq!(world.record(&[late]).await, ["accepted 101.000000001"]);
    world.books_are_right().await;
    assert_eq!(old.run().await, ["2026-03 finished", "2026-03 left 1 1 1", LEFT[1]]);
    assert_eq!(world.count("select count(*) from pg_class where relname ~ '^usage_detached_'").await, 0);
    world.books_are_right().await;
    assert_eq!(old.file_faults().await, (4, Vec::new()));
}

#[tokio::test]
async fn a_run_may_be_broken_off_anywhere() {
    let old = Old::new().await;
    let (world, before) = (&old.world, BEFORE.parse().unwrap());
    let events = "select count(*) from tenantry.tenant_usage";
    let archived = "select coalesce(sum(event_count), 0)::bigint from tenantry.usage_archives";
    let (mut broken_off, mut in_between) = (0, 0);
    let mut seen = Vec::new();
    for polls in 1.. {
        let retention = old.retention();
        let ended = {
            let mut run = pin!(retention.run(before));
            let mut left = polls;
            // As often as it waits for something it may be killed.
            std::future::poll_fn(|context| match run.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => {
                    left -= 1;
                    Poll::Pending
                }
            })
            .await
        };
        // What was killed on its way is rolled back by the server when it notices.
        let there = world.count(events).await;
        seen.push(there);
        assert_eq!(there + world.count(archived).await, 10, "after {polls} polls");
        in_between += i64::from(there != 10 && there != 1);
        world.books_are_right().await;
        assert_eq!(old.file_faults().await.1, Vec::<String>::new(), "after {polls} polls");
        // The lease of who was killed is over.
        world.env.clock.advance(SignedDuration::from_hours(2));
        match ended {
            None => broken_off += 1,
            Some(done) => {
                done.unwrap();
                break;
            }
        }
    }
    assert!(broken_off > 10 && in_between > 0, "{broken_off} {in_between} {seen:?}");
    assert_eq!(world.count(events).await, 1);
    assert_eq!(world.count("select count(*) from pg_class where relname ~ '^usage_detached_'").await, 0);
    assert_eq!(old.file_faults().await, (3, Vec::new()));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_keeps_the_month() {
    let old = Old::new().await;
    let file = old.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = retention(&old.world, Some(&file)).run(BEFORE.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, RetentionError::File { .. }), "{error}");
    assert_eq!(old.world.count("select count(*) from tenantry.tenant_usage").await, 10);
    old.world.books_are_right().await;
    // Whoever comes next need not wait for the lease.
    assert_eq!(old.run().await, LEFT);
}

#[tokio::test]
async fn replicas_do_it_once_a_day() {
    let old = Old::new().await;
    let (one, two, before) = (old.retention(), old.retention(), BEFORE.parse().unwrap());
    let (first, second) = tokio::join!(one.run_daily(before), two.run_daily(before));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.is_some() != second.is_some(), "both, or neither");
    assert_eq!(words(&first.or(second).unwrap()), LEFT);
    old.world.books_are_right().await;
    old.world.env.clock.advance(SignedDuration::from_hours(23));
    assert_eq!(two.run_daily(before).await.unwrap(), None);
    old.world.env.clock.advance(SignedDuration::from_hours(1));
    assert!(two.run_daily(before).await.unwrap().is_some());
    // Who asks for it by hand need not wait for the day.
    assert_eq!(words(&one.run(before).await.unwrap()), Vec::<String>::new());
    let held = "update tenantry.retention_runs set lease_token = gen_random_uuid(), lease_until = '2026-09-01Z'";
    old.world.admin.batch_execute(held).await.unwrap();
    assert!(matches!(one.run(before).await, Err(RetentionError::Held)));
}

#[tokio::test]
async fn a_change_that_is_told_late_begins_where_events_are_still_known() {
    let old = Old::new().await;
    let (world, acme) = (&old.world, old.acme);
    assert_eq!(old.run().await, LEFT);
    let told = at("2026-04-25T00:00:00Z");
    let tx = world.db.begin("test", &[acme]).await.unwrap();
    let from = possible(&tx, acme, told, Begins::Segment).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(from, at("2026-05-01T00:00:00Z"));
    // Where somebody does not ask, nothing is done: what the events before and after came to is not known.
    let (env, free) = (&world.env, terms("free"));
    let billing = Billing { interval: "month", status: "active" };
    let done: Result<(), StoreError> = write_tx!(world.db, "test_plan", &[acme], |tx| {
        plan_change::change_plan(tx, env, (acme, told), &free, billing).await
    });
    assert!(done.unwrap_err().to_string().contains("were archived"));
    world.books_are_right().await;
    world.change_plan(acme, "free", from).await;
    world.books_are_right().await;
    // 11 tokens lie before the change, of which 0 cost anything; the period goes on with what comes later.
    let late = world.event_at(acme, "late", "tokens", "100", "2026-05-02T00:00:00Z");
    assert_eq!(world.record(&[late]).await, ["accepted 111"]);
    world.books_are_right().await;
}

/// Book, and what damages it once months have left.
const DAMAGES: &[(&str, &str)] = &[
    (
        "counters",
        "update tenantry.usage_counters set total = total + 1 where period_start < '2026-04-01Z' and metric = 'calls'",
    ),
    ("counters", "update tenantry.usage_counters set event_count = event_count - 1 where period_start < '2026-04-01Z'"),
    ("counters", "update tenantry.usage_archives set amount = amount + 1 where metric = 'calls'"),
    ("counters", "update tenantry.usage_archives set event_count = event_count + 1 where metric = 'calls'"),
    ("counters", "delete from tenantry.usage_archives where month = '2026-04-01Z'"),
    ("rollups", "update tenantry.usage_archives set amount = amount - 0.000000001 where metric = 'tokens'"),
    (
        "rollups",
        "update tenantry.usage_rollups set amount = amount + 1 where hour < '2026-04-01Z' and metric = 'calls'",
    ),
    ("rollups", "update tenantry.usage_rollups set event_count = event_count + 1 where hour < '2026-04-01Z'"),
    ("rollups", "delete from tenantry.usage_rollups where hour < '2026-03-10Z'"),
    ("rollups", "update tenantry.usage_rollups set amount = amount + 1 where hour > '2026-08-01Z'"),
    ("keys", "delete from tenantry.usage_keys where idempotency_key = 'a'"),
    ("keys", "update tenantry.usage_keys set metric = 'bytes' where idempotency_key = 'a'"),
    (
        "keys",
        "update tenantry.usage_keys set occurred_at = occurred_at - interval '1 month' where idempotency_key = 'e'",
    ),
    (
        "keys",
        "insert into tenantry.usage_keys select tenant_id, 'ghost', content_hash, occurred_at, true, null, metric
              from tenantry.usage_keys where idempotency_key = 'a'",
    ),
    ("keys", "update tenantry.usage_archives set month = '2026-02-01Z' where month = '2026-03-01Z'"),
    ("event_periods", "update tenantry.usage_archives set period_start = period_start + interval '1 second'"),
    ("event_periods", "update tenantry.usage_archives set month = '2026-06-01Z' where month = '2026-04-01Z'"),
    (
        "segments",
        "update tenantry.usage_archives set sequence = sequence + 10 where period_start = '2026-03-15T12:00Z'",
    ),
    ("segments", "update tenantry.usage_segment_amounts set amount = amount + 1"),
    ("reversals", "update tenantry.usage_archives set reversal_count = reversal_count + 1 where metric = 'tokens'"),
    ("reversals", "update tenantry.usage_keys set reversed_by = null where idempotency_key = 'd'"),
    ("reversals", "update tenantry.usage_keys set reversed_by = 'a' where idempotency_key = 'd'"),
    ("archives", "update tenantry.usage_archive_parts set event_count = event_count + 1"),
    ("archives", "delete from tenantry.usage_archives"),
    ("archives", "update tenantry.usage_archive_parts set state = 'staged'"),
];

#[tokio::test]
async fn damage_to_what_left_is_found_and_named() {
    let old = Old::new().await;
    let (world, admin) = (&old.world, &old.world.admin);
    assert_eq!(old.run().await, LEFT);
    let tables = [
        "usage_counters",
        "usage_rollups",
        "usage_keys",
        "usage_segment_amounts",
        "usage_archives",
        "usage_archive_parts",
    ];
    admin.batch_execute("create schema kept; set session_replication_role = replica").await.unwrap();
    for table in tables {
        admin.batch_execute(&format!("create table kept.{table} as table tenantry.{table}")).await.unwrap();
    }
    for (book, damage) in DAMAGES {
        assert!(admin.execute(*damage, &[]).await.unwrap() > 0, "{damage}: touches nothing");
        let found = world.differences().await;
        assert!(found.iter().any(|line| line.starts_with(&format!("{book}: "))), "{damage}: {found:?}");
        for table in tables {
            let restore =
                format!("delete from tenantry.{table}; insert into tenantry.{table} select * from kept.{table}");
            admin.batch_execute(&restore).await.unwrap();
        }
        assert_eq!(world.differences().await, Vec::<String>::new(), "after {damage}");
    }
}

#[tokio::test]
async fn damage_to_files_is_found_and_named() {
    let old = Old::new().await;
    assert_eq!(old.run().await, LEFT);
    let name = format!("{}/2026-03.ndjson.zst", old.acme);
    let path = old.folder.path().join(&name);
    let whole = std::fs::read(&path).unwrap();
    let text = String::from_utf8(zstd::decode_all(whole.as_slice()).unwrap()).unwrap();
    let packed = |text: &str| zstd::encode_all(text.as_bytes(), 3).unwrap();
    let without_last = text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (bytes, says) in [
        (Vec::new(), "the file "),
        (whole[..whole.len() - 1].to_vec(), "the file cannot be read"),
        (flipped, "the file cannot be read"),
        (packed(&without_last), "the file has 5 events, 6 left"),
        (packed(&text.replacen("\"60\"", "\"61\"", 1)), "the file is not the one that was written"),
        (packed(&text.replacen("\"recordedAt\"", "\"recordedat\"", 1)), "the file is not the one that was written"),
        (packed("nonsense\n"), "the file cannot be read"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let (read, found) = old.file_faults().await;
        assert_eq!((read, found.len()), (3, 1), "{says}: {found:?}");
        assert!(found[0].starts_with(&format!("{name}: {says}")), "{says}: {found:?}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(old.file_faults().await.1, [format!("{name}: the file is missing")]);
    std::fs::write(&path, whole).unwrap();
    assert_eq!(old.file_faults().await, (3, Vec::new()));
    // The sums in the database are held against the lines, too.
    let damage = "update tenantry.usage_archives set amount = amount + 1 where metric = 'calls' and period_start < '2026-03-01Z'";
    old.world.admin.batch_execute(damage).await.unwrap();
    let due = format!(
        "{name}: calls in the period from 2026-02-15T12:00:00Z: the file says 7 in 1 events, the archive 8 in 1 events"
    );
    assert_eq!(old.file_faults().await.1, [due]);
}
