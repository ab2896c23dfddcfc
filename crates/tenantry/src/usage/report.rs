//! The usage report of a tenant: who used what between two instants, and where the current period stands.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use tenantry_domain::limit::Standing;
use tenantry_domain::metric::{Aggregation, DimensionName};
use tenantry_domain::period::{DerivedPeriod, derive};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::groups::{self, Group, Selection};
use super::opening::{InForce, known_period};
use super::plans::PlanBook;
use super::{charges, figures, holds};
use crate::storage::subscriptions::{self, CurrentSubscription};
use crate::storage::usage::facts::{CounterRow, PeriodRow};
use crate::storage::usage::open::{self, PlanVersionRow, SegmentRow};
use crate::storage::usage::report::{self as rows, UsedRow};
use crate::storage::{StoreError, Tx};

/// What one metric was used for between two instants.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricUsage {
    /// What its events make.
    pub aggregation: Aggregation,
    /// What that is: the sum of amounts, or another figure.
    pub total: Quantity,
    /// Number of events, corrections included.
    pub count: i64,
    /// Sum by user; events that named no user are under none. Of a metric that is no sum only the figure of a user who is
    /// asked for alone: figures of users do not add up.
    pub by_user: BTreeMap<Option<Uuid>, Quantity>,
}

/// Where a metric of the current plan stands in the current period.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricLimit {
    /// What its events make.
    pub aggregation: Aggregation,
    /// Total, included and limit.
    pub standing: Standing,
    /// Whether use above included is priced rather than refused.
    pub allow_overages: bool,
    /// Accrued overage in minor units of the currency.
    pub accrued_minor: i64,
    /// ISO 4217, lower case.
    pub currency: String,
}

/// The current period of a tenant with its subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    /// The subscription.
    pub subscription: CurrentSubscription,
    /// First instant of the period.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    /// Limits by metric; every metric of the plan, used or not, and every metric that was used.
    pub limits: BTreeMap<String, MetricLimit>,
}

/// A whole report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// First instant that it covers.
    pub from: Timestamp,
    /// First instant that it does not cover.
    pub to: Timestamp,
    /// The current period, with limits.
    pub current: Current,
    /// Use by metric.
    pub usage: BTreeMap<String, MetricUsage>,
    /// How many users used something.
    pub unique_users: usize,
    /// Where it is grouped: the groups, by metric and key.
    pub groups: Option<Vec<Group>>,
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tenant has no subscription: it does not exist for this caller.
    #[error("no such tenant")]
    NoTenant,
    /// A bound is neither a whole UTC hour nor the bound of a period.
    #[error("{field} must be a whole UTC hour or a bound of a usage period; the nearest is {nearest}")]
    NotABound {
        /// `from` or `to`.
        field: &'static str,
        /// A bound that would do.
        nearest: Timestamp,
    },
    /// The figure of a metric that is no sum needs events that have left.
    #[error("{metric} is no sum, and events of it from before {from} have left: ask from then on, or for one period")]
    Archived {
        /// The metric.
        metric: String,
        /// The end of the last month of the span whose events have left.
        from: Timestamp,
    },
    /// The span is empty or backwards.
    #[error("from must be before to")]
    Empty,
    /// The catalog declares no such dimension, for no metric or not for the one that is asked for.
    #[error("the plan catalog declares no dimension {0} here; reports are grouped by day, user and metric besides")]
    Undeclared(DimensionName),
    /// The dimension is new: earlier usage is being summed by it, or is not kept any more.
    #[error("usage is summed by {name} {}", from_on(.since.as_ref()))]
    NotSummed {
        /// The dimension.
        name: DimensionName,
        /// From when on all usage is summed by it; none where none is yet.
        since: Option<Timestamp>,
    },
    /// The metric is no sum: figures of parts do not add up to it.
    #[error("{metric} is counted as {}, and such figures do not add up: group it by metric alone", .aggregation.name())]
    NoSum {
        /// The metric.
        metric: String,
        /// What its events make.
        aggregation: Aggregation,
    },
    /// Sums by dimension are not kept for each user.
    #[error("what one user used is not summed by dimension: group by day or metric")]
    NotOfOneUser,
}

