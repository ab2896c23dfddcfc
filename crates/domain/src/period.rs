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
    Span::new()
        .try_months(months)
        .and_then(|span| anchor.checked_add(span))
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

/// The period of an instant, from the nearest known ones: `previous` begins at or before it, `next` after it.
/// `anchor` is the current subscription's.
///
/// Known periods are the truth: one that contains the instant is the answer, and what is derived begins no earlier
/// than the one before ended and ends no later than the next one begins. From the subscription's anchor on, months
/// count from there, whatever the periods before counted from: a running period goes on to its end, and the one
/// after it ends at the next boundary of the anchor. Where the anchor lies ahead, months count from the anchor of
/// the nearest known period, and a period ends at the subscription's.
/// Historic is what lies before the anchor that it is counted from: the tenant was not here yet. What was historic
/// once stays so: an anchor that moves back reaches no further than the first one.
pub fn derive(
    at: Timestamp,
    previous: Option<&KnownPeriod>,
    next: Option<&KnownPeriod>,
    anchor: Timestamp,
) -> DerivedPeriod {
    if let Some(&KnownPeriod { period, anchor, historic }) = previous
        && period.contains(at)
    {
        return DerivedPeriod { period, anchor, historic };
    }
    // Where nothing but historic periods lie before, the neighbour counts from the anchor that the tenant came with.
    let first = match (previous, next) {
        (Some(known), _) => known.historic.then_some(known.anchor),
        (None, next) => next.map(|known| known.anchor),
    };
    let base = match first {
        Some(first) if at < first => first,
        _ if anchor <= at => anchor,
        _ => previous.or(next).map_or(anchor, |known| known.anchor),
    };
    let mut period = period_containing(base, at);
    if let Some(known) = previous {
        period.start = period.start.max(known.period.end);
    }
    if let Some(known) = next {
        period.end = period.end.min(known.period.start);
    }
    if at < anchor {
        period.end = period.end.min(anchor);
    }
    DerivedPeriod { period, anchor: base, historic: at < base }
}
