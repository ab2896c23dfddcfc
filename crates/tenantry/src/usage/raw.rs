//! What the events themselves say, rather than the counters: the one place that knows whether they are still there.

use std::borrow::Cow;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use tenantry_domain::metric::Aggregation;

use crate::storage::usage::aggregated;
use crate::storage::usage::open::SegmentRow;
use crate::storage::usage::raw::{self as rows, CountedRow};
use crate::storage::{StoreError, Tx};

pub use crate::storage::usage::raw::{CounterKey, SumRow};

/// What the events of a counter say, over a span of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Raw {
    /// What they add to its total, and how many they are. Where some have left it is what the others say.
    pub sum: SumRow,
    /// Months (UTC) whose events were taken out of the table, where events that were counted are missing.
    pub archived: Vec<String>,
}

/// What the events of a counter with timestamps in `within` say: of a whole period, or of a segment. A total that is no
/// sum is made anew by its definition: what a span adds is the figure until its end less the figure until its start.
/// Whoever takes events out of the table in another way than by whole months says so here.
pub async fn total(tx: &Tx, key: CounterKey<'_>, within: (Timestamp, Timestamp)) -> Result<Raw, StoreError> {
    let Some(counter) = rows::counted(tx, key).await? else {
        return Ok(Raw::default());
    };
    let aggregation =
        counter.aggregation.parse().map_err(|error| StoreError::corrupt("aggregation of a counter", error))?;
    under(tx, key, (&counter, &aggregation), within).await
}

/// As [`total`], had the counter been of this aggregation.
async fn under(
    tx: &Tx,
    key: CounterKey<'_>,
    (counter, aggregation): (&CountedRow, &Aggregation),
    (from, to): (Timestamp, Timestamp),
) -> Result<Raw, StoreError> {
    let mut archived = rows::months_elsewhere(tx, key, (from, to)).await?;
    if !archived.is_empty() {
        // A month in which nothing was used is not there either: then no event is missing.
        let all = rows::sum(tx, key, (key.2, FAR)).await?;
        if all.events >= counter.events {
            archived.clear();
        }
    }
    let mut sum = rows::sum(tx, key, (from, to)).await?;
    if !aggregation.is_sum() {
        let free = aggregation.free_slots((key.2, counter.period_end));
        let figure = |until| aggregated::figure(tx, aggregation, (key.0, key.1), (key.2, until), (None, free));
        sum.total = figure(to).await? - figure(from).await?;
    }
    Ok(Raw { sum, archived })
}

/// What the events of a counter say, segment by segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BySegment {
    /// By the segment's sequence.
    pub used: Vec<(i32, SumRow)>,
    /// As in [`Raw`].
    pub archived: Vec<String>,
}

impl BySegment {
    /// The total that they make.
    pub fn total(&self) -> Decimal {
        self.used.iter().map(|(_, sum)| sum.total).sum()
    }

    /// What each segment adds to it.
    pub fn amounts(&self) -> Vec<(i32, Decimal)> {
        self.used.iter().map(|(sequence, sum)| (*sequence, sum.total)).collect()
    }
}

/// What the events of a counter say of each of the segments of its period, of which these are all, if they are counted as
/// an aggregation says: the counter's own, or another.
pub async fn by_segment(
    tx: &Tx,
    key: CounterKey<'_>,
    segments: &[SegmentRow],
    aggregation: &Aggregation,
) -> Result<BySegment, StoreError> {
    let mut found = BySegment::default();
    let Some(counter) = rows::counted(tx, key).await? else { return Ok(found) };
    for (position, segment) in segments.iter().enumerate() {
        let end = segments.get(position + 1).map_or(counter.period_end, |next| next.started_at);
        // One beyond an end that moved holds nothing.
        let end = end.min(counter.period_end);
        let Raw { sum, archived } = under(tx, key, (&counter, aggregation), (segment.started_at.min(end), end)).await?;
        found.used.push((segment.sequence, sum));
        found.archived.extend(archived);
    }
    if *aggregation == Aggregation::Last {
        // The last amount is priced once, by the last segment.
        let total = found.total();
        found.used.iter_mut().for_each(|(_, sum)| sum.total = Decimal::ZERO);
        found.used.iter_mut().rev().take(1).for_each(|(_, sum)| sum.total = total);
    }
    Ok(found)
}

/// After every event: usage is kept until 2100.
const FAR: Timestamp = Timestamp::constant(4_133_980_800, 0);

/// SHA-256 over the events of a counter whose period ends at `end`: a line for each, by timestamp and then by the bytes
/// of its key.
///
/// A line is `timestamp TAB key TAB kind TAB amount LF`. The timestamp is in UTC with six decimals, as in
/// `2026-10-01T12:00:00.000000Z`; in the key a backslash, a tab and a line break are written as `\\`, `\t` and `\n`,
/// so that no key looks like more than one line; the kind is `usage` or `reversal`; the amount has no zeros at its end.
pub async fn digest(tx: &Tx, key: CounterKey<'_>, end: Timestamp) -> Result<[u8; 32], StoreError> {
    let mut digest = Sha256::new();
    let mut lines = std::pin::pin!(rows::lines(tx, key, end).await?);
    while let Some(line) = lines.try_next().await? {
        let at = line.occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
        digest.update(format!("{at}\t{}\t{}\t{}\n", escaped(&line.key), line.kind, line.amount));
    }
    Ok(digest.finalize().into())
}

fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['\\', '\t', '\n']) {
        return key.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").into();
    }
    key.into()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_key_looks_like_more_than_one_line() {
        assert_eq!(escaped("a\tb\nc\\td"), "a\\tb\\nc\\\\td");
        assert_eq!(escaped("req-7f3a"), "req-7f3a");
    }
}
