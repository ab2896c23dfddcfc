//! Where a charge comes from: its stored inputs, priced again line by line, beside what the events say now.
//!
//! Inputs are what was true when the charge was made. Late usage and corrections change the counter later and make
//! charges of their own; they never change this one.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use tenantry_domain::plan::{Allowance, MetricTerms, OverageTerms};
use tenantry_domain::pricing::{ExactMinor, PriceLine, SegmentUse, lines};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::books;
use super::plans::PlanBook;
use super::raw::{self, Raw};
use crate::storage::usage::raw::{self as events, EventRow};
use crate::storage::usage::recorded::{self, ChargeRow};
use crate::storage::{Database, StoreError, Tx};

/// A charge with all that it was reckoned from.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The charge.
    pub charge: ChargeRow,
    /// What each segment of the period added, as it was then.
    pub segments: Vec<ExplainedSegment>,
    /// Total of the period, as it was then.
    pub total: Quantity,
    /// What the segments add up to, never less than nothing; not rounded.
    pub sum: ExactMinor,
    /// The same in whole minor units, rounded half to even.
    pub rounded_minor: i64,
    /// What charges before this one add up to.
    pub charged_before_minor: i64,
    /// Whether the arithmetic comes to the stored sum and to the amount of the charge.
    pub holds: bool,
    /// The events as they are now.
    pub events: Events,
    /// What came after it.
    pub since: Since,
}

/// What one segment of a period added.
#[derive(Debug, Clone)]
pub struct ExplainedSegment {
    /// Position in the period, from 0.
    pub sequence: i32,
    /// The plan that prices it.
    pub plan_id: String,
    /// And the version of it.
    pub plan_version: i32,
    /// Total of the period when it began.
    pub total_at_start: Quantity,
    /// Total of the period when it ended, or when the charge was made.
    pub total_at_end: Quantity,
    /// Terms of the metric; none where the plan does not name it.
    pub terms: Option<MetricTerms>,
    /// The price of the total at its end.
    pub at_end: Vec<PriceLine>,
    /// The price of the total at its start, which is taken off.
    pub at_start: Vec<PriceLine>,
    /// The one less the other.
    pub amount: ExactMinor,
}

/// The events of the charge's metric and period, as they are now.
#[derive(Debug, Clone)]
pub struct Events {
    /// How many there are, corrections included.
    pub count: i64,
    /// How many of them are corrections.
    pub corrections: i64,
    /// What they add up to, or what else the metric's aggregation makes of them.
    pub total: Decimal,
    /// The first by timestamp and key.
    pub first: Option<EventRow>,
    /// The last.
    pub last: Option<EventRow>,
    /// See [`raw::digest`]; none where there are too many, or some were taken out of the table.
    pub digest: Option<[u8; 32]>,
    /// Months (UTC) whose events were taken out of the table; what is said here is then of the rest.
    pub archived: Vec<String>,
}

/// What came after a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The counter's total by the events that are there now; none where events were taken out of the table.
    pub total: Option<Quantity>,
    /// Charges of the same metric and period that came later.
    pub adjustments: i64,
    /// What all charges of that metric and period add up to.
    pub charged_minor: i64,
}

/// The inputs as `charges::accrue` and `charges::adjust` write them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    segments: Vec<SegmentInput>,
    exact_minor: String,
    total: Quantity,
    charged_before: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SegmentInput {
    sequence: i32,
    plan_id: String,
    plan_version: i32,
    total_at_start: Quantity,
    total_at_end: Quantity,
    overage: Option<OverageTerms>,
}

