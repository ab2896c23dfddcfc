use proptest::prelude::*;
use tenantry_domain::money::{Currency, Money, Rate, RateError};

fn shown(minor: i64, currency: &str) -> String {
    Money { minor, currency: currency.parse().unwrap() }.to_string()
}

#[test]
fn money_is_shown_with_the_digits_of_its_currency() {
    assert_eq!(shown(1234, "usd"), "12.34 USD");
    assert_eq!(shown(5, "eur"), "0.05 EUR");
    assert_eq!(shown(0, "usd"), "0.00 USD");
    assert_eq!(shown(-5, "usd"), "-0.05 USD");
    assert_eq!(shown(1234, "jpy"), "1234 JPY");
    assert_eq!(shown(1234, "kwd"), "1.234 KWD");
    assert_eq!(shown(i64::MIN, "usd"), "-92233720368547758.08 USD");
}

#[test]
fn currencies_are_three_lower_case_letters_that_money_exists_in() {
    assert_eq!("usd".parse::<Currency>().unwrap().to_string(), "usd");
    for unknown in ["USD", "Usd", "us", "usdd", "zzz", "xau", "xts", "", "u$d"] {
        let error = unknown.parse::<Currency>().unwrap_err().to_string();
        assert!(error.contains(&format!("{unknown:?}")), "{error}");
    }
}

#[test]
fn rates_are_exact_decimals() {
    use RateError::{Negative, NotADecimal, TooFine, TooLarge};
    for (text, shown) in
        [("2.5", "2.5"), ("0", "0"), ("2.50", "2.5"), ("0.000000000001", "0.000000000001"), ("-0", "0")]
    {
        assert_eq!(text.parse::<Rate>().unwrap().to_string(), shown);
    }
    for (text, why) in [
        ("-1", Negative),
        ("-0.000000000000000000000000000000000001", Negative),
        ("0.0000000000001", TooFine),
        ("0.00000000000000000000000000000000000000001", TooFine),
        ("1000000000000", TooLarge),
        ("99999999999999999999999999999999999999999", TooLarge),
        ("", NotADecimal),
        ("-", NotADecimal),
        (".5", NotADecimal),
        ("5.", NotADecimal),
        ("01", NotADecimal),
        ("1e3", NotADecimal),
        ("+1", NotADecimal),
        ("1_0", NotADecimal),
        ("1,5", NotADecimal),
        ("2.5 ", NotADecimal),
        ("1.2.3", NotADecimal),
        ("--1", NotADecimal),
    ] {
        assert_eq!(text.parse::<Rate>(), Err(why), "{text}");
    }
}

proptest! {
    #[test]
    fn a_rate_is_read_back_from_what_it_shows(whole in 0..1_000_000_000_000_u64, fraction in 0..1_000_000_000_000_u64) {
        let rate: Rate = format!("{whole}.{fraction:012}").parse().unwrap();
        prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        prop_assert_eq!(rate.as_decimal().mantissa() * 10_i128.pow(12 - rate.as_decimal().scale()),
            i128::from(whole) * 1_000_000_000_000 + i128::from(fraction));
    }
}

#[test]
fn a_rate_for_many_is_one_for_one_where_that_is_exact() {
    let of_one = |rate: &str, per: u64| rate.parse::<Rate>().unwrap().of_one(per).map(|rate| rate.to_string());
    for (rate, per, one) in [
        ("2.25", 1, Some("2.25")),
        ("2.25", 0, Some("2.25")),
        ("0.2", 1000, Some("0.0002")),
        ("3", 7, None),
        ("21", 7, Some("3")),
        ("0.000000000001", 1, Some("0.000000000001")),
        ("0.000000000001", 10, None),
        ("999999999999.999999999999", 1, Some("999999999999.999999999999")),
        ("0", u64::MAX, Some("0")),
        ("1", u64::MAX, None),
    ] {
        assert_eq!(of_one(rate, per).as_deref(), one, "{rate} for {per}");
    }
}
