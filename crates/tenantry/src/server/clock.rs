//! The clock of development: the machine's, put ahead as far as the sandbox's clock was advanced. The database says how
//! far, so that every process of a deployment follows.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::env::Env;
use crate::storage::stripe::clock as rows;
use crate::storage::{Database, StoreError};
use crate::write_tx;

/// How often a server looks whether another process advanced the clock.
const EVERY: Duration = Duration::from_millis(500);

/// Why the clock is not right.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database was used with a sandbox whose clock was advanced.
    #[error(
        "the clock of this database is {} ahead: it was used with the sandbox, and its periods lie in the future; take \
         another database for production and for a key of Stripe's", days(*.0)
    )]
    Moved(i64),
    /// Somebody wants the clock to go where it cannot.
    #[error("the clock cannot be put to {0}")]
    OutOfReach(Timestamp),
}

fn days(seconds: i64) -> String {
    let (days, hours) = (seconds / 86_400, seconds % 86_400 / 3600);
    format!("{days} days and {hours} hours")
}

/// Seconds that the deployment's clock is ahead, as the database says.
pub async fn offset_seconds(db: &Database) -> Result<i64, StoreError> {
    let tx = db.read_as_service("read_development_clock", &[]).await?;
    let offset = rows::offset_seconds(&tx).await;
    tx.rollback().await?;
    offset
}

/// Puts this process's clock to where the deployment's is. With a key of Stripe's and in production there is only real
/// time: a database whose clock was advanced is refused.
pub async fn adjust(config: &Config, env: &Env, db: &Database) -> Result<(), ClockError> {
    let offset = offset_seconds(db).await?;
    if config.follows_sandbox_clock() {
        env.clock.put_ahead(offset);
        Ok(())
    } else if offset == 0 {
        Ok(())
    } else {
        Err(ClockError::Moved(offset))
    }
}

/// Puts the deployment's clock to `now`, this process's at once. An earlier time changes nothing.
pub async fn move_to(db: &Database, env: &Env, now: Timestamp) -> Result<(), ClockError> {
    let real = env.clock.real_now();
    // Up to the whole second: this clock is never behind the one that it follows.
    let ahead = now.duration_since(real);
    let seconds = ahead.as_secs() + i64::from(ahead.subsec_nanos() > 0);
    real.checked_add(jiff::SignedDuration::from_secs(seconds)).map_err(|_| ClockError::OutOfReach(now))?;
    if seconds > offset_seconds(db).await? {
        let id = env.ids.uuid_v7(real);
        write_tx!(db, "move_development_clock", &[], |tx| rows::move_to(tx, id, seconds, real).await)?;
    }
    env.clock.put_ahead(seconds);
    Ok(())
}

/// Follows the clock of the deployment until it is told to stop.
pub(super) fn follow(db: Database, env: Env, stopping: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        while stopping.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            match offset_seconds(&db).await {
                Ok(offset) => _ = env.clock.put_ahead(offset),
                Err(error) => tracing::debug!(%error, "the clock of development could not be read"),
            }
        }
    })
}
