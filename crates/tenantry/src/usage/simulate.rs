//! Recorded usage under another catalog: what it would have cost, beside what it was charged or has accrued.
//!
//! A tenant keeps its plan: the one of the same id in the other catalog, or the one that it is said to be called there.
//! Periods belong to the month (UTC) in which they begin. Totals of segments are those that were recorded, or made
//! anew from the events where the other catalog counts a metric in another way; each metric of a period is rounded
//! once. The price of a plan counts for a period as it is in the catalog, by the plan that the period began under.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::plan::{Catalog, Plan};
use tenantry_domain::pricing::ExactMinor;
use tenantry_domain::quantity::Quantity;
use tenantry_domain::rerate::{Recorded, rerate};
use uuid::Uuid;

use super::books;
use super::charges::{FALLBACK_CURRENCY, accrue, totals};
use super::month::Month;
use super::plans::PlanBook;
use super::raw::{self, BySegment};
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::open::SegmentRow;
use crate::storage::usage::recorded::{self, BegunPeriod, ChargedCounter};
use crate::storage::usage::segments;
use crate::storage::{Database, StoreError, Tx};

/// Months of a year, by which a yearly price is divided.
const MONTHS: u32 = 12;

/// What is simulated.
#[derive(Debug)]
pub struct Simulation<'a> {
    /// The other catalog.
    pub catalog: &'a Catalog,
    /// What plans are called there, by what they are called here.
    pub renamed: &'a BTreeMap<String, String>,
    /// Periods that begin in it.
    pub month: Month,
    /// One tenant only.
    pub tenant: Option<Uuid>,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The price of the plan.
    Plan,
    /// What was used of a metric above what the plan includes.
    Overage,
}

/// One thing that a tenant pays for in a period, under the present terms and the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// First instant of the period.
    pub period_start: Timestamp,
    /// What it is about.
    pub what: What,
    /// The plan, as it is called here; of overage that of the last segment.
    pub plan_id: String,
    /// The metric; empty of the price of a plan.
    pub metric: String,
    /// Total of the metric as it was recorded.
    pub total: Quantity,
    /// Minor units under the present terms: charged where the period is closed, else accrued.
    pub current_minor: i64,
    /// The currency of the present terms; ISO 4217, lower case.
    pub currency: String,
    /// Under the other catalog, where that can be told.
    pub simulated: Result<Simulated, Gap>,
}

/// What a line is under the other catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// Minor units, rounded once.
    pub minor: i64,
    /// What was used and would have been refused, above a hard limit; it is not priced.
    pub would_be_refused: Quantity,
}

/// Why something cannot be simulated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Gap {
    /// The plan is not in the other catalog.
    #[error("plan `{0}` is not in the catalog: say what it is called there with --map {0}=NEW")]
    NoPlan(String),
    /// The plan has a price for the tenant's interval now, and only another one there.
    #[error("plan `{plan_id}` has no price a {interval} in the catalog")]
    NoPrice {
        /// The plan, as it is called there.
        plan_id: String,
        /// `month` or `year`.
        interval: String,
    },
    /// The catalog counts the metric in another way, and events that this needs have left.
    #[error("`{metric}` is counted in another way in the catalog, and events of {month} have left")]
    Archived {
        /// The metric.
        metric: String,
        /// The first month (UTC) whose events have left.
        month: String,
    },
    /// Amounts of two currencies cannot be compared.
    #[error("plan `{plan_id}` is in {new} in the catalog and in {old} now")]
    OtherCurrency {
        /// The plan, as it is called there.
        plan_id: String,
        /// The currency now.
        old: String,
        /// The currency there.
        new: String,
    },
}

/// Simulates tenant by tenant, in order of their ids, each page of them in one snapshot; those of whom nothing was
/// recorded are left out. What `each` says when it fails ends it.
pub async fn simulate<E: From<StoreError>>(
    db: &Database,
    simulation: &Simulation<'_>,
    mut each: impl FnMut(Uuid, Vec<Line>) -> Result<(), E>,
) -> Result<(), E> {
    let mut after = None;
    loop {
        let tenants = match simulation.tenant {
            Some(tenant) => vec![tenant],
            None => books::page(db, after).await?,
        };
        let Some(last) = tenants.last().copied() else { return Ok(()) };
        let tx = db.read_as_service("simulate_charges", &tenants).await?;
        let lines = simulation.lines(&tx, &tenants).await?;
        tx.rollback().await?;
        for (tenant, lines) in lines {
            each(tenant, lines)?;
        }
        after = Some(last);
        if simulation.tenant.is_some() {
            return Ok(());
        }
    }
}

