//! A month of the UTC calendar: what usage is partitioned, and leaves, by.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Serialize, Serializer};

/// The years of which usage is kept.
const YEARS: std::ops::RangeInclusive<i16> = 2000..=2100;

/// A month in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    first: Date,
    start: Timestamp,
    end: Timestamp,
}

impl Month {
    /// A month of the calendar; none beyond the years that usage is kept of.
    pub fn new(year: i16, month: i8) -> Option<Self> {
        Date::new(year, month, 1).ok().and_then(Self::from_first)
    }

    /// The month that contains an instant.
    pub fn of(at: Timestamp) -> Option<Self> {
        Self::from_first(at.to_zoned(TimeZone::UTC).date().first_of_month())
    }

    /// The month so many months before.
    pub fn back(self, months: u32) -> Option<Self> {
        self.first.checked_sub(Span::new().try_months(months).ok()?).ok().and_then(Self::from_first)
    }

    fn from_first(first: Date) -> Option<Self> {
        let next = first.checked_add(Span::new().months(1)).ok()?;
        let instant = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
        YEARS.contains(&first.year()).then_some(Self { first, start: instant(first)?, end: instant(next)? })
    }

    /// The month that a table's name ends with after a prefix, as in `tenant_usage_2026_05`; beside it what follows.
    pub(super) fn of_table<'a>(name: &'a str, prefix: &str) -> Option<(Self, &'a str)> {
        let rest = name.strip_prefix(prefix)?;
        let (year, month) = (rest.get(..4)?.parse().ok()?, rest.get(5..7)?.parse().ok()?);
        Some((Self::new(year, month)?, rest.get(7..)?))
    }

    /// First instant.
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// First instant after it.
    pub fn end(self) -> Timestamp {
        self.end
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let month = match text.split_once('-') {
            Some((year, month)) if year.len() == 4 && month.len() == 2 => {
                year.parse().ok().zip(month.parse().ok()).and_then(|(year, month)| Self::new(year, month))
            }
            _ => None,
        };
        month.ok_or_else(|| "write a month from 2000-01 to 2100-12, as in 2026-05".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_and_written() {
        let may: Month = "2026-05".parse().unwrap();
        assert_eq!(
            (may.start().to_string().as_str(), may.end().to_string().as_str()),
            ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")
        );
        assert_eq!(may.to_string(), "2026-05");
        assert_eq!(Month::of("2026-05-31T23:59:59.999999Z".parse().unwrap()), Some(may));
        assert_eq!(may.back(5).unwrap().to_string(), "2025-12");
        assert_eq!(Month::of_table("tenant_usage_2026_05", "tenant_usage_"), Some((may, "")));
        assert_eq!(Month::of_table("usage_detached_2026_05_12", "usage_detached_"), Some((may, "_12")));
        for wrong in ["2026", "2026-5", "2026-13", "2026-05-01", "1999-12", "2101-01", "+026-05", "may"] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
        for wrong in ["tenant_usage_", "tenant_usage_2026", "tenant_usage_2026_1", "usage_2026_05"] {
            assert_eq!(Month::of_table(wrong, "tenant_usage_"), None, "{wrong}");
        }
    }
}