fn from_on(since: Option<&Timestamp>) -> String {
    match since {
        Some(since) => format!("from {since} on so far: ask for a later span, or again in some minutes"),
        None => "in some minutes: the plan catalog declares it since just now".to_owned(),
    }
}

/// Makes a report over `[from, to)`, by default the current period. Limits are those of the period in which the span
/// ends: of the current one, unless the span ended before it began. `only` leaves out what others than this user used. Equal to the sum of the events in the
/// transaction's snapshot; its statements must share one.
pub async fn report(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    selection: Selection<'_>,
    now: Timestamp,
) -> Result<Report, ReportError> {
    let current = at(tx, tenant, last_instant(to, now), now).await?.ok_or(ReportError::NoTenant)?;
    let (from, to) = (from.unwrap_or(current.start), to.unwrap_or(current.end));
    if from >= to {
        return Err(ReportError::Empty);
    }
    check_bound(tx, tenant, "from", from, (current.start, current.end)).await?;
    check_bound(tx, tenant, "to", to, (current.start, current.end)).await?;
    // Before what follows is planned for sums: these may read events.
    let figures = figures::of(tx, (tenant, only), (from, to), selection.metric).await?;
    rows::plan(tx).await?;
    let by_user = rows::used(tx, (tenant, only), (from, to), selection.metric).await?;
    let users: BTreeSet<Uuid> = by_user.iter().map(|row| row.user_id).filter(|user| !user.is_nil()).collect();
    let mut usage = sums(&by_user);
    for figure in figures {
        if let (Some(metric), Some(by)) = (selection.metric, selection.group_by) {
            groups::adds_up(metric, by, &figure.aggregation)?;
        }
        let Some(metric) = usage.get_mut(&figure.metric) else { continue };
        metric.aggregation = figure.aggregation;
        if let Some(value) = figure.value {
            metric.total = Quantity::from_decimal(value);
            metric.by_user = only.map(|user| (Some(user), metric.total)).into_iter().collect();
        }
    }
    let groups = match selection.group_by {
        Some(by) => {
            let read = (by_user.as_slice(), &usage);
            Some(groups::groups(tx, (tenant, only), (from, to), (selection.metric, by), read).await?)
        }
        None => None,
    };
    Ok(Report { from, to, current, usage, unique_users: users.len(), groups })
}

/// Use by metric, all of it as sums.
fn sums(by_user: &[UsedRow]) -> BTreeMap<String, MetricUsage> {
    let mut usage: BTreeMap<String, MetricUsage> = BTreeMap::new();
    for row in by_user {
        let metric = usage.entry(row.metric.clone()).or_default();
        let amount = Quantity::from_decimal(row.amount);
        metric.total = metric.total + amount;
        metric.count += row.event_count;
        metric.by_user.insert((!row.user_id.is_nil()).then_some(row.user_id), amount);
    }
    usage
}

/// The last instant before the end of a span, or now where the span goes on.
fn last_instant(to: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let before = |to: Timestamp| to.checked_sub(SignedDuration::from_micros(1)).unwrap_or(to);
    to.map_or(now, |to| now.min(before(to)))
}

/// What one metric was used for.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// First instant that it covers.
    pub from: Timestamp,
    /// First instant that it does not cover.
    pub to: Timestamp,
    /// What its events make.
    pub aggregation: Aggregation,
    /// What that is.
    pub total: Quantity,
    /// Number of events, corrections included.
    pub count: i64,
}

