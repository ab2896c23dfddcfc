//! Sums of slots. A month has thousands of them, and one event changes one: only what can be the figure is read.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;
use tenantry_domain::metric::Aggregation;
use tenantry_domain::tally::Tally;

use super::super::facts::Facts;
use super::super::prepare::Prepared;
use super::{Loaded, key_of, places};
use crate::storage::usage::aggregated::{self, CounterKey, PartRow};
use crate::storage::{StoreError, Tx};

/// A counter of slots, and what the events of a group can do to it.
struct Slotted<'a> {
    free: usize,
    is_taken_back: bool,
    /// The slots that events name, and what they add to each at the most.
    named: BTreeMap<&'a str, Decimal>,
    sums: HashMap<String, Decimal>,
}

impl Slotted<'_> {
    /// Whether the slots that events name are all that is needed beside the figure.
    fn is_known(&self, figure: Decimal) -> bool {
        let with = |(slot, added): (&&str, &Decimal)| self.sums.get(*slot).copied().unwrap_or_default() + added;
        !self.is_taken_back && (self.free == 0 || self.named.iter().map(with).all(|sum| sum <= figure))
    }
}

/// The tallies of the counters that are made of slots.
pub(super) async fn read(
    tx: &Tx,
    wanted: &BTreeMap<usize, Aggregation>,
    prepared: &[Prepared],
    facts: &Facts,
) -> Result<Loaded, StoreError> {
    let mut slotted = named(wanted, prepared, facts);
    if slotted.is_empty() {
        return Ok(Loaded::new());
    }
    let places = places(wanted, facts);
    let place = |row: &PartRow| places.get(&(row.key.0, row.key.1.as_str().into(), row.key.2)).copied();
    let asked = slotted.iter().flat_map(|(index, slots)| slots.named.keys().map(|slot| (*index, *slot)));
    let (keys, parts): (Vec<CounterKey<'_>>, Vec<&str>) =
        asked.map(|(index, slot)| (key_of(&facts.counters[index]), slot)).unzip();
    for (row, sum) in aggregated::sums_of(tx, &keys, &parts).await? {
        if let Some(slots) = place(&row).and_then(|index| slotted.get_mut(&index)) {
            slots.sums.insert(row.part, sum);
        }
    }
    let unknown = slotted.iter().filter(|(index, slots)| !slots.is_known(facts.counters[**index].total));
    // The highest ones may be among those that events name, which leaves enough of the others.
    let most = |slots: &Slotted<'_>| i64::try_from(slots.free + 1 + slots.named.len()).unwrap_or(i64::MAX);
    let (keys, most): (Vec<CounterKey<'_>>, Vec<i64>) =
        unknown.map(|(index, slots)| (key_of(&facts.counters[*index]), most(slots))).unzip();
    let mut highest: HashMap<usize, Vec<(String, Decimal)>> = HashMap::new();
    if !keys.is_empty() {
        for (row, sum) in aggregated::highest_slots(tx, &keys, &most).await? {
            if let Some(index) = place(&row) {
                highest.entry(index).or_default().push((row.part, sum));
            }
        }
    }
    let tally = |(index, mut slots): (usize, Slotted<'_>)| {
        let figure = facts.counters[index].total;
        let tally = if slots.is_known(figure) {
            Tally::slots_below(figure, slots.sums)
        } else {
            slots.sums.extend(highest.remove(&index).unwrap_or_default());
            Tally::slots(slots.free, slots.sums)
        };
        (index, tally)
    };
    Ok(slotted.into_iter().map(tally).collect())
}

/// What events name of the counters that are made of slots.
fn named<'a>(
    wanted: &BTreeMap<usize, Aggregation>,
    prepared: &'a [Prepared],
    facts: &Facts,
) -> BTreeMap<usize, Slotted<'a>> {
    let mut slotted: BTreeMap<usize, Slotted<'a>> = BTreeMap::new();
    for event in prepared {
        let Some(aggregation) = wanted.get(&event.counter).filter(|found| found.slot_seconds().is_some()) else {
            continue;
        };
        let slots = slotted.entry(event.counter).or_insert_with(|| {
            let counter = &facts.counters[event.counter];
            let free = aggregation.free_slots((counter.period_start, counter.period_end));
            let free = usize::try_from(free).unwrap_or(0);
            Slotted { free, is_taken_back: false, named: BTreeMap::new(), sums: HashMap::new() }
        });
        slots.is_taken_back |= event.amount.is_sign_negative();
        *slots.named.entry(&event.part).or_default() += event.amount.max(Decimal::ZERO);
    }
    slotted
}
