//! Letting old usage leave: whole months, to compressed files if asked, without holding ingest up and without losing
//! what counts once for ever.
//!
//! A month leaves in three steps (`steps`). Every tenant is **staged**: its events are read in one snapshot, written to a
//! file that is durable before a row says so, and the row notes what they come to and what they rest on. Then the month is
//! **detached**: in one transaction the database compares what every tenant's events rest on with what was staged, lets
//! the staged sums count and takes the partition out. Then the detached table is **dropped**, after it was compared with
//! the sums once more. A crash leaves the month where it was, or out with its sums; the next run goes on from there.

mod file;
mod lease;
mod month;
mod proof;
mod steps;

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::lease::Lease;
use self::steps::{Detached, Leaving, Staged};
use crate::env::Env;
use crate::storage::usage::retention as rows;
use crate::storage::{Database, StoreError};

pub use month::Month;
pub use proof::prove_files;

/// No period is longer.
const LONGEST_PERIOD: SignedDuration = SignedDuration::from_hours(31 * 24);
/// The least number of months that may be retained.
pub const LEAST_MONTHS: u32 = 3;
/// How often a month is tried to be taken out while somebody reads the table.
const LOCK_TRIES: u32 = 20;
/// How often tenants that changed meanwhile are staged again.
const ROUNDS: usize = 5;
/// A server does it this often.
const DAILY: SignedDuration = SignedDuration::from_hours(24);

/// Why old usage could not leave.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive folder.
    #[error("cannot write {}: {source}; make room, make it writable, or choose another folder", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody else is at it.
    #[error(
        "another process lets usage leave right now, or was killed while it did: try again in a quarter of an hour"
    )]
    Held,
    /// Somebody else took over.
    #[error("another process took over; nothing is lost: run it again")]
    Overtaken,
}

/// What is to leave, and how.
#[derive(Debug, Clone)]
pub struct Retention {
    /// The database.
    pub db: Database,
    /// Time and chance.
    pub env: Env,
    /// Where the files go; none where the events are not kept.
    pub archive_dir: Option<PathBuf>,
    /// How long after its period's end an event is accepted.
    pub late_window: SignedDuration,
    /// How often a month is tried to be taken out while somebody reads the table.
    pub lock_tries: u32,
}

/// What became of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MonthReport {
    /// The month.
    pub month: Month,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What becomes of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum Fate {
    /// It left.
    Left {
        /// Tenants that had events in it.
        tenants: usize,
        /// How many events left.
        events: i64,
        /// How many files they are in.
        files: usize,
    },
    /// An earlier run took it out; what was left to do is done.
    Finished,
    /// It would leave.
    Due,
    /// It stays, for this reason.
    Stays {
        /// Why.
        reason: String,
    },
    /// It is out, but its table holds something else than was archived, and is kept.
    Kept {
        /// The first difference.
        reason: String,
    },
}

impl Retention {
    /// Retention as a deployment has it.
    pub fn new(db: Database, env: Env, archive_dir: Option<PathBuf>, late_window: SignedDuration) -> Self {
        Self { db, env, archive_dir, late_window, lock_tries: LOCK_TRIES }
    }

    /// What is to leave where so many whole months are kept beside the running one.
    pub fn before(&self, months: u32) -> Option<Month> {
        Month::of(self.env.clock.now()).and_then(|month| month.back(months))
    }

    /// Lets every month before this one leave that can, under the lease.
    pub async fn run(&self, before: Month) -> Result<Vec<MonthReport>, RetentionError> {
        self.run_after(before, None).await?.ok_or(RetentionError::Held)
    }

    /// The same, if no process did it within the last day; none where nothing was to be done.
    pub async fn run_daily(&self, before: Month) -> Result<Option<Vec<MonthReport>>, RetentionError> {
        self.run_after(before, Some(DAILY)).await
    }

    async fn run_after(
        &self,
        before: Month,
        pause: Option<SignedDuration>,
    ) -> Result<Option<Vec<MonthReport>>, RetentionError> {
        let Some(mut lease) = Lease::take(&self.db, &self.env, pause).await? else { return Ok(None) };
        let done = self.run_leased(before, &mut lease).await;
        if !matches!(done, Err(RetentionError::Overtaken)) {
            // A run that failed is tried again by whoever comes next.
            lease.release(&self.db, done.is_ok().then(|| self.env.clock.now())).await?;
        }
        done.map(Some)
    }

    async fn run_leased(&self, before: Month, lease: &mut Lease) -> Result<Vec<MonthReport>, RetentionError> {
        let mut reports = self.finish().await?;
        for month in self.months(before).await? {
            if reports.iter().any(|known| known.month == month && matches!(known.fate, Fate::Kept { .. })) {
                continue;
            }
            let fate = self.let_go(month, lease).await?;
            reports.push(MonthReport { month, fate });
        }
        Ok(reports)
    }

