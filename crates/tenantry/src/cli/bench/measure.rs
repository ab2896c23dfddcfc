//! Running one kind of work from many tasks for a fixed time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cli::Failure;

/// Slower answers than this count as this slow, in microseconds.
const SLOWEST: u64 = 60_000_000;

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figure {
    /// Events a second, over all tasks.
    pub(super) per_second: f64,
    /// Median time to an answer, in milliseconds.
    pub(super) p50_ms: f64,
    /// 99th percentile of it.
    pub(super) p99_ms: f64,
    /// Calls that were not answered as they should be.
    pub(super) errors: u64,
    /// Events that a limit refused, which is an answer.
    pub(super) refused: u64,
    /// Events, over all tasks.
    pub(super) events: u64,
    /// Microseconds of processor time an event on this machine, where the system tells.
    pub(super) cpu_us: Option<f64>,
}

/// What one task does, again and again.
pub(super) trait Work: Send + 'static {
    /// Does it once; how many events that were. `None` where the answer was not the right one.
    fn once(&mut self) -> impl Future<Output = Option<u64>> + Send;

    /// How many events a limit refused so far.
    fn refused(&self) -> u64 {
        0
    }
}

/// Runs every task for the time and adds up what they did.
pub(super) async fn run<W: Work>(tasks: Vec<W>, time: Duration) -> Result<Figure, Failure> {
    let began = Instant::now();
    let running: Vec<_> = tasks
        .into_iter()
        .map(|mut work| {
            tokio::spawn(async move {
                let mut times = histogram()?;
                let (mut events, mut errors) = (0, 0);
                while began.elapsed() < time {
                    let asked = Instant::now();
                    match work.once().await {
                        Some(count) => events += count,
                        None => errors += 1,
                    }
                    let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(SLOWEST);
                    times.saturating_record(micros.max(1));
                }
                Ok::<_, Failure>((events, errors, work.refused(), times))
            })
        })
        .collect();
    let (mut events, mut errors, mut refused, mut times) = (0, 0, 0, histogram()?);
    for task in running {
        let (more, failed, stopped, of_task) = task.await.map_err(|error| Failure::wrong(error.to_string()))??;
        events += more;
        errors += failed;
        refused += stopped;
        times.add(of_task).map_err(|error| Failure::wrong(error.to_string()))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (count, quantile) = (events as f64, |q: f64| times.value_at_quantile(q) as f64 / 1000.0);
    Ok(Figure {
        per_second: count / began.elapsed().as_secs_f64(),
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        errors,
        refused,
        events,
        cpu_us: None,
    })
}

fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, SLOWEST, 3).map_err(|error| Failure::wrong(error.to_string()))
}

/// The middle one of several rounds, by speed.
pub(super) fn median(mut rounds: Vec<Figure>) -> Option<Figure> {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let middle = rounds.len() / 2;
    let errors = rounds.iter().map(|round| round.errors).sum();
    rounds.into_iter().nth(middle).map(|figure| Figure { errors, ..figure })
}

/// How the keys of events follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Keys {
    /// Each is above the last one of its connection, as with UUIDs of version 7
    Time,
    /// Each is anywhere among those that are there, as with UUIDs of version 4
    Random,
}

/// Numbers the events of a run, over all its connections.
#[derive(Debug)]
pub(super) struct Sequence {
    keys: Keys,
    /// Tells the events of this run from those of others.
    run: u64,
    next: AtomicU64,
}

impl Sequence {
    /// Above all that began before `now`, as long as they took fewer than 65 million numbers a second.
    pub(super) fn new(keys: Keys, run: Uuid, now: Timestamp) -> Self {
        let began = u64::try_from(now.as_millisecond()).unwrap_or_default();
        Self { keys, run: run.as_u64_pair().1, next: AtomicU64::new(began << 16) }
    }

    fn next(&self) -> Uuid {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let first = match self.keys {
            Keys::Time => number,
            Keys::Random => scattered(number),
        };
        Uuid::from_u64_pair(first, self.run)
    }
}

/// Another number for each number, anywhere (the last step of SplitMix64).
const fn scattered(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Names the events of a connection and picks tenants for them.
#[derive(Debug, Clone)]
pub(super) struct Names {
    sequence: Arc<Sequence>,
    count: u64,
    last: Uuid,
    state: u64,
}

/// Every so many events one is sent again under its old name.
const REPEAT_EVERY: u64 = 20;

impl Names {
    /// Of one of several connections, each of which picks other tenants.
    pub(super) fn new(sequence: Arc<Sequence>, connection: usize) -> Self {
        Self { sequence, count: 0, last: Uuid::nil(), state: scattered(connection as u64 + 1) | 1 }
    }

    /// The next idempotency key; one in twenty was used before.
    pub(super) fn key(&mut self) -> String {
        self.count += 1;
        if !self.is_repetition() {
            self.last = self.sequence.next();
        }
        self.last.to_string()
    }

    /// Whether the last key repeats the one before, so that it belongs to the same tenant.
    pub(super) fn is_repetition(&self) -> bool {
        self.count.is_multiple_of(REPEAT_EVERY)
    }

    /// A number below `below`, evenly spread (xorshift).
    pub(super) fn pick(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % (below.max(1) as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use uuid::Uuid;

    use super::{Keys, Names, Sequence};

    fn sequence(keys: Keys) -> Arc<Sequence> {
        Arc::new(Sequence::new(keys, Uuid::from_u128(7), Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn one_key_in_twenty_is_repeated_and_all_others_are_new() {
        for keys in [Keys::Time, Keys::Random] {
            let mut seen = std::collections::BTreeSet::new();
            let sequence = sequence(keys);
            for connection in 0..3 {
                let mut names = Names::new(Arc::clone(&sequence), connection);
                for count in 1..=1000 {
                    assert_eq!(!seen.insert(names.key()), count % 20 == 0, "{keys:?} {count}");
                    assert_eq!(names.is_repetition(), count % 20 == 0);
                }
            }
        }
    }

    #[test]
    fn keys_of_time_grow_and_random_ones_do_not() {
        let is_growing = |keys| {
            let mut names = Names::new(sequence(keys), 0);
            (0..500).map(|_| names.key()).is_sorted()
        };
        assert!(is_growing(Keys::Time));
        assert!(!is_growing(Keys::Random));
    }
}