/// What the events of one metric make over `[from, to)`, by default the current period, and how many they are; `only`
/// counts one user's.
pub async fn total(
    tx: &Tx,
    (tenant, only): (Uuid, Option<Uuid>),
    metric: &str,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    now: Timestamp,
) -> Result<Total, ReportError> {
    let (subscription, place) = running(tx, tenant, now).await?.ok_or(ReportError::NoTenant)?;
    let (start, end) = place.bounds();
    let (from, to) = (from.unwrap_or(start), to.unwrap_or(end));
    if from >= to {
        return Err(ReportError::Empty);
    }
    check_bound(tx, tenant, "from", from, (start, end)).await?;
    check_bound(tx, tenant, "to", to, (start, end)).await?;
    let used = rows::used(tx, (tenant, only), (from, to), Some(metric)).await?;
    let sum: Decimal = used.iter().map(|row| row.amount).sum();
    let count = used.iter().map(|row| row.event_count).sum();
    let (aggregation, value) = match figures::of(tx, (tenant, only), (from, to), Some(metric)).await?.pop() {
        Some(figure) => (figure.aggregation, figure.value),
        None => (figures::defined(&subscription.definition, metric)?, None),
    };
    Ok(Total { from, to, aggregation, total: Quantity::from_decimal(value.unwrap_or(sum)), count })
}

/// The current period of a tenant; none where the caller sees no such tenant.
pub async fn current(tx: &Tx, tenant: Uuid, now: Timestamp) -> Result<Option<Current>, StoreError> {
    at(tx, tenant, now, now).await
}

/// The period of a tenant that an instant lies in, as it is `now`.
async fn at(tx: &Tx, tenant: Uuid, at: Timestamp, now: Timestamp) -> Result<Option<Current>, StoreError> {
    let Some((subscription, place)) = running(tx, tenant, at).await? else {
        return Ok(None);
    };
    let (start, end) = place.bounds();
    let limits = limits(tx, (tenant, &subscription), &place, now).await?;
    Ok(Some(Current { subscription, start, end, limits }))
}

/// The subscription in force and the period that an instant lies in; none where the caller sees no such tenant.
async fn running(tx: &Tx, tenant: Uuid, now: Timestamp) -> Result<Option<(CurrentSubscription, Place)>, StoreError> {
    let Some(subscription) = subscriptions::current(tx, tenant).await? else {
        return Ok(None);
    };
    let near = open::nearest_periods(tx, &[tenant], &[now]).await?;
    let previous = near.iter().find(|row| row.start <= now);
    if let Some(row) = previous.filter(|row| now < row.end) {
        return Ok(Some((subscription, Place::Opened(row.clone()))));
    }
    // Between a period's end and the next event the period is what an event would open.
    let next = near.iter().find(|row| row.start > now);
    let derived =
        derive(now, previous.map(known_period).as_ref(), next.map(known_period).as_ref(), subscription.anchor);
    Ok(Some((subscription, Place::Derived(derived))))
}

/// A period that is looked at.
enum Place {
    /// It is a row.
    Opened(PeriodRow),
    /// Nothing was used in it yet.
    Derived(DerivedPeriod),
}

impl Place {
    fn bounds(&self) -> (Timestamp, Timestamp) {
        match self {
            Self::Opened(row) => (row.start, row.end),
            Self::Derived(derived) => (derived.period.start, derived.period.end),
        }
    }
}