    /// What [`Retention::run`] would do. Nothing is changed.
    pub async fn preview(&self, before: Month) -> Result<Vec<MonthReport>, RetentionError> {
        let mut reports = Vec::new();
        for month in self.months(before).await? {
            let fate = match self.look(month).await? {
                Ok(_) => Fate::Due,
                Err(reason) => Fate::Stays { reason },
            };
            reports.push(MonthReport { month, fate });
        }
        Ok(reports)
    }

    /// Ends what earlier runs began: drops what they took out.
    pub async fn finish(&self) -> Result<Vec<MonthReport>, RetentionError> {
        let tx = self.db.read_as_service("detached_usage_months", &[]).await?;
        let tables = rows::detached(&tx).await?;
        tx.rollback().await?;
        let mut reports = Vec::new();
        for table in tables {
            let found = Month::of_table(&table, "usage_detached_");
            let found = found.and_then(|(month, rest)| Some((month, rest.strip_prefix('_')?.parse().ok()?)));
            let Some((month, part)) = found else {
                return Err(StoreError::corrupt("name of a detached month", table).into());
            };
            reports.push(MonthReport { month, fate: self.end(Leaving { month, part }, Fate::Finished).await? });
        }
        Ok(reports)
    }

    /// The months before this one that are there, the oldest first.
    async fn months(&self, before: Month) -> Result<Vec<Month>, RetentionError> {
        let tx = self.db.read_as_service("usage_months", &[]).await?;
        let tables = rows::months(&tx).await?;
        tx.rollback().await?;
        let mut months = Vec::new();
        for table in tables {
            match Month::of_table(&table, "tenant_usage_") {
                Some((month, "")) => months.push(month),
                _ => return Err(StoreError::corrupt("name of a month of usage", table).into()),
            }
        }
        months.retain(|month| *month < before);
        months.sort_unstable();
        Ok(months)
    }

    /// The part of a month that leaves next, or why it stays.
    async fn look(&self, month: Month) -> Result<Result<Leaving, String>, RetentionError> {
        let takes_events_until =
            month.end().saturating_add(LONGEST_PERIOD).and_then(|end| end.saturating_add(self.late_window));
        let takes_events_until = takes_events_until.unwrap_or(Timestamp::MAX);
        if self.env.clock.now() < takes_events_until {
            return Ok(Err(format!("periods that touch it may take late events until {takes_events_until}")));
        }
        let tx = self.db.read_as_service("inspect_usage_month", &[]).await?;
        let inspected = rows::inspect(&tx, month.start()).await?;
        tx.rollback().await?;
        Ok(match inspected.obstacle {
            None => Ok(Leaving { month, part: inspected.part }),
            Some(obstacle) => Err(obstacle),
        })
    }

    async fn let_go(&self, month: Month, lease: &mut Lease) -> Result<Fate, RetentionError> {
        let leaving = match self.look(month).await? {
            Ok(leaving) => leaving,
            Err(reason) => return Ok(Fate::Stays { reason }),
        };
        let mut staged = self.stage_all(leaving, lease).await?;
        for _ in 0..ROUNDS {
            match self.detach(month).await? {
                Detached::Done => {
                    let (events, files) = counted(&staged);
                    return self.end(leaving, Fate::Left { tenants: staged.len(), events, files }).await;
                }
                Detached::Changed(tenants) => {
                    for tenant in tenants {
                        staged.remove(&tenant);
                        self.stage(leaving, tenant, &mut staged).await?;
                        lease.keep(&self.db, &self.env).await?;
                    }
                }
                Detached::Busy => {
                    let reason = "somebody reads the table of events all the time; it is tried again with the next run";
                    return Ok(Fate::Stays { reason: reason.to_owned() });
                }
                Detached::Obstacle(reason) => return Ok(Fate::Stays { reason }),
            }
        }
        Ok(Fate::Stays { reason: "events are recorded in it all the time".to_owned() })
    }

    /// Drops what was taken out; `done` where it holds what was archived.
    async fn end(&self, leaving: Leaving, done: Fate) -> Result<Fate, RetentionError> {
        Ok(match self.drop_table(leaving).await? {
            None => done,
            Some(reason) => {
                tracing::error!(month = %leaving.month, reason, "a month of usage that left holds what was not archived; its table is kept");
                Fate::Kept { reason }
            }
        })
    }
}

fn counted(staged: &Staged) -> (i64, usize) {
    let events = staged.values().map(|(events, _)| events).sum();
    (events, staged.values().filter(|(_, is_in_file)| *is_in_file).count())
}
