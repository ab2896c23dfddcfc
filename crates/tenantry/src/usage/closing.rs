//! Closing a period: one transaction that locks its counters, marks it closed, writes the charges and opens
//! the next period.

use jiff::Timestamp;
use uuid::Uuid;

use super::plans::PlanBook;
use super::{charges, opening};
use crate::env::Env;
use crate::storage::usage::charges as rows;
use crate::storage::usage::open;
use crate::storage::{Database, StoreError, Tx};
use crate::write_tx;

/// What became of closing a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It is closed now; what it costs is written.
    Now,
    /// It was closed before, or does not exist: nothing was done.
    Before,
    /// It has not ended yet.
    NotYet,
}

/// Closes the period of a tenant that begins at `start`.
pub async fn close_period(db: &Database, env: &Env, tenant: Uuid, start: Timestamp) -> Result<Closed, StoreError> {
    write_tx!(db, "close_period", &[tenant], |tx| close_in(tx, env, tenant, start).await)
}

/// Closes every period of a tenant that has ended, the oldest first; how many they were.
pub async fn close_ended(db: &Database, env: &Env, tenant: Uuid) -> Result<usize, StoreError> {
    let tx = db.read_as_service("ended_periods", &[tenant]).await?;
    let ended = rows::ended_periods(&tx, tenant, env.clock.now()).await?;
    tx.rollback().await?;
    let mut closed = 0;
    for start in ended {
        if close_period(db, env, tenant, start).await? == Closed::Now {
            closed += 1;
        }
    }
    Ok(closed)
}

async fn close_in(tx: &Tx, env: &Env, tenant: Uuid, start: Timestamp) -> Result<Closed, StoreError> {
    let now = env.clock.now();
    let subscription = open::lock_subscriptions(tx, &[tenant]).await?.pop();
    let Some(period) = rows::lock_period(tx, tenant, start).await? else {
        return Ok(Closed::Before);
    };
    if period.closed || period.historic {
        return Ok(Closed::Before);
    }
    if now < period.end {
        return Ok(Closed::NotYet);
    }
    let counters = rows::lock_period_counters(tx, tenant, start).await?;
    rows::close(tx, tenant, start, now).await?;
    let mut plans = PlanBook::default();
    for counter in &counters {
        charges::adjust(tx, counter, &mut plans, env, now).await?;
    }
    // The next period must be there, so that it is closed in its turn even if nothing is used in it.
    if let Some(subscription) = subscription {
        let next = opening::open_period(tx, env, &subscription, period.end).await?;
        if next.start <= now && now < next.end {
            let segment = open::last_segments(tx, &[tenant], &[next.start]).await?.pop();
            let version = segment
                .filter(|segment| segment.plan_id == subscription.plan_id)
                .map_or(subscription.plan_version, |segment| segment.plan_version);
            // Of a paid subscription Stripe states the billing period.
            let bounds = (!subscription.is_at_stripe).then_some((next.start, next.end));
            rows::move_subscription_period(tx, (tenant, subscription.id), bounds, version, now).await?;
        }
    }
    Ok(Closed::Now)
}
