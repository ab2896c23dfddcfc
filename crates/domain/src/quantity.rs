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

/// An exact quantity; negative for corrections. Totals up to 18 digits before and 9 after the point are exact.
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
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

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
        self.0.checked_add(other.0).map(Self)
    }

    /// Reads an amount of usage from the digits of a JSON number or string: more than 0, at most 15 digits
    /// before and 9 after the point once trailing zeros are gone. Exponents are read, never rounded.
    pub fn parse_amount(text: &str) -> Result<Self, AmountError> {
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

fn length(digits: &str) -> Result<i64, AmountError> {
    i64::try_from(digits.len()).map_err(|_| AmountError::TooLarge)
}

/// The significant digits of a JSON number (a minus in front where negative, empty for zero) and its scale.
fn number_digits(text: &str) -> Result<(String, i64), AmountError> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (number, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], rest[at + 1..].parse::<i64>().map_err(|_| AmountError::NotANumber)?),
        None => (rest, 0),
    };
    let (integer, fraction) = match number.split_once('.') {
        Some((integer, fraction)) if !fraction.is_empty() => (integer, fraction),
        Some(_) => return Err(AmountError::NotANumber),
        None => (number, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if integer.is_empty() || !all_digits(integer) || !all_digits(fraction) || (integer.len() > 1 && integer.starts_with('0')) {
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

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        Decimal::from_str_exact(text).map(Self).map_err(|_| AmountError::NotANumber)
    }
}

impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
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
