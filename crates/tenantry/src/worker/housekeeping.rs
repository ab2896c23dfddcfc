//! What has to be done now and then, whether or not somebody asks.

use jiff::{SignedDuration, Timestamp};

use crate::env::Env;
use crate::storage::{Database, StoreError, idempotency, jobs};
use crate::write_tx;

/// How often.
const EVERY: SignedDuration = SignedDuration::from_mins(10);
/// How far ahead the partitions of usage are made.
const AHEAD: SignedDuration = SignedDuration::from_hours(24 * 31);
/// Answers that are forgotten at once; more wait for the next turn.
const FORGET_AT_ONCE: i64 = 10_000;

/// Remembers when it was last done.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    last: Option<Timestamp>,
}

impl Housekeeping {
    pub(super) async fn run_if_due(&mut self, db: &Database, env: &Env) {
        let now = env.clock.now();
        if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            return;
        }
        self.last = Some(now);
        if let Err(error) = run(db, now).await {
            tracing::warn!(%error, "housekeeping failed; it is tried again in ten minutes");
        }
    }
}

async fn run(db: &Database, now: Timestamp) -> Result<(), StoreError> {
    let ahead = now.checked_add(AHEAD).unwrap_or(now);
    let (forgotten, due) = write_tx!(db, "housekeeping", &[], |tx| {
        for month in [now, ahead] {
            jobs::ensure_month(tx, month).await?;
        }
        let forgotten = idempotency::delete_expired(tx, now, FORGET_AT_ONCE).await?;
        Ok::<_, StoreError>((forgotten, jobs::count_due(tx, now).await?))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a gauge; a queue has few jobs")]
    metrics::gauge!("tenantry_jobs_due").set(due as f64);
    tracing::debug!(forgotten, due, "housekeeping");
    Ok(())
}
