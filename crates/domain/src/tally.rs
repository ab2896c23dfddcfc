//! The figure of a counter that is no sum, kept while events are decided one after the other.
//!
//! A tally knows as much of the events before as the next ones can ask for: see the constructors. Its figure is then
//! the same as if it were computed from all events.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::quantity::Quantity;

/// What one event counts.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// More than 0, also where the event is taken back.
    pub amount: Decimal,
    /// Its timestamp.
    pub at: Timestamp,
    /// Tells events of one instant apart: the one recorded later has the higher.
    pub order: u128,
    /// The part of the figure that it counts in, see [`crate::metric::Aggregation::part`].
    pub part: &'a str,
}

/// A figure that is no sum.
#[derive(Debug, Clone)]
pub struct Tally(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// How often each amount is there.
    Greatest(BTreeMap<Decimal, u64>),
    Latest(BTreeMap<(Timestamp, u128), Decimal>),
    Distinct {
        count: u64,
        known: HashMap<String, i64>,
    },
    Slots {
        free: usize,
        sums: HashMap<String, Decimal>,
        ascending: Vec<Decimal>,
    },
}

impl Tally {
    /// The largest amount. Where `n` events may be taken back, the `n + 1` largest amounts must be given, or all.
    pub fn greatest(amounts: impl IntoIterator<Item = Decimal>) -> Self {
        let mut counts = BTreeMap::new();
        for amount in amounts {
            *counts.entry(amount).or_default() += 1;
        }
        Self(Kind::Greatest(counts))
    }

    /// The amount of the latest event. Where `n` events may be taken back, the `n + 1` latest must be given, or all:
    /// instant and order of each, and its amount.
    pub fn latest(events: impl IntoIterator<Item = ((Timestamp, u128), Decimal)>) -> Self {
        Self(Kind::Latest(events.into_iter().collect()))
    }

    /// How many values there are, and how many events have each of those values that events will name; a value that is
    /// not given has none.
    pub fn distinct(count: u64, known: impl IntoIterator<Item = (String, i64)>) -> Self {
        Self(Kind::Distinct { count, known: known.into_iter().collect() })
    }

    /// The highest sum of a slot when so many are free. Of the slots that are not empty those must be given that events
    /// will name, and of the others the `free + 1` highest, or all.
    pub fn slots(free: usize, sums: impl IntoIterator<Item = (String, Decimal)>) -> Self {
        let sums: HashMap<String, Decimal> = sums.into_iter().collect();
        let mut ascending: Vec<Decimal> = sums.values().copied().collect();
        ascending.sort_unstable();
        Self(Kind::Slots { free, sums, ascending })
    }

    /// The highest sum of a slot that is not free, where it is known and nothing is taken back: the slots that events will
    /// name. Either no slot is free, or none of these gets above the figure; then the others do not matter.
    pub fn slots_below(figure: Decimal, named: impl IntoIterator<Item = (String, Decimal)>) -> Self {
        let Self(mut kind) = Self::slots(0, named);
        if let Kind::Slots { ascending, .. } = &mut kind {
            let place = ascending.partition_point(|sum| *sum < figure);
            ascending.insert(place, figure);
        }
        Self(kind)
    }

    /// The figure; 0 without events.
    pub fn value(&self) -> Decimal {
        match &self.0 {
            Kind::Greatest(counts) => counts.keys().next_back().copied().unwrap_or_default(),
            Kind::Latest(events) => events.values().next_back().copied().unwrap_or_default(),
            Kind::Distinct { count, .. } => Decimal::from(*count),
            Kind::Slots { free, ascending, .. } => {
                let place = ascending.len().checked_sub(free + 1);
                place.and_then(|place| ascending.get(place)).copied().unwrap_or_default()
            }
        }
    }

    /// Whether an event may count under a hard limit: its amount, or the sum of its slot with it, is within; or its
    /// value is known, or one more is within. So nothing that is taken back later can bring a figure above the limit.
    pub fn admits(&self, event: &Use<'_>, limit: Decimal) -> bool {
        match &self.0 {
            Kind::Greatest(_) | Kind::Latest(_) => event.amount <= limit,
            Kind::Distinct { count, known } => {
                known.get(event.part).is_some_and(|events| *events > 0) || Decimal::from(count + 1) <= limit
            }
            Kind::Slots { .. } => self.slot_with(event) <= limit,
        }
    }

    /// Whether the figure stays exact with an event: no slot gets above the ceiling of a total.
    pub fn is_exact_with(&self, event: &Use<'_>) -> bool {
        !matches!(self.0, Kind::Slots { .. }) || self.slot_with(event) <= Quantity::TOTAL_CEILING.as_decimal()
    }

    fn slot_with(&self, event: &Use<'_>) -> Decimal {
        let Kind::Slots { sums, .. } = &self.0 else { return event.amount };
        sums.get(event.part).copied().unwrap_or_default() + event.amount
    }

    /// Counts an event.
    pub fn add(&mut self, event: &Use<'_>) {
        match &mut self.0 {
            Kind::Greatest(counts) => *counts.entry(event.amount).or_default() += 1,
            Kind::Latest(events) => _ = events.insert((event.at, event.order), event.amount),
            Kind::Distinct { count, known } => {
                let events = known.entry(event.part.to_owned()).or_default();
                *events += 1;
                *count += u64::from(*events == 1);
            }
            Kind::Slots { sums, ascending, .. } => move_slot(sums, ascending, event.part, event.amount),
        }
    }

    /// Counts an event no longer.
    pub fn take_back(&mut self, event: &Use<'_>) {
        match &mut self.0 {
            Kind::Greatest(counts) => {
                if let Some(times) = counts.get_mut(&event.amount) {
                    *times -= 1;
                    if *times == 0 {
                        counts.remove(&event.amount);
                    }
                }
            }
            Kind::Latest(events) => _ = events.remove(&(event.at, event.order)),
            Kind::Distinct { count, known } => {
                let events = known.entry(event.part.to_owned()).or_default();
                *events -= 1;
                *count = count.saturating_sub(u64::from(*events == 0));
            }
            Kind::Slots { sums, ascending, .. } => move_slot(sums, ascending, event.part, -event.amount),
        }
    }
}

fn move_slot(sums: &mut HashMap<String, Decimal>, ascending: &mut Vec<Decimal>, slot: &str, amount: Decimal) {
    let sum = sums.entry(slot.to_owned()).or_default();
    if let Ok(place) = ascending.binary_search(sum) {
        ascending.remove(place);
    }
    *sum += amount;
    let place = ascending.partition_point(|other| *other < *sum);
    ascending.insert(place, *sum);
}