/// What is known of the counters of a page of tenants.
struct Page {
    plans: PlanBook,
    segments: BTreeMap<(Uuid, Timestamp), Vec<SegmentRow>>,
    ended: BTreeMap<(Uuid, String, Timestamp), Vec<(i32, Decimal)>>,
}

impl Page {
    async fn read(tx: &Tx, counters: &[ChargedCounter], begun: &[BegunPeriod]) -> Result<Self, StoreError> {
        let rows = || counters.iter().map(|row| &row.counter);
        let periods: BTreeSet<(Uuid, Timestamp)> = rows().map(|row| (row.tenant_id, row.period_start)).collect();
        let (tenants, starts): (Vec<Uuid>, Vec<Timestamp>) = periods.into_iter().unzip();
        let mut segments: BTreeMap<(Uuid, Timestamp), Vec<SegmentRow>> = BTreeMap::new();
        for segment in segments::segments_of(tx, &tenants, &starts).await? {
            segments.entry((segment.tenant_id, segment.period_start)).or_default().push(segment);
        }
        let tenants: Vec<Uuid> = rows().map(|row| row.tenant_id).collect();
        let metrics: Vec<&str> = rows().map(|row| row.metric.as_str()).collect();
        let starts: Vec<Timestamp> = rows().map(|row| row.period_start).collect();
        let mut ended: BTreeMap<(Uuid, String, Timestamp), Vec<(i32, Decimal)>> = BTreeMap::new();
        for (key, sequence, amount) in segments::segment_amounts_of(tx, &tenants, &metrics, &starts).await? {
            ended.entry(key).or_default().push((sequence, amount));
        }
        let mut plans = PlanBook::default();
        let priced = segments.values().flatten().map(|segment| (segment.plan_id.clone(), segment.plan_version));
        plans.fetch(tx, priced.chain(begun.iter().map(|row| (row.plan_id.clone(), row.plan_version)))).await?;
        Ok(Self { plans, segments, ended })
    }
}

