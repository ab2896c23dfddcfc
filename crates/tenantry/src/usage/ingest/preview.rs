//! What events would do, told without doing it: the real decision in a transaction that is rolled back.
//!
//! Counters are locked first, in order, then read, decided on and read again. So the figures are exact for that moment,
//! whatever else is recorded meanwhile, and nothing of it stays: no refusal, no notice, no charge. Only a period or
//! counter that was missing is opened at 0, as a check does.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::super::charges;
use super::super::event::NewEvent;
use super::super::outcome::{Outcome, SubmitError};
use super::super::plans::PlanBook;
use super::facts::{self, Facts, Need};
use super::group::{ATTEMPTS, Member, Missing, Recorder, Tried};
use super::prepare::Prepared;
use super::repeats;
use super::spend::{self, CounterKey};
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::{charges as charge_rows, commit};
use crate::storage::{StoreError, Tx};
use crate::tenancy::Actor;

/// What events would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// What would become of each, in order.
    pub outcomes: Vec<Outcome>,
    /// The periods that they fall in, by metric and start.
    pub periods: Vec<PeriodPreview>,
}

/// What events would do to one metric in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodPreview {
    /// The metric.
    pub metric: String,
    /// First instant of the period.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    /// Its books are closed: a change is charged or credited at once.
    pub closed: bool,
    /// Before the tenant was here: priced for display, never billed.
    pub historic: bool,
    /// Total before and after.
    pub total: [Quantity; 2],
    /// What it costs before and after, in minor units of the currency.
    pub cost_minor: [i64; 2],
    /// ISO 4217, lower case.
    pub currency: String,
    /// The adjustment that would be written, in minor units; none where the period is not closed, 0 where none is due.
    pub adjustment_minor: Option<i64>,
}

/// How a try ended. Nothing was written.
enum Looked {
    Done(Preview),
    Again,
    Missing(Missing),
}

/// Where a counter stands.
struct Standing {
    counter: CounterRow,
    cost_minor: i64,
    currency: String,
    charged_minor: i64,
}

impl Recorder {
    /// Tells what events of one caller would do. Nothing is recorded; the events' counters are locked meanwhile.
    pub async fn preview(&self, actor: Actor, events: &[NewEvent]) -> Result<Preview, SubmitError> {
        let group: Vec<Member<'_>> = events.iter().map(|event| (&actor, event)).collect();
        self.previewed(&group).await.map_err(|error| {
            tracing::warn!(%error, events = events.len(), "usage could not be previewed");
            if error.is_unavailable() || error.is_retryable() {
                SubmitError::Unavailable
            } else {
                SubmitError::Internal
            }
        })
    }

