//! The clock of development: the machine's, put ahead as far as the sandbox's clock was advanced. The database says how
//! far, so that every process of a deployment follows.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::sandbox::{SandboxFault, clock_of};
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

/// Puts the deployment's clock so many seconds ahead of real time, this process's at once. It never goes back.
pub async fn move_to(db: &Database, env: &Env, seconds: i64) -> Result<(), ClockError> {
    if seconds > offset_seconds(db).await? {
        let now = env.clock.real_now();
        let id = env.ids.uuid_v7(now);
        write_tx!(db, "move_development_clock", &[], |tx| rows::move_to(tx, id, seconds, now).await)?;
    }
    env.clock.put_ahead(seconds);
    Ok(())
}

/// Follows the clock of the deployment until it is told to stop: as the database tells it, and as a sandbox does that
/// another process runs, which may know of no database.
pub(super) fn follow(db: Database, env: Env, elsewhere: Option<String>, stopping: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        while stopping.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            if let Err(error) = follow_once(&db, &env, elsewhere.as_deref()).await {
                tracing::debug!(%error, "the clock of development could not be read");
            }
        }
    })
}

async fn follow_once(db: &Database, env: &Env, elsewhere: Option<&str>) -> Result<(), SandboxFault> {
    let offset = offset_seconds(db).await.map_err(ClockError::from)?;
    env.clock.put_ahead(offset);
    if let Some(url) = elsewhere {
        let there = clock_of(url).await?.offset_seconds;
        if there > offset {
            move_to(db, env, there).await?;
        }
    }
    Ok(())
}
