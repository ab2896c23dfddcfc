//! What usage takes on disk.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::cli::Failure;
use crate::storage::{bench, describe};

/// What events take on disk, indexes included, in bytes for a million of them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Disk {
    pub(super) events: i64,
    pub(super) keys_per_million: i64,
    pub(super) events_per_million: i64,
    pub(super) sums_per_million: i64,
}

impl Disk {
    /// Of all usage in a database.
    pub(super) async fn of(admin: &Client) -> Result<Self, Failure> {
        let (keys, events, sums, count) =
            bench::sizes(admin).await.map_err(|error| Failure::wrong(describe(&error)))?;
        let per_million =
            |bytes: i64| i64::try_from(i128::from(bytes) * 1_000_000 / i128::from(count.max(1))).unwrap_or(0);
        Ok(Self {
            events: count,
            keys_per_million: per_million(keys),
            events_per_million: per_million(events),
            sums_per_million: per_million(sums),
        })
    }
}

impl Display for Disk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mib = |bytes: i64| bytes / 1024 / 1024;
        write!(
            f,
            "on disk, a million events (of {}): {} MiB keys, {} MiB events, {} MiB sums and counters",
            self.events,
            mib(self.keys_per_million),
            mib(self.events_per_million),
            mib(self.sums_per_million),
        )
    }
}
