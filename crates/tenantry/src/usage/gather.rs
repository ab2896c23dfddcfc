//! Waiting for company: what is done for one question is hardly more work for sixty, so that the first one waits a
//! little, while others are on their way. No time passes where there is nothing else to do.

use std::time::{Duration, Instant};

/// How often everything else that can run has its turn before the wait is over.
pub(super) const TURNS: u32 = 16;
/// Who keeps the processor this long works on something else: clients, the database and other servers give it back sooner.
const LONG: Duration = Duration::from_micros(2500);
/// Turns without other processes after one that took so long: a fraction of a second under load.
const APART: u32 = 2000;

/// The waits of one task.
#[derive(Debug)]
pub(super) struct Gathering {
    turns: u32,
    apart: u32,
}

impl Gathering {
    /// Waits that are over after so many turns in vain.
    pub(super) const fn new(turns: u32) -> Self {
        Self { turns, apart: 0 }
    }

    /// The next one that comes, while everything else that can run does, readers of sockets among it; none after the
    /// turns in vain.
    pub(super) async fn next<T>(&mut self, mut try_next: impl FnMut() -> Option<T>) -> Option<T> {
        for _ in 0..self.turns {
            if let Some(next) = try_next() {
                return Some(next);
            }
            self.let_processes_run();
            tokio::task::yield_now().await;
        }
        None
    }

    /// Clients, the database and other servers may wait for this processor, too: what they get done now comes in time or
    /// makes the statements faster. Where nobody waits, this returns at once.
    fn let_processes_run(&mut self) {
        if self.apart > 0 {
            self.apart -= 1;
            return;
        }
        let began = Instant::now();
        std::thread::yield_now();
        if began.elapsed() > LONG {
            self.apart = APART;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gathering;

    #[tokio::test]
    async fn what_comes_within_the_turns_is_taken_and_nothing_is_waited_for_longer() {
        let mut gathering = Gathering::new(3);
        for (comes_at, expected) in [(1, Some(1)), (3, Some(3)), (4, None)] {
            let mut asked = 0;
            let next = gathering.next(|| {
                asked += 1;
                (asked == comes_at).then_some(asked)
            });
            assert_eq!(next.await, expected);
            assert_eq!(asked, comes_at.min(3));
        }
    }
}
