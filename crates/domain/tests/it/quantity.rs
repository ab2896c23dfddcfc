use proptest::prelude::*;
use tenantry_domain::quantity::{AmountError, Quantity};

use crate::quantity;

fn amount(text: &str) -> Result<String, AmountError> {
    Quantity::parse_amount(text).map(|amount| amount.to_string())
}

#[test]
fn nothing_is_an_amount_only_where_that_is_asked_for() {
    for zero in ["0", "0.0", "-0", "0e5", "0.000"] {
        assert_eq!(Quantity::parse_amount_or_zero(zero), Ok(Quantity::ZERO), "{zero}");
        assert!(Quantity::parse_amount(zero).is_err(), "{zero}");
    }
    assert_eq!(Quantity::parse_amount_or_zero("1.50"), Quantity::parse_amount("1.5"));
    for wrong in ["-1", "", "x", "00", "1e99", "0.0000000001"] {
        assert_eq!(Quantity::parse_amount_or_zero(wrong), Quantity::parse_amount(wrong), "{wrong}");
        assert!(Quantity::parse_amount_or_zero(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn amounts_are_read_from_their_digits() {
    for (text, read) in [
        ("1", "1"),
        ("1.50", "1.5"),
        ("0.000000001", "0.000000001"),
        ("999999999999999.999999999", "999999999999999.999999999"),
        ("1e3", "1000"),
        ("1.5E+2", "150"),
        ("25e-1", "2.5"),
        ("1000000000000000000e-9", "1000000000"),
        ("0.000000000000000001e9", "0.000000001"),
        ("100.000000000000", "100"),
        ("12345678901234567.8e-5", "123456789012.345678"),
        ("1e014", "100000000000000"),
    ] {
        assert_eq!(amount(text).as_deref(), Ok(read), "{text}");
    }
}

#[test]
fn what_is_no_amount_says_why() {
    use AmountError::{NotANumber, NotPositive, TooFine, TooLarge, TooLong};
    for (text, why) in [
        ("0", NotPositive),
        ("0.000", NotPositive),
        ("-0", NotPositive),
        ("0e99999999999999999999", NotPositive),
        ("-1", NotPositive),
        ("-1e999", NotPositive),
        ("1000000000000000", TooLarge),
        ("1e15", TooLarge),
        ("1e99999999999999999999999", TooLarge),
        ("0.0000000001", TooFine),
        ("1e-10", TooFine),
        ("1e-99999999999999999999999", TooFine),
        ("", NotANumber),
        ("-", NotANumber),
        ("+1", NotANumber),
        (".5", NotANumber),
        ("5.", NotANumber),
        ("01", NotANumber),
        ("1e", NotANumber),
        ("1e+", NotANumber),
        ("1e+-1", NotANumber),
        ("1e1.5", NotANumber),
        ("1_000", NotANumber),
        ("0x10", NotANumber),
        ("NaN", NotANumber),
        ("Infinity", NotANumber),
        (" 1", NotANumber),
        ("1 ", NotANumber),
        ("1,5", NotANumber),
        ("\u{0661}", NotANumber),
        ("1.2.3", NotANumber),
    ] {
        assert_eq!(amount(text), Err(why), "{text}");
    }
    assert_eq!(amount(&"0".repeat(1_000_000)), Err(TooLong));
}

#[test]
fn the_ceiling_of_a_total_is_ten_to_the_nineteenth_and_exact_to_the_last_place() {
    assert_eq!(Quantity::TOTAL_CEILING.to_string(), "10000000000000000000");
    let (below, least) = (quantity("9999999999999999999.999999999"), quantity("0.000000001"));
    assert_eq!(below.checked_add(least), Some(Quantity::TOTAL_CEILING));
    assert_eq!((below + least) - least, below);
    assert_eq!("10000000000000000001".parse::<Quantity>(), Err(AmountError::OverCeiling));
}

#[test]
fn a_sum_that_would_be_rounded_is_none_and_the_operator_stays_at_the_end() {
    let mut total = Quantity::TOTAL_CEILING;
    let mut grown = 0;
    while let Some(sum) = total.checked_add(quantity("9999999999999999999.999999999")) {
        total = sum;
        grown += 1;
        assert!(grown < 10, "nothing stops it");
    }
    assert_eq!(grown, 6, "96 bits hold 7.9 * 10^19 with nine places");
    assert!(total + quantity("9999999999999999999.999999999") > total);
    assert!(total + total + total + total > total);
    let lowest = Quantity::ZERO - total - total;
    assert!(lowest < Quantity::ZERO - total);
}

#[test]
fn quantities_are_written_as_plain_digits() {
    for (decimal, text) in [("1.500", "1.5"), ("100", "100"), ("-0.10", "-0.1"), ("0.0", "0"), ("-0", "0")] {
        assert_eq!(quantity(decimal).to_string(), text);
        assert_eq!(serde_json::to_string(&quantity(decimal)).unwrap(), format!("{text:?}"));
    }
    assert_eq!(serde_json::from_str::<Quantity>("\"-2.5\"").unwrap(), quantity("-2.5"));
    for not_plain in ["1", "\"1e3\"", "\"+1\"", "\"0.0000000001\"", "\"\"", "null", "1.5"] {
        assert!(serde_json::from_str::<Quantity>(not_plain).is_err(), "{not_plain}");
    }
}

/// An amount in 10^-9 units, as its model.
fn nanos() -> impl Strategy<Value = u128> {
    prop_oneof![1..10_u128.pow(24), 1..1_000_u128, (1..1_000_u128).prop_map(|whole| whole * 1_000_000_000)]
}

fn written(nanos: u128) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

proptest! {
    #[test]
    fn reading_and_summing_agree_with_integers(amounts in prop::collection::vec(nanos(), 1..50)) {
        let sum: u128 = amounts.iter().sum();
        let total: Quantity = amounts.iter().map(|nanos| Quantity::parse_amount(&written(*nanos)).unwrap()).sum();
        prop_assert_eq!(total, quantity(&written(sum)));
        let back = amounts.iter().fold(total, |rest, nanos| rest - quantity(&written(*nanos)));
        prop_assert_eq!(back, Quantity::ZERO);
    }

    #[test]
    fn order_is_that_of_the_integers(a in nanos(), b in nanos()) {
        prop_assert_eq!(quantity(&written(a)).cmp(&quantity(&written(b))), a.cmp(&b));
    }

    #[test]
    fn what_is_written_is_read_back(nanos in nanos()) {
        let read = Quantity::parse_amount(&written(nanos)).unwrap();
        prop_assert_eq!(Quantity::parse_amount(&read.to_string()).unwrap(), read);
        prop_assert_eq!(serde_json::from_str::<Quantity>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
        prop_assert!(!read.to_string().contains(['e', 'E']));
    }

    #[test]
    fn an_exponent_moves_the_point(digits in 1..1_000_000_u64, exponent in -3_i32..=6) {
        let moved = Quantity::parse_amount(&format!("{digits}e{exponent}")).unwrap();
        let nanos = u128::from(digits) * 10_u128.pow(u32::try_from(exponent + 9).unwrap());
        prop_assert_eq!(moved, quantity(&written(nanos)));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+0-9.eE]{0,40}") {
        let _ = Quantity::parse_amount(&text);
        let _ = text.parse::<Quantity>();
    }
}
