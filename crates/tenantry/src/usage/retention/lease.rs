//! The lease under which one process at a time lets usage leave. Two at once would do no harm, only all of it twice.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::RetentionError;
use crate::env::Env;
use crate::storage::usage::retention as rows;
use crate::storage::{Database, StoreError};
use crate::write_tx;

/// How long a process that died keeps others from it.
const LEASE: SignedDuration = SignedDuration::from_mins(15);
/// How often it is held longer.
const RENEW_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A lease that is held.
#[derive(Debug)]
pub(super) struct Lease {
    token: Uuid,
    renewed_at: Timestamp,
}

impl Lease {
    /// Takes the lease; none where somebody holds it, or where the last run ended less than `pause` ago.
    pub(super) async fn take(
        db: &Database,
        env: &Env,
        pause: Option<SignedDuration>,
    ) -> Result<Option<Self>, RetentionError> {
        let now = env.clock.now();
        let token = env.ids.uuid_v7(now);
        let ended_before = pause.map(|pause| now.saturating_sub(pause).unwrap_or(Timestamp::MIN));
        let span = (now, until(now));
        let is_taken: Result<bool, StoreError> =
            write_tx!(db, "take_retention_lease", &[], |tx| rows::take_lease(tx, token, span, ended_before).await);
        Ok(is_taken?.then_some(Self { token, renewed_at: now }))
    }

    /// Holds it longer, now and then. Asks for a connection, so none may be held.
    pub(super) async fn keep(&mut self, db: &Database, env: &Env) -> Result<(), RetentionError> {
        let now = env.clock.now();
        if now.duration_since(self.renewed_at) < RENEW_EVERY {
            return Ok(());
        }
        let is_held: Result<bool, StoreError> =
            write_tx!(db, "renew_retention_lease", &[], |tx| rows::renew_lease(tx, self.token, until(now)).await);
        if !is_held? {
            return Err(RetentionError::Overtaken);
        }
        self.renewed_at = now;
        Ok(())
    }

    /// Gives it back.
    pub(super) async fn release(self, db: &Database, finished_at: Option<Timestamp>) -> Result<(), RetentionError> {
        let done: Result<(), StoreError> = write_tx!(db, "release_retention_lease", &[], |tx| {
            rows::release_lease(tx, self.token, finished_at).await
        });
        Ok(done?)
    }
}

fn until(now: Timestamp) -> Timestamp {
    now.saturating_add(LEASE).unwrap_or(now)
}
