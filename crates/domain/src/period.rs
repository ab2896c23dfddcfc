//! Usage periods: months from an anchor, in UTC.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A half-open span of time, [start, end).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
}

impl Period {
    /// Whether the instant lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

/// A period that is known already, as a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPeriod {
    /// Its bounds.
    pub period: Period,
    /// What its months are counted from.
    pub anchor: Timestamp,
    /// Before the tenant was here.
    pub historic: bool,
}

/// A period that was worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DerivedPeriod {
    /// Its bounds.
    pub period: Period,
    /// What its months are counted from.
    pub anchor: Timestamp,
    /// Before the tenant was here.
    pub historic: bool,
}

/// The start of the month with this number, counted from the anchor. A day 29 to 31 falls on a shorter month's
/// last day and comes back after it, since each start is counted from the anchor, not from the month before.
fn start_of(anchor: DateTime, months: i64) -> Timestamp {
    anchor
        .checked_add(Span::new().months(months))
        .and_then(|start| start.to_zoned(TimeZone::UTC))
        .map_or(if months < 0 { Timestamp::MIN } else { Timestamp::MAX }, |zoned| zoned.timestamp())
}

/// The month from the anchor that contains an instant, before the anchor as well.
pub fn period_containing(anchor: Timestamp, at: Timestamp) -> Period {
    let anchor = anchor.to_zoned(TimeZone::UTC).datetime();
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    let mut months = i64::from(civil.year() - anchor.year()) * 12 + i64::from(civil.month() - anchor.month());
    // The calendar month is right or one too far, never further off.
    if start_of(anchor, months) > at {
        months -= 1;
    }
    Period { start: start_of(anchor, months), end: start_of(anchor, months + 1) }
}

/// The period of an instant that no known period contains, from the nearest known ones: `previous` begins at or
/// before it, `next` after it. `anchor` is the subscription's own.
///
/// Known periods are the truth: what is derived ends where the next one begins and begins no earlier than the
/// one before ended. Before the first one months run backwards from its anchor and are historic.
pub fn derive(
    at: Timestamp,
    previous: Option<&KnownPeriod>,
    next: Option<&KnownPeriod>,
    anchor: Timestamp,
) -> DerivedPeriod {
    let (base, historic) = match (previous, next) {
        // The subscription's anchor was set anew between the known periods: months count from there.
        (Some(known), _) if anchor >= known.period.end && anchor <= at => (anchor, false),
        (Some(known), _) => (known.anchor, known.historic && at < anchor),
        (None, Some(known)) => (known.anchor, true),
        (None, None) => (anchor, at < anchor),
    };
    let mut period = period_containing(base, at);
    if let Some(known) = previous {
        period.start = period.start.max(known.period.end);
    }
    if let Some(known) = next {
        period.end = period.end.min(known.period.start);
    } else if historic || at < anchor {
        period.end = if at < anchor { period.end.min(anchor) } else { period.end };
    }
    DerivedPeriod { period, anchor: base, historic }
}