async fn limits(
    tx: &Tx,
    (tenant, subscription): (Uuid, &CurrentSubscription),
    place: &Place,
    now: Timestamp,
) -> Result<BTreeMap<String, MetricLimit>, StoreError> {
    let mut plans = PlanBook::default();
    plans.put(&PlanVersionRow {
        plan_id: subscription.plan_id.clone(),
        version: subscription.plan_version,
        definition: subscription.definition.clone(),
        is_default: false,
    })?;
    let (segments, mut counters, ended) = match place {
        Place::Derived(derived) => {
            (vec![first_segment(tx, (tenant, subscription), derived, &mut plans).await?], Vec::new(), Vec::new())
        }
        Place::Opened(period) => {
            let key = (period.tenant_id, period.start);
            tokio::try_join!(
                rows::segments(tx, key.0, key.1),
                rows::counters_of(tx, key.0, key.1),
                rows::ended_amounts(tx, key.0, key.1),
            )?
        }
    };
    holds::leave_out_expired(tx, &mut counters, now).await?;
    let versions = |segment: &SegmentRow| {
        let limits = (segment.limits_plan_id.clone(), segment.limits_plan_version);
        [(segment.plan_id.clone(), segment.plan_version), limits]
    };
    plans.fetch(tx, segments.iter().flat_map(versions)).await?;
    let in_force = segments.last().map_or_else(
        || (subscription.plan_id.clone(), subscription.plan_version),
        |segment| (segment.limits_plan_id.clone(), segment.limits_plan_version),
    );
    let plan = plans.get(&in_force.0, in_force.1)?;
    let names: BTreeSet<String> = plan
        .metrics
        .keys()
        .map(ToString::to_string)
        .chain(counters.iter().map(|counter| counter.metric.clone()))
        .collect();
    let mut limits = BTreeMap::new();
    for name in names {
        let counter = counters.iter().find(|counter| counter.metric == name);
        let own: Vec<(i32, Decimal)> = ended.iter().filter(|row| row.0 == name).map(|row| (row.1, row.2)).collect();
        let total = counter.map_or(Decimal::ZERO, |counter| counter.total);
        let accrued = charges::accrue(total, &name, &segments, &own, &plans)?;
        let terms = plans.terms(&in_force.0, in_force.1, &name)?;
        let found = plans.metric(&in_force.0, in_force.1, &name)?;
        let allow_overages = found.is_some_and(|terms| terms.overage.is_some());
        let defined = || found.map(|terms| terms.definition.aggregation.clone());
        let aggregation = counter.map(CounterRow::tallied).transpose()?.unwrap_or_else(defined).unwrap_or_default();
        let standing = standing(counter, total, &terms);
        limits.insert(
            name,
            MetricLimit {
                aggregation,
                standing,
                allow_overages,
                accrued_minor: accrued.amount_minor,
                currency: accrued.currency,
            },
        );
    }
    Ok(limits)
}

/// The segment that a period would begin with if it were opened now.
async fn first_segment(
    tx: &Tx,
    (tenant, subscription): (Uuid, &CurrentSubscription),
    derived: &DerivedPeriod,
    plans: &mut PlanBook,
) -> Result<SegmentRow, StoreError> {
    let current = open::current_plans(tx).await?;
    for row in &current {
        plans.put(row)?;
    }
    let in_force = InForce {
        plan: (&subscription.plan_id, subscription.plan_version),
        cancel_at_period_end: subscription.cancel_at_period_end,
        has_full_access: subscription.access == "full",
    };
    Ok(in_force.first_segment((tenant, derived.period.start), derived.historic, &current))
}

/// The counter's own terms where there is one: they are what events are judged by.
fn standing(counter: Option<&CounterRow>, total: Decimal, terms: &super::plans::Terms) -> Standing {
    let (included, limit) =
        counter.map_or((terms.included, terms.hard_limit), |counter| (counter.included, counter.hard_limit));
    Standing {
        total: Quantity::from_decimal(total),
        included: included.map(Quantity::from_decimal),
        limit: limit.map(Quantity::from_decimal),
        held: Quantity::from_decimal(counter.map_or(Decimal::ZERO, |counter| counter.held)),
    }
}

async fn check_bound(
    tx: &Tx,
    tenant: Uuid,
    field: &'static str,
    at: Timestamp,
    (start, end): (Timestamp, Timestamp),
) -> Result<(), ReportError> {
    let hour = 3600 * 1_000_000;
    let micros = at.as_microsecond();
    if micros.rem_euclid(hour) == 0 && at.subsec_nanosecond() == 0 {
        return Ok(());
    }
    if at == start || at == end || rows::is_bound(tx, tenant, at).await? {
        return Ok(());
    }
    let nearest = (micros + hour / 2).div_euclid(hour) * hour;
    Err(ReportError::NotABound { field, nearest: Timestamp::from_microsecond(nearest).unwrap_or(at) })
}