impl Simulation<'_> {
    async fn lines(&self, tx: &Tx, tenants: &[Uuid]) -> Result<BTreeMap<Uuid, Vec<Line>>, StoreError> {
        let (start, end) = (self.month.start, self.month.end);
        let counters = recorded::counters(tx, tenants, (Some(start), Some(end))).await?;
        let begun = recorded::begun_periods(tx, tenants, (start, end)).await?;
        let page = Page::read(tx, &counters, &begun).await?;
        let mut lines: BTreeMap<Uuid, Vec<Line>> = BTreeMap::new();
        for period in &begun {
            lines.entry(period.tenant_id).or_default().extend(self.plan_price(period, &page)?);
        }
        for row in &counters {
            lines.entry(row.counter.tenant_id).or_default().push(self.overage(tx, row, &page).await?);
        }
        for lines in lines.values_mut() {
            lines.sort_by(|a, b| (a.period_start, a.what, &a.metric).cmp(&(b.period_start, b.what, &b.metric)));
        }
        Ok(lines)
    }

    /// The plan of the other catalog.
    fn plan(&self, plan_id: &str) -> Result<&Plan, Gap> {
        let name = self.renamed.get(plan_id).map_or(plan_id, String::as_str);
        self.catalog.plan(name).ok_or_else(|| Gap::NoPlan(plan_id.to_owned()))
    }

    /// The line of a plan's price; none where it costs nothing here and there.
    fn plan_price(&self, period: &BegunPeriod, page: &Page) -> Result<Option<Line>, StoreError> {
        let plan = page.plans.get(&period.plan_id, period.plan_version)?;
        let interval = period.billing_interval.as_str();
        let current = list_price(plan, interval, period.quantity)?;
        let current_minor = current.unwrap_or_default();
        let old = currency(plan);
        let (simulated, currency) = match self.plan(&period.plan_id) {
            Err(gap) => (Err(gap), old),
            Ok(new) => match list_price(new, interval, period.quantity)? {
                None if new.prices.is_some() && current.is_some() => {
                    (Err(Gap::NoPrice { plan_id: new.id.to_string(), interval: interval.to_owned() }), old)
                }
                minor => {
                    let minor = minor.unwrap_or_default();
                    compared(new, (current_minor, old), Simulated { minor, would_be_refused: Quantity::ZERO })
                }
            },
        };
        let is_free = current_minor == 0 && matches!(&simulated, Ok(found) if found.minor == 0);
        Ok((!is_free).then(|| Line {
            period_start: period.start,
            what: What::Plan,
            plan_id: period.plan_id.clone(),
            metric: String::new(),
            total: Quantity::ZERO,
            current_minor,
            currency,
            simulated,
        }))
    }

    /// The line of a counter.
    async fn overage(&self, tx: &Tx, row: &ChargedCounter, page: &Page) -> Result<Line, StoreError> {
        let counter = &row.counter;
        let key = (counter.tenant_id, counter.metric.clone(), counter.period_start);
        let segments = page.segments.get(&(key.0, key.2)).map(Vec::as_slice).unwrap_or_default();
        let ended = page.ended.get(&key).map(Vec::as_slice).unwrap_or_default();
        let accrued = accrue(counter.total, &counter.metric, segments, ended, &page.plans)?;
        let current_minor = if counter.closed { row.charged_minor } else { accrued.amount_minor };
        let current = (current_minor, accrued.currency);
        let (simulated, currency) = match self.recounted(tx, counter, segments).await? {
            Ok(None) => self.rerated(counter, segments, (counter.total, ended), current)?,
            Ok(Some(other)) => self.rerated(counter, segments, (other.total(), &other.amounts()), current)?,
            Err(gap) => (Err(gap), current.1),
        };
        Ok(Line {
            period_start: counter.period_start,
            what: What::Overage,
            plan_id: segments.last().map(|segment| segment.plan_id.clone()).unwrap_or_default(),
            metric: counter.metric.clone(),
            total: Quantity::from_decimal(counter.total),
            current_minor,
            currency,
            simulated,
        })
    }

    /// What the events come to where the other catalog counts the metric in another way; none where it counts as the
    /// counter does, or does not name it.
    async fn recounted(
        &self,
        tx: &Tx,
        counter: &CounterRow,
        segments: &[SegmentRow],
    ) -> Result<Result<Option<BySegment>, Gap>, StoreError> {
        let terms = self.catalog.plans().iter().find_map(|plan| plan.metrics.get(counter.metric.as_str()));
        let Some(other) = terms.map(|terms| &terms.definition.aggregation) else { return Ok(Ok(None)) };
        if *other == counter.tallied()?.unwrap_or_default() {
            return Ok(Ok(None));
        }
        let key = (counter.tenant_id, counter.metric.as_str(), counter.period_start);
        let found = raw::by_segment(tx, key, segments, other).await?;
        Ok(match found.archived.first() {
            Some(month) => Err(Gap::Archived { metric: counter.metric.clone(), month: month.clone() }),
            None => Ok(Some(found)),
        })
    }

    fn rerated(
        &self,
        counter: &CounterRow,
        segments: &[SegmentRow],
        (total, ended): (Decimal, &[(i32, Decimal)]),
        current: (i64, String),
    ) -> Result<(Result<Simulated, Gap>, String), StoreError> {
        let mut recorded: Vec<Recorded<'_>> = Vec::with_capacity(segments.len());
        let mut last = None;
        for (segment, (start, end)) in segments.iter().zip(totals(total, segments, ended)) {
            let used = Quantity::from_decimal(end - start);
            let plan = match self.plan(&segment.plan_id) {
                Ok(plan) => plan,
                Err(gap) => return Ok((Err(gap), current.1)),
            };
            recorded.push(Recorded { terms: plan.metrics.get(counter.metric.as_str()), used });
            last = plan.currency().map(|_| plan).or(last);
        }
        let found = rerate(&recorded);
        let minor = found.exact.round_half_even().map_err(|error| StoreError::corrupt("price", error))?;
        let found = Simulated { minor, would_be_refused: found.refused };
        Ok(match last {
            Some(plan) => compared(plan, current, found),
            None => (Ok(found), current.1),
        })
    }
}

fn currency(plan: &Plan) -> String {
    plan.currency().map_or_else(|| FALLBACK_CURRENCY.to_owned(), |code| code.to_string())
}

/// What was found beside what it is now, and the currency of both. Nothing is the same in every currency.
fn compared(plan: &Plan, (current_minor, old): (i64, String), found: Simulated) -> (Result<Simulated, Gap>, String) {
    let new = currency(plan);
    if new == old || found.minor == 0 {
        (Ok(found), old)
    } else if current_minor == 0 {
        (Ok(found), new)
    } else {
        (Err(Gap::OtherCurrency { plan_id: plan.id.to_string(), old: old.clone(), new }), old)
    }
}

/// What a plan costs in a usage period as the catalog says it: the price of a month, or a twelfth of that of a year, for
/// each seat where it is by seats. None where it has no price for the interval.
fn list_price(plan: &Plan, interval: &str, quantity: i32) -> Result<Option<i64>, StoreError> {
    let Some(prices) = plan.prices else { return Ok(None) };
    let seats = if plan.per_seat { quantity.unsigned_abs() } else { 1 };
    let (price, parts) = if interval == "year" { (prices.year, MONTHS) } else { (prices.month, 1) };
    price
        .map(|minor| ExactMinor::part_of(minor, seats, parts).round_half_even())
        .transpose()
        .map_err(|error| StoreError::corrupt("price", error))
}
