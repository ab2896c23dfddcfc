//! The upkeep of reports' sums: hours are folded when their quarter of a day is over, counters get the dimensions that the catalog declares.
//!
//! Each step is one small transaction under the lock of one counter, and leaves every report right. Several replicas may
//! take the same steps at once: who comes second finds nothing to do.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::hours::{hour_of, next_hour, quarter_of};
use crate::env::Env;
use crate::storage::usage::books;
use crate::storage::usage::dimensions::{self, ALWAYS, Described, NEVER, Undescribed, Unsettled};
use crate::storage::usage::rollups::{self as rows, CounterKey};
use crate::storage::{Database, StoreError};
use crate::write_tx;

/// Hours are folded this long after their quarter of a day ended: events that are under way by then would be in two sums.
const AFTER_QUARTER: SignedDuration = SignedDuration::from_mins(5);
/// Tenants that are looked at in one go.
const TENANTS_AT_ONCE: i64 = 200;
/// Counters that are looked at in one go.
const COUNTERS_AT_ONCE: i64 = 100;
/// Looks of which nothing may come before others have their turn.
const LOOKS: usize = 50;

/// How much one transaction does: what is recorded for the same counter waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Portions {
    /// Sums of hours that are folded, give or take those of an hour; 0 folds nothing.
    pub sums: i64,
    /// Earlier events that are summed, give or take those of an hour.
    pub events: i64,
}

impl Default for Portions {
    /// Some tens of milliseconds.
    fn default() -> Self {
        Self { sums: 20_000, events: 10_000 }
    }
}

/// How far a round over all tenants came; a new one begins at the first.
#[derive(Debug, Default)]
pub struct Round {
    began: bool,
    after: Option<Uuid>,
    unsettled: Vec<Unsettled>,
    /// Something failed, so that nothing can be said of all counters.
    failed: bool,
}

/// Goes on with a round until it is through, or `most` steps were taken or some thousand tenants looked at; whether it is
/// through. The round begins anew then.
pub async fn keep_up(
    db: &Database,
    env: &Env,
    round: &mut Round,
    (portions, most): (Portions, usize),
) -> Result<bool, StoreError> {
    if !round.began {
        *round = Round { began: true, unsettled: unsettled(db).await?, ..Round::default() };
    }
    let now = env.clock.now();
    let until = match portions.sums {
        0 => ALWAYS,
        _ => quarter_of(now.checked_sub(AFTER_QUARTER).unwrap_or(now)),
    };
    let (mut steps, mut looks) = (0, 0);
    loop {
        if looks == LOOKS {
            return Ok(false);
        }
        looks += 1;
        let Page { tenants, unfolded, undescribed } = page(db, round, until).await?;
        let Some(last) = tenants.last().copied() else {
            break;
        };
        let before = steps;
        let is_all = is_below(&unfolded, COUNTERS_AT_ONCE) && is_below(&undescribed, COUNTERS_AT_ONCE);
        let work = unfolded.iter().map(|key| (key, Step::Fold(until)));
        for (key, step) in work.chain(undescribed.iter().map(|key| (key, Step::Describe))) {
            loop {
                match take(db, key, step, portions).await {
                    Ok(true) => steps += 1,
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, tenant = %key.0, metric = key.1, "sums of reports could not be brought up; it is tried again");
                        round.failed = true;
                        break;
                    }
                }
                if steps >= most {
                    return Ok(false);
                }
            }
        }
        // Where nothing can be done for all that were read, the others are not waited for.
        if is_all || steps == before {
            round.after = Some(last);
        }
    }
    let Round { unsettled, failed, .. } = std::mem::take(round);
    if !failed {
        settle(db, &unsettled).await?;
    }
    Ok(true)
}

