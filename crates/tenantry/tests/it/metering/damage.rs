//! Each kind of book is damaged by hand, past row security, and the proof names it.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tenantry::tenancy::Actor;
use tenantry::usage::books;
use tenantry::usage::rollups::Portions;
use tenantry::usage::spend::change::{self, On};

use super::holds;
use super::world::{World, at, figures_catalog};

/// A world with usage in a closed and an open period, over a plan change, with a correction.
async fn with_books() -> World {
    let world = World::with(8, figures_catalog()).await;
    let t = world.user().await;
    let acme = world.organization(t).await;
    world.record(&[world.event(acme, "a", "tokens", "100"), world.event(acme, "b", "calls", "5")]).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(acme, "pro", world.now()).await;
    world.record(&[world.event(acme, "c", "tokens", "30"), world.event(acme, "d", "tokens", "2")]).await;
    world.record(&[world.reversal(acme, "r", "d")]).await;
    with_figures(&world, acme).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    world.keep_up(Portions::default()).await;
    world.record(&[world.event(acme, "e", "tokens", "1"), world.event(acme, "f", "calls", "1")]).await;
    let day = SignedDuration::from_hours(24);
    holds::taken(&world, acme, "calls", "3", day).await;
    let committed = holds::taken(&world, acme, "calls", "3", day).await;
    assert_eq!(holds::commit(&world, acme, committed, "2").await, "committed 3 3");
    let on = On { actor: Actor::System, tenant_id: acme };
    change::set_cap(&world.db, &world.env, on, Some("tokens"), 1000).await.unwrap();
    world.books_are_right().await;
    world
}

/// Usage of metrics that are no sums, before and after the plan change.
async fn with_figures(world: &World, acme: uuid::Uuid) {
    world.env.clock.set(at("2026-03-22T00:00:00Z"));
    for (key, when) in [("before", "2026-03-16T08:00:00Z"), ("after", "2026-03-21T08:00:00Z")] {
        let events = ["seats", "level", "people", "load"].map(|metric| {
            let mut event = world.event_at(acme, &format!("{metric} {key}"), metric, "7", when);
            event.metadata.insert("who".to_owned(), key.into());
            event
        });
        assert!(world.record(&events).await.iter().all(|word| word.starts_with("accepted")));
    }
    for hour in 0..9 {
        let when = format!("2026-03-21T{hour:02}:00:00Z");
        world.record(&[world.event_at(acme, &format!("band {hour}"), "band", "2", &when)]).await;
    }
}

