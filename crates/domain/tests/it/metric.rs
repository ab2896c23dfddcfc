use proptest::prelude::*;
use serde_json::{Value, json};
use tenantry_domain::limit::{Outlook, Standing};
use tenantry_domain::metric::{Aggregation, SLOT_MINUTES};

use crate::quantity;

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

#[test]
fn aggregations_are_read_back_from_their_text() {
    for text in ["sum", "max", "last", "peak", "unique:endUser", "unique:a:b", "percentile:95:5", "percentile:100:60"] {
        assert_eq!(text.parse::<Aggregation>().unwrap().to_string(), text);
    }
    let wrong = [
        "",
        "Sum",
        "max:1",
        "unique",
        "unique:",
        "percentile",
        "percentile:95",
        "percentile:0:5",
        "percentile:101:5",
        "percentile:95:7",
        "percentile:95:5:1",
        "percentile:-1:5",
    ];
    for text in wrong {
        assert!(text.parse::<Aggregation>().is_err(), "{text}");
    }
}

#[test]
fn values_are_told_apart_as_the_database_writes_them() {
    let unique = Aggregation::Unique { field: "f".to_owned() };
    let part = |value: Value| unique.part(at("2026-03-01T00:00:00Z"), &json!({ "f": value })).ok().flatten();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(part(json!("a\"b\n")), text("\"a\\\"b\\n\""));
    assert_eq!(part(json!("1")), text("\"1\""));
    assert_eq!(part(json!(1)), text("1"));
    assert_eq!(part(json!(-12)), text("-12"));
    assert_eq!(part(json!(1.50)), text("1.5"));
    assert_eq!(part(json!(1e3)), text("1000.0"));
    assert_eq!(part(json!(1.25e20)), text("125000000000000000000"));
    assert_eq!(part(json!(-1.5e-7)), text("-0.00000015"));
    assert_eq!(part(json!(-0.0)), text("0.0"));
    assert_eq!(part(json!(true)), text("true"));
    for none in [Value::Null, json!([1]), json!({"a": 1})] {
        assert_eq!(part(none), None);
    }
    assert!(unique.part(at("2026-03-01T00:00:00Z"), &json!({})).is_err());
}

#[test]
fn slots_begin_where_the_clock_says_and_empty_ones_are_among_those_that_are_free() {
    let percentile = |percent, slot_minutes| Aggregation::Percentile { percent, slot_minutes };
    let instant = at("2026-03-01T10:59:59.999999Z");
    let part = |aggregation: &Aggregation| aggregation.part(instant, &json!({})).unwrap().unwrap();
    assert_eq!(part(&Aggregation::Peak), at("2026-03-01T10:00:00Z").as_second().to_string());
    assert_eq!(part(&percentile(95, 5)), at("2026-03-01T10:55:00Z").as_second().to_string());
    let day = (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z"));
    // 288 slots: 273.6 are rounded up to 274.
    assert_eq!(percentile(95, 5).free_slots(day), 14);
    assert_eq!(percentile(100, 5).free_slots(day), 0);
    assert_eq!(percentile(50, 60).free_slots(day), 12);
    assert_eq!(Aggregation::Peak.free_slots(day), 0);
    // A slot that a bound splits is one of both sides.
    let split = (at("2026-03-01T00:02:00Z"), at("2026-03-01T00:11:00Z"));
    assert_eq!(percentile(50, 5).free_slots(split), 1);
}

#[test]
fn an_outlook_judges_one_more_event_as_it_would_be_decided() {
    let outlook = |aggregation: &str, total: &str, limit: Option<&str>, in_slot: &str| Outlook {
        standing: Standing {
            total: quantity(total),
            included: Some(quantity("10")),
            limit: limit.map(quantity),
            held: quantity("0"),
        },
        aggregation: aggregation.parse().unwrap(),
        in_plan: true,
        in_slot: quantity(in_slot),
        around: (quantity("0"), None),
    };
    let five = quantity("5");
    let says = |outlook: &Outlook| (outlook.admits(five), outlook.would_overage(five).to_string());
    let said = |admits: bool, over: &str| (admits, over.to_owned());
    assert_eq!(says(&outlook("sum", "6", Some("10"), "0")), said(false, "1"));
    assert_eq!(says(&outlook("max", "9", Some("10"), "0")), said(true, "0"));
    assert_eq!(says(&outlook("max", "9", Some("4"), "0")), said(false, "0"));
    assert_eq!(says(&outlook("last", "20", None, "0")), said(true, "0"));
    assert_eq!(says(&outlook("unique:f", "9", Some("10"), "0")), said(true, "0"));
    assert_eq!(says(&outlook("unique:f", "10", Some("10"), "0")), said(false, "1"));
    assert_eq!(says(&outlook("peak", "9", Some("10"), "6")), said(false, "1"));
    assert_eq!(says(&outlook("peak", "9", Some("10"), "2")), said(true, "0"));
    let band = |in_slot: &str, least: &str, most: Option<&str>| Outlook {
        around: (quantity(least), most.map(quantity)),
        ..outlook("percentile:95:5", "12", None, in_slot)
    };
    // The slot is below the figure without it, makes it, or takes the place of one that was free.
    assert_eq!(says(&band("6", "12", Some("20"))), said(true, "0"));
    assert_eq!(says(&band("9", "12", Some("20"))), said(true, "2"));
    assert_eq!(says(&band("12", "9", Some("14"))), said(true, "2"));
    assert_eq!(says(&band("12", "9", None)), said(true, "5"));
    let grows = |outlook: Outlook| outlook.growth(five).to_string();
    assert_eq!(grows(outlook("sum", "6", None, "0")), "5");
    assert_eq!(grows(outlook("max", "9", None, "0")), "0");
    assert_eq!(grows(outlook("last", "9", None, "0")), "-4");
    assert_eq!(grows(outlook("unique:f", "9", None, "0")), "1");
    assert_eq!(grows(outlook("peak", "9", None, "6")), "2");
    assert!(!Outlook { in_plan: false, ..outlook("percentile:95:5", "0", None, "0") }.admits(five));
}

proptest! {
    #[test]
    fn free_slots_are_those_above_the_nearest_rank(
        start in 0..10_000_000_i64, length in 1..3_000_000_i64, percent in 1..=100_u8, width in 0..SLOT_MINUTES.len(),
    ) {
        let slot_minutes = SLOT_MINUTES[width];
        let (from, to) = (jiff::Timestamp::from_second(start).unwrap(), jiff::Timestamp::from_second(start + length).unwrap());
        let free = Aggregation::Percentile { percent, slot_minutes }.free_slots((from, to));
        // One by one, and the rank as the smallest that reaches the percentage.
        let seconds = i64::from(slot_minutes) * 60;
        let slots = (start / seconds..=start + length).take_while(|slot| slot * seconds < start + length).count();
        let rank = (1..=slots).find(|rank| rank * 100 >= slots * usize::from(percent)).unwrap();
        prop_assert_eq!(usize::try_from(free).unwrap(), slots - rank);
    }
}