/// Folds all hours of a tenant before an instant, which begins an hour. For commands that do not wait for a server.
pub async fn fold_all(db: &Database, tenant: Uuid, until: Timestamp) -> Result<(), StoreError> {
    let tx = db.read_as_service("list_sums_to_do", &[tenant]).await?;
    let unfolded = rows::unfolded(&tx, &[tenant], until, i64::MAX).await?;
    tx.rollback().await?;
    for key in &unfolded {
        while fold(db, key, until, Portions::default().sums).await? {}
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Fold(Timestamp),
    Describe,
}

struct Page {
    tenants: Vec<Uuid>,
    unfolded: Vec<CounterKey>,
    undescribed: Vec<CounterKey>,
}

fn is_below(counters: &[CounterKey], most: i64) -> bool {
    i64::try_from(counters.len()).is_ok_and(|count| count < most)
}

async fn unsettled(db: &Database) -> Result<Vec<Unsettled>, StoreError> {
    let tx = db.read_as_service("list_unsettled_metrics", &[]).await?;
    let unsettled = dimensions::unsettled(&tx).await?;
    tx.rollback().await?;
    Ok(unsettled)
}

async fn page(db: &Database, round: &Round, until: Timestamp) -> Result<Page, StoreError> {
    let tx = db.read_as_service("list_tenants", &[]).await?;
    let tenants = books::all_tenants(&tx, round.after, TENANTS_AT_ONCE).await?;
    tx.rollback().await?;
    let tx = db.read_as_service("list_sums_to_do", &tenants).await?;
    let unfolded = rows::unfolded(&tx, &tenants, until, COUNTERS_AT_ONCE).await?;
    let undescribed = if round.unsettled.is_empty() {
        Vec::new()
    } else {
        dimensions::undescribed(&tx, &tenants, COUNTERS_AT_ONCE).await?
    };
    tx.rollback().await?;
    Ok(Page { tenants, unfolded, undescribed })
}

async fn settle(db: &Database, metrics: &[Unsettled]) -> Result<(), StoreError> {
    if metrics.is_empty() {
        return Ok(());
    }
    write_tx!(db, "settle_dimensions", &[], |tx| {
        for metric in metrics {
            dimensions::settle(tx, metric).await?;
        }
        Ok(())
    })
}

/// Takes one step; false where there was none to take.
async fn take(db: &Database, key: &CounterKey, step: Step, portions: Portions) -> Result<bool, StoreError> {
    match step {
        Step::Fold(until) => fold(db, key, until, portions.sums).await,
        Step::Describe => describe(db, key, portions.events).await,
    }
}

async fn fold(db: &Database, key: &CounterKey, until: Timestamp, most: i64) -> Result<bool, StoreError> {
    write_tx!(db, "fold_usage_days", &[key.0], |tx| {
        let Some(since) = rows::lock_unfolded(tx, key, until).await? else {
            return Ok(false);
        };
        let end = match rows::hours_to_fold(tx, key, (since, until), most).await? {
            // At least one hour, so that it goes on.
            (Some(first), Some(last)) => last.max(next_hour(first)),
            _ => until,
        };
        rows::fold(tx, key, (since, end)).await?;
        Ok(true)
    })
}

/// Gives a counter the dimensions of the catalog, or sums some more of its earlier events by them: the newest first.
async fn describe(db: &Database, key: &CounterKey, most: i64) -> Result<bool, StoreError> {
    write_tx!(db, "describe_usage", &[key.0], |tx| {
        let Some(Undescribed { has, wanted, since, period_end }) = dimensions::lock_undescribed(tx, key).await? else {
            return Ok(false);
        };
        if has != wanted {
            dimensions::drop_sums(tx, key).await?;
        }
        let Some(names) = wanted else {
            dimensions::describe(tx, key, Described { names: None, since: None, pending: false }).await?;
            return Ok(true);
        };
        let names = Some(names.as_slice());
        let until = if has.as_deref() == names { since.unwrap_or(NEVER) } else { NEVER };
        let found = dimensions::events_before(tx, key, until.min(period_end), most).await?;
        let since = match (found.newest, found.earlier) {
            (Some(newest), Some(earlier)) => next_hour(earlier).min(hour_of(newest)),
            _ => ALWAYS,
        };
        // Events that are not kept any more cannot be summed: what is summed begins where they end.
        let oldest = found.oldest.map(hour_of);
        let (since, pending) = if dimensions::are_kept(tx, key, (since, until)).await? {
            (since, since > ALWAYS)
        } else if let Some(oldest) = oldest
            && dimensions::are_kept(tx, key, (oldest, until)).await?
        {
            (oldest, false)
        } else {
            (dimensions::last_hour(tx, key).await?.map_or(until, next_hour).min(until), false)
        };
        dimensions::describe(tx, key, Described { names, since: Some(since), pending }).await?;
        dimensions::sum_events(tx, key, (since, until)).await?;
        Ok(true)
    })
}
