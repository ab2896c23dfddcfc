//! Periods by the calendar, in UTC.

use jiff::{Span, Timestamp, tz::TimeZone};

use crate::model::{Recurring, Time};

/// Counts periods from an anchor. The day of the anchor comes back in every month that has it: January 31 is
/// followed by February 28 and then by March 31.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calendar {
    anchor: Time,
    months: i64,
    days: i64,
}

impl Calendar {
    pub(crate) fn new(anchor: Time, recurring: &Recurring) -> Self {
        let count = recurring.interval_count.max(1);
        let (months, days) = match recurring.interval.as_str() {
            "day" => (0, count),
            "week" => (0, 7 * count),
            "year" => (12 * count, 0),
            _ => (count, 0),
        };
        Self { anchor, months, days }
    }

    /// The end of the period that begins with the anchor.
    pub(crate) fn first_end(self) -> Time {
        self.boundary(1)
    }

    /// The first boundary after a time.
    pub(crate) fn end_after(self, time: Time) -> Time {
        let longest = (self.months * 31 + self.days) * 86_400;
        let mut count = (time - self.anchor) / longest.max(1);
        while self.boundary(count) > time {
            count -= 1;
        }
        while self.boundary(count) <= time {
            count += 1;
        }
        self.boundary(count)
    }

    /// The last boundary that is not after a time.
    pub(crate) fn start_at(self, time: Time) -> Time {
        let longest = (self.months * 31 + self.days) * 86_400;
        let mut count = (time - self.anchor) / longest.max(1);
        while self.boundary(count) > time {
            count -= 1;
        }
        while self.boundary(count + 1) <= time {
            count += 1;
        }
        self.boundary(count)
    }

    fn boundary(self, count: i64) -> Time {
        let moved = || {
            let start = Timestamp::from_second(self.anchor).ok()?.to_zoned(TimeZone::UTC);
            let span = Span::new().try_months(self.months * count).ok()?.try_days(self.days * count).ok()?;
            Some(start.checked_add(span).ok()?.timestamp().as_second())
        };
        // Out of the calendar (the year 9999): a period of 30 days is as good as any.
        moved().unwrap_or(self.anchor + (self.months * 30 + self.days) * 86_400 * count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn calendar(anchor: &str, interval: &str) -> Calendar {
        let recurring = Recurring { interval: interval.into(), interval_count: 1, meter: None, metered: false };
        Calendar::new(at(anchor), &recurring)
    }

    #[test]
    fn the_day_of_the_anchor_comes_back() {
        let monthly = calendar("2026-01-31T10:00:00Z", "month");
        assert_eq!(monthly.first_end(), at("2026-02-28T10:00:00Z"));
        assert_eq!(monthly.end_after(at("2026-02-28T10:00:00Z")), at("2026-03-31T10:00:00Z"));
        assert_eq!(monthly.end_after(at("2026-04-30T09:59:59Z")), at("2026-04-30T10:00:00Z"));
        assert_eq!(monthly.start_at(at("2026-04-30T09:59:59Z")), at("2026-03-31T10:00:00Z"));
        let leap = calendar("2024-02-29T00:00:00Z", "year");
        assert_eq!(leap.first_end(), at("2025-02-28T00:00:00Z"));
        assert_eq!(leap.end_after(at("2027-12-01T00:00:00Z")), at("2028-02-29T00:00:00Z"));
    }

    #[test]
    fn an_anchor_in_the_future_counts_backwards() {
        let monthly = calendar("2026-03-31T00:00:00Z", "month");
        assert_eq!(monthly.end_after(at("2026-01-15T00:00:00Z")), at("2026-01-31T00:00:00Z"));
    }
}
