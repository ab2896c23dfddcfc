//! Two lanes: what must be decided under locks is left by the groups of the fast lane to those of the careful one, so
//! that no other request waits for parts of counters, for a look at a period's events, or for a counter that it does not
//! need.
//!
//! What is left is left by whole requests: the events of one request are decided in their order, those of different
//! requests, which are under way at the same time, in any.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use super::super::event::{Content, NewEvent};
use super::super::outcome::{Outcome, SubmitError};
use super::prepare::Prepared;
use crate::storage::StoreError;
use crate::storage::usage::facts::CounterRow;

/// Where the events of a group are decided that must be decided under locks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Care<'a> {
    /// Here, and with them the whole group.
    Here,
    /// The same; the group is expected to have some.
    First,
    /// In another group: the requests at these positions that have such an event are left, so that no other waits for it.
    Elsewhere(&'a [Range<usize>]),
}

/// What became of an event of a group; none where it was left for the careful lane.
pub(super) type Answered = Option<Result<Outcome, SubmitError>>;

/// Where in a group the requests are that it leaves for the careful lane.
pub(super) type Left = Vec<Range<usize>>;

/// Metrics that were seen to be no sums: a hint that saves work, it decides nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures(Arc<RwLock<HashSet<String>>>);

impl Figures {
    /// Whether some of these events will hardly go the fast way, so that it need not be tried.
    pub(super) fn are_among(&self, events: &[NewEvent]) -> bool {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        events.iter().any(|event| match &event.content {
            Content::Usage { metric, .. } => !seen.is_empty() && seen.contains(metric),
            Content::Reversal { .. } => true,
        })
    }

    /// Keeps in mind those of these counters that are no sums.
    pub(super) fn note<'a>(&self, counters: impl Iterator<Item = &'a CounterRow>) {
        for counter in counters.filter(|counter| counter.aggregation != "sum") {
            if !self.has(&counter.metric) {
                self.0.write().unwrap_or_else(PoisonError::into_inner).insert(counter.metric.clone());
            }
        }
    }

    /// Forgets those of these counters that are sums, as after a change of the catalog.
    pub(super) fn forget<'a>(&self, counters: impl Iterator<Item = &'a CounterRow>) {
        for counter in counters.filter(|counter| counter.aggregation == "sum") {
            if self.has(&counter.metric) {
                self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&counter.metric);
            }
        }
    }

    fn has(&self, metric: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(metric)
    }
}

/// Takes the requests that have one of these events out of a group, and says where they were.
pub(super) fn leave(
    requests: &[Range<usize>],
    needing: &BTreeSet<usize>,
    outcomes: &mut [Option<Outcome>],
    ready: &mut Vec<Prepared>,
) -> Left {
    if needing.is_empty() {
        return Left::new();
    }
    let is_left = |request: &&Range<usize>| needing.range((*request).clone()).next().is_some();
    let left: Left = requests.iter().filter(is_left).cloned().collect();
    for request in &left {
        // What was decided of it is decided again, with the rest of it.
        outcomes[request.clone()].fill(None);
    }
    ready.retain(|event| !holds(&left, event.index));
    left
}

/// Whether a position lies in one of these ranges, which are in order.
fn holds(ranges: &[Range<usize>], position: usize) -> bool {
    let next = ranges.partition_point(|range| range.end <= position);
    ranges.get(next).is_some_and(|range| range.contains(&position))
}

/// The outcomes of a group, where only those are missing that it left.
pub(super) fn whole(outcomes: Vec<Option<Outcome>>, left: &Left) -> Result<Vec<Option<Outcome>>, StoreError> {
    let is_as_due = |(position, outcome): (usize, &Option<Outcome>)| outcome.is_none() == holds(left, position);
    if outcomes.iter().enumerate().all(is_as_due) {
        return Ok(outcomes);
    }
    Err(StoreError::corrupt("group of events", "an event was left without an outcome"))
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn positions_are_found_in_ranges_with_gaps_and_empty_ones() {
        let ranges = [1..1, 2..4, 4..5, 8..9];
        let held: Vec<usize> = (0..10).filter(|position| holds(&ranges, *position)).collect();
        assert_eq!(held, [2, 3, 4, 8]);
    }
}