    async fn previewed(&self, group: &[Member<'_>]) -> Result<Preview, StoreError> {
        let tenants: Vec<Uuid> =
            group.iter().map(|(_, event)| event.tenant_id).collect::<BTreeSet<_>>().into_iter().collect();
        for attempt in 0..ATTEMPTS {
            let tx = self.db.begin("preview_usage", &tenants).await?;
            let looked = self.look(&tx, group).await;
            tx.rollback().await?;
            match looked {
                Ok(Looked::Done(preview)) => return Ok(preview),
                Ok(Looked::Again) => {}
                Ok(Looked::Missing(missing)) => self.make(&missing).await?,
                Err(error) => self.step_back(error, attempt).await?,
            }
        }
        Err(StoreError::Unavailable(format!("a preview of usage found no calm moment in {ATTEMPTS} tries")))
    }

    /// Locks, reads, decides and reads again, in a transaction that is not to be committed.
    async fn look(&self, tx: &Tx, group: &[Member<'_>]) -> Result<Looked, StoreError> {
        let needs: Vec<Need<'_>> = group.iter().map(|(actor, event)| Need::of(actor, event)).collect();
        let mut facts = facts::read(tx, &needs, self.env.clock.now()).await?;
        let hashes: Vec<Uuid> = group.iter().map(|(_, event)| event.content_hash()).collect();
        let mut sorted = self.prepare_all(group, &hashes, &facts);
        let months = self.unknown_months(&sorted.ready);
        if !sorted.missing.is_empty() || !months.is_empty() {
            return Ok(Looked::Missing(Missing { counters: sorted.missing, months }));
        }
        if !sorted.repeats_only.is_empty() {
            repeats::find(tx, sorted.repeats_only, group, &mut sorted.ready, &mut sorted.outcomes, &mut facts).await?;
        }
        let keys = Keys::of(&sorted.ready, &facts);
        // Whatever the decision locks is locked from the beginning, so that all of it is in order.
        let beside = spend::counters_beside(tx, &spend::periods_of(&sorted.ready, &facts)).await?;
        keys.and(beside).lock(tx).await?;
        let locked = keys.lock(tx).await?;
        if !keys.hold(&locked, &sorted.ready, &facts) {
            return Ok(Looked::Again);
        }
        let before = standings(tx, locked).await?;
        let outcomes = match self.decide_under_locks(tx, group).await? {
            Tried::Done(outcomes) => outcomes.into_iter().flatten().collect(),
            Tried::Missing(missing) => return Ok(Looked::Missing(missing)),
            Tried::Again | Tried::NeedsLocks | Tried::TooEarly => return Ok(Looked::Again),
        };
        let after = standings(tx, keys.lock(tx).await?).await?;
        let periods = before.into_iter().zip(after).map(|(before, after)| PeriodPreview::of(&before, after)).collect();
        Ok(Looked::Done(Preview { outcomes, periods }))
    }
}

/// The counters that events fall in, in key order.
struct Keys(Vec<(Uuid, String, Timestamp)>);

impl Keys {
    fn of(ready: &[Prepared], facts: &Facts) -> Self {
        let key = |event: &Prepared| {
            let counter = &facts.counters[event.counter];
            (counter.tenant_id, counter.metric.clone(), counter.period_start)
        };
        Self(ready.iter().map(key).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// These and others, in key order.
    fn and(&self, others: Vec<CounterKey>) -> Self {
        Self(self.0.iter().cloned().chain(others).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// Locks them and reads them as they are in this transaction.
    async fn lock(&self, tx: &Tx) -> Result<Vec<CounterRow>, StoreError> {
        let tenants: Vec<Uuid> = self.0.iter().map(|key| key.0).collect();
        let metrics: Vec<&str> = self.0.iter().map(|key| key.1.as_str()).collect();
        let starts: Vec<Timestamp> = self.0.iter().map(|key| key.2).collect();
        commit::lock_counters(tx, &tenants, &metrics, &starts).await
    }

    /// Whether each event still falls in the counter that was locked for it.
    fn hold(&self, locked: &[CounterRow], ready: &[Prepared], facts: &Facts) -> bool {
        let ends = |event: &Prepared| {
            let found = &facts.counters[event.counter];
            locked.iter().any(|counter| {
                counter.metric == found.metric
                    && counter.tenant_id == found.tenant_id
                    && counter.period_start == found.period_start
                    && event.place() < counter.period_end
            })
        };
        locked.len() == self.0.len() && ready.iter().all(ends)
    }
}

/// What counters cost as this transaction sees them, and what they were charged.
async fn standings(tx: &Tx, counters: Vec<CounterRow>) -> Result<Vec<Standing>, StoreError> {
    let mut plans = PlanBook::default();
    let mut standings = Vec::with_capacity(counters.len());
    for counter in counters {
        let due = charges::due(tx, &counter, &mut plans).await?;
        let key = (counter.tenant_id, counter.metric.as_str(), counter.period_start);
        let charged_minor = charge_rows::charged(tx, key).await?.amount_minor;
        standings.push(Standing { cost_minor: due.amount_minor, currency: due.currency, charged_minor, counter });
    }
    Ok(standings)
}

impl PeriodPreview {
    fn of(before: &Standing, after: Standing) -> Self {
        let total = |standing: &Standing| Quantity::from_decimal(standing.counter.total);
        let adjustment = after.charged_minor - before.charged_minor;
        Self {
            start: after.counter.period_start,
            end: after.counter.period_end,
            closed: after.counter.closed,
            historic: after.counter.historic,
            total: [total(before), total(&after)],
            cost_minor: [before.cost_minor, after.cost_minor],
            adjustment_minor: after.counter.closed.then_some(adjustment),
            currency: after.currency,
            metric: after.counter.metric,
        }
    }
}
