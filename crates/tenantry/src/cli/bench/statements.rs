//! The statements of recording by themselves: the bound of what recording can reach on this database. Row security,
//! keys, exact decimals, counters with their guard, rollups, commit; but nothing is looked up, nothing decided.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::measure::{Names, Work};
use super::ways::GROUP;
use crate::begin_with;
use crate::cli::Failure;
use crate::env::Env;
use crate::storage::Database;
use crate::storage::usage::commit::{self, CounterColumns, EventColumns, KeyColumns, Last, RollupColumns};
use crate::storage::usage::facts::{self, CounterRow};

/// One connection that writes groups of events.
pub(super) struct Statements {
    db: Database,
    env: Env,
    counters: HashMap<Uuid, CounterRow>,
    tenants: Arc<[Uuid]>,
    names: Names,
    metadata: serde_json::Value,
}

impl Statements {
    /// Reads the counters, which stay what they are but for their totals.
    pub(super) async fn new(
        db: Database,
        env: Env,
        metric: &str,
        tenants: Arc<[Uuid]>,
        names: Names,
    ) -> Result<Self, Failure> {
        let now = env.clock.now();
        let tx = db.read_as_service("bench_counters", &tenants).await?;
        let (metrics, at) = (vec![metric; tenants.len()], vec![now; tenants.len()]);
        let counters = facts::counters(&tx, &tenants, &metrics, &at, &at).await?;
        tx.rollback().await?;
        let counters: HashMap<Uuid, CounterRow> =
            counters.into_iter().map(|counter| (counter.tenant_id, counter)).collect();
        Ok(Self { db, env, counters, tenants, names, metadata: serde_json::json!({}) })
    }

    /// A group's tenants and keys, sorted as the database locks them, with no key twice.
    fn group(&mut self) -> Vec<(Uuid, String)> {
        let mut last = 0;
        let mut rows: Vec<(Uuid, String)> = (0..GROUP)
            .map(|_| {
                let key = self.names.key();
                if !self.names.is_repetition() {
                    last = self.names.pick(self.tenants.len());
                }
                (self.tenants.get(last).copied().unwrap_or_default(), key)
            })
            .collect();
        rows.sort();
        rows.dedup();
        rows
    }

    async fn write(&self, rows: &[(Uuid, String)]) -> Option<()> {
        let now = self.env.clock.now();
        let mut keys = KeyColumns::default();
        let mut last = Columns::default();
        for (tenant, key) in rows {
            let counter = self.counters.get(tenant)?;
            keys.tenant_id.push(*tenant);
            keys.key.push(key);
            keys.content_hash.push(*tenant);
            keys.occurred_at.push(now);
            keys.timestamp_given.push(false);
            keys.metric.push(&counter.metric);
            last.add(counter, key, (self.env.ids.uuid_v7(now), now), &self.metadata);
        }
        let mut tenants = keys.tenant_id.clone();
        tenants.dedup();
        let (tx, claimed) =
            begin_with!(self.db, "bench_statements", &tenants, |tx| commit::claim_keys(tx, &keys)).ok()?;
        if !claimed.ok()?.is_empty() {
            return None;
        }
        let ceiling = Quantity::TOTAL_CEILING.as_decimal();
        commit::write_last(tx, &last.sorted(), ceiling, now).await.ok().map(|_| ())
    }
}

impl Work for Statements {
    async fn once(&mut self) -> Option<u64> {
        let rows = self.group();
        self.write(&rows).await?;
        // With those that would have been repeated, as in the other lines.
        Some(GROUP as u64)
    }
}

/// What a group writes, collected event by event.
#[derive(Default)]
struct Columns<'a> {
    events: EventColumns<'a>,
    counters: CounterColumns<'a>,
    rollups: RollupColumns<'a>,
}

impl<'a> Columns<'a> {
    fn add(
        &mut self,
        counter: &'a CounterRow,
        key: &'a str,
        (id, now): (Uuid, Timestamp),
        metadata: &'a serde_json::Value,
    ) {
        let tenant = counter.tenant_id;
        let events = &mut self.events;
        events.tenant_id.push(tenant);
        events.key.push(key);
        events.occurred_at.push(now);
        events.id.push(id);
        events.user_id.push(None);
        events.metric.push(&counter.metric);
        events.amount.push(Decimal::ONE);
        events.period_start.push(counter.period_start);
        events.period_end.push(counter.period_end);
        events.kind.push("usage");
        events.reverses.push(None);
        events.metadata.push(metadata);
        if self.counters.tenant_id.last() == Some(&tenant) {
            for amount in self.counters.amount.last_mut().into_iter().chain(self.rollups.amount.last_mut()) {
                *amount += Decimal::ONE;
            }
            for count in self.counters.event_count.last_mut().into_iter().chain(self.rollups.event_count.last_mut()) {
                *count += 1;
            }
            return;
        }
        self.counters.tenant_id.push(tenant);
        self.counters.metric.push(&counter.metric);
        self.counters.period_start.push(counter.period_start);
        self.counters.period_end.push(counter.period_end);
        self.counters.segment_sequence.push(counter.segment_sequence);
        self.counters.amount.push(Decimal::ONE);
        self.counters.event_count.push(1);
        let hour = now.as_second().div_euclid(3600) * 3600;
        self.rollups.tenant_id.push(tenant);
        self.rollups.metric.push(&counter.metric);
        self.rollups.period_start.push(counter.period_start);
        self.rollups.hour.push(Timestamp::from_second(hour).unwrap_or(now));
        self.rollups.user_id.push(Uuid::nil());
        self.rollups.amount.push(Decimal::ONE);
        self.rollups.event_count.push(1);
    }

    /// Rows come sorted by tenant, so everything is.
    fn sorted(self) -> Last<'a> {
        Last { events: self.events, counters: self.counters, rollups: self.rollups }
    }
}
