//! Tallies that are kept event by event, and begin in the middle, against figures computed from all events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use tenantry_domain::tally::{Tally, Use};

/// An event of a list that is never touched: what is taken back is only marked.
#[derive(Debug, Clone)]
struct Event {
    amount: Decimal,
    at: Timestamp,
    order: u128,
    part: String,
    stands: bool,
}

impl Event {
    fn counted(&self) -> Use<'_> {
        Use { amount: self.amount, at: self.at, order: self.order, part: &self.part }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Greatest,
    Latest,
    Distinct,
    Slots(usize),
}

const KINDS: [Kind; 6] = [Kind::Greatest, Kind::Latest, Kind::Distinct, Kind::Slots(0), Kind::Slots(1), Kind::Slots(3)];

/// The figure from all events, by its definition.
fn naive(kind: Kind, events: &[Event]) -> Decimal {
    let standing = || events.iter().filter(|event| event.stands);
    match kind {
        Kind::Greatest => standing().map(|event| event.amount).max().unwrap_or_default(),
        Kind::Latest => {
            standing().max_by_key(|event| (event.at, event.order)).map(|event| event.amount).unwrap_or_default()
        }
        Kind::Distinct => Decimal::from(standing().map(|event| &event.part).collect::<BTreeSet<_>>().len()),
        Kind::Slots(free) => {
            let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
            for event in standing() {
                *sums.entry(&event.part).or_default() += event.amount;
            }
            let mut sums: Vec<Decimal> = sums.into_values().collect();
            sums.sort_unstable_by(|a, b| b.cmp(a));
            sums.get(free).copied().unwrap_or_default()
        }
    }
}

/// A tally that knows as little of the events before as its constructor asks for, when it will see events of these parts.
fn begin(kind: Kind, events: &[Event], taken_back: usize, added: &BTreeMap<String, Decimal>) -> Tally {
    let standing = events.iter().filter(|event| event.stands);
    match kind {
        Kind::Greatest => {
            let mut amounts: Vec<Decimal> = standing.map(|event| event.amount).collect();
            amounts.sort_unstable_by(|a, b| b.cmp(a));
            Tally::greatest(amounts.into_iter().take(taken_back + 1))
        }
        Kind::Latest => {
            let mut all: Vec<_> = standing.map(|event| ((event.at, event.order), event.amount)).collect();
            all.sort_unstable_by(|a, b| b.cmp(a));
            Tally::latest(all.into_iter().take(taken_back + 1))
        }
        Kind::Distinct => {
            let mut counts: BTreeMap<String, i64> = BTreeMap::new();
            for event in standing {
                *counts.entry(event.part.clone()).or_default() += 1;
            }
            Tally::distinct(counts.len() as u64, counts)
        }
        Kind::Slots(free) => {
            let mut sums: BTreeMap<String, Decimal> = BTreeMap::new();
            for event in standing {
                *sums.entry(event.part.clone()).or_default() += event.amount;
            }
            let figure = naive(kind, events);
            let mut named = sums.clone();
            // A correction can name any.
            named.retain(|slot, _| taken_back > 0 || added.contains_key(slot));
            let with = |(slot, amount): (&String, &Decimal)| named.get(slot).copied().unwrap_or_default() + amount;
            if taken_back == 0 && (free == 0 || added.iter().map(with).all(|sum| sum <= figure)) {
                return Tally::slots_below(figure, named);
            }
            sums.retain(|slot, _| !named.contains_key(slot));
            let mut others: Vec<(String, Decimal)> = sums.into_iter().collect();
            others.sort_unstable_by_key(|(_, sum)| std::cmp::Reverse(*sum));
            Tally::slots(free, named.into_iter().chain(others.into_iter().take(free + 1)))
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<(u8, i64, i64, u8)>> {
    prop::collection::vec((0..4_u8, 1..12_i64, 0..6_i64, 0..5_u8), 1..40)
}

proptest! {
    #[test]
    fn a_tally_is_what_all_events_make(
        kind in prop::sample::select(KINDS.to_vec()),
        before in steps(),
        mut after in steps(),
        (is_rising, few) in (any::<bool>(), 1..40_usize),
    ) {
        if is_rising {
            for step in &mut after {
                step.0 = step.0.max(1);
            }
            after.truncate(few);
        }
        let mut events: Vec<Event> = Vec::new();
        let mut order = 0;
        let mut next = |step: &(u8, i64, i64, u8)| {
            order += 1;
            let at = Timestamp::from_second(step.2).unwrap();
            Event { amount: Decimal::from(step.1), at, order, part: format!("part {}", step.3), stands: true }
        };
        for step in &before {
            let event = next(step);
            events.push(event);
        }
        let taken_back = after.iter().filter(|step| step.0 == 0).count();
        let mut added: BTreeMap<String, Decimal> = BTreeMap::new();
        for step in after.iter().filter(|step| step.0 != 0) {
            *added.entry(format!("part {}", step.3)).or_default() += Decimal::from(step.1);
        }
        let mut tally = begin(kind, &events, taken_back, &added);
        prop_assert_eq!(tally.value(), naive(kind, &events));
        for step in &after {
            let standing: Vec<usize> = (0..events.len()).filter(|index| events[*index].stands).collect();
            if step.0 == 0 {
                let Some(index) = standing.get(usize::try_from(step.1 * 7 + step.2).unwrap() % standing.len().max(1)) else { continue };
                tally.take_back(&events[*index].counted());
                events[*index].stands = false;
            } else {
                let event = next(step);
                let limit = Decimal::from(8);
                let admits = tally.admits(&event.counted(), limit);
                tally.add(&event.counted());
                events.push(event);
                // What is admitted never brings a figure above the limit that was below it.
                let with = naive(kind, &events);
                prop_assert!(!admits || with <= limit || naive(kind, &events[..events.len() - 1]) > limit);
                // And what is refused would, alone or with what may be taken back.
                if !admits && kind == Kind::Distinct {
                    prop_assert!(with > limit);
                }
            }
            prop_assert_eq!(tally.value(), naive(kind, &events), "{:?}", kind);
        }
    }
}
