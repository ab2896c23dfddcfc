//! Letting old usage leave, once a day, by whichever replica comes first.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::usage::retention::{Fate, Retention, RetentionError};

/// How often is looked whether a day has passed.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// Works until it is told to stop. What is under way then is broken off: the next run goes on from there.
pub(super) async fn work(retention: Retention, months: u32, stopping: CancellationToken) {
    while !stopping.is_cancelled() {
        let run = AssertUnwindSafe(run(&retention, months)).catch_unwind();
        tokio::select! {
            () = stopping.cancelled() => return,
            done = run => match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "old usage could not leave; it is tried again in ten minutes"),
                Err(_) => tracing::error!("letting old usage leave panicked; it is tried again when its lease is over"),
            },
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn run(retention: &Retention, months: u32) -> Result<(), RetentionError> {
    let Some(before) = retention.before(months) else { return Ok(()) };
    for report in retention.run_daily(before).await?.into_iter().flatten() {
        match report.fate {
            Fate::Left { tenants, events, files } => {
                tracing::info!(month = %report.month, tenants, events, files, "a month of usage left");
            }
            Fate::Finished => tracing::info!(month = %report.month, "a month of usage that had left is dropped"),
            Fate::Stays { reason } => tracing::info!(month = %report.month, reason, "a month of usage stays"),
            // Kept was logged where it was found; nothing is only due in a run.
            Fate::Kept { .. } | Fate::Due => {}
        }
    }
    Ok(())
}
