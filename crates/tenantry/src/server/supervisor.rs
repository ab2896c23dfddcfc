//! Keeps the private cluster alive: where it died under a running server, it is started again.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::deployment::Deployment;

/// How often the database is asked whether it is there.
const EVERY: Duration = Duration::from_secs(1);

/// Watches until it is told to stop.
pub(super) struct Supervisor(Option<JoinHandle<()>>);

impl Supervisor {
    /// Waits until a start in hand is over, so that nobody stops a server that is only just coming up.
    pub(super) async fn stop(self) {
        if let Some(task) = self.0
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the watch over the database ended badly");
        }
    }
}

/// Starts watching; nothing to do where the database is not ours.
pub(super) fn start(deployment: &Deployment, stopping: CancellationToken) -> Supervisor {
    let Some(cluster) = deployment.cluster.as_ref().map(Arc::clone) else {
        return Supervisor(None);
    };
    let db = deployment.db.clone();
    Supervisor(Some(tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if db.ping().await.is_ok() {
                continue;
            }
            match cluster.revive().await {
                Ok(true) => tracing::error!("the database had died; it was started again"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the database is dead and does not start"),
            }
        }
    })))
}
