//! What a deleted tenant leaves at Stripe: checkouts that could still be paid, and what was bought at the last moment.

use tenantry_stripe::IdempotencyKey;
use tenantry_stripe::checkout_sessions::{Expire, List, SessionStatus};
use tenantry_stripe::subscriptions::Cancel;
use uuid::Uuid;

use super::error::SyncError;
use super::plans::KnownPrices;
use super::state::CustomerState;
use super::sync::Lease;
use super::{Stripe, state, sync};
use crate::tenancy::ending::FAREWELL_JOB;

/// Kind of the jobs that end it.
pub const JOB: &str = FAREWELL_JOB;

/// Ends what a deleted tenant left, for a job; false where its customer is in somebody else's hands.
pub async fn leave(stripe: &Stripe, tenant: Uuid) -> Result<bool, SyncError> {
    let Some(customer) = sync::customer_of(stripe, tenant).await? else { return Ok(true) };
    let lease = match Lease::take(stripe, tenant, &customer).await {
        Ok(lease) => lease,
        Err(SyncError::Busy) => return Ok(false),
        Err(error) => return Err(error),
    };
    let left = end_all(stripe, &lease).await;
    lease.release(stripe, None).await?;
    left.map(|()| true)
}

async fn end_all(stripe: &Stripe, lease: &Lease) -> Result<(), SyncError> {
    // First the pages, so that nothing is bought after it was looked for.
    let open = List {
        customer: Some(&lease.customer_id),
        status: Some(SessionStatus::Open),
        limit: Some(100),
        ..List::default()
    };
    for session in stripe.client.all(&open).await? {
        let expire = Expire { id: &session.id, expand: Vec::new() };
        match stripe.client.post(&expire, &IdempotencyKey::new(format!("leave-{}", session.id))?).await {
            Ok(_) => {}
            // It was completed, or is over by itself, since the list was read.
            Err(error) if !error.is_retryable_later() => {
                tracing::info!(session = session.id, %error, "an open checkout could not be ended");
            }
            Err(error) => return Err(error.into()),
        }
    }
    let names = KnownPrices::read(&stripe.db).await?;
    let read = state::read(&stripe.client, &names, &lease.customer_id).await?;
    end_subscriptions(stripe, lease, &read).await
}

/// Ends the living subscriptions that stand for plans: nobody has the plan, so nobody is to pay for it. What was paid is
/// not given back by itself; the log says so.
pub(super) async fn end_subscriptions(stripe: &Stripe, lease: &Lease, read: &CustomerState) -> Result<(), SyncError> {
    for found in read.subscriptions.iter().filter(|found| !found.status.is_terminal()) {
        let cancel = Cancel { id: &found.id, ..Cancel::default() };
        match stripe.client.delete(&cancel).await {
            Ok(_) => tracing::warn!(
                tenant = %lease.tenant_id, subscription = found.id,
                "a subscription of a deleted tenant was ended: see whether its last payment is to be given back"
            ),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
