//! Where a metric stands against its plan.

use crate::plan::MetricTerms;
use crate::quantity::Quantity;

/// A total with what the plan includes and allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Used in the period.
    pub total: Quantity,
    /// Included in the plan; none is unlimited.
    pub included: Option<Quantity>,
    /// No accepted event takes the total above it; none is no limit. Of a metric that the plan lacks it is 0.
    pub limit: Option<Quantity>,
}

impl Standing {
    /// Where a total stands under a plan's terms; none where the plan does not name the metric: then nothing is
    /// included and the limit is 0.
    pub fn under(terms: Option<&MetricTerms>, total: Quantity) -> Self {
        match terms {
            Some(terms) => Self { total, included: terms.included(), limit: terms.hard_limit() },
            None => Self { total, included: Some(Quantity::ZERO), limit: Some(Quantity::ZERO) },
        }
    }

    /// What is left of the included quantity, never less than 0; none is unlimited.
    pub fn remaining(&self) -> Option<Quantity> {
        self.included.map(|included| (included - self.total).max(Quantity::ZERO))
    }

    /// What was used above the included quantity.
    pub fn overage(&self) -> Quantity {
        self.included.map_or(Quantity::ZERO, |included| (self.total - included).max(Quantity::ZERO))
    }

    /// Whether an event of this amount is within the limit, and the total stays below what is exact at all.
    pub fn admits(&self, amount: Quantity) -> bool {
        let after = self.total + amount;
        after <= Quantity::TOTAL_CEILING && self.limit.is_none_or(|limit| after <= limit)
    }

    /// What an event of this amount would take above the included quantity, beyond what is above it already.
    pub fn would_overage(&self, amount: Quantity) -> Quantity {
        let after = Self { total: self.total + amount, ..*self };
        after.overage() - self.overage()
    }
}