/// The versions of plans that a charge was priced by, each once, in order.
pub fn plan_versions(charge: &ChargeRow) -> Result<Vec<(String, i32)>, StoreError> {
    let mut versions = Vec::new();
    for segment in inputs(charge)?.segments {
        let version = (segment.plan_id, segment.plan_version);
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    Ok(versions)
}

/// A charge wherever it is, or of one tenant; none where there is none.
pub async fn find(db: &Database, only: Option<Uuid>, id: Uuid) -> Result<Option<ChargeRow>, StoreError> {
    let mut after = None;
    loop {
        let tenants = match only {
            Some(tenant) => vec![tenant],
            None => books::page(db, after).await?,
        };
        let Some(last) = tenants.last().copied() else { return Ok(None) };
        let tx = db.read_as_service("find_charge", &tenants).await?;
        let found = recorded::charge(&tx, &tenants, id).await?;
        tx.rollback().await?;
        after = Some(last);
        if found.is_some() || only.is_some() {
            return Ok(found);
        }
    }
}

/// Explains a charge of a tenant, as far as the transaction may see it; none where it sees none. Up to `most_digested`
/// events get a digest.
pub async fn explain(tx: &Tx, tenant: Uuid, id: Uuid, most_digested: i64) -> Result<Option<Explanation>, StoreError> {
    let Some(charge) = recorded::charge(tx, &[tenant], id).await? else { return Ok(None) };
    let inputs = inputs(&charge)?;
    let mut plans = PlanBook::default();
    let versions = inputs.segments.iter().map(|segment| (segment.plan_id.clone(), segment.plan_version));
    plans.fetch(tx, versions).await?;
    let mut segments = Vec::with_capacity(inputs.segments.len());
    for segment in inputs.segments {
        segments.push(explained(segment, &charge.metric, &plans)?);
    }
    let sum = segments.iter().map(|segment| segment.amount.clone()).sum::<ExactMinor>().or_nothing();
    let rounded_minor = sum.round_half_even().map_err(|error| StoreError::corrupt("price", error))?;
    let holds = sum.to_string() == inputs.exact_minor && rounded_minor - inputs.charged_before == charge.amount_minor;
    let key = (charge.tenant_id, charge.metric.as_str(), charge.period_start);
    let within = (charge.period_start, charge.period_end);
    let (events, total) = events_of(tx, key, within, most_digested).await?;
    let (adjustments, charged_minor) = recorded::since(tx, &charge).await?;
    Ok(Some(Explanation {
        segments,
        total: inputs.total,
        sum,
        rounded_minor,
        charged_before_minor: inputs.charged_before,
        holds,
        events,
        since: Since { total, adjustments, charged_minor },
        charge,
    }))
}

fn inputs(charge: &ChargeRow) -> Result<Inputs, StoreError> {
    serde_json::from_value(charge.inputs.clone()).map_err(|error| StoreError::corrupt("inputs of a charge", error))
}

/// A segment with its price. Rates are those that the charge was priced with; what is included is in the version of the
/// plan, which never changes.
fn explained(segment: SegmentInput, metric: &str, plans: &PlanBook) -> Result<ExplainedSegment, StoreError> {
    let terms = plans.metric(&segment.plan_id, segment.plan_version, metric)?;
    let terms = terms.map(|terms| match &segment.overage {
        Some(overage) => MetricTerms { overage: Some(overage.clone()), ..terms.clone() },
        None => MetricTerms { overage: None, ..terms.clone() },
    });
    let priced = |total: Quantity| terms.as_ref().map(|terms| lines(terms, total)).unwrap_or_default();
    let used = SegmentUse {
        terms: terms.as_ref(),
        total_at_start: segment.total_at_start,
        total_at_end: segment.total_at_end,
    };
    Ok(ExplainedSegment {
        sequence: segment.sequence,
        plan_id: segment.plan_id,
        plan_version: segment.plan_version,
        total_at_start: segment.total_at_start,
        total_at_end: segment.total_at_end,
        at_end: priced(segment.total_at_end),
        at_start: priced(segment.total_at_start),
        amount: used.price(),
        terms,
    })
}

/// The events as they are now, and the total that they make.
async fn events_of(
    tx: &Tx,
    key: raw::CounterKey<'_>,
    within: (Timestamp, Timestamp),
    most_digested: i64,
) -> Result<(Events, Option<Quantity>), StoreError> {
    let Raw { sum, archived } = raw::total(tx, key, within).await?;
    let is_whole = archived.is_empty();
    let (first, last) = events::ends(tx, key, within.1).await?;
    let digest =
        if is_whole && sum.events <= most_digested { Some(raw::digest(tx, key, within.1).await?) } else { None };
    let (count, corrections) = (sum.events, sum.corrections);
    let events = Events { count, corrections, total: sum.total, first, last, digest, archived };
    Ok((events, is_whole.then(|| Quantity::from_decimal(sum.total))))
}

impl ExplainedSegment {
    /// What the plan includes; none is unlimited, or a plan that does not name the metric.
    pub fn included(&self) -> Option<Quantity> {
        self.terms.as_ref().and_then(|terms| match terms.allowance {
            Allowance::Included(quantity) => Some(quantity),
            Allowance::Unlimited => None,
        })
    }
}
