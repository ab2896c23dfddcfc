//! Spend: what the overage of a period has cost so far, what a tenant lets it cost, and from when on it wants to know.
//!
//! A cap judges like a hard limit, by the transaction that records. While a cap or an alert concerns a counter, its
//! `sure_limit` is what the plan that prices it includes (`watch`): up to there nothing costs anything, so events go
//! the fast way; above it each is decided under locks (`ingest/spend.rs`). Whoever changes a cap, an alert, a segment
//! or a period's counters brings `sure_limit` along, under the lock of the subscription and of the counters.

pub mod change;
pub mod period;
pub mod tell;
pub mod watch;
