//! What a quantity costs. Exact decimals; rounded once, half away from zero, to minor units.

use iso_currency::Currency;
use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::model::{Price, TiersMode};

/// The largest amount of anything, in minor units: what many of them come to fits as well.
const MOST: i64 = 999_999_999_999;

/// The amount of a quantity in minor units. What is beyond the largest amount counts as that.
pub(crate) fn amount(price: &Price, quantity: i64) -> i64 {
    let quantity = quantity.max(0);
    let exact = match price.tiers_mode {
        None => price.unit_amount.unwrap_or_default().checked_mul(packages(price, quantity).into()),
        Some(TiersMode::Volume) => volume(price, quantity),
        Some(TiersMode::Graduated) => graduated(price, quantity),
    };
    exact.map_or(MOST, round)
}

/// What is paid for: units, or packages of them.
fn packages(price: &Price, quantity: i64) -> i64 {
    let Some(transform) = price.transform else { return quantity };
    let whole = quantity / transform.divide_by.max(1);
    let has_rest = quantity % transform.divide_by.max(1) > 0;
    whole + i64::from(transform.rounds_up && has_rest)
}

/// Rounds minor units to whole ones, at most the largest amount.
pub(crate) fn round(exact: Decimal) -> i64 {
    let whole = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    whole.clamp((-MOST).into(), MOST.into()).to_i64().unwrap_or(MOST)
}

fn volume(price: &Price, quantity: i64) -> Option<Decimal> {
    let tier = price.tiers.iter().find(|tier| tier.up_to.is_none_or(|end| quantity <= end))?;
    let units = tier.unit_amount.unwrap_or_default().checked_mul(quantity.into())?;
    units.checked_add(tier.flat_amount.unwrap_or_default())
}

fn graduated(price: &Price, quantity: i64) -> Option<Decimal> {
    let mut sum = Decimal::ZERO;
    let mut start = 0;
    for tier in &price.tiers {
        let end = tier.up_to.unwrap_or(i64::MAX).min(quantity);
        if start > 0 && end <= start {
            break;
        }
        let units = tier.unit_amount.unwrap_or_default().checked_mul((end - start).into())?;
        sum = sum.checked_add(units)?.checked_add(tier.flat_amount.unwrap_or_default())?;
        start = end;
        if quantity <= start {
            break;
        }
    }
    Some(sum)
}

/// A price of one unit as Stripe writes it: no zeros at the end.
pub(crate) fn unit_decimal(unit: Decimal) -> String {
    unit.normalize().to_string()
}

/// Digits of the minor unit of a currency in lower case; none when there is no such currency.
pub(crate) fn exponent(currency: &str) -> Option<u32> {
    let known = Currency::from_code(&currency.to_ascii_uppercase())?;
    known.exponent().map(u32::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Tier, Transform};

    fn tiered(mode: TiersMode) -> Price {
        let tier = |up_to, unit: &str, flat: Option<i64>| Tier {
            up_to,
            unit_amount: Some(unit.parse().unwrap()),
            flat_amount: flat.map(Decimal::from),
        };
        Price {
            id: "price_1".into(),
            created: 0,
            active: true,
            currency: "usd".into(),
            product: "prod_1".into(),
            nickname: None,
            lookup_key: None,
            metadata: crate::model::Metadata::default(),
            tax_behavior: "unspecified".into(),
            unit_amount: None,
            tiers: vec![tier(Some(100), "0", None), tier(Some(200), "1.5", None), tier(None, "0.5", Some(10))],
            tiers_mode: Some(mode),
            transform: None,
            recurring: None,
        }
    }

    #[test]
    fn packages_are_begun_or_full() {
        let price = |rounds_up| Price {
            unit_amount: Some("2.5".parse().unwrap()),
            tiers: Vec::new(),
            tiers_mode: None,
            transform: Some(Transform { divide_by: 20, rounds_up }),
            ..tiered(TiersMode::Volume)
        };
        let quantities = [0, 1, 20, 21, 40, 60];
        assert_eq!(quantities.map(|quantity| amount(&price(true), quantity)), [0, 3, 3, 5, 5, 8]);
        assert_eq!(quantities.map(|quantity| amount(&price(false), quantity)), [0, 0, 3, 3, 5, 8]);
    }

    #[test]
    fn fractions_of_a_minor_unit_are_multiplied_before_they_are_rounded() {
        let unit = Some("0.000000000001".parse().unwrap());
        let price = Price { unit_amount: unit, tiers_mode: None, ..tiered(TiersMode::Volume) };
        let quantities = [1, 499_999_999_999, 500_000_000_000, 999_999_999_999];
        assert_eq!(quantities.map(|quantity| amount(&price, quantity)), [0, 0, 1, 1]);
    }

    #[test]
    fn graduated_tiers_add_up_and_volume_takes_one() {
        let graduated = tiered(TiersMode::Graduated);
        assert_eq!([0, 100, 101, 200, 300].map(|quantity| amount(&graduated, quantity)), [0, 0, 2, 150, 210]);
        let volume = tiered(TiersMode::Volume);
        assert_eq!([100, 101, 300].map(|quantity| amount(&volume, quantity)), [0, 152, 160]);
    }

    #[test]
    fn currencies_know_their_minor_unit() {
        assert_eq!(["usd", "jpy", "kwd", "zzz"].map(exponent), [Some(2), Some(0), Some(3), None]);
    }
}
