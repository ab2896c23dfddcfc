//! How much memory a server has, looked at while it is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;

/// How often the server is asked.
const EVERY: Duration = Duration::from_millis(500);

/// Asks a server for its memory until it is dropped.
pub(super) struct Watch {
    most: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Watch {
    /// Begins to ask the server at this URL.
    pub(super) fn begin(url: String) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(ask(url, Arc::clone(&most))).abort_handle();
        Self { most, task }
    }

    /// The most resident memory so far, in bytes; none of a server that does not tell.
    pub(super) fn most(&self) -> Option<u64> {
        Some(self.most.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server without figures is left alone.
async fn ask(url: String, most: Arc<AtomicU64>) {
    let client = reqwest::Client::new();
    loop {
        let Ok(answer) = client.get(format!("{url}/metrics")).send().await else { return };
        let Ok(text) = answer.text().await else { return };
        let line = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        let Some(bytes) = line.and_then(|bytes| bytes.trim().parse::<u64>().ok()) else { return };
        most.fetch_max(bytes, Ordering::Relaxed);
        tokio::time::sleep(EVERY).await;
    }
}
