//! Quantities of usage: exact decimals.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits that an amount may have before the point.
pub const AMOUNT_INTEGER_DIGITS: i64 = 15;
/// Digits that an amount may have after the point.
pub const AMOUNT_FRACTION_DIGITS: i64 = 9;
/// Characters that the text of an amount may have, so that nobody makes us read a megabyte of zeros.
pub const AMOUNT_LENGTH: usize = 128;

const EXPONENT_CUT: i64 = 1_000_000;

/// An exact quantity; negative for corrections.
///
/// The decimal behind it has 96 bits, so a sum of amounts (9 digits after the point) is exact up to
/// 79,228,162,514,264,337,593.543950335. A total is kept below [`Quantity::TOTAL_CEILING`], the round figure under
/// that: ten thousand of the largest possible events, or a billion events of ten thousand million units each.
/// [`crate::limit::Standing::admits`] refuses what would pass it, so nothing is ever rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity(Decimal);

/// Why a text is no amount of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// No number.
    #[error("must be a number, in digits")]
    NotANumber,
    /// Zero or negative.
    #[error("must be more than 0")]
    NotPositive,
    /// Too large.
    #[error("has more than {AMOUNT_INTEGER_DIGITS} digits before the point")]
    TooLarge,
    /// Too fine.
    #[error("has more than {AMOUNT_FRACTION_DIGITS} digits after the point")]
    TooFine,
    /// Above any total.
    #[error("is more than 10^19, the most that a total may be")]
    OverCeiling,
    /// Digits that no amount needs.
    #[error("is longer than {AMOUNT_LENGTH} characters")]
    TooLong,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// No total gets above it: 10^19 units. Everything up to it is exact with 9 digits after the point.
    pub const TOTAL_CEILING: Self = Self(Decimal::from_parts(2_313_682_944, 2_328_306_436, 0, false, 0));

    /// From a decimal.
    pub fn from_decimal(value: Decimal) -> Self {
        Self(value)
    }

    /// As a decimal.
    pub fn as_decimal(self) -> Decimal {
        self.0
    }

    /// The sum, or none where it would not be exact.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let sum = self.0.checked_add(other.0)?;
        // The library drops digits after the point, rounding, where 96 bits do not hold them all.
        let whole = sum.scale() >= self.0.scale().max(other.0.scale())
            || sum.scale() >= self.0.normalize().scale().max(other.0.normalize().scale());
        whole.then_some(Self(sum))
    }

    /// The difference, or none where it would not be exact.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self(-other.0))
    }

    /// Reads an amount of usage from the digits of a JSON number or string: more than 0, at most 15 digits
    /// before and 9 after the point once trailing zeros are gone. Exponents are read, never rounded.
    pub fn parse_amount(text: &str) -> Result<Self, AmountError> {
        if text.len() > AMOUNT_LENGTH {
            return Err(AmountError::TooLong);
        }
        let (digits, scale) = number_digits(text)?;
        if digits.starts_with('-') || digits.is_empty() {
            return Err(AmountError::NotPositive);
        }
        // digits without leading or trailing zeros; the value is digits * 10^-scale
        if length(&digits)?.saturating_sub(scale) > AMOUNT_INTEGER_DIGITS {
            return Err(AmountError::TooLarge);
        }
        if scale > AMOUNT_FRACTION_DIGITS {
            return Err(AmountError::TooFine);
        }
        let mantissa: i128 = digits.parse().map_err(|_| AmountError::TooLarge)?;
        let value = if scale >= 0 {
            let scale = u32::try_from(scale).map_err(|_| AmountError::TooFine)?;
            Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| AmountError::TooLarge)?
        } else {
            let zeros = u32::try_from(-scale).map_err(|_| AmountError::TooLarge)?;
            let factor = 10_i128.checked_pow(zeros).ok_or(AmountError::TooLarge)?;
            let product = mantissa.checked_mul(factor).ok_or(AmountError::TooLarge)?;
            Decimal::try_from_i128_with_scale(product, 0).map_err(|_| AmountError::TooLarge)?
        };
        Ok(Self(value.normalize()))
    }
}

impl Quantity {
    /// Reads an amount as [`Self::parse_amount`] does, or nothing at all: 0.
    pub fn parse_amount_or_zero(text: &str) -> Result<Self, AmountError> {
        match Self::parse_amount(text) {
            Err(AmountError::NotPositive) if number_digits(text)?.0.is_empty() => Ok(Self::ZERO),
            read => read,
        }
    }
}

/// The exponent of a JSON number. One beyond any sense is cut to a figure that is still beyond it.
fn exponent(text: &str) -> Result<i64, AmountError> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AmountError::NotANumber);
    }
    Ok(sign * digits.parse::<i64>().map_or(EXPONENT_CUT, |value| value.min(EXPONENT_CUT)))
}

fn length(digits: &str) -> Result<i64, AmountError> {
    i64::try_from(digits.len()).map_err(|_| AmountError::TooLarge)
}

/// The significant digits of a JSON number (a minus in front where negative, empty for zero) and its scale.
fn number_digits(text: &str) -> Result<(String, i64), AmountError> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (number, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (integer, fraction) = match number.split_once('.') {
        Some((integer, fraction)) if !fraction.is_empty() => (integer, fraction),
        Some(_) => return Err(AmountError::NotANumber),
        None => (number, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if integer.is_empty()
        || !all_digits(integer)
        || !all_digits(fraction)
        || (integer.len() > 1 && integer.starts_with('0'))
    {
        return Err(AmountError::NotANumber);
    }
    let joined = format!("{integer}{fraction}");
    let trimmed = joined.trim_start_matches('0');
    let significant = trimmed.trim_end_matches('0');
    let dropped = length(trimmed)? - length(significant)?;
    let scale = length(fraction)?.saturating_sub(exponent).saturating_sub(dropped);
    if significant.is_empty() {
        return Ok((String::new(), 0));
    }
    Ok((if negative { format!("-{significant}") } else { significant.to_owned() }, scale))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.normalize(), f)
    }
}

impl FromStr for Quantity {
    type Err = AmountError;

    /// Reads what `Display` writes: digits, at most one point with digits on both sides, a minus in front. No
    /// exponent, no plus.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.len() > AMOUNT_LENGTH {
            return Err(AmountError::TooLong);
        }
        if text.contains(['e', 'E']) {
            return Err(AmountError::NotANumber);
        }
        let (_, scale) = number_digits(text)?;
        if scale > AMOUNT_FRACTION_DIGITS {
            return Err(AmountError::TooFine);
        }
        let value = Decimal::from_str_exact(text).map_err(|_| AmountError::TooLarge)?.normalize();
        if value.abs() > Self::TOTAL_CEILING.0 { Err(AmountError::OverCeiling) } else { Ok(Self(value)) }
    }
}

impl Add for Quantity {
    type Output = Self;
    /// Exact for everything up to the ceiling of a total. Beyond what 96 bits hold it stays at the largest (or
    /// smallest) decimal rather than rounding or panicking, so that a comparison with a limit still comes out right.
    fn add(self, other: Self) -> Self {
        let end = if other.0.is_sign_negative() { Decimal::MIN } else { Decimal::MAX };
        self.checked_add(other).unwrap_or(Self(end))
    }
}

impl Sub for Quantity {
    type Output = Self;
    /// As `Add`, with the other's sign turned.
    fn sub(self, other: Self) -> Self {
        self + Self(-other.0)
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