/// Book, and what damages it.
const DAMAGES: &[(&str, &str)] = &[
    ("counters", "update tenantry.usage_counters set total = total + 1 where metric = 'tokens' and not closed"),
    ("counters", "update tenantry.usage_counters set event_count = event_count + 1 where metric = 'calls' and not closed"),
    ("counters", "update tenantry.tenant_usage set amount = amount + 1 where idempotency_key = 'e'"),
    ("counters", "delete from tenantry.usage_counters where metric = 'calls'"),
    ("aggregations", "update tenantry.usage_counters set total = total + 1 where metric = 'seats'"),
    ("aggregations", "update tenantry.usage_counters set total = total + 1 where metric = 'level'"),
    ("aggregations", "update tenantry.usage_counters set total = total + 1 where metric = 'people'"),
    ("aggregations", "update tenantry.usage_counters set total = total + 1 where metric = 'load'"),
    ("aggregations", "update tenantry.usage_counters set total = 0 where metric = 'band'"),
    ("aggregations", "update tenantry.usage_counters set aggregation = 'last' where metric = 'load'"),
    ("aggregations", "update tenantry.tenant_usage set metadata = metadata || '{\"who\": \"nobody\"}' where metric = 'people'"),
    ("aggregations", "update tenantry.tenant_usage set amount = 9 where idempotency_key = 'seats before'"),
    ("aggregations", "update tenantry.usage_segment_amounts set amount = amount + 1 where metric = 'people'"),
    ("aggregations", "insert into tenantry.usage_segment_amounts
                      select tenant_id, metric, period_start, 0, 1 from tenantry.usage_counters where metric = 'level'"),
    ("parts", "update tenantry.usage_parts set amount = amount + 1 where metric = 'load'"),
    ("parts", "update tenantry.usage_parts set event_count = event_count + 1 where metric = 'people'"),
    ("parts", "delete from tenantry.usage_parts where metric = 'band'"),
    ("parts", "insert into tenantry.usage_parts
               select tenant_id, metric, period_start, 'ghost', 1, 1 from tenantry.usage_counters where metric = 'people'"),
    ("rollups", "update tenantry.usage_rollups set amount = amount + 0.000000001 where metric = 'calls'"),
    ("rollups", "delete from tenantry.usage_rollups where metric = 'calls'"),
    ("day_rollups", "update tenantry.usage_day_rollups set amount = amount + 1"),
    ("day_rollups", "update tenantry.usage_day_rollups set event_count = event_count + 1 where metric = 'calls'"),
    ("day_rollups", "delete from tenantry.usage_day_rollups where metric = 'calls'"),
    ("day_rollups", "update tenantry.usage_counters set folded_until = '2026-04-17T00:00:00Z' where not closed"),
    ("user_totals", "update tenantry.usage_user_totals set amount = amount - 1 where metric = 'calls'"),
    ("user_totals", "delete from tenantry.usage_user_totals where metric = 'calls'"),
    ("hour_totals", "update tenantry.usage_hour_totals set event_count = event_count + 1 where metric = 'calls'"),
    ("hour_totals", "delete from tenantry.usage_hour_totals where metric = 'calls'"),
    ("dimension_rollups", "update tenantry.usage_dimension_rollups set value = 'other' where dimension = 'model'"),
    ("dimension_rollups", "delete from tenantry.usage_dimension_rollups where dimension = 'region'"),
    ("dimension_rollups", "update tenantry.usage_counters set dimensions = '{model}' where dimensions is not null"),
    ("dimension_rollups", "update tenantry.tenant_usage set metadata = '{\"model\": \"other\"}' where idempotency_key = 'd'"),
    ("dimension_day_rollups", "update tenantry.usage_dimension_day_rollups set amount = amount + 1"),
    ("dimension_day_rollups", "delete from tenantry.usage_dimension_day_rollups where dimension = 'model'"),
    ("keys", "delete from tenantry.usage_keys where idempotency_key = 'e'"),
    ("keys", "insert into tenantry.usage_keys select tenant_id, 'ghost', content_hash, occurred_at, true, null, metric
              from tenantry.usage_keys where idempotency_key = 'e'"),
    ("keys", "insert into tenantry.tenant_usage select * from tenantry.tenant_usage where idempotency_key = 'e'"),
    ("keys", "update tenantry.tenant_usage set idempotency_key = 'other' where idempotency_key = 'e'"),
    ("keys", "update tenantry.usage_keys set occurred_at = occurred_at + interval '1 microsecond' where idempotency_key = 'e'"),
    ("keys", "update tenantry.usage_keys set occurred_at = occurred_at - interval '40 days' where idempotency_key = 'e'"),
    ("keys", "update tenantry.usage_keys set metric = 'bytes' where idempotency_key = 'e'"),
    ("event_periods", "update tenantry.tenant_usage set period_start = period_start + interval '1 second'
                       where idempotency_key = 'e'"),
    ("event_periods", "update tenantry.tenant_usage set occurred_at = period_start - interval '1 microsecond'
                       where idempotency_key = 'e'"),
    ("event_periods", "delete from tenantry.usage_periods where state = 'open'"),
    ("periods", "update tenantry.usage_periods set period_end = period_end - interval '1 second' where state = 'closed'"),
    ("periods", "update tenantry.usage_counters set closed = not closed where metric = 'tokens'"),
    ("segments", "update tenantry.usage_segment_amounts set amount = amount + 1"),
    ("segments", "delete from tenantry.usage_segment_amounts"),
    ("holds", "update tenantry.usage_counters set held = held + 1 where metric = 'tokens' and not closed"),
    ("holds", "update tenantry.usage_counters set held = 0 where metric = 'calls' and not closed"),
    ("holds", "update tenantry.usage_holds set amount = amount + 0.000000001 where state = 'open'"),
    ("holds", "delete from tenantry.usage_holds where state = 'open'"),
    ("holds", "update tenantry.usage_holds set committed_amount = committed_amount + 1 where state = 'committed'"),
    ("holds", "delete from tenantry.usage_keys where idempotency_key like 'hold:%'"),
    ("reversals", "update tenantry.tenant_usage set amount = amount - 1 where idempotency_key = 'r'"),
    ("reversals", "update tenantry.usage_keys set reversed_by = null where idempotency_key = 'd'"),
    ("reversals", "delete from tenantry.tenant_usage where idempotency_key = 'd'"),
    ("archives", "insert into tenantry.usage_archive_parts (tenant_id, month, part, state, event_count, mark, created_at)
                  select id, '2026-03-01Z', 1, 'archived', 1, '', now() from tenantry.tenants"),
    ("charges", "update tenantry.overage_charges set charge_amount_cents = charge_amount_cents + 1"),
    ("charges", "insert into tenantry.overage_charges
                 select tenant_id, metric, billing_period_start, sequence + 1, gen_random_uuid(), tenant_type, overage_amount,
                        charge_amount_cents, currency, inputs, state, created_at from tenantry.overage_charges"),
    ("charges", "delete from tenantry.overage_charges"),
    ("charge_sequences", "update tenantry.overage_charges set sequence = sequence + 1"),
    ("charge_sequences", "update tenantry.usage_periods set state = 'open' where state = 'closed'"),
    ("invoice_items", "update tenantry.overage_charges set state = 'billed'"),
    ("invoice_items", "insert into tenantry.stripe_invoice_items
                       select tenant_id, id, 'ii_1', 'draft', created_at from tenantry.overage_charges"),
    ("invoice_items", "insert into tenantry.stripe_invoice_items
                       select tenant_id, gen_random_uuid(), 'ii_2', 'own', created_at from tenantry.overage_charges"),
    ("subscriptions", "update tenantry.tenant_subscriptions set ended_at = now()"),
    ("subscriptions", "delete from tenantry.tenant_subscriptions"),
    ("owners", "delete from tenantry.tenant_members where role = 'owner'"),
    ("owners", "update tenantry.tenant_members set role = 'admin'"),
    ("sure_limits", "update tenantry.usage_counters set sure_limit = sure_limit + 1 where sure_limit is not null"),
    ("sure_limits", "update tenantry.usage_counters set sure_limit = null where sure_limit is not null"),
    ("sure_limits", "update tenantry.usage_counters set sure_limit = 5 where metric = 'calls' and not closed"),
    ("sure_limits", "delete from tenantry.spend_caps"),
    ("audit_chain", "update tenantry.billing_events set created_at = created_at - interval '1 day' where sequence = 1"),
    ("audit_chain", "delete from tenantry.billing_events where sequence = 1"),
];

/// Past foreign keys and row security, which are for those who behave; damage does not.
async fn past_the_guards(world: &World, statements: &[String]) -> u64 {
    world.admin.batch_execute("begin; set local session_replication_role = replica").await.unwrap();
    let mut touched = 0;
    for sql in statements {
        touched = world.admin.execute(sql, &[]).await.unwrap();
    }
    world.admin.batch_execute("commit").await.unwrap();
    touched
}

#[tokio::test]
async fn every_damage_is_found_and_named() {
    let kinds: BTreeSet<&str> = books::kinds().collect();
    let damaged: BTreeSet<&str> = DAMAGES.iter().map(|(book, _)| *book).collect();
    assert_eq!(damaged, kinds, "each kind of book is damaged here");
    let world = with_books().await;
    // What every table held, to begin each damage from.
    let sql = "select relname::text, string_agg(quote_ident(attname), ', ' order by attnum)
               from pg_class c join pg_attribute a on attrelid = c.oid and attnum > 0 and not attisdropped
               where relnamespace = 'tenantry'::regnamespace and relkind in ('r', 'p') and not relispartition
                 and attgenerated = ''
               group by relname";
    let tables: Vec<(String, String)> =
        world.admin.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    world.admin.batch_execute("create schema kept").await.unwrap();
    for (table, _) in &tables {
        let copy = format!("create table kept.{table} as table tenantry.{table}");
        world.admin.batch_execute(&copy).await.unwrap();
    }
    let all = tables.iter().map(|(table, _)| format!("tenantry.{table}")).collect::<Vec<_>>().join(", ");
    let mut restore = vec![format!("truncate {all}")];
    restore.extend(tables.iter().map(|(table, columns)| {
        format!("insert into tenantry.{table} ({columns}) select {columns} from kept.{table}")
    }));
    for (book, damage) in DAMAGES {
        assert!(past_the_guards(&world, &[(*damage).to_owned()]).await > 0, "{damage}: touches nothing");
        let found = world.differences().await;
        assert!(found.iter().any(|line| line.starts_with(&format!("{book}: "))), "{damage}: {found:?}");
        past_the_guards(&world, &restore).await;
        assert_eq!(world.differences().await, Vec::<String>::new(), "after {damage}");
    }
}

/// Both sides have the same keys on one day, and the same instants: which belong together is what differs.
#[tokio::test]
async fn keys_that_exchanged_their_instants_are_named_whichever_they_are() {
    let world = with_books().await;
    let exchange = [
        "update tenantry.usage_keys k set occurred_at = o.occurred_at from tenantry.usage_keys o",
        "update tenantry.tenant_usage k set occurred_at = o.occurred_at from tenantry.tenant_usage o",
    ];
    for (one, other) in (0..9).flat_map(|one| (one + 1..9).map(move |other| (one, other))) {
        let of = format!(
            "where (k.idempotency_key, o.idempotency_key) in (('band {one}', 'band {other}'), ('band {other}', 'band {one}'))"
        );
        for exchange in exchange.map(|exchange| format!("{exchange} {of}")) {
            assert_eq!(past_the_guards(&world, std::slice::from_ref(&exchange)).await, 2);
            let found = world.differences().await;
            for key in [one, other].map(|n| format!("keys: key band {n} says")) {
                assert!(found.iter().any(|line| line.starts_with(&key)), "{exchange}: {found:?}");
            }
            past_the_guards(&world, &[exchange]).await;
        }
    }
    world.books_are_right().await;
}

#[tokio::test]
async fn a_charge_that_is_billed_once_is_right_and_one_item_for_two_charges_is_not() {
    let world = with_books().await;
    let bill = "with billed as (update tenantry.overage_charges set state = 'billed' returning tenant_id, id, created_at)
                insert into tenantry.stripe_invoice_items select tenant_id, id, 'ii_1', 'draft', created_at from billed";
    world.admin.batch_execute(bill).await.unwrap();
    world.books_are_right().await;
    let again = "with charge as (
                     insert into tenantry.overage_charges
                         select tenant_id, metric, billing_period_start, sequence + 1, gen_random_uuid(), tenant_type,
                                overage_amount, 5, currency, inputs, state, created_at from tenantry.overage_charges
                     returning tenant_id, id, created_at)
                 insert into tenantry.stripe_invoice_items select tenant_id, id, 'ii_1', 'next', created_at from charge";
    world.admin.batch_execute(again).await.unwrap();
    let found = world.differences().await;
    assert!(found.contains(&"invoice_items: invoice item ii_1 stands for 2 charges".to_owned()), "{found:?}");
}
