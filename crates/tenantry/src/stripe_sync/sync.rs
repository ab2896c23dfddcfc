//! The sync: reads the whole state of one customer from Stripe, under that customer's lease, and writes it.
//!
//! Whatever woke it (a webhook, an operation, a sweep, a command) only says that something may have changed. Since the
//! lease is taken before the first read and held to the end of the write, an older state never follows a newer one.

use jiff::Timestamp;
use uuid::Uuid;

use super::apply::{self, Applied};
use super::error::SyncError;
use super::plans::KnownPrices;
use super::{Stripe, farewell, state};
use crate::storage::stripe::customers;
use crate::write_tx;

/// A customer that this process has in hand.
#[derive(Debug)]
pub struct Lease {
    /// The tenant that the customer stands for.
    pub tenant_id: Uuid,
    /// Stripe's id.
    pub customer_id: String,
    /// Proves that the lease is ours.
    pub token: Uuid,
}

impl Lease {
    /// Takes the lease of a customer; [`SyncError::Busy`] where somebody else holds it.
    pub async fn take(stripe: &Stripe, tenant_id: Uuid, customer: &str) -> Result<Self, SyncError> {
        let now = stripe.env.clock.now();
        let until = now.saturating_add(customers::LEASE).unwrap_or(now);
        let token = stripe.env.ids.uuid_v7(now);
        let is_ours = write_tx!(stripe.db, "lease_customer", &[], |tx| {
            customers::take_lease(tx, customer, token, (now, until)).await
        })?;
        if is_ours { Ok(Self { tenant_id, customer_id: customer.to_owned(), token }) } else { Err(SyncError::Busy) }
    }

    /// Gives it back. `read_at`: when what was written was read; none where nothing was.
    pub async fn release(self, stripe: &Stripe, read_at: Option<Timestamp>) -> Result<(), SyncError> {
        write_tx!(stripe.db, "release_customer", &[], |tx| {
            customers::release(tx, &self.customer_id, self.token, read_at).await
        })
        .map_err(SyncError::Store)
    }
}

/// Brings the database to what Stripe says of a customer now.
pub async fn sync_customer(stripe: &Stripe, tenant: Uuid, customer: &str) -> Result<Applied, SyncError> {
    let lease = Lease::take(stripe, tenant, customer).await?;
    let read_at = stripe.env.clock.now();
    let synced = sync_leased(stripe, &lease).await;
    lease.release(stripe, synced.as_ref().ok().map(|_| read_at)).await?;
    synced
}

/// The same by who holds the lease already.
pub async fn sync_leased(stripe: &Stripe, lease: &Lease) -> Result<Applied, SyncError> {
    let names = KnownPrices::read(&stripe.db).await?;
    let read = state::read(&stripe.client, &names, &lease.customer_id).await?;
    if !read.foreign.is_empty() {
        tracing::info!(tenant = %lease.tenant_id, subscriptions = ?read.foreign, "subscriptions without a price of ours are left alone");
    }
    let applied = apply::apply(stripe, lease, &read).await?;
    if applied.is_gone {
        farewell::end_subscriptions(stripe, lease, &read).await?;
    }
    Ok(applied)
}

/// The customer of a tenant; none where it has none.
pub async fn customer_of(stripe: &Stripe, tenant: Uuid) -> Result<Option<String>, SyncError> {
    let tx = stripe.db.read_as_service("customer_of_tenant", &[tenant]).await?;
    let found = customers::of_tenant(&tx, tenant).await?;
    tx.rollback().await?;
    Ok(found)
}

/// Syncs a tenant, waiting a little where somebody else has its customer in hand.
pub async fn sync_tenant(stripe: &Stripe, tenant: Uuid) -> Result<Option<Applied>, SyncError> {
    const TRIES: u32 = 20;
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
    let Some(customer) = customer_of(stripe, tenant).await? else { return Ok(None) };
    let mut tries = 1;
    loop {
        match sync_customer(stripe, tenant, &customer).await {
            Err(SyncError::Busy | SyncError::LeaseLost) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            other => return other.map(Some),
        }
    }
}
