//! Recording usage: groups of events, each decided and committed in one transaction.
//!
//! `queue` collects events of many requests; `group` takes a group through facts
//! (`facts`, `prepare`), missing counters (`opening`), the fast way (`optimistic`) or the careful one
//! (`locked`), and commits; what needs the careful one is left to groups of its own (`lane`). An answer is given after the commit, never before.
//! Process memory decides nothing: limit, segment and period bounds are judged under the counters' locks.

mod claims;
mod columns;
mod facts;
mod further;
mod group;
mod hold;
mod lane;
mod locked;
mod notices;
mod optimistic;
mod prepare;
mod preview;
mod queue;
mod repeats;
mod settle;
mod spend;
mod standing;
mod tallies;

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::limit::Standing;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::event::NewEvent;
use super::outcome::Answer;
use crate::env::Env;
use crate::storage::usage::commit::CounterAfter;
use crate::storage::usage::facts::CounterRow;
use prepare::Prepared;

pub use group::{GroupSettings, Recorder};
pub use preview::{PeriodPreview, Preview};
pub use queue::{Ingest, IngestSettings};
pub use settle::Settling;

/// Where a group gets time, ids and the versions of plans from.
struct Sources<'a> {
    env: &'a Env,
    now: Timestamp,
}

/// Where a counter stands for the answer of one event: `total` after it, limits as they are now.
fn answer(counter: &CounterRow, total: Decimal, after: Option<&CounterAfter>) -> Answer {
    let (included, limit) = match after {
        Some(after) => (after.included, after.hard_limit),
        None => (counter.included, counter.hard_limit),
    };
    Answer {
        metric: counter.metric.clone(),
        standing: Standing {
            total: Quantity::from_decimal(total),
            included: included.map(Quantity::from_decimal),
            limit: limit.map(Quantity::from_decimal),
            held: Quantity::from_decimal(counter.held),
        },
    }
}

/// Whether an event repeats what its key was accepted with. A timestamp that the server set is not compared.
fn same_content(event: &Prepared, raw: &NewEvent, hash: Uuid, occurred_at: Timestamp, given: bool) -> bool {
    let timestamps_compare = given && raw.timestamp.is_some();
    event.content_hash == hash && (!timestamps_compare || event.occurred_at == occurred_at)
}
