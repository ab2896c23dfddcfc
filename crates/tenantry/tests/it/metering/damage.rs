//! Each kind of book is damaged by hand, past row security, and the proof names it.

use super::world::{World, at};

/// A world with usage in a closed and an open period, over a plan change, with a correction.
async fn with_books() -> World {
    let world = World::new().await;
    let t = world.user().await;
    let acme = world.organization(t).await;
    world.record(&[world.event(acme, "a", "tokens", "100"), world.event(acme, "b", "calls", "5")]).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(acme, "pro", world.now()).await;
    world.record(&[world.event(acme, "c", "tokens", "30"), world.event(acme, "d", "tokens", "2")]).await;
    world.record(&[world.reversal(acme, "r", "d")]).await;
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    world.record(&[world.event(acme, "e", "tokens", "1"), world.event(acme, "f", "calls", "1")]).await;
    world.books_are_right().await;
    world
}

#[tokio::test]
async fn every_damage_is_found_and_named() {
    let world = with_books().await;
    let cases: &[(&str, &str)] = &[
        ("counters", "update tenantry.usage_counters set total = total + 1 where metric = 'tokens' and not closed"),
        ("counters", "update tenantry.usage_counters set event_count = event_count + 1 where metric = 'calls' and not closed"),
        ("counters", "update tenantry.tenant_usage set amount = amount + 1 where idempotency_key = 'e'"),
        ("rollups", "update tenantry.usage_rollups set amount = amount + 0.000000001 where metric = 'calls'"),
        ("rollups", "delete from tenantry.usage_rollups where metric = 'calls'"),
        ("keys", "delete from tenantry.usage_keys where idempotency_key = 'e'"),
        ("keys", "insert into tenantry.usage_keys select tenant_id, 'ghost', content_hash, occurred_at, true, null, metric
                  from tenantry.usage_keys where idempotency_key = 'e'"),
        ("keys", "insert into tenantry.tenant_usage select * from tenantry.tenant_usage where idempotency_key = 'e'"),
        ("segments", "update tenantry.usage_segment_amounts set amount = amount + 1"),
        ("charges", "update tenantry.overage_charges set charge_amount_cents = charge_amount_cents + 1"),
        ("charges", "insert into tenantry.overage_charges
                     select tenant_id, metric, billing_period_start, sequence + 1, gen_random_uuid(), tenant_type, overage_amount,
                            charge_amount_cents, currency, inputs, state, created_at from tenantry.overage_charges"),
        ("audit_chain", "update tenantry.billing_events set created_at = created_at - interval '1 day' where sequence = 1"),
        ("audit_chain", "delete from tenantry.billing_events where sequence = 1"),
    ];
    for (book, damage) in cases {
        // The foreign key and row security are for those who behave; damage does not.
        world.admin.batch_execute("begin; set local session_replication_role = replica").await.unwrap();
        let touched = world.admin.execute(*damage, &[]).await.unwrap();
        assert!(touched > 0, "{damage}: touches nothing");
        world.admin.batch_execute("commit").await.unwrap();
        let found = world.differences().await;
        assert!(found.iter().any(|line| line.starts_with(book)), "{damage}: {found:?}");
        if restore(&world, damage).await {
            assert_eq!(world.differences().await, Vec::<String>::new(), "after {damage}");
        }
    }
}

/// Undoes one of the damages above; false for the last one, after which nothing comes.
async fn restore(world: &World, damage: &str) -> bool {
    let undo = match damage {
        d if d.contains("set total = total + 1") => {
            "update tenantry.usage_counters set total = total - 1 where metric = 'tokens' and not closed"
        }
        d if d.contains("event_count = event_count + 1") => {
            "update tenantry.usage_counters set event_count = event_count - 1 where metric = 'calls' and not closed"
        }
        d if d.contains("tenant_usage set amount") => {
            "update tenantry.tenant_usage set amount = amount - 1 where idempotency_key = 'e'"
        }
        d if d.contains("rollups set amount") => {
            "update tenantry.usage_rollups set amount = amount - 0.000000001 where metric = 'calls'"
        }
        d if d.contains("delete from tenantry.usage_rollups") => {
            "insert into tenantry.usage_rollups
             select tenant_id, metric, period_start, date_trunc('hour', occurred_at, 'UTC'),
                    coalesce(user_id, '00000000-0000-0000-0000-000000000000'), sum(amount), count(*)
             from tenantry.tenant_usage where metric = 'calls' group by 1, 2, 3, 4, 5"
        }
        d if d.contains("delete from tenantry.usage_keys") => {
            "insert into tenantry.usage_keys select tenant_id, 'e', content_hash, occurred_at, timestamp_given, null, 'tokens'
             from tenantry.usage_keys where idempotency_key = 'f'"
        }
        d if d.contains("'ghost'") => "delete from tenantry.usage_keys where idempotency_key = 'ghost'",
        d if d.contains("select * from tenantry.tenant_usage") => {
            "delete from tenantry.tenant_usage where ctid in
                 (select max(ctid) from tenantry.tenant_usage where idempotency_key = 'e') and idempotency_key = 'e'"
        }
        d if d.contains("segment_amounts") => "update tenantry.usage_segment_amounts set amount = amount - 1",
        d if d.contains("set charge_amount_cents") => {
            "update tenantry.overage_charges set charge_amount_cents = charge_amount_cents - 1"
        }
        d if d.contains("sequence + 1") => "delete from tenantry.overage_charges where sequence > 0",
        d if d.contains("interval '1 day'") => {
            "update tenantry.billing_events set created_at = created_at + interval '1 day' where sequence = 1"
        }
        _ => return false,
    };
    world.admin.batch_execute(undo).await.unwrap();
    true
}
