//! The same work without the server: the full ingest without HTTP, COPY, and what applications usually do.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tenantry_domain::quantity::Quantity;
use tokio_postgres::Client;
use uuid::Uuid;

use super::measure::{Names, Work};
use crate::env::Clock;
use crate::storage::bench::{self, Naive, Single};
use crate::tenancy::Actor;
use crate::usage::event::{Content, NewEvent};
use crate::usage::ingest::Recorder;
use crate::usage::outcome::Outcome;

/// Events that are committed together where HTTP is left out.
pub(super) const GROUP: usize = 1000;

/// What each event counts.
fn one() -> Quantity {
    Quantity::from_decimal(rust_decimal::Decimal::ONE)
}

/// The full ingest statement without HTTP: row security, exact decimals, rollups, limits.
pub(super) struct Direct {
    pub(super) recorder: Recorder,
    pub(super) clock: Clock,
    pub(super) actor: Actor,
    pub(super) metric: Arc<str>,
    pub(super) tenants: Arc<[Uuid]>,
    pub(super) names: Names,
}

impl Work for Direct {
    async fn once(&mut self) -> Option<u64> {
        let now = self.clock.now();
        let mut last = 0;
        let events: Vec<NewEvent> = (0..GROUP)
            .map(|_| {
                let key = self.names.key();
                if !self.names.is_repetition() {
                    last = self.names.pick(self.tenants.len());
                }
                NewEvent {
                    team_id: None,
                    tenant_id: self.tenants.get(last).copied().unwrap_or_default(),
                    key,
                    content: Content::Usage { metric: self.metric.to_string(), amount: one() },
                    timestamp: None,
                    received_at: now,
                    user_id: None,
                    metadata: serde_json::Map::new(),
                }
            })
            .collect();
        let answers = self.recorder.record(self.actor, &events).await;
        let is_counted =
            |answer: &Result<Outcome, _>| matches!(answer, Ok(Outcome::Accepted(_) | Outcome::Duplicate(_)));
        answers.iter().all(is_counted).then_some(events.len() as u64)
    }
}

/// COPY into twins of the tables that have no forced row security: nothing is decided, nothing counted.
pub(super) struct Copy {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) tenants: Arc<[Uuid]>,
    pub(super) names: Names,
}

impl Work for Copy {
    async fn once(&mut self) -> Option<u64> {
        let mut rows: Vec<(Uuid, String)> = (0..GROUP)
            .map(|_| {
                let mut key = self.names.key();
                if self.names.is_repetition() {
                    // COPY cannot leave a row out.
                    key.push('r');
                }
                let tenant = self.names.pick(self.tenants.len());
                (self.tenants.get(tenant).copied().unwrap_or_default(), key)
            })
            .collect();
        rows.sort();
        bench::copy(&mut self.client, &rows, self.clock.now()).await.ok()
    }
}

/// Insert, then sum the period, for each event.
pub(super) struct NaiveWay {
    pub(super) naive: Naive,
    pub(super) clock: Clock,
    pub(super) tenant: Uuid,
    pub(super) names: Names,
}

impl Work for NaiveWay {
    async fn once(&mut self) -> Option<u64> {
        let (now, key) = (self.clock.now(), self.names.key());
        let period = around(now)?;
        self.naive.record((self.tenant, &key), now, period).await.ok()?.map(|_| 1)
    }
}

fn around(now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let half = SignedDuration::from_hours(24 * 15);
    Some((now.checked_sub(half).ok()?, now.checked_add(half).ok()?))
}

/// A guarded counter in a transaction of its own, for each event.
pub(super) struct SingleWay {
    pub(super) single: Single,
    pub(super) clock: Clock,
    pub(super) tenant: Uuid,
    pub(super) names: Names,
}

impl Work for SingleWay {
    async fn once(&mut self) -> Option<u64> {
        let (now, key) = (self.clock.now(), self.names.key());
        self.single.record(self.tenant, &key, now).await.ok()?.then_some(1)
    }
}
