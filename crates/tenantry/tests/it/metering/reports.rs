//! Reports, totals and checks, read under row security as a member reads them.

use jiff::SignedDuration;
use tenantry::storage::ReadScope;
use tenantry::tenancy::Actor;
use tenantry::usage::check::{Checks, Question, Verdict};
use tenantry::usage::groups::Selection;
use tenantry::usage::report::{self, ReportError};

use super::world::{World, at, quantity};

fn scope(user: uuid::Uuid, tenant: uuid::Uuid) -> ReadScope {
    ReadScope { user_id: Some(user), key_id: None, tenant_id: Some(tenant) }
}

#[tokio::test]
async fn a_report_is_the_sum_of_its_events_over_any_span_of_hours() {
    let world = World::new().await;
    let owner = world.user().await;
    let acme = world.organization(owner).await;
    let member = world.user().await;
    world.add_member(acme, owner, member).await;
    let mut events = Vec::new();
    for n in 0..240_i64 {
        let when = at("2026-03-15T12:00:00Z").checked_add(SignedDuration::from_mins(n * 97)).unwrap();
        let user = [None, Some(owner), Some(member)][usize::try_from(n % 3).unwrap()];
        let metric = ["tokens", "bytes"][usize::try_from(n % 2).unwrap()];
        let mut event = world.event_at(acme, &format!("k{n}"), metric, &format!("{n}.125"), &when.to_string());
        event.user_id = user;
        if n == 0 {
            event = world.event_at(acme, "k0", metric, "0.125", &when.to_string());
        }
        events.push(event);
    }
    world.env.clock.set(at("2026-04-01T00:00:00Z"));
    for event in &mut events {
        event.received_at = world.now();
    }
    assert!(world.record(&events).await.iter().all(|word| word.starts_with("accepted")));
    for (from, to) in [
        ("2026-03-15T12:00:00Z", "2026-04-15T12:00:00Z"),
        ("2026-03-15T13:00:00Z", "2026-03-15T14:00:00Z"),
        ("2026-03-20T00:00:00Z", "2026-03-28T05:00:00Z"),
        ("2026-03-31T23:00:00Z", "2026-04-01T00:00:00Z"),
    ] {
        let tx = world.db.read("test", scope(member, acme)).await.unwrap();
        let found =
            report::report(&tx, (acme, None), (Some(at(from)), Some(at(to))), Selection::default(), world.now())
                .await
                .unwrap();
        tx.rollback().await.unwrap();
        let sql = "select metric, coalesce(user_id::text, 'none'), trim_scale(sum(amount))::text, count(*)
                   from tenantry.tenant_usage where occurred_at >= $1 and occurred_at < $2 group by 1, 2 order by 1, 2";
        let expected: Vec<(String, String, String)> = world
            .admin
            .query(sql, &[&at(from), &at(to)])
            .await
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .collect();
        let mut reported: Vec<(String, String, String)> = found
            .usage
            .iter()
            .flat_map(|(metric, used)| {
                used.by_user.iter().map(move |(user, amount)| {
                    (metric.clone(), user.map_or("none".to_owned(), |id| id.to_string()), amount.to_string())
                })
            })
            .collect();
        reported.sort();
        assert_eq!(reported, expected, "{from} to {to}");
    }
}

#[tokio::test]
async fn spans_begin_and_end_on_hours_or_on_bounds_of_periods() {
    let world = World::new().await;
    world.env.clock.set(at("2026-03-15T12:34:56.789Z"));
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "60")]).await;
    let read = async |from: Option<&str>, to: Option<&str>| {
        let tx = world.db.read("test", scope(t, t)).await.unwrap();
        let found = report::report(&tx, (t, None), (from.map(at), to.map(at)), Selection::default(), world.now()).await;
        tx.rollback().await.unwrap();
        found
    };
    let whole = read(None, None).await.unwrap();
    // Periods begin with whole seconds, as Stripe's do.
    assert_eq!((whole.from, whole.to), (at("2026-03-15T12:34:56Z"), at("2026-04-15T12:34:56Z")));
    assert_eq!(whole.usage["tokens"].total, quantity("60"));
    // 10 above what is included, at 3 cents for 10.
    assert_eq!(whole.current.limits["tokens"].accrued_minor, 3);
    assert!(read(Some("2026-03-15T12:34:56Z"), Some("2026-03-16T00:00:00Z")).await.is_ok());
    let refused = read(Some("2026-03-15T12:34:00Z"), None).await.unwrap_err();
    let ReportError::NotABound { field: "from", nearest } = refused else { panic!("{refused}") };
    assert!([at("2026-03-15T12:34:56Z"), at("2026-03-15T13:00:00Z")].contains(&nearest), "{nearest}");
    let backwards = read(Some("2026-03-16T00:00:00Z"), Some("2026-03-15T13:00:00Z")).await;
    assert!(matches!(backwards, Err(ReportError::Empty)));
    // A span of the past has the limits of its own period, here one before the tenant was there.
    let past = read(None, Some("2026-03-15T00:00:00Z")).await.unwrap();
    assert_eq!((past.from, past.current.end), (at("2026-02-15T12:34:56Z"), at("2026-03-15T12:34:56Z")));
    assert_eq!(past.current.limits["tokens"].accrued_minor, 0);
    // Somebody who is no member sees no tenant.
    let stranger = world.user().await;
    let tx = world.db.read("test", scope(stranger, t)).await.unwrap();
    let nothing = report::report(&tx, (t, None), (None, None), Selection::default(), world.now()).await;
    assert!(matches!(nothing, Err(ReportError::NoTenant)));
}

