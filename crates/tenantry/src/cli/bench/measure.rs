//! Running one kind of work from many tasks for a fixed time.

use std::future::Future;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

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

/// Names events and picks tenants: the same in every run with the same seed, without asking for chance each time.
#[derive(Debug, Clone)]
pub(super) struct Names {
    keys: Keys,
    prefix: String,
    count: u64,
    state: u64,
    /// What the last key begins with, of random ones.
    anywhere: u64,
}

/// Every so many events one is sent again under its old name.
const REPEAT_EVERY: u64 = 20;

impl Names {
    /// Names that no other prefix has.
    pub(super) fn new(keys: Keys, prefix: String) -> Self {
        // FNV-1a: prefixes that are alike begin far from each other.
        let mix = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let state = prefix.bytes().fold(0xcbf2_9ce4_8422_2325, mix) | 1;
        Self { keys, prefix, count: 0, state, anywhere: 0 }
    }

    /// The next idempotency key; one in twenty was used before.
    pub(super) fn key(&mut self) -> String {
        self.count += 1;
        let is_repetition = self.is_repetition();
        let number = if is_repetition { self.count - 1 } else { self.count };
        match self.keys {
            Keys::Time => format!("{}-{number:012}", self.prefix),
            Keys::Random => {
                if !is_repetition {
                    self.anywhere = self.next() >> 32;
                }
                format!("{:08x}-{}-{number}", self.anywhere, self.prefix)
            }
        }
    }

    /// Whether the last key repeats the one before, so that it belongs to the same tenant.
    pub(super) fn is_repetition(&self) -> bool {
        self.count.is_multiple_of(REPEAT_EVERY)
    }

    /// A number below `below`, evenly spread.
    pub(super) fn pick(&mut self, below: usize) -> usize {
        usize::try_from(self.next() % (below.max(1) as u64)).unwrap_or(0)
    }

    /// The next number of the sequence (xorshift).
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::{Keys, Names};

    #[test]
    fn one_key_in_twenty_is_repeated_and_all_others_are_new() {
        for kind in [Keys::Time, Keys::Random] {
            let mut seen = std::collections::BTreeSet::new();
            for task in 0..3 {
                let mut names = Names::new(kind, format!("run-{task}"));
                for count in 1..=1000 {
                    assert_eq!(!seen.insert(names.key()), count % 20 == 0, "{kind:?} {count}");
                    assert_eq!(names.is_repetition(), count % 20 == 0);
                }
            }
        }
    }

    #[test]
    fn keys_of_time_grow_and_random_ones_do_not() {
        let is_growing = |kind| {
            let mut names = Names::new(kind, "run".to_owned());
            let keys: Vec<String> = (0..500).map(|_| names.key()).collect();
            keys.is_sorted()
        };
        assert!(is_growing(Keys::Time));
        assert!(!is_growing(Keys::Random));
    }
}
