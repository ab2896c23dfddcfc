//! The spend of whole periods, with what their tenants watch of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::money::Currency;
use tenantry_domain::quantity::Quantity;
use tenantry_domain::spend::{Caps, Meter, MeterSegment, PeriodSpend};
use uuid::Uuid;

use super::super::charges::FALLBACK_CURRENCY;
use super::super::holds;
use super::super::plans::PlanBook;
use super::watch::{self, Watched, Watches};
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::open::SegmentRow;
use crate::storage::usage::{segments, spend as rows};
use crate::storage::{StoreError, Tx};

/// A tenant and the first instant of a period of its.
pub type PeriodKey = (Uuid, Timestamp);

/// A period of a tenant that watches its spend.
#[derive(Debug, Clone)]
pub struct Period {
    /// The tenant.
    pub tenant_id: Uuid,
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    /// What it is charged in.
    pub currency: Currency,
    /// What the tenant watches.
    pub watched: Watched,
    /// The caps of that.
    pub caps: Caps,
    /// What it costs so far.
    pub spend: PeriodSpend,
    /// Its counters, of all metrics.
    pub counters: Vec<CounterRow>,
    /// First instants of its segments, in order.
    segments: Vec<Timestamp>,
}

impl Period {
    /// The position of the last segment.
    pub fn last_segment(&self) -> usize {
        self.segments.len().saturating_sub(1)
    }

    /// The position of the segment that contains an instant.
    pub fn segment_at(&self, at: Timestamp) -> usize {
        self.segments.iter().rposition(|start| *start <= at).unwrap_or(0)
    }
}

/// Those of these periods whose tenants watch their spend, as they are in these statements. Periods from before a
/// tenant was here are never charged, and not among them. What is held is what has not expired at `now`.
pub async fn read(
    tx: &Tx,
    wanted: &BTreeSet<PeriodKey>,
    now: Timestamp,
) -> Result<BTreeMap<PeriodKey, Period>, StoreError> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (tenants, starts): (Vec<Uuid>, Vec<Timestamp>) = wanted.iter().copied().unzip();
    let (watches, mut counters, segments, amounts) = tokio::try_join!(
        watch::of_tenants(tx, &tenants),
        rows::counters_of_periods(tx, &tenants, &starts),
        segments::segments_of(tx, &tenants, &starts),
        rows::amounts_of_periods(tx, &tenants, &starts),
    )?;
    if watches.is_empty() {
        return Ok(BTreeMap::new());
    }
    holds::leave_out_expired(tx, &mut counters, now).await?;
    let mut plans = PlanBook::default();
    plans.fetch(tx, segments.iter().map(|segment| (segment.plan_id.clone(), segment.plan_version))).await?;
    let ended: HashMap<_, Decimal> = amounts.into_iter().map(|(key, number, amount)| ((key, number), amount)).collect();
    let mut by_period: BTreeMap<PeriodKey, (Vec<CounterRow>, Vec<SegmentRow>)> = BTreeMap::new();
    for counter in counters.into_iter().filter(|counter| !counter.historic) {
        by_period.entry((counter.tenant_id, counter.period_start)).or_default().0.push(counter);
    }
    for segment in segments {
        if let Some(found) = by_period.get_mut(&(segment.tenant_id, segment.period_start)) {
            found.1.push(segment);
        }
    }
    let mut periods = BTreeMap::new();
    for (key, (counters, segments)) in by_period {
        if let Some(period) = assemble(&watches, counters, &segments, &ended, &plans)? {
            periods.insert(key, period);
        }
    }
    Ok(periods)
}

type Ended = HashMap<((Uuid, String, Timestamp), i32), Decimal>;

fn assemble(
    watches: &Watches,
    counters: Vec<CounterRow>,
    segments: &[SegmentRow],
    ended: &Ended,
    plans: &PlanBook,
) -> Result<Option<Period>, StoreError> {
    let Some(first) = counters.first() else { return Ok(None) };
    let (tenant_id, start, end) = (first.tenant_id, first.period_start, first.period_end);
    let own = watches.of(tenant_id);
    if own.is_empty() {
        return Ok(None);
    }
    let mut currency = None;
    for segment in segments {
        currency = plans.get(&segment.plan_id, segment.plan_version)?.currency().or(currency);
    }
    let currency = match currency {
        Some(currency) => currency,
        None => FALLBACK_CURRENCY.parse().map_err(|error| StoreError::corrupt("currency", error))?,
    };
    let mut meters = BTreeMap::new();
    for counter in &counters {
        meters.insert(counter.metric.clone(), meter(counter, segments, ended, plans)?);
    }
    Ok(Some(Period {
        tenant_id,
        start,
        end,
        currency,
        watched: own.clone(),
        caps: own.caps(),
        spend: PeriodSpend::new(meters),
        counters,
        segments: segments.iter().map(|segment| segment.started_at).collect(),
    }))
}

/// What a counter counted, by segment: what the ended ones used is written, the last one used the rest of the total.
fn meter(counter: &CounterRow, segments: &[SegmentRow], ended: &Ended, plans: &PlanBook) -> Result<Meter, StoreError> {
    let mut meter = Meter { segments: Vec::with_capacity(segments.len()), held: Quantity::from_decimal(counter.held) };
    let mut rest = counter.total;
    for (position, segment) in segments.iter().enumerate() {
        let used = if position + 1 == segments.len() {
            rest
        } else {
            let key = (counter.tenant_id, counter.metric.clone(), counter.period_start);
            ended.get(&(key, segment.sequence)).copied().unwrap_or_default()
        };
        rest -= used;
        let terms = plans.metric(&segment.plan_id, segment.plan_version, &counter.metric)?.cloned();
        meter.segments.push(MeterSegment { terms, used: Quantity::from_decimal(used) });
    }
    Ok(meter)
}