#[tokio::test]
async fn a_check_sees_everything_that_was_answered_before() {
    let world = World::new().await;
    let t = world.user().await;
    let checks = Checks::start(&world.recorder, 100, 2);
    let ask = async |metric: &str, actor: Actor| {
        let (metric, amount) = (metric.to_owned(), quantity("1"));
        checks.ask(Question { actor, tenant_id: t, team_id: None, metric, amount, at: world.now() }).await.unwrap()
    };
    for n in 1..=100_i64 {
        world.record(&[world.event(t, &format!("k{n}"), "calls", "1")]).await;
        let Verdict::Standing(outlook) = ask("calls", Actor::User(t)).await else { panic!("forbidden") };
        assert_eq!(outlook.standing.total, quantity(&n.to_string()));
        assert_eq!(outlook.admits(quantity("1")), n < 100);
    }
    // A metric that was never used answers as it would if it were.
    let Verdict::Standing(unused) = ask("tokens", Actor::User(t)).await else { panic!("forbidden") };
    assert_eq!((unused.standing.total, unused.standing.included), (quantity("0"), Some(quantity("50"))));
    let Verdict::Standing(none) = ask("exports", Actor::User(t)).await else { panic!("forbidden") };
    assert!(!none.admits(quantity("0.000000001")));
    let stranger = world.user().await;
    assert_eq!(ask("calls", Actor::User(stranger)).await, Verdict::Forbidden);
}

/// Between a period's end and the next event readers are told what that event will find.
#[tokio::test]
async fn a_period_that_is_not_opened_yet_is_reported_as_the_next_event_opens_it() {
    let world = World::new().await;
    let current = async |t: uuid::Uuid| {
        let tx = world.db.read("test", scope(t, t)).await.unwrap();
        let found = report::current(&tx, t, world.now()).await.unwrap().unwrap();
        tx.rollback().await.unwrap();
        found
    };
    let (stays, leaves, again) = (world.user().await, world.user().await, world.user().await);
    let narrowed = world.user().await;
    for t in [stays, leaves, again, narrowed] {
        world.change_plan(t, "pro", world.now()).await;
        world.record(&[world.event(t, "a", "calls", "200"), world.event(t, "b", "tokens", "200")]).await;
    }
    world.follow_anchor(again, "pro", at("2026-03-20T00:00:00Z")).await;
    let ending = "update tenantry.tenant_subscriptions set cancel_at_period_end = true where tenant_id = $1";
    world.admin.execute(ending, &[&leaves]).await.unwrap();
    let unpaid = "update tenantry.tenant_subscriptions set access = 'fallback' where tenant_id = $1";
    world.admin.execute(unpaid, &[&narrowed]).await.unwrap();
    // An edit of the catalog waits for the next period, and is then there at once; the prices are in another currency.
    let edited = "insert into tenantry.plan_versions
                  select plan_id, 2, jsonb_set(jsonb_set(definition, '{metrics,calls,allowance,included}', '\"777\"'),
                         '{prices,currency}', '\"eur\"'), is_default, true, created_at
                  from tenantry.plan_versions where plan_id = 'pro'";
    world.admin.execute("update tenantry.plan_versions set current = false where plan_id = 'pro'", &[]).await.unwrap();
    world.admin.execute(edited, &[]).await.unwrap();
    world.env.clock.set(at("2026-04-15T12:10:00Z"));
    for (t, end, calls, currency) in [
        (stays, "2026-05-15T12:00:00Z", "777", "eur"),
        (leaves, "2026-05-15T12:00:00Z", "100", "usd"),
        (again, "2026-04-20T00:00:00Z", "777", "eur"),
        (narrowed, "2026-05-15T12:00:00Z", "100", "eur"),
    ] {
        let told = current(t).await;
        assert_eq!((told.start, told.end), (at("2026-04-15T12:00:00Z"), at(end)));
        assert_eq!(told.limits["calls"].standing.included, Some(quantity(calls)));
        assert_eq!(told.limits["tokens"].currency, currency);
        world.record(&[world.event(t, "c", "exports", "0.000000001")]).await;
        let found = current(t).await;
        assert_eq!((told.start, told.end), (found.start, found.end));
        for (metric, limit) in &told.limits {
            if metric != "exports" {
                assert_eq!(limit, &found.limits[metric], "{metric}");
            }
        }
    }
}

#[tokio::test]
async fn a_check_and_the_recording_agree_on_the_largest_total() {
    let world = World::new().await;
    let t = world.user().await;
    let checks = Checks::start(&world.recorder, 100, 2);
    world.record(&[world.event(t, "a", "bytes", "1"), world.event(t, "b", "calls", "1")]).await;
    // A limit above the largest total is no way past it, on the fast way and on the careful one.
    let sql = "update tenantry.usage_counters set total = 9999999999999999998, hard_limit = case metric
                   when 'calls' then 99999999999999999999 end where tenant_id = $1";
    world.admin.execute(sql, &[&t]).await.unwrap();
    for metric in ["bytes", "calls"] {
        let admits = async |amount: &str| {
            let (metric, amount) = (metric.to_owned(), quantity(amount));
            let question =
                Question { actor: Actor::User(t), tenant_id: t, team_id: None, metric, amount, at: world.now() };
            let Verdict::Standing(outlook) = checks.ask(question).await.unwrap() else { panic!("forbidden") };
            outlook.admits(amount)
        };
        let key = |name: &str| format!("{name}-{metric}");
        assert!(!admits("2.000000001").await);
        let over = world.event(t, &key("over"), metric, "2.000000001");
        assert_eq!(world.record(&[over]).await, ["total_too_large"], "{metric}");
        assert!(admits("2").await);
        let full = world.event(t, &key("full"), metric, "2");
        assert_eq!(world.record(&[full]).await, ["accepted 10000000000000000000"], "{metric}");
        assert!(!admits("0.000000001").await);
    }
}
