//! Waiting for company: what is done for one question is hardly more work for sixty, so that the first one waits a
//! little, while others are on their way. No time passes where there is nothing else to do.

/// How often everything else that can run has its turn before the wait is over.
pub(super) const TURNS: u32 = 16;

/// The next one that comes, while everything else that can run does, readers of sockets among it; none after so many
/// turns in vain.
pub(super) async fn next<T>(mut try_next: impl FnMut() -> Option<T>, turns: u32) -> Option<T> {
    for _ in 0..turns {
        if let Some(next) = try_next() {
            return Some(next);
        }
        // Clients, the database and other servers may wait for this processor, too: what they get done now comes in
        // time or makes the statements faster. Where nobody waits, this returns at once.
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
    None
}
