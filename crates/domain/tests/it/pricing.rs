//! Prices against a model that walks every tenth of a unit with integers and knows no tier arithmetic.

use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use serde_json::json;
use tenantry_domain::plan::{MetricTerms, Mode};
use tenantry_domain::pricing::{ExactMinor, SegmentUse, accrued, lines, price};
use tenantry_domain::quantity::Quantity;

use crate::quantity;

/// Rates in 10^-6 minor units; quantities in tenths.
#[derive(Debug, Clone)]
struct Model {
    mode: Mode,
    included: i64,
    per: i64,
    /// Last tenth above included that a tier covers, and its rate. The end of the last one is not used.
    tiers: Vec<(i64, i64)>,
}

fn tenths(value: i64) -> Quantity {
    let sign = if value < 0 { "-" } else { "" };
    quantity(&format!("{sign}{}.{}", value.abs() / 10, value.abs() % 10))
}

impl Model {
    fn terms(&self) -> MetricTerms {
        let last = self.tiers.len() - 1;
        let tiers: Vec<_> = self
            .tiers
            .iter()
            .enumerate()
            .map(|(position, (end, rate))| {
                let unit_price = format!("{}.{:06}", rate / 1_000_000, rate % 1_000_000);
                if position == last {
                    json!({"unit_price": unit_price})
                } else {
                    json!({"up_to": tenths(*end), "unit_price": unit_price})
                }
            })
            .collect();
        serde_json::from_value(json!({
            "allowance": {"included": tenths(self.included)},
            "overage": {"mode": self.mode, "per": self.per, "tiers": tiers},
        }))
        .unwrap()
    }

    fn rate_of_tenth(&self, tenth: i64) -> i64 {
        for (end, rate) in &self.tiers[..self.tiers.len() - 1] {
            if tenth <= *end {
                return *rate;
            }
        }
        self.tiers[self.tiers.len() - 1].1
    }

    /// In 10^-7 minor units, times `per`.
    fn walk(&self, total: i64) -> i64 {
        let mut sum = 0;
        let mut last_rate = 0;
        let mut in_package = 0;
        let mut walked = 0;
        for tenth in 1..=(total - self.included).max(0) {
            walked += 1;
            last_rate = self.rate_of_tenth(tenth);
            match self.mode {
                Mode::Flat | Mode::Graduated => sum += last_rate,
                Mode::Volume => {}
                Mode::Package => {
                    if in_package == 0 {
                        sum += last_rate * 10 * self.per;
                        in_package = 10 * self.per;
                    }
                    in_package -= 1;
                }
            }
        }
        if self.mode == Mode::Volume { walked * last_rate } else { sum }
    }

    fn price(&self, total: i64) -> BigRational {
        BigRational::new(BigInt::from(self.walk(total)), BigInt::from(10_000_000 * self.per))
    }
}

fn model() -> impl Strategy<Value = Model> {
    let modes = prop::sample::select(vec![Mode::Flat, Mode::Graduated, Mode::Volume, Mode::Package]);
    let tiers = prop::collection::vec((1..120_i64, prop_oneof![0..5_000_000_i64, Just(0), Just(1_000_000)]), 1..5);
    (modes, 0..300_i64, 1..8_i64, tiers).prop_map(|(mode, included, per, widths)| {
        let single = matches!(mode, Mode::Flat | Mode::Package);
        let mut end = 0;
        let tiers = widths.iter().take(if single { 1 } else { 5 }).map(|(width, rate)| {
            end += width;
            (end, *rate)
        });
        Model { mode, included, per, tiers: tiers.collect() }
    })
}

/// Half even by looking at the neighbours.
fn nearest_even(numerator: i128, denominator: i128) -> i128 {
    let around = numerator / denominator;
    (around - 2..=around + 2)
        .min_by_key(|candidate| ((numerator - candidate * denominator).abs(), candidate.rem_euclid(2)))
        .unwrap()
}

