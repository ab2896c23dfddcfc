//! What overage costs: exact prices over segments, rounded once, written as charges.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::plan::MetricTerms;
use tenantry_domain::pricing::{SegmentUse, accrued};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::plans::PlanBook;
use crate::env::Env;
use crate::storage::jobs::{self, NewJob};
use crate::storage::usage::charges::{self, NewCharge};
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::open::SegmentRow;
use crate::storage::usage::{commit, segments};
use crate::storage::{StoreError, Tx};

/// Charged in this currency where a plan has overage but no price of its own.
pub const FALLBACK_CURRENCY: &str = "usd";

/// Kind of the jobs that bring charges onto an invoice.
pub const BILL_JOB: &str = "bill_overage";

/// What a counter's period has cost so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accrued {
    /// Minor units of the currency, rounded half even.
    pub amount_minor: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Quantity that it is for: what each segment used above what the plan that prices it includes.
    pub overage: Decimal,
    /// What it was computed from.
    pub inputs: serde_json::Value,
}

/// Accrued overage of one counter: a function of its segments and their totals, never a sum of events.
///
/// `segments` are those of the counter's period in order; `ended` what was used in those that have ended.
pub fn accrue(
    total: Decimal,
    metric: &str,
    segments: &[SegmentRow],
    ended: &[(i32, Decimal)],
    plans: &PlanBook,
) -> Result<Accrued, StoreError> {
    let mut uses = Vec::with_capacity(segments.len());
    let mut inputs = Vec::with_capacity(segments.len());
    let mut currency = None;
    let mut overage = Decimal::ZERO;
    for (segment, (start, reached)) in segments.iter().zip(totals(total, segments, ended)) {
        let plan = plans.get(&segment.plan_id, segment.plan_version)?;
        currency = plan.currency().map(|code| code.to_string()).or(currency);
        let terms = plans.metric(&segment.plan_id, segment.plan_version, metric)?;
        overage += above(terms, reached) - above(terms, start);
        uses.push(SegmentUse {
            terms,
            total_at_start: Quantity::from_decimal(start),
            total_at_end: Quantity::from_decimal(reached),
        });
        inputs.push(serde_json::json!({
            "sequence": segment.sequence,
            "planId": segment.plan_id,
            "planVersion": segment.plan_version,
            "totalAtStart": Quantity::from_decimal(start),
            "totalAtEnd": Quantity::from_decimal(reached),
            "overage": terms.and_then(|terms| terms.overage.as_ref()),
        }));
    }
    let exact = accrued(&uses);
    let amount_minor = exact.round_half_even().map_err(|error| StoreError::corrupt("price", error))?;
    Ok(Accrued {
        amount_minor,
        currency: currency.unwrap_or_else(|| FALLBACK_CURRENCY.to_owned()),
        overage: overage.max(Decimal::ZERO),
        inputs: serde_json::json!({ "segments": inputs, "exactMinor": exact.to_string() }),
    })
}

/// Total of a counter when each of its segments began and when it ended; the last one has what the others leave.
pub fn totals(total: Decimal, segments: &[SegmentRow], ended: &[(i32, Decimal)]) -> Vec<(Decimal, Decimal)> {
    let mut reached = Decimal::ZERO;
    let used = |segment: &SegmentRow| -> Decimal {
        ended.iter().filter(|(sequence, _)| *sequence == segment.sequence).map(|(_, sum)| *sum).sum()
    };
    let bounds = |(position, segment): (usize, &SegmentRow)| {
        let start = reached;
        reached = if position + 1 == segments.len() { total } else { start + used(segment) };
        (start, reached)
    };
    segments.iter().enumerate().map(bounds).collect()
}

/// What of a total is above the included quantity and costs something.
fn above(terms: Option<&MetricTerms>, total: Decimal) -> Decimal {
    let included = terms.filter(|terms| terms.overage.is_some()).and_then(MetricTerms::included);
    included.map_or(Decimal::ZERO, |included| (total - included.as_decimal()).max(Decimal::ZERO))
}

/// What a counter's total costs, with its segments as they are in the database.
pub async fn due(tx: &Tx, counter: &CounterRow, plans: &mut PlanBook) -> Result<Accrued, StoreError> {
    let key = (counter.tenant_id, counter.metric.as_str(), counter.period_start);
    let segments = segments::segments_of(tx, &[key.0], &[key.2]).await?;
    plans.fetch(tx, segments.iter().map(|segment| (segment.plan_id.clone(), segment.plan_version))).await?;
    let ended: Vec<(i32, Decimal)> = segments::segment_amounts_of(tx, &[key.0], &[key.1], &[key.2])
        .await?
        .into_iter()
        .map(|(_, sequence, amount)| (sequence, amount))
        .collect();
    accrue(counter.total, &counter.metric, &segments, &ended, plans)
}

/// Brings the charges of those of these locked counters whose period is closed to what they cost as they are now.
pub async fn adjust_closed(tx: &Tx, counters: &[CounterRow], env: &Env, now: Timestamp) -> Result<(), StoreError> {
    let closed: Vec<&CounterRow> = counters.iter().filter(|counter| counter.closed).collect();
    if closed.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = closed.iter().map(|counter| counter.tenant_id).collect();
    let metrics: Vec<&str> = closed.iter().map(|counter| counter.metric.as_str()).collect();
    let starts: Vec<Timestamp> = closed.iter().map(|counter| counter.period_start).collect();
    let mut plans = PlanBook::default();
    for counter in commit::lock_counters(tx, &tenants, &metrics, &starts).await? {
        adjust(tx, &counter, &mut plans, env, now).await?;
    }
    Ok(())
}

/// Brings the charges of a locked counter of a closed period to what its total costs: one more charge of
/// `round(price(total)) - charges so far`, or none. Historic periods are never charged.
pub async fn adjust(
    tx: &Tx,
    counter: &CounterRow,
    plans: &mut PlanBook,
    env: &Env,
    now: Timestamp,
) -> Result<(), StoreError> {
    let accrued = due(tx, counter, plans).await?;
    let so_far = charges::charged(tx, (counter.tenant_id, &counter.metric, counter.period_start)).await?;
    let difference = accrued.amount_minor - so_far.amount_minor;
    if difference == 0 {
        return Ok(());
    }
    let mut inputs = accrued.inputs;
    inputs["total"] = Quantity::from_decimal(counter.total).to_string().into();
    inputs["chargedBefore"] = so_far.amount_minor.into();
    let charge = NewCharge {
        tenant_id: counter.tenant_id,
        metric: counter.metric.clone(),
        period_start: counter.period_start,
        sequence: so_far.next_sequence,
        id: env.ids.uuid_v7(now),
        overage: accrued.overage,
        amount_minor: difference,
        currency: accrued.currency,
        inputs,
    };
    charges::insert(tx, &charge, now).await?;
    let job = NewJob {
        id: env.ids.uuid_v7(now),
        dedupe_key: format!("charge {}", charge.id),
        payload: &serde_json::Value::Object(serde_json::Map::new()),
    };
    jobs::insert(tx, charge.tenant_id, BILL_JOB, &[job], now).await
}
