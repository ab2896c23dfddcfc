//! What recorded use would have cost under other terms.

use crate::plan::MetricTerms;
use crate::pricing::{ExactMinor, SegmentUse, accrued};
use crate::quantity::Quantity;

/// What was used in one segment, and the terms that it is put under.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// What the plan says of the metric; none where it does not name it: then the limit is 0.
    pub terms: Option<&'a MetricTerms>,
    /// Used in the segment; negative where more was taken back than used.
    pub used: Quantity,
}

/// Use of a period under other terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerated {
    /// What it would have cost; not rounded yet.
    pub exact: ExactMinor,
    /// Total that the limits would have let in.
    pub total: Quantity,
    /// What was used and would have been refused: above a hard limit.
    pub refused: Quantity,
}

/// Puts a period's use under other terms, segment by segment in order.
///
/// Use above a hard limit could not have happened. It is told, not priced, and no part of the totals of later segments.
/// A total that is above a limit already, by a change of plan, only keeps new use out.
pub fn rerate(segments: &[Recorded<'_>]) -> Rerated {
    let (mut total, mut refused) = (Quantity::ZERO, Quantity::ZERO);
    let mut uses = Vec::with_capacity(segments.len());
    for segment in segments {
        let start = total;
        let recorded = start + segment.used;
        let limit = match segment.terms {
            Some(terms) => terms.hard_limit(),
            None => Some(Quantity::ZERO),
        };
        total = limit.map_or(recorded, |limit| recorded.min(limit.max(start)));
        refused = refused + (recorded - total);
        uses.push(SegmentUse { terms: segment.terms, total_at_start: start, total_at_end: total });
    }
    Rerated { exact: accrued(&uses), total, refused }
}
