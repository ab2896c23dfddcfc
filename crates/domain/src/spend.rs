//! What use of a period has cost so far, and whether more of it may cost more.
//!
//! What is compared is what will be charged: the price of each metric, rounded once, and the sum of those.

use std::collections::BTreeMap;

use crate::plan::MetricTerms;
use crate::pricing::{SegmentUse, accrued};
use crate::quantity::Quantity;

/// What one segment of a period used of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterSegment {
    /// What the plan that prices the segment says of the metric; none where it does not name it.
    pub terms: Option<MetricTerms>,
    /// Used in it.
    pub used: Quantity,
}

/// Use of one metric in a period, segment by segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meter {
    /// In order; the last is the current one.
    pub segments: Vec<MeterSegment>,
    /// Reserved in the current segment, beside what was used.
    pub held: Quantity,
}

/// What use costs, in minor units: rounded half even for each metric, as it will be charged. A price that does not fit
/// 64 bits counts as the largest figure that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Of what was used.
    pub used: i64,
    /// Of what was used and what is reserved. Caps judge this.
    pub with_held: i64,
}

impl Meter {
    /// What it costs.
    pub fn cost(&self) -> Cost {
        self.cost_with(&[])
    }

    /// What it would cost with so much more (or less) in some segments.
    fn cost_with(&self, added: &[(usize, Quantity)]) -> Cost {
        let used = self.price(added, Quantity::ZERO);
        let with_held = if self.held == Quantity::ZERO { used } else { self.price(added, self.held) };
        Cost { used, with_held }
    }

    fn price(&self, added: &[(usize, Quantity)], held: Quantity) -> i64 {
        let mut reached = Quantity::ZERO;
        let mut uses = Vec::with_capacity(self.segments.len());
        for (position, segment) in self.segments.iter().enumerate() {
            let total_at_start = reached;
            reached = reached + segment.used;
            for (_, amount) in added.iter().filter(|(to, _)| *to == position) {
                reached = reached + *amount;
            }
            if position + 1 == self.segments.len() {
                reached = reached + held;
            }
            uses.push(SegmentUse { terms: segment.terms.as_ref(), total_at_start, total_at_end: reached });
        }
        accrued(&uses).round_half_even().unwrap_or(i64::MAX)
    }
}

/// What all metrics of a period cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeriodSpend {
    meters: BTreeMap<String, (Meter, Cost)>,
    whole: Cost,
}

/// An amount of use that is not taken yet, and what it would make its metric cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    metric: String,
    changes: Vec<(usize, Quantity)>,
    before: Cost,
    after: Cost,
}

impl PeriodSpend {
    /// The spend of a period with these meters by metric.
    pub fn new(meters: BTreeMap<String, Meter>) -> Self {
        let mut spend = Self::default();
        for (metric, meter) in meters {
            let cost = meter.cost();
            spend.whole = change(spend.whole, Cost::default(), cost);
            spend.meters.insert(metric, (meter, cost));
        }
        spend
    }

    /// What a metric costs, or all of them together.
    pub fn cost(&self, metric: Option<&str>) -> Cost {
        match metric {
            None => self.whole,
            Some(metric) => self.meters.get(metric).map_or_else(Cost::default, |(_, cost)| *cost),
        }
    }

    /// What so much more in a segment of a metric would cost. Negative for a correction. None where the period has no
    /// such meter, or that no such segment.
    pub fn weigh(&self, metric: &str, segment: usize, amount: Quantity) -> Option<Weighed> {
        self.weigh_all(metric, vec![(segment, amount)])
    }

    /// As [`Self::weigh`], where one event changes several segments: what is no sum can add more in one of them and
    /// less in the next.
    pub fn weigh_all(&self, metric: &str, changes: Vec<(usize, Quantity)>) -> Option<Weighed> {
        let (meter, before) = self.meters.get(metric)?;
        if changes.iter().any(|(segment, _)| *segment >= meter.segments.len()) {
            return None;
        }
        let after = meter.cost_with(&changes);
        Some(Weighed { metric: metric.to_owned(), changes, before: *before, after })
    }

    /// Takes what was weighed; nothing else may have been taken since.
    pub fn take(&mut self, weighed: &Weighed) {
        if let Some((meter, cost)) = self.meters.get_mut(&weighed.metric) {
            for (position, amount) in &weighed.changes {
                if let Some(segment) = meter.segments.get_mut(*position) {
                    segment.used = segment.used + *amount;
                }
            }
            self.whole = change(self.whole, *cost, weighed.after);
            *cost = weighed.after;
        }
    }
}

/// A sum in which one part changes.
fn change(sum: Cost, from: Cost, to: Cost) -> Cost {
    Cost {
        used: replaced(sum.used, from.used, to.used),
        with_held: replaced(sum.with_held, from.with_held, to.with_held),
    }
}

fn replaced(sum: i64, from: i64, to: i64) -> i64 {
    let sum = i128::from(sum) - i128::from(from) + i128::from(to);
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

/// What the use of a period may cost, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caps {
    /// All metrics together.
    pub whole: Option<i64>,
    /// Some of them.
    pub by_metric: BTreeMap<String, i64>,
}

/// A cap that would be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// It is the cap of the metric, rather than of all metrics together.
    pub of_metric: bool,
    /// The cap.
    pub cap: i64,
    /// What is accrued of what it is about.
    pub accrued: Cost,
    /// What the use would add to that.
    pub adds: i64,
}

impl Caps {
    /// The cap that forbids what was weighed; the metric's own comes first. What does not make anything cost more is
    /// never forbidden, so that a spend that is above a cap already stands in the way of what is priced alone.
    pub fn passed_by(&self, weighed: &Weighed, spend: &PeriodSpend) -> Option<Passed> {
        let passed = |of_metric: bool, cap: Option<i64>, accrued: Cost| {
            let (cap, before, after) = (cap?, weighed.before, weighed.after);
            // Volume prices can make what is held beside it cheaper, so that each of the two is looked at.
            let used = above(cap, accrued.used, before.used, after.used);
            let adds = used.or_else(|| above(cap, accrued.with_held, before.with_held, after.with_held))?;
            Some(Passed { of_metric, cap, accrued, adds })
        };
        let own = self.by_metric.get(&weighed.metric).copied();
        passed(true, own, weighed.before).or_else(|| passed(false, self.whole, spend.cost(None)))
    }
}

/// What a part adds to a sum by becoming another, where that takes the sum above a cap.
fn above(cap: i64, sum: i64, from: i64, to: i64) -> Option<i64> {
    (to > from && replaced(sum, from, to) > cap).then(|| to.saturating_sub(from))
}
