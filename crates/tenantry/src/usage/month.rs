//! A month in UTC, as in `2026-10`: it stands for the periods that begin in it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

/// A month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    first: Date,
}

/// A text that is no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a month of the years 2000 to 2100, written like 2026-10")]
pub struct NoMonth;

impl FromStr for Month {
    type Err = NoMonth;

    fn from_str(text: &str) -> Result<Self, NoMonth> {
        let digits = |part: &str, length: usize| -> Option<i16> {
            let is_number = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { part.parse().ok() } else { None }
        };
        let (year, month) = text.split_once('-').ok_or(NoMonth)?;
        let (year, month) = (digits(year, 4).ok_or(NoMonth)?, digits(month, 2).ok_or(NoMonth)?);
        if !(2000..=2100).contains(&year) || !(1..=12).contains(&month) {
            return Err(NoMonth);
        }
        let first = date(year, i8::try_from(month).map_err(|_| NoMonth)?, 1);
        let next = first.last_of_month().tomorrow().map_err(|_| NoMonth)?;
        let instant = |day: Date| day.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|_| NoMonth);
        Ok(Self { start: instant(first)?, end: instant(next)?, first })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

#[cfg(test)]
mod tests {
    use super::Month;

    #[test]
    fn months_are_read_and_others_refused() {
        let month: Month = "2026-12".parse().unwrap();
        assert_eq!(
            (month.start, month.end),
            ("2026-12-01T00:00Z".parse().unwrap(), "2027-01-01T00:00Z".parse().unwrap())
        );
        assert_eq!(month.to_string(), "2026-12");
        for text in
            ["", "2026", "2026-13", "2026-00", "2026-1", "1999-12", "2101-01", "2026-10-01", "+026-10", "x026-10"]
        {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
