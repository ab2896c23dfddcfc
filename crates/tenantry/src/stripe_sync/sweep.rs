//! What no webhook told: a periodic look at the events that Stripe could not deliver, and at customers that nobody
//! read for long.

use jiff::{SignedDuration, Timestamp};
use tenantry_stripe::events::List;
use tenantry_stripe::shared::TimeRange;

use super::error::SyncError;
use super::{Stripe, inbox, sync};
use crate::storage::stripe::{customers, events};
use crate::write_tx;

/// Name of the cursor over events.
const CURSOR: &str = "undelivered_events";
/// An event may become visible, or be delivered, this long after it was made.
const OVERLAP: SignedDuration = SignedDuration::from_hours(3);
/// How far back the first sweep looks; Stripe keeps events for 30 days.
const FIRST: SignedDuration = SignedDuration::from_hours(24 * 29);
/// A customer that was not read for this long is read again.
const STALE: SignedDuration = SignedDuration::from_hours(24);
/// Customers that are read again in one sweep.
const CUSTOMERS_AT_ONCE: i64 = 50;

/// Puts what was lost into the inbox; how many events that were.
pub async fn undelivered_events(stripe: &Stripe) -> Result<usize, SyncError> {
    let now = stripe.env.clock.now();
    let tx = stripe.db.read_as_service("sweep_position", &[]).await?;
    let position = events::cursor(&tx, CURSOR).await?;
    tx.rollback().await?;
    let since = position.map_or_else(|| back(now, FIRST), |position| back(position, OVERLAP));
    let list = List {
        delivery_success: Some(false),
        created: Some(TimeRange { gte: Some(since), ..TimeRange::default() }),
        limit: Some(100),
        ..List::default()
    };
    let mut found = 0;
    for event in stripe.client.all(&list).await? {
        found += usize::from(inbox::store(stripe, &event).await?);
    }
    write_tx!(stripe.db, "move_sweep", &[], |tx| events::move_cursor(tx, CURSOR, now, now).await)
        .map_err(SyncError::Store)?;
    Ok(found)
}

/// Reads the customers again that nobody read for long; how many.
pub async fn stale_customers(stripe: &Stripe) -> Result<usize, SyncError> {
    let before = back(stripe.env.clock.now(), STALE);
    let tx = stripe.db.read_as_service("stale_customers", &[]).await?;
    let stale = customers::stale(&tx, before, CUSTOMERS_AT_ONCE).await?;
    tx.rollback().await?;
    for customer in &stale {
        match sync::sync_customer(stripe, customer.tenant_id, &customer.customer_id).await {
            Ok(_) | Err(SyncError::Busy | SyncError::LeaseLost) => {}
            Err(error) => {
                tracing::warn!(tenant = %customer.tenant_id, %error, "a customer could not be read again");
            }
        }
    }
    Ok(stale.len())
}

fn back(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_sub(by).unwrap_or(from)
}
