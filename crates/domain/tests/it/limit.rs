use proptest::prelude::*;
use tenantry_domain::limit::{Standing, Threshold};
use tenantry_domain::plan::MetricTerms;
use tenantry_domain::quantity::Quantity;

use crate::quantity;

fn terms(json: &str) -> MetricTerms {
    serde_json::from_str(json).unwrap()
}

fn hard() -> MetricTerms {
    terms(r#"{"allowance": {"included": "100"}}"#)
}

fn overage() -> MetricTerms {
    terms(
        r#"{"allowance": {"included": "100"}, "overage": {"mode": "flat", "per": 1, "tiers": [{"unit_price": "2"}]}}"#,
    )
}

fn unlimited() -> MetricTerms {
    terms(r#"{"allowance": "unlimited"}"#)
}

/// `remaining, overage, admits 10, would_overage 10`.
fn facts(terms: Option<&MetricTerms>, total: &str) -> (Option<String>, String, bool, String) {
    let standing = Standing::under(terms, quantity(total));
    let ten = quantity("10");
    let shown = |quantity: Quantity| quantity.to_string();
    (
        standing.remaining().map(shown),
        shown(standing.overage()),
        standing.admits(ten),
        shown(standing.would_overage(ten)),
    )
}

fn expect(remaining: Option<&str>, overage: &str, admits: bool, would: &str) -> (Option<String>, String, bool, String) {
    (remaining.map(str::to_owned), overage.to_owned(), admits, would.to_owned())
}

#[test]
fn a_hard_limit_admits_up_to_it_and_nothing_above() {
    assert_eq!(facts(Some(&hard()), "0"), expect(Some("100"), "0", true, "0"));
    assert_eq!(facts(Some(&hard()), "90"), expect(Some("10"), "0", true, "0"));
    assert_eq!(facts(Some(&hard()), "90.000000001"), expect(Some("9.999999999"), "0", false, "0.000000001"));
}

#[test]
fn a_total_that_is_above_already_has_nothing_left_and_is_no_fault() {
    assert_eq!(facts(Some(&hard()), "150"), expect(Some("0"), "50", false, "10"));
}

#[test]
fn with_overage_everything_is_admitted() {
    assert_eq!(facts(Some(&overage()), "95"), expect(Some("5"), "0", true, "5"));
    assert_eq!(facts(Some(&overage()), "150"), expect(Some("0"), "50", true, "10"));
}

#[test]
fn unlimited_has_no_end_but_the_ceiling_of_a_total() {
    assert_eq!(facts(Some(&unlimited()), "1000000"), expect(None, "0", true, "0"));
    assert_eq!(facts(Some(&unlimited()), "9999999999999999990"), expect(None, "0", true, "0"));
    assert!(!facts(Some(&unlimited()), "9999999999999999990.000000001").2);
}

#[test]
fn a_metric_that_the_plan_does_not_name_has_limit_0() {
    assert_eq!(facts(None, "0"), expect(Some("0"), "0", false, "10"));
}

proptest! {
    #[test]
    fn whatever_is_admitted_in_a_row_never_passes_the_limit(amounts in prop::collection::vec(1..40_u32, 0..20)) {
        let mut standing = Standing::under(Some(&hard()), Quantity::ZERO);
        for amount in amounts.into_iter().map(|amount| quantity(&amount.to_string())) {
            let fits = standing.remaining().is_some_and(|rest| amount <= rest);
            prop_assert_eq!(standing.admits(amount), fits);
            if fits {
                standing.total = standing.total + amount;
            }
            prop_assert!(standing.total <= quantity("100"));
        }
    }

    #[test]
    fn overages_of_single_events_add_up_to_the_overage(amounts in prop::collection::vec(1..40_u32, 0..20)) {
        let mut standing = Standing::under(Some(&overage()), Quantity::ZERO);
        let mut sum = Quantity::ZERO;
        for amount in amounts.into_iter().map(|amount| quantity(&amount.to_string())) {
            sum = sum + standing.would_overage(amount);
            standing.total = standing.total + amount;
        }
        prop_assert_eq!(sum, standing.overage());
    }
}

/// Percentages passed between two totals.
fn passed(terms: Option<&MetricTerms>, before: &str, total: &str) -> Vec<u8> {
    Standing::under(terms, quantity(total)).passed_since(quantity(before)).map(Threshold::percent).collect()
}

#[test]
fn thresholds_are_passed_once_on_the_way_up() {
    for terms in [hard(), overage()] {
        let terms = Some(&terms);
        assert!(passed(terms, "0", "79.999999999").is_empty());
        assert_eq!(passed(terms, "79.999999999", "80"), [80]);
        assert!(passed(terms, "80", "99.999999999").is_empty());
        assert_eq!(passed(terms, "99.999999999", "100"), [100]);
        assert_eq!(passed(terms, "10", "120"), [80, 100]);
        assert!(passed(terms, "120", "500").is_empty());
        assert!(passed(terms, "120", "10").is_empty());
    }
}

#[test]
fn nothing_is_passed_where_there_is_no_allowance() {
    assert!(passed(Some(&unlimited()), "0", "1000000").is_empty());
    assert!(passed(None, "0", "1").is_empty());
    let nothing = terms(
        r#"{"allowance": {"included": "0"}, "overage": {"mode": "flat", "per": 1, "tiers": [{"unit_price": "2"}]}}"#,
    );
    assert!(passed(Some(&nothing), "0", "1").is_empty());
}

#[test]
fn what_is_held_is_as_good_as_used_but_for_what_is_told_and_charged() {
    let standing = |held: &str| Standing { held: quantity(held), ..Standing::under(Some(&hard()), quantity("50")) };
    assert!(standing("40").admits(quantity("10")));
    assert!(!standing("40").admits(quantity("10.000000001")));
    assert_eq!(standing("40").remaining(), Some(quantity("10")));
    assert_eq!(standing("60").remaining(), Some(Quantity::ZERO));
    assert_eq!(standing("40").would_overage(quantity("15")), quantity("5"));
    assert_eq!(standing("60").would_overage(quantity("15")), quantity("15"));
    assert_eq!(standing("60").overage(), Quantity::ZERO);
    assert_eq!(standing("60").passed_since(Quantity::ZERO).count(), 0);
    let full = Standing { held: quantity("1"), ..Standing::under(Some(&unlimited()), Quantity::TOTAL_CEILING) };
    assert!(!full.admits(quantity("0.000000001")));
}

#[test]
fn thresholds_are_exact_where_totals_end() {
    let ceiling = Quantity::TOTAL_CEILING;
    let standing = Standing { total: ceiling, included: None, limit: Some(ceiling), held: Quantity::ZERO };
    let just_below = ceiling - quantity("0.000000001");
    assert_eq!(standing.passed_since(just_below).collect::<Vec<_>>(), [Threshold::HundredPercent]);
}
