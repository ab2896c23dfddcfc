//! What overage costs: exact rationals, rounded once.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use num_bigint::{BigInt, BigUint};
use num_integer::Integer as _;
use num_rational::BigRational;
use num_traits::{One as _, Signed as _, ToPrimitive as _, Zero as _};
use rust_decimal::Decimal;

use crate::money::Rate;
use crate::plan::{MetricTerms, Mode, OverageTerms};
use crate::quantity::Quantity;

/// Money in minor units, exact: not rounded yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactMinor(BigRational);

/// A price that does not fit 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the price does not fit 64 bits of minor units")]
pub struct PriceOverflow;

impl ExactMinor {
    /// Nothing.
    pub fn zero() -> Self {
        Self(BigRational::zero())
    }

    /// So many times an amount, in so many equal parts, of which this is one.
    pub fn part_of(minor: i64, times: u32, parts: u32) -> Self {
        Self(BigRational::new(BigInt::from(minor) * times, BigInt::from(parts.max(1))))
    }

    /// Whether it is less than nothing.
    pub fn is_negative(&self) -> bool {
        self.0.is_negative()
    }

    /// This, or nothing where it is less: volume tiers and corrections can make a difference negative, but a period
    /// never owes the tenant money.
    #[must_use]
    pub fn or_nothing(self) -> Self {
        if self.is_negative() { Self::zero() } else { self }
    }

    /// All its digits, for people: a decimal such as `12.5`, or a fraction such as `25/3` where that has no end.
    pub fn digits(&self) -> String {
        let (mut rest, mut scale) = (self.0.denom().clone(), [0_u32; 2]);
        for (count, factor) in scale.iter_mut().zip([2_u8, 5]) {
            while (&rest % factor).is_zero() {
                rest /= factor;
                *count += 1;
            }
        }
        if !rest.is_one() {
            return self.to_string();
        }
        let places = scale[0].max(scale[1]);
        let scaled = self.0.numer().magnitude() * BigUint::from(10_u8).pow(places) / self.0.denom().magnitude();
        let places = usize::try_from(places).unwrap_or_default();
        // At least one digit before the point.
        let digits = format!("{scaled:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if self.is_negative() { "-" } else { "" };
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    /// To whole minor units, half to even. The one place where money is rounded.
    pub fn round_half_even(&self) -> Result<i64, PriceOverflow> {
        let (floor, rest) = self.0.numer().div_mod_floor(self.0.denom());
        let twice = rest * 2_u8;
        let up = match twice.cmp(self.0.denom()) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => floor.is_odd(),
        };
        (floor + u8::from(up)).to_i64().ok_or(PriceOverflow)
    }
}

impl Add for ExactMinor {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for ExactMinor {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for ExactMinor {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::zero(), Add::add)
    }
}

impl fmt::Display for ExactMinor {
    /// As an integer or a fraction, such as `25/2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One line of a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceLine {
    /// Units above included before it.
    pub from: Quantity,
    /// Units above included up to its end.
    pub to: Quantity,
    /// What is paid for: units, or whole packages.
    pub units: Quantity,
    /// Minor units for `per` units.
    pub unit_price: Rate,
    /// Units that one rate buys.
    pub per: u64,
    /// What it costs.
    pub amount: ExactMinor,
}

/// The price of a total: what is above the included quantity, under the plan's terms. Never less for more use,
/// but where volume tiers say so.
pub fn price(terms: &MetricTerms, total: Quantity) -> ExactMinor {
    ExactMinor(lines(terms, total).into_iter().map(|line| line.amount.0).sum())
}

/// The lines that a price is made of.
pub fn lines(terms: &MetricTerms, total: Quantity) -> Vec<PriceLine> {
    let (Some(overage), Some(included)) = (&terms.overage, terms.included()) else {
        return Vec::new();
    };
    let above = total - included;
    if above <= Quantity::ZERO {
        return Vec::new();
    }
    match overage.mode {
        Mode::Flat | Mode::Graduated => graduated(overage, above),
        Mode::Volume => {
            let tier = overage.tiers.iter().find(|tier| tier.up_to.is_none_or(|up_to| above <= up_to));
            tier.map(|tier| line(overage, Quantity::ZERO, above, tier.unit_price)).into_iter().collect()
        }
        Mode::Package => {
            overage.tiers.first().map(|tier| package(overage, above, tier.unit_price)).into_iter().collect()
        }
    }
}

fn graduated(overage: &OverageTerms, above: Quantity) -> Vec<PriceLine> {
    let mut lines = Vec::new();
    let mut from = Quantity::ZERO;
    for tier in &overage.tiers {
        let to = tier.up_to.map_or(above, |up_to| up_to.min(above));
        if to > from {
            lines.push(line(overage, from, to, tier.unit_price));
            from = to;
        }
    }
    lines
}

fn line(overage: &OverageTerms, from: Quantity, to: Quantity, unit_price: Rate) -> PriceLine {
    let units = to - from;
    let amount = rational(units.as_decimal()) * rational(unit_price.as_decimal()) / BigInt::from(overage.per.max(1));
    PriceLine { from, to, units, unit_price, per: overage.per, amount: ExactMinor(amount) }
}

fn package(overage: &OverageTerms, above: Quantity, unit_price: Rate) -> PriceLine {
    let packages = (rational(above.as_decimal()) / BigInt::from(overage.per.max(1))).ceil();
    let amount = packages.clone() * rational(unit_price.as_decimal());
    // A number of packages is at most the number of units, which is a decimal.
    let units = packages
        .to_integer()
        .to_i128()
        .map_or(above, |count| Quantity::from_decimal(Decimal::try_from_i128_with_scale(count, 0).unwrap_or_default()));
    PriceLine { from: Quantity::ZERO, to: above, units, unit_price, per: overage.per, amount: ExactMinor(amount) }
}

fn rational(value: Decimal) -> BigRational {
    BigRational::new(BigInt::from(value.mantissa()), BigInt::from(10_u8).pow(value.scale()))
}

/// Use of one segment: part of a period under one plan version.
#[derive(Debug, Clone, Copy)]
pub struct SegmentUse<'a> {
    /// What its plan says of the metric; none where the plan does not name it.
    pub terms: Option<&'a MetricTerms>,
    /// Total of the period when it began.
    pub total_at_start: Quantity,
    /// Total of the period when it ended, or now.
    pub total_at_end: Quantity,
}

impl SegmentUse<'_> {
    /// What the segment adds: `price(total at its end) - price(total at its start)`. Nothing where the plan does not
    /// name the metric.
    pub fn price(&self) -> ExactMinor {
        self.terms
            .map_or_else(ExactMinor::zero, |terms| price(terms, self.total_at_end) - price(terms, self.total_at_start))
    }
}

/// Accrued overage of a period: each segment adds `price(total at its end) - price(total at its start)`.
///
/// Totals continue over a plan change and the included quantity is neither added nor prorated, so no late
/// upgrade erases overage and no switch multiplies it.
pub fn accrued(segments: &[SegmentUse<'_>]) -> ExactMinor {
    segments.iter().map(SegmentUse::price).sum::<ExactMinor>().or_nothing()
}
