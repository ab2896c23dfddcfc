//! Recorded use under other terms.

use proptest::prelude::*;
use serde_json::json;
use tenantry_domain::plan::MetricTerms;
use tenantry_domain::pricing::{SegmentUse, accrued};
use tenantry_domain::quantity::Quantity;
use tenantry_domain::rerate::{Recorded, rerate};

use crate::quantity;

fn terms(value: serde_json::Value) -> MetricTerms {
    serde_json::from_value(value).unwrap()
}

/// A hard limit of 100, and a cent a unit above 50.
fn limited_and_priced() -> (MetricTerms, MetricTerms) {
    let limited = terms(json!({ "allowance": { "included": "100" } }));
    let tiers = json!([{ "unit_price": "1" }]);
    let priced =
        terms(json!({ "allowance": { "included": "50" }, "overage": { "mode": "flat", "per": 1, "tiers": tiers } }));
    (limited, priced)
}

fn put(segments: &[(Option<&MetricTerms>, &str)]) -> (String, String, String) {
    let segments: Vec<Recorded<'_>> =
        segments.iter().map(|(terms, used)| Recorded { terms: *terms, used: quantity(used) }).collect();
    let found = rerate(&segments);
    (found.total.to_string(), found.refused.to_string(), found.exact.digits())
}

#[test]
fn use_above_a_hard_limit_is_told_and_not_priced() {
    let (limited, priced) = limited_and_priced();
    let told = |total: &str, refused: &str, cents: &str| (total.to_owned(), refused.to_owned(), cents.to_owned());
    assert_eq!(put(&[(Some(&limited), "100")]), told("100", "0", "0"));
    assert_eq!(put(&[(Some(&limited), "130.5")]), told("100", "30.5", "0"));
    assert_eq!(put(&[(None, "3")]), told("0", "3", "0"));
    // What was refused is no part of what follows: 20 on top of 100, not of 130.
    assert_eq!(put(&[(Some(&limited), "130"), (Some(&priced), "20")]), told("120", "30", "20"));
    // A total above the limit by a change of plan stays what it is; corrections go through.
    assert_eq!(put(&[(Some(&priced), "160"), (Some(&limited), "10")]), told("160", "10", "110"));
    assert_eq!(put(&[(Some(&priced), "160"), (Some(&limited), "-70")]), told("90", "0", "110"));
    assert_eq!(put(&[]), told("0", "0", "0"));
}

#[test]
fn exact_amounts_are_shown_with_all_their_digits() {
    let (_, priced) = limited_and_priced();
    let of = |used: &str, per: u64| {
        let mut terms = priced.clone();
        terms.overage.as_mut().unwrap().per = per;
        put(&[(Some(&terms), used)]).2
    };
    assert_eq!([of("62.5", 1), of("51", 8), of("50.001", 1000)], ["12.5", "0.125", "0.000001"]);
    assert_eq!([of("75", 3), of("53", 3), of("50", 3)], ["25/3", "1", "0"]);
}

proptest! {
    #[test]
    fn without_a_limit_it_costs_what_it_accrued(used in proptest::collection::vec(-50_i64..200, 1..5)) {
        let (_, priced) = limited_and_priced();
        let used: Vec<Quantity> = used.into_iter().map(|used| quantity(&used.to_string())).collect();
        let (mut total, mut uses) = (Quantity::ZERO, Vec::new());
        for used in &used {
            let start = total;
            total = total + *used;
            uses.push(SegmentUse { terms: Some(&priced), total_at_start: start, total_at_end: total });
        }
        let recorded: Vec<Recorded<'_>> = used.iter().map(|used| Recorded { terms: Some(&priced), used: *used }).collect();
        let found = rerate(&recorded);
        prop_assert_eq!((found.exact, found.total, found.refused), (accrued(&uses), total, Quantity::ZERO));
    }
}
