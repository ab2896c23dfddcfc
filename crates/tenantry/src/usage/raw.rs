//! What the events themselves say, rather than the counters: the one place that knows whether they are still there.

use std::borrow::Cow;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::storage::usage::raw as rows;
use crate::storage::{StoreError, Tx};

pub use crate::storage::usage::raw::{CounterKey, SumRow};

/// How a counter that adds up its events is called.
const SUM: &str = "sum";

/// What the events of a counter say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// They are there.
    Here(SumRow),
    /// Events that were counted are in the table no more: those of these months (UTC) were taken out of it.
    Archived(Vec<String>),
    /// They are there, but the counter's total is something else of them than their sum: this.
    NoSum(String),
}

/// What the events of a counter with timestamps in `within` say: of a whole period, or of a segment. Whoever takes
/// events out of the table in another way than by whole months, or totals them in another way, says so here.
pub async fn total(tx: &Tx, key: CounterKey<'_>, within: (Timestamp, Timestamp)) -> Result<Raw, StoreError> {
    let Some((counted, aggregation)) = rows::counted(tx, key).await? else {
        return Ok(Raw::Here(SumRow::default()));
    };
    let months = rows::months_elsewhere(tx, key, within).await?;
    if !months.is_empty() {
        // A month in which nothing was used is not there either: then no event is missing.
        let all = rows::sum(tx, key, (key.2, FAR)).await?;
        if all.events < counted {
            return Ok(Raw::Archived(months));
        }
    }
    if aggregation != SUM {
        return Ok(Raw::NoSum(aggregation));
    }
    Ok(Raw::Here(rows::sum(tx, key, within).await?))
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