fn flat(rate: &str, per: u64) -> MetricTerms {
    let overage = json!({"mode": "flat", "per": per, "tiers": [{"unit_price": rate}]});
    serde_json::from_value(json!({"allowance": {"included": "0"}, "overage": overage})).unwrap()
}

fn segment<'a>(terms: &'a MetricTerms, start: &str, end: &str) -> SegmentUse<'a> {
    SegmentUse { terms: Some(terms), total_at_start: quantity(start), total_at_end: quantity(end) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_mode_agrees_with_walking_tenth_by_tenth(model in model(), total in -50..900_i64) {
        prop_assert_eq!(price(&model.terms(), tenths(total)).to_string(), model.price(total).to_string());
    }

    #[test]
    fn prices_agree_at_every_edge_of_a_tier(model in model()) {
        for (end, _) in &model.tiers {
            for total in [model.included, model.included + end - 1, model.included + end, model.included + end + 1] {
                prop_assert_eq!(price(&model.terms(), tenths(total)).to_string(), model.price(total).to_string());
            }
        }
    }

    #[test]
    fn the_lines_add_up_to_the_price_and_cover_what_is_above(model in model(), total in -50..900_i64) {
        let terms = model.terms();
        let lines = lines(&terms, tenths(total));
        let sum: ExactMinor = lines.iter().map(|line| line.amount.clone()).sum();
        prop_assert_eq!(sum, price(&terms, tenths(total)));
        let mut end = Quantity::ZERO;
        for line in &lines {
            prop_assert_eq!(line.from, end);
            prop_assert!(line.to > line.from);
            end = line.to;
        }
        prop_assert_eq!(end, tenths((total - model.included).max(0)));
    }

    #[test]
    fn more_use_never_costs_less_but_in_volume_tiers(model in model(), a in 0..900_i64, b in 0..900_i64) {
        prop_assume!(model.mode != Mode::Volume);
        let terms = model.terms();
        prop_assert!(price(&terms, tenths(a.min(b))) <= price(&terms, tenths(a.max(b))));
    }

    #[test]
    fn nothing_is_owed_up_to_what_is_included(model in model(), below in 0..400_i64) {
        prop_assert_eq!(price(&model.terms(), tenths(model.included - below)), ExactMinor::zero());
    }

    #[test]
    fn rounding_is_to_the_nearest_and_half_to_even(rate in 0..2_000_000_u32, units in 1..5_000_u32, per in 1..64_u64) {
        let terms = flat(&format!("{}.{}", rate / 10, rate % 10), per);
        let rounded = price(&terms, quantity(&units.to_string())).round_half_even().unwrap();
        let exact = i128::from(rate) * i128::from(units);
        prop_assert_eq!(i128::from(rounded), nearest_even(exact, 10 * i128::from(per)));
    }

    #[test]
    fn cutting_a_period_under_the_same_terms_changes_nothing(model in model(), mut cuts in prop::collection::vec(0..900_i64, 0..6), total in 0..900_i64) {
        let terms = model.terms();
        cuts.retain(|cut| *cut <= total);
        cuts.sort_unstable();
        let ends: Vec<i64> = cuts.into_iter().chain([total]).collect();
        let mut start = 0;
        let segments: Vec<SegmentUse<'_>> = ends.iter().map(|end| {
            let segment = SegmentUse { terms: Some(&terms), total_at_start: tenths(start), total_at_end: tenths(*end) };
            start = *end;
            segment
        }).collect();
        prop_assert_eq!(accrued(&segments), price(&terms, tenths(total)));
    }

    #[test]
    fn a_later_plan_never_lowers_what_was_accrued(before in model(), after in model(), cut in 0..500_i64, more in 0..400_i64) {
        prop_assume!(after.mode != Mode::Volume);
        let (before, after) = (before.terms(), after.terms());
        let first = SegmentUse { terms: Some(&before), total_at_start: Quantity::ZERO, total_at_end: tenths(cut) };
        let second = SegmentUse { terms: Some(&after), total_at_start: tenths(cut), total_at_end: tenths(cut + more) };
        prop_assert!(accrued(&[first, second]) >= accrued(&[first]));
    }

    #[test]
    fn switching_back_and_forth_without_use_costs_nothing_more(model in model(), other in model(), total in 0..900_i64) {
        let (terms, other) = (model.terms(), other.terms());
        let used = SegmentUse { terms: Some(&terms), total_at_start: Quantity::ZERO, total_at_end: tenths(total) };
        let idle = |terms| SegmentUse { terms: Some(terms), total_at_start: tenths(total), total_at_end: tenths(total) };
        prop_assert_eq!(accrued(&[used, idle(&other), idle(&terms), idle(&other)]), accrued(&[used]));
    }
}

