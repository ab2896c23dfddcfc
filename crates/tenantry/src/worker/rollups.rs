//! The upkeep of reports' sums, a few steps at a time between jobs.

use jiff::{SignedDuration, Timestamp};

use crate::env::Env;
use crate::storage::Database;
use crate::usage::rollups::{self, Portions, Round};

/// How often a round over all tenants begins.
const EVERY: SignedDuration = SignedDuration::from_mins(10);
/// Steps that are taken before jobs have their turn.
const STEPS: usize = 20;
/// A server folds nothing before it has been up this long: a server of a release that does not know of folded days would
/// add late events to their hours alone, and while servers are replaced there are some.
const FOLDING_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Remembers when the last round was through, and how far this one came.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    up_since: Option<Timestamp>,
    last: Option<Timestamp>,
    round: Round,
}

impl Upkeep {
    /// Takes some steps where a round is due; whether there are more to take.
    pub(super) async fn run_if_due(&mut self, db: &Database, env: &Env) -> bool {
        let now = env.clock.now();
        if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            return false;
        }
        let up_since = *self.up_since.get_or_insert(now);
        let portions = portions(now.duration_since(up_since));
        match rollups::keep_up(db, env, &mut self.round, (portions, STEPS)).await {
            Ok(false) => return true,
            Ok(true) => {}
            Err(error) => {
                tracing::warn!(%error, "sums of reports could not be brought up; it is tried again in ten minutes");
                self.round = Round::default();
            }
        }
        self.last = Some(now);
        false
    }
}

/// What one transaction does at a server that has been up this long.
fn portions(up: SignedDuration) -> Portions {
    let all = Portions::default();
    if up < FOLDING_AFTER { Portions { sums: 0, ..all } } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_folds_nothing_in_its_first_hour() {
        let sums = |minutes| portions(SignedDuration::from_mins(minutes)).sums;
        assert_eq!((sums(0), sums(59)), (0, 0));
        assert!(sums(60) > 0);
        assert!(portions(SignedDuration::ZERO).events > 0);
    }
}
