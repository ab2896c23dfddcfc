//! Months from an anchor, against a calendar of our own.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tenantry_domain::period::{Period, period_containing};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Seconds since 1970, by counting days of whole years and months.
fn seconds(year: i64, month: i64, day: i64, second: i64) -> i64 {
    let year_days = |year: i64| (1..=12).map(|month| days_in(year, month)).sum::<i64>();
    let years: i64 =
        if year >= 1970 { (1970..year).map(year_days).sum() } else { -(year..1970).map(year_days).sum::<i64>() };
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    (years + months + day - 1) * 86_400 + second
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    year: i64,
    month: i64,
    day: i64,
    second: i64,
}

impl Anchor {
    fn timestamp(self) -> Timestamp {
        Timestamp::from_second(seconds(self.year, self.month, self.day, self.second)).unwrap()
    }

    /// The start that falls into a calendar month.
    fn start_in(self, year: i64, month: i64) -> Timestamp {
        let day = self.day.min(days_in(year, month));
        Timestamp::from_second(seconds(year, month, day, self.second)).unwrap()
    }
}

fn anchor() -> impl Strategy<Value = Anchor> {
    (2000..2100_i64, 1..=12_i64, 0..=31_i64, prop_oneof![Just(0), Just(86_399), 0..86_400_i64]).prop_map(
        |(year, month, pick, second)| {
            // Days 28 to 31 are where it can go wrong: take the month's last days often.
            let last = days_in(year, month);
            let day = if pick < 12 { last - pick % 4 } else { 1 + pick % last };
            Anchor { year, month, day, second }
        },
    )
}

#[test]
fn an_anchor_on_the_31st_falls_on_the_last_day_of_shorter_months_and_comes_back() {
    let anchor = at("2024-01-31T10:30:00.123456Z");
    let mut start = anchor;
    let mut starts = Vec::new();
    for _ in 0..14 {
        let period = period_containing(anchor, start);
        assert_eq!(period.start, start);
        starts.push(start.to_string());
        start = period.end;
    }
    let days: Vec<&str> = starts.iter().map(|start| &start[..10]).collect();
    assert_eq!(
        days,
        [
            "2024-01-31",
            "2024-02-29",
            "2024-03-31",
            "2024-04-30",
            "2024-05-31",
            "2024-06-30",
            "2024-07-31",
            "2024-08-31",
            "2024-09-30",
            "2024-10-31",
            "2024-11-30",
            "2024-12-31",
            "2025-01-31",
            "2025-02-28",
        ]
    );
    assert!(starts.iter().all(|start| start.ends_with("T10:30:00.123456Z")));
}

#[test]
fn periods_run_backwards_from_the_anchor_too() {
    let anchor = at("2024-03-31T12:00:00Z");
    let containing = |text: &str| period_containing(anchor, at(text));
    let feb = Period { start: at("2024-02-29T12:00:00Z"), end: anchor };
    assert_eq!(containing("2024-03-31T11:59:59.999999999Z"), feb);
    assert_eq!(containing("2024-02-29T12:00:00Z"), feb);
    assert_eq!(containing("2024-02-29T11:59:59Z").start, at("2024-01-31T12:00:00Z"));
    assert_eq!(containing("2023-02-28T12:00:00Z").start, at("2023-02-28T12:00:00Z"));
}

#[test]
fn a_period_is_half_open() {
    let period = period_containing(at("2024-01-15T00:00:00Z"), at("2024-01-20T00:00:00Z"));
    assert!(period.contains(period.start));
    assert!(!period.contains(period.end));
    assert!(period.contains(period.end - SignedDuration::from_nanos(1)));
    assert!(!period.contains(period.start - SignedDuration::from_nanos(1)));
}

#[test]
fn all_months_of_a_century_tile_for_the_anchors_28_to_31() {
    for (year, month, day) in [
        (2000, 1, 28),
        (2000, 1, 29),
        (2000, 1, 30),
        (2000, 1, 31),
        (2000, 2, 29),
        (2024, 2, 29),
        (2099, 12, 31),
        (2050, 6, 30),
    ] {
        for second in [0, 43_200, 86_399] {
            let anchor = Anchor { year, month, day, second };
            let mut expected = anchor.start_in(2000, 1);
            let mut count = 0;
            while expected < at("2100-12-01T00:00:00Z") {
                let period = period_containing(anchor.timestamp(), expected);
                let (year, month) = (2000 + count / 12, 1 + count % 12);
                assert_eq!(period.start, anchor.start_in(year, month), "{anchor:?} {year}-{month}");
                assert_eq!(period_containing(anchor.timestamp(), period.end - SignedDuration::from_nanos(1)), period);
                expected = period.end;
                count += 1;
            }
            assert!(count >= 1211, "{count} months");
        }
    }
}

#[test]
fn the_ends_of_time_do_not_panic() {
    for anchor in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
        for at in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            let period = period_containing(anchor, at);
            assert!(period.start <= at && at <= period.end, "{anchor} {at}: {period:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_period_is_the_one_of_the_calendar_model(anchor in anchor(), second in 946_684_800..4_102_444_800_i64, nano in 0..1_000_000_000_i32) {
        let at = Timestamp::new(second, nano).unwrap();
        let period = period_containing(anchor.timestamp(), at);
        prop_assert!(period.contains(at));
        // The model: the last start that is not after the instant, among all months around it.
        let year: i64 = at.to_string()[..4].parse().unwrap();
        let starts: Vec<Timestamp> =
            (year - 1..=year + 1).flat_map(|year| (1..=12).map(move |month| anchor.start_in(year, month))).collect();
        let position = starts.iter().rposition(|start| *start <= at).unwrap();
        prop_assert_eq!(period, Period { start: starts[position], end: starts[position + 1] });
    }

    #[test]
    fn every_instant_of_a_period_gives_it_again(anchor in anchor(), second in 946_684_800..4_102_444_800_i64, part in 0.0..1.0_f64) {
        let period = period_containing(anchor.timestamp(), Timestamp::from_second(second).unwrap());
        let inside = period.start + period.start.duration_until(period.end).mul_f64(part);
        prop_assert_eq!(period_containing(anchor.timestamp(), inside.min(period.end - SignedDuration::from_nanos(1))), period);
        prop_assert_eq!(period_containing(anchor.timestamp(), period.end).start, period.end);
    }
}
