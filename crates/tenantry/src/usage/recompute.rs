//! Charges against the raw events: what closed periods cost is reckoned again from the rows of usage, not from counters: sums
//! are added up, any other figure is made anew by its definition.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::charges::accrue;
use super::month::Month;
use super::plans::PlanBook;
use super::{books, explain, raw};
use crate::storage::usage::books::Difference;
use crate::storage::usage::recorded::{self, ChargedCounter};
use crate::storage::usage::segments;
use crate::storage::{Database, StoreError, Tx};

/// The book that differences are named by.
pub const BOOK: &str = "raw_charges";

/// What is reckoned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The counter of one charge, with all its charges.
    Charge(Uuid),
    /// Every closed period, of one tenant or all, in one month or all.
    Periods(Option<Uuid>, Option<Month>),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recomputed {
    /// Counters that were reckoned again.
    pub counters: u64,
    /// Events that were read for that.
    pub events: u64,
    /// Counters of which events were taken out of the table, by the first month (UTC) that is not there.
    pub archived: BTreeMap<String, u64>,
    /// What does not add up; empty is good.
    pub differences: Vec<Difference>,
}

/// Reckons again, tenants by pages, each page in one snapshot; none where there is no such charge. Events are counted
/// by the database, so memory stays flat.
pub async fn recompute(db: &Database, scope: Scope) -> Result<Option<Recomputed>, StoreError> {
    let mut found = Recomputed::default();
    let (only, month) = match scope {
        Scope::Periods(only, month) => (only, month),
        Scope::Charge(id) => {
            let Some(charge) = explain::find(db, None, id).await? else { return Ok(None) };
            let tx = db.read_as_service("recompute_charge", &[charge.tenant_id]).await?;
            let at = (
                Some(charge.period_start),
                charge.period_start.saturating_add(jiff::SignedDuration::from_micros(1)).ok(),
            );
            let counters = recorded::counters(&tx, &[charge.tenant_id], at).await?;
            let own = counters.into_iter().filter(|row| row.counter.metric == charge.metric);
            found.add(&tx, own).await?;
            tx.rollback().await?;
            return Ok(Some(found));
        }
    };
    let starts = (month.map(|month| month.start), month.map(|month| month.end));
    let mut after = None;
    loop {
        let tenants = match only {
            Some(tenant) => vec![tenant],
            None => books::page(db, after).await?,
        };
        let Some(last) = tenants.last().copied() else { return Ok(Some(found)) };
        let tx = db.read_as_service("recompute_charges", &tenants).await?;
        let counters = recorded::counters(&tx, &tenants, starts).await?;
        found.add(&tx, counters.into_iter()).await?;
        tx.rollback().await?;
        after = Some(last);
        if only.is_some() {
            return Ok(Some(found));
        }
    }
}

impl Recomputed {
    async fn add(&mut self, tx: &Tx, counters: impl Iterator<Item = ChargedCounter>) -> Result<(), StoreError> {
        let mut plans = PlanBook::default();
        for ChargedCounter { counter, charged_minor } in counters.filter(|row| row.counter.closed) {
            let segments = segments::segments_of(tx, &[counter.tenant_id], &[counter.period_start]).await?;
            let key = (counter.tenant_id, counter.metric.as_str(), counter.period_start);
            let aggregation = counter.tallied()?.unwrap_or_default();
            let used = raw::by_segment(tx, key, &segments, &aggregation).await?;
            if let Some(month) = used.archived.first() {
                *self.archived.entry(month.clone()).or_default() += 1;
                continue;
            }
            let versions: BTreeSet<(String, i32)> =
                segments.iter().map(|segment| (segment.plan_id.clone(), segment.plan_version)).collect();
            plans.fetch(tx, versions).await?;
            let total = used.total();
            let due = accrue(total, &counter.metric, &segments, &used.amounts(), &plans)?;
            self.counters += 1;
            self.events += used.used.iter().map(|(_, sum)| sum.events.unsigned_abs()).sum::<u64>();
            self.differences.extend(books::unpriced(BOOK, &counter, total, &due, charged_minor));
        }
        Ok(())
    }
}
