//! The proof of the books: counters are the sums of events, charges are the price of totals, each charge is
//! billed once, the audit chain is unbroken, nobody is without an owner.

use rust_decimal::Decimal;
use uuid::Uuid;

use super::charges::{Accrued, due};
use super::plans::PlanBook;
use super::spend::watch;
use crate::storage::usage::books::{self as rows, Difference};
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::{charges, spend};
use crate::storage::{Database, StoreError, Tx};
use crate::tenancy::audit;

/// Tenants that are proven in one snapshot.
const TENANTS_AT_ONCE: i64 = 200;

/// What a proof found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// Tenants that were looked at.
    pub tenants: usize,
    /// What does not add up; empty is good.
    pub differences: Vec<Difference>,
}

/// The kinds of books that are proven, as differences name them.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    rows::kinds().chain(["charges", "sure_limits", "audit_chain"])
}

/// Proves the books of every tenant, or of one.
pub async fn prove(db: &Database, only: Option<Uuid>) -> Result<Proof, StoreError> {
    let mut proof = Proof::default();
    let mut after = None;
    loop {
        let tenants = match only {
            Some(tenant) => vec![tenant],
            None => page(db, after).await?,
        };
        let Some(last) = tenants.last().copied() else {
            return Ok(proof);
        };
        // One snapshot for all books of a tenant: usage that goes on meanwhile is no difference.
        let tx = db.read_as_service("prove_books", &tenants).await?;
        proof.differences.extend(rows::differences(&tx, &tenants).await?);
        charges_are_prices(&tx, &tenants, &mut proof.differences).await?;
        bounds_follow_what_is_watched(&tx, &tenants, &mut proof.differences).await?;
        chains_are_whole(&tx, &tenants, &mut proof.differences).await?;
        tx.rollback().await?;
        proof.tenants += tenants.len();
        after = Some(last);
        if only.is_some() {
            return Ok(proof);
        }
    }
}

/// A page of tenants, deleted ones too, in order after `after`.
pub(super) async fn page(db: &Database, after: Option<Uuid>) -> Result<Vec<Uuid>, StoreError> {
    let tx = db.read_as_service("list_tenants", &[]).await?;
    let tenants = rows::all_tenants(&tx, after, TENANTS_AT_ONCE).await?;
    tx.rollback().await?;
    Ok(tenants)
}

/// The charges of each closed counter add up to the rounded price of its total.
async fn charges_are_prices(tx: &Tx, tenants: &[Uuid], found: &mut Vec<Difference>) -> Result<(), StoreError> {
    let mut plans = PlanBook::default();
    for counter in rows::closed_counters(tx, tenants).await? {
        let key = (counter.tenant_id, counter.metric.as_str(), counter.period_start);
        let due = due(tx, &counter, &mut plans).await?;
        let charged = charges::charged(tx, key).await?;
        found.extend(unpriced("charges", &counter, counter.total, &due, charged.amount_minor));
    }
    Ok(())
}

/// The difference between what a counter was charged and what a total costs, where there is one.
pub(super) fn unpriced(
    book: &'static str,
    counter: &CounterRow,
    total: Decimal,
    due: &Accrued,
    charged_minor: i64,
) -> Option<Difference> {
    let detail = || {
        format!(
            "{} in the period from {}: charged {charged_minor}, the price of {total} is {} (minor units of {})",
            counter.metric, counter.period_start, due.amount_minor, due.currency
        )
    };
    (due.amount_minor != charged_minor).then(|| Difference { tenant_id: counter.tenant_id, book, detail: detail() })
}

/// Counters of open periods are judged by their limits alone up to where a spend cap or alert has a say, no further.
async fn bounds_follow_what_is_watched(
    tx: &Tx,
    tenants: &[Uuid],
    found: &mut Vec<Difference>,
) -> Result<(), StoreError> {
    let shown = |bound: Option<Decimal>| bound.map_or_else(|| "no bound".to_owned(), |bound| bound.to_string());
    let counters = spend::open_counters(tx, tenants).await?;
    let watches = watch::of_tenants(tx, tenants).await?;
    for due in watch::misbounded(tx, &watches, &counters).await? {
        let key = (due.tenant_id, due.metric.as_str(), due.period_start);
        let is_same = |counter: &&CounterRow| (counter.tenant_id, counter.metric.as_str(), counter.period_start) == key;
        let written = counters.iter().find(is_same).and_then(|counter| counter.sure_limit);
        found.push(Difference {
            tenant_id: due.tenant_id,
            book: "sure_limits",
            detail: format!(
                "{} in the period from {}: the counter has {}, its spend caps and alerts ask for {}",
                due.metric,
                due.period_start,
                shown(written),
                shown(due.sure_limit)
            ),
        });
    }
    Ok(())
}

async fn chains_are_whole(tx: &Tx, tenants: &[Uuid], found: &mut Vec<Difference>) -> Result<(), StoreError> {
    for tenant in tenants {
        if let audit::Verdict::Broken(link) = audit::verify(tx, *tenant).await? {
            found.push(Difference { tenant_id: *tenant, book: "audit_chain", detail: link.to_string() });
        }
    }
    Ok(())
}
