//! When a change that is learned of late can take effect: never before what is in force already began, and never before
//! the end of a month whose events have left.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::storage::usage::{open, retention, segments};
use crate::storage::{StoreError, Tx};

/// What is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// A segment: at the start of the running one it takes that one over.
    Segment,
    /// A period: it cannot begin where a later segment of the open period does.
    Period,
}

/// The first instant at or after `at` at which a change can begin.
pub async fn possible(tx: &Tx, tenant: Uuid, at: Timestamp, begins: Begins) -> Result<Timestamp, StoreError> {
    // What has left cannot be told apart by instants any more.
    let at = retention::left_until(tx, tenant).await?.map_or(at, |end| at.max(end));
    let periods = open::nearest_periods(tx, &[tenant], &[at]).await?;
    let own = || periods.iter().filter(|period| !period.historic);
    let running = own().find(|period| period.start <= at && at < period.end);
    // Before the tenant was here, its first period is what can change.
    let first = own().find(|period| period.start > at).filter(|_| own().all(|period| period.start > at));
    // In a gap the period is still to be made, and nothing is in force.
    let Some(period) = running.or(first) else { return Ok(at) };
    let at = at.max(period.start);
    // Beyond an end that moved, segments are empty and never in force.
    let segments = segments::segments_of(tx, &[tenant], &[period.start]).await?;
    let last = segments.into_iter().rfind(|segment| segment.started_at < period.end);
    let Some(last) = last else { return Ok(at) };
    Ok(match begins {
        Begins::Segment => at.max(last.started_at),
        Begins::Period if last.started_at == period.start => at,
        Begins::Period if at > last.started_at => at,
        Begins::Period => last.started_at.saturating_add(SignedDuration::from_micros(1)).unwrap_or(last.started_at),
    })
}