#[test]
fn prices_are_exact_where_28_digits_would_round() {
    let terms = flat("123456789012.123456789012", 7);
    let exact = price(&terms, quantity("0.123456789"));
    let numerator = BigInt::from(123_456_789_012_123_456_789_012_i128) * BigInt::from(123_456_789);
    assert_eq!(exact.to_string(), BigRational::new(numerator, BigInt::from(10).pow(21) * 7).to_string());
}

#[test]
fn a_price_beyond_64_bits_is_an_error_and_not_a_number() {
    let terms = flat("999999999999", 1);
    assert!(price(&terms, quantity("9223372")).round_half_even().is_ok());
    assert!(price(&terms, quantity("9223373")).round_half_even().is_err());
    assert!(price(&terms, Quantity::TOTAL_CEILING).round_half_even().is_err());
}

#[test]
fn halves_go_to_the_even_neighbour() {
    for (units, rounded) in [("1", 0), ("3", 2), ("5", 2), ("7", 4), ("1.000000001", 1), ("0.999999999", 0)] {
        assert_eq!(price(&flat("0.5", 1), quantity(units)).round_half_even(), Ok(rounded), "{units}");
    }
}

#[test]
fn plans_without_the_metric_and_hard_limits_add_nothing() {
    let (paid, hard) = (flat("2", 1), serde_json::from_value(json!({"allowance": {"included": "10"}})).unwrap());
    let unnamed = SegmentUse { terms: None, total_at_start: quantity("10"), total_at_end: quantity("20") };
    let segments = [segment(&paid, "0", "10"), unnamed, segment(&hard, "20", "30"), segment(&paid, "30", "31")];
    assert_eq!(accrued(&segments).round_half_even(), Ok(22));
    assert_eq!(accrued(&[]), ExactMinor::zero());
}

#[test]
fn a_correction_below_what_was_charged_makes_less_but_never_less_than_nothing() {
    let (cheap, dear) = (flat("1", 1), flat("10", 1));
    assert_eq!(accrued(&[segment(&cheap, "0", "100"), segment(&cheap, "100", "60")]).round_half_even(), Ok(60));
    assert_eq!(accrued(&[segment(&cheap, "0", "100"), segment(&dear, "100", "50")]).round_half_even(), Ok(0));
}

#[test]
fn the_example_of_the_documentation() {
    let overage = json!({"mode": "graduated", "per": 1000, "tiers": [{"up_to": "5000000", "unit_price": "0.2"}, {"unit_price": "0.15"}]});
    let terms: MetricTerms =
        serde_json::from_value(json!({"allowance": {"included": "1000000"}, "overage": overage})).unwrap();
    let total = quantity("8000000");
    assert_eq!(price(&terms, total).round_half_even(), Ok(1300));
    let shown: Vec<String> = lines(&terms, total)
        .iter()
        .map(|line| {
            format!(
                "{}..{}: {} at {} per {} = {}",
                line.from, line.to, line.units, line.unit_price, line.per, line.amount
            )
        })
        .collect();
    assert_eq!(
        shown,
        ["0..5000000: 5000000 at 0.2 per 1000 = 1000", "5000000..7000000: 2000000 at 0.15 per 1000 = 300"]
    );
}
