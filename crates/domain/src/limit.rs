//! Where a metric stands against its plan.

use rust_decimal::Decimal;

use crate::metric::Aggregation;
use crate::plan::MetricTerms;
use crate::quantity::Quantity;

/// A part of its limit at whose passing a tenant is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Threshold {
    /// Four fifths of it: soon.
    EightyPercent,
    /// All of it: from now on.
    HundredPercent,
}

impl Threshold {
    /// Both, the lower first.
    pub const ALL: [Self; 2] = [Self::EightyPercent, Self::HundredPercent];

    /// In percent.
    pub const fn percent(self) -> u8 {
        match self {
            Self::EightyPercent => 80,
            Self::HundredPercent => 100,
        }
    }

    /// Whether a total has reached it. Multiplied rather than divided, which is exact up to the ceiling of a total.
    fn is_reached(self, total: Quantity, of: Quantity) -> bool {
        let fifths = match self {
            Self::EightyPercent => Decimal::from(4),
            Self::HundredPercent => Decimal::from(5),
        };
        total.as_decimal() * Decimal::from(5) >= of.as_decimal() * fifths
    }
}

/// A total with what the plan includes and allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Used in the period.
    pub total: Quantity,
    /// Included in the plan; none is unlimited.
    pub included: Option<Quantity>,
    /// No accepted event takes the total above it; none is no limit. Of a metric that the plan lacks it is 0.
    pub limit: Option<Quantity>,
    /// Reserved by holds that are open; for everybody else it is as good as used.
    pub held: Quantity,
}

impl Standing {
    /// Where a total stands under a plan's terms, with nothing held; none where the plan does not name the metric: then nothing is
    /// included and the limit is 0.
    pub fn under(terms: Option<&MetricTerms>, total: Quantity) -> Self {
        match terms {
            Some(terms) => Self { total, included: terms.included(), limit: terms.hard_limit(), held: Quantity::ZERO },
            None => Self { total, included: Some(Quantity::ZERO), limit: Some(Quantity::ZERO), held: Quantity::ZERO },
        }
    }

    /// What is left of the included quantity, neither used nor held, never less than 0; none is unlimited.
    pub fn remaining(&self) -> Option<Quantity> {
        self.included.map(|included| (included - self.total - self.held).max(Quantity::ZERO))
    }

    /// What was used above the included quantity.
    pub fn overage(&self) -> Quantity {
        self.included.map_or(Quantity::ZERO, |included| (self.total - included).max(Quantity::ZERO))
    }

    /// Whether an event of this amount is within the limit, beside what is held, and the total stays below what is
    /// exact at all.
    pub fn admits(&self, amount: Quantity) -> bool {
        let after = self.total + self.held + amount;
        after <= Quantity::TOTAL_CEILING && self.limit.is_none_or(|limit| after <= limit)
    }

    /// What an event of this amount would take above the included quantity, beyond what is above it already; what is
    /// held is taken for used.
    pub fn would_overage(&self, amount: Quantity) -> Quantity {
        let before = Self { total: self.total + self.held, ..*self };
        let after = Self { total: before.total + amount, ..before };
        after.overage() - before.overage()
    }

    /// What a percentage of use is of: the hard limit, or what is included where more is priced. None where use is
    /// unlimited, and where nothing is included to begin with.
    pub fn allowance(&self) -> Option<Quantity> {
        self.limit.or(self.included).filter(|allowance| *allowance > Quantity::ZERO)
    }

    /// The thresholds that were passed on the way from an earlier total to this one.
    pub fn passed_since(&self, before: Quantity) -> impl Iterator<Item = Threshold> {
        let (total, allowance) = (self.total, self.allowance());
        Threshold::ALL.into_iter().filter(move |threshold| {
            allowance.is_some_and(|of| !threshold.is_reached(before, of) && threshold.is_reached(total, of))
        })
    }
}

/// Where a metric stands, with all that one more event is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Where it stands.
    pub standing: Standing,
    /// What its events make.
    pub aggregation: Aggregation,
    /// Whether the plan names it; if not, nothing is taken.
    pub in_plan: bool,
    /// Sum of the slot that contains now, of a metric that is made of slots; else 0.
    pub in_slot: Quantity,
    /// What a percentile is at the least and at the most, whatever the slot of now comes to; else not looked at.
    pub around: (Quantity, Option<Quantity>),
}

impl Outlook {
    /// The total after an event of now. Of distinct values it is taken for one that is new.
    fn after(&self, amount: Quantity) -> Quantity {
        let total = self.standing.total;
        match self.aggregation {
            Aggregation::Sum => total + amount,
            Aggregation::Max => total.max(amount),
            Aggregation::Last => amount,
            Aggregation::Unique { .. } => total + Quantity::from_decimal(Decimal::ONE),
            Aggregation::Peak => total.max(self.in_slot + amount),
            Aggregation::Percentile { .. } => {
                let (least, most) = self.around;
                let slot = (self.in_slot + amount).max(least);
                most.map_or(slot, |most| slot.min(most))
            }
        }
    }

    /// What an event of now would add to the total; less than 0 where the latest amount falls. Spend caps judge this.
    pub fn growth(&self, amount: Quantity) -> Quantity {
        self.after(amount) - self.standing.total
    }

    /// Whether an event of this amount would be taken now.
    pub fn admits(&self, amount: Quantity) -> bool {
        if !self.in_plan && !self.aggregation.is_sum() {
            return false;
        }
        let judged = match self.aggregation {
            Aggregation::Sum => return self.standing.admits(amount),
            Aggregation::Max | Aggregation::Last => amount,
            Aggregation::Unique { .. } => self.after(amount),
            Aggregation::Peak | Aggregation::Percentile { .. } => self.in_slot + amount,
        };
        judged <= Quantity::TOTAL_CEILING && self.standing.limit.is_none_or(|limit| judged <= limit)
    }

    /// What an event of this amount would take above the included quantity, beyond what is above it already; never less
    /// than 0.
    pub fn would_overage(&self, amount: Quantity) -> Quantity {
        if self.aggregation.is_sum() {
            return self.standing.would_overage(amount);
        }
        let after = Standing { total: self.after(amount), ..self.standing };
        (after.overage() - self.standing.overage()).max(Quantity::ZERO)
    }
}
