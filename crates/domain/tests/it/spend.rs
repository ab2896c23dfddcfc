//! Spend against a model that prices everything anew for each question.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use tenantry_domain::plan::MetricTerms;
use tenantry_domain::pricing::{SegmentUse, accrued};
use tenantry_domain::quantity::Quantity;
use tenantry_domain::spend::{Caps, Cost, Meter, MeterSegment, PeriodSpend};

use crate::quantity;

fn terms(kind: usize) -> Option<MetricTerms> {
    let overage = match kind {
        0 => return None,
        1 => json!(null),
        2 => json!({ "mode": "flat", "per": 1, "tiers": [{ "unit_price": "1.3" }] }),
        3 => {
            json!({ "mode": "graduated", "per": 2, "tiers": [{ "up_to": "7", "unit_price": "9" }, { "unit_price": "1" }] })
        }
        // Falls from 35 to 8 minor units with the eighth unit.
        4 => {
            json!({ "mode": "volume", "per": 1, "tiers": [{ "up_to": "7", "unit_price": "5" }, { "unit_price": "1" }] })
        }
        _ => json!({ "mode": "package", "per": 4, "tiers": [{ "unit_price": "10.5" }] }),
    };
    Some(serde_json::from_value(json!({ "allowance": { "included": "5" }, "overage": overage })).unwrap())
}

fn tenths(value: i64) -> Quantity {
    let sign = if value < 0 { "-" } else { "" };
    quantity(&format!("{sign}{}.{}", value.abs() / 10, value.abs() % 10))
}

/// A meter as plain figures: kinds of terms with tenths used, and tenths held.
type Plain = (Vec<(usize, i64)>, i64);

fn priced((segments, held): &Plain, with_held: bool) -> i64 {
    let all: Vec<Option<MetricTerms>> = segments.iter().map(|(kind, _)| terms(*kind)).collect();
    let mut reached = 0;
    let mut uses = Vec::new();
    for (position, (_, used)) in segments.iter().enumerate() {
        let start = reached;
        reached += used;
        if with_held && position + 1 == segments.len() {
            reached += held;
        }
        let (total_at_start, total_at_end) = (tenths(start), tenths(reached));
        uses.push(SegmentUse { terms: all[position].as_ref(), total_at_start, total_at_end });
    }
    accrued(&uses).round_half_even().unwrap()
}

fn cost(meter: &Plain) -> Cost {
    Cost { used: priced(meter, false), with_held: priced(meter, true) }
}

fn meter((segments, held): &Plain) -> Meter {
    let segments = segments.iter().map(|(kind, used)| MeterSegment { terms: terms(*kind), used: tenths(*used) });
    Meter { segments: segments.collect(), held: tenths(*held) }
}

fn plain() -> impl Strategy<Value = Plain> {
    (prop::collection::vec((0..6_usize, 0..90_i64), 1..4), prop_oneof![3 => Just(0), 1 => 1..60_i64])
}

proptest! {
    /// Uses one after the other, each judged by the caps: what is taken, and what is refused by which cap.
    #[test]
    fn caps_refuse_exactly_what_would_pass_them(
        mut meters in prop::collection::vec(plain(), 2..4),
        adds in prop::collection::vec((0..3_usize, 0..3_usize, -40..120_i64), 1..25),
        whole in prop::option::of(0..120_i64),
        own in prop::option::of(0..80_i64),
    ) {
        let name = |index: usize| format!("m{index}");
        let made: BTreeMap<String, Meter> =
            meters.iter().enumerate().map(|(index, plain)| (name(index), meter(plain))).collect();
        let mut spend = PeriodSpend::new(made);
        let caps = Caps { whole, by_metric: own.map(|cap| (name(0), cap)).into_iter().collect() };
        for (to, segment, amount) in adds {
            let to = to % meters.len();
            let segment = segment % meters[to].0.len();
            let sum = |meters: &[Plain]| {
                let costs: Vec<Cost> = meters.iter().map(cost).collect();
                Cost {
                    used: costs.iter().map(|cost| cost.used).sum(),
                    with_held: costs.iter().map(|cost| cost.with_held).sum(),
                }
            };
            let mut after = meters.clone();
            after[to].0[segment].1 += amount;
            // Nothing that was not used is taken back.
            prop_assume!(after[to].0[segment].1 >= 0);
            let refuses = |cap: Option<i64>, before: Cost, after: Cost| cap.is_some_and(|cap| {
                (after.used > cap && after.used > before.used)
                    || (after.with_held > cap && after.with_held > before.with_held)
            });
            let of_metric = to == 0 && refuses(own, cost(&meters[0]), cost(&after[0]));
            let of_all = refuses(whole, sum(&meters), sum(&after));
            let weighed = spend.weigh(&name(to), segment, tenths(amount)).unwrap();
            let passed = caps.passed_by(&weighed, &spend);
            prop_assert_eq!(passed.map(|passed| passed.of_metric), (of_metric || of_all).then_some(of_metric));
            if let Some(passed) = passed {
                prop_assert_eq!(Some(passed.cap), if of_metric { own } else { whole });
                prop_assert_eq!(passed.accrued, if of_metric { cost(&meters[0]) } else { sum(&meters) });
            } else {
                spend.take(&weighed);
                meters = after;
            }
            prop_assert_eq!(spend.cost(None), sum(&meters));
            prop_assert_eq!(spend.cost(Some(&name(to))), cost(&meters[to]));
        }
    }
}

#[test]
fn what_costs_less_or_the_same_is_taken_above_a_cap() {
    let above = Meter { segments: vec![MeterSegment { terms: terms(4), used: quantity("12") }], held: Quantity::ZERO };
    let mut spend = PeriodSpend::new(BTreeMap::from([("jobs".to_owned(), above)]));
    assert_eq!(spend.cost(None).used, 35);
    let caps = Caps { whole: Some(20), by_metric: BTreeMap::new() };
    // The eighth unit above what is included makes all of them cheaper.
    let cheaper = spend.weigh("jobs", 0, quantity("1")).unwrap();
    assert_eq!(caps.passed_by(&cheaper, &spend), None);
    spend.take(&cheaper);
    assert_eq!(spend.cost(None).used, 8);
    // Taking it back would make them dear again.
    let dearer = spend.weigh("jobs", 0, quantity("-1")).unwrap();
    assert_eq!(caps.passed_by(&dearer, &spend).unwrap().adds, 27);
}

#[test]
fn there_is_nothing_to_weigh_where_there_is_no_meter() {
    let spend = PeriodSpend::new(BTreeMap::new());
    assert_eq!(spend.weigh("jobs", 0, quantity("1")), None);
    assert_eq!(spend.cost(Some("jobs")), Cost::default());
}

#[test]
fn a_price_that_fits_nowhere_counts_as_the_largest() {
    let dear: MetricTerms = serde_json::from_value(json!({
        "allowance": { "included": "0" },
        "overage": { "mode": "flat", "per": 1, "tiers": [{ "unit_price": "999999999999" }] },
    }))
    .unwrap();
    let used = |terms: MetricTerms| MeterSegment { terms: Some(terms), used: quantity("9999999999") };
    let meters =
        ["a", "b"].map(|name| (name.to_owned(), Meter { segments: vec![used(dear.clone())], held: Quantity::ZERO }));
    let spend = PeriodSpend::new(BTreeMap::from(meters));
    assert_eq!(spend.cost(None).used, i64::MAX);
}
