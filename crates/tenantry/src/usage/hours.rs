//! Whole hours and days, UTC: what usage is summed by; and quarters of days, in which hours are folded.

use jiff::Timestamp;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// First instant of the UTC hour that contains an instant.
pub fn hour_of(at: Timestamp) -> Timestamp {
    begin(at, HOUR)
}

/// First instant of the UTC day that contains an instant.
pub fn day_of(at: Timestamp) -> Timestamp {
    begin(at, DAY)
}

/// First instant of the quarter of a UTC day that contains an instant: of hours 0, 6, 12 and 18.
pub fn quarter_of(at: Timestamp) -> Timestamp {
    begin(at, DAY / 4)
}

/// First instant of the UTC hour after the one that contains an instant.
pub fn next_hour(at: Timestamp) -> Timestamp {
    let hour = hour_of(at);
    Timestamp::from_second(hour.as_second() + HOUR).unwrap_or(hour)
}

fn begin(at: Timestamp, seconds: i64) -> Timestamp {
    let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    Timestamp::from_second(second.div_euclid(seconds) * seconds).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_are_whole_also_before_1970() {
        for (at, hour, quarter, day) in [
            ("2026-11-24T10:59:59.999999Z", "2026-11-24T10:00:00Z", "2026-11-24T06:00:00Z", "2026-11-24T00:00:00Z"),
            ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", "2026-11-24T00:00:00Z"),
            ("2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:00:00Z", "1969-12-31T18:00:00Z", "1969-12-31T00:00:00Z"),
        ] {
            let at: Timestamp = at.parse().unwrap();
            let begins = (hour_of(at), quarter_of(at), day_of(at));
            assert_eq!(begins, (hour.parse().unwrap(), quarter.parse().unwrap(), day.parse().unwrap()), "{at}");
            assert_eq!(next_hour(at).duration_since(hour_of(at)).as_secs(), 3600);
        }
    }
}
