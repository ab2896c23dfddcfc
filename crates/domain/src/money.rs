//! Money: integer minor units with a currency, and exact rates.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Decimals that a rate may have.
pub const RATE_DECIMALS: u32 = 12;
/// Digits that a rate may have before the point.
pub const RATE_INTEGER_DIGITS: usize = 12;

/// A currency of ISO 4217, written in lower case as Stripe does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// A text that is no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no currency of ISO 4217; give three letters such as \"usd\"")]
pub struct UnknownCurrency(String);

impl Currency {
    /// Digits of the minor unit: 2 for usd, 0 for jpy, 3 for kwd.
    pub fn minor_digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;
    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let is_lower = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_lowercase());
        let found = if is_lower { iso_currency::Currency::from_code(&text.to_ascii_uppercase()) } else { None };
        // Gold, test codes and the like have no minor unit: nothing can be charged in them.
        found.filter(|code| code.exponent().is_some()).map(Self).ok_or_else(|| UnknownCurrency(text.to_owned()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.code().to_ascii_lowercase())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units of the currency: cents of usd, whole yen.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl fmt::Display for Money {
    /// `12.34 USD`, `1234 JPY`, `1.234 KWD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = Decimal::from_i128_with_scale(i128::from(self.minor), self.currency.minor_digits());
        write!(f, "{amount} {}", self.currency.0.code())
    }
}

/// A price of one unit in minor units of a currency: exact, at least 0, at most 12 decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(Decimal);

/// Why a text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// No decimal.
    #[error("must be an exact decimal in quotes, such as \"2.5\"")]
    NotADecimal,
    /// Negative.
    #[error("must not be negative")]
    Negative,
    /// Too many decimals.
    #[error("has more than {RATE_DECIMALS} decimals")]
    TooFine,
    /// Too many digits before the point.
    #[error("has more than {RATE_INTEGER_DIGITS} digits before the point")]
    TooLarge,
}

impl Rate {
    /// As a decimal.
    pub fn as_decimal(self) -> Decimal {
        self.0
    }

    /// The rate of one unit where this is that of `per`; none where that has more than 12 decimals, or no end.
    pub fn of_one(self, per: u64) -> Option<Self> {
        let per = i128::from(per.max(1));
        // 12 digits before and 12 after the point: far below what 128 bits hold.
        let scaled = self.0.mantissa() * 10_i128.pow(RATE_DECIMALS.checked_sub(self.0.scale())?);
        let exact = scaled % per == 0;
        let one = Decimal::try_from_i128_with_scale(scaled / per, RATE_DECIMALS).ok().filter(|_| exact)?;
        Some(Self(one.normalize()))
    }
}

impl FromStr for Rate {
    type Err = RateError;
    fn from_str(text: &str) -> Result<Self, RateError> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(RateError::NotADecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        if negative && (whole != "0" || !fraction.is_empty()) {
            return Err(RateError::Negative);
        }
        if whole.len() > RATE_INTEGER_DIGITS {
            return Err(RateError::TooLarge);
        }
        if fraction.len() > RATE_DECIMALS as usize {
            return Err(RateError::TooFine);
        }
        let plain = format!("{whole}.{fraction}0");
        let value = Decimal::from_str_exact(&plain).map_err(|_| RateError::NotADecimal)?.normalize();
        Ok(Self(value))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
