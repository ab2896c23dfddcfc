//! Ending with the period, and taking that (or another change to come) back.

use serde_json::{Value, json};
use tenantry_stripe::subscriptions::{CancelAt, Update};

use super::change::{release, subscription};
use super::{Operation, StepError, key, link, told};
use crate::stripe_sync::{Stripe, sync};

pub(super) async fn cancel(stripe: &Stripe, operation: &Operation) -> Result<Value, StepError> {
    let link = link(stripe, operation.tenant_id).await?;
    let found = subscription(stripe, &link).await?;
    release(stripe, operation, &found).await?;
    let request = Update { id: &found.id, cancel_at_period_end: Some(true), ..Update::default() };
    let canceled = stripe.client.post(&request, &key(operation, "cancel")?).await?;
    sync::sync_tenant(stripe, operation.tenant_id).await?;
    let item = canceled.items.data.iter().find(|item| item.id == link.item_id);
    let end = item.and_then(|item| canceled.period_of(item)).map(|period| period.1);
    Ok(json!({ "cancelAt": told(canceled.cancel_at.or(end)) }))
}

pub(super) async fn resume(stripe: &Stripe, operation: &Operation) -> Result<Value, StepError> {
    let link = link(stripe, operation.tenant_id).await?;
    let found = subscription(stripe, &link).await?;
    release(stripe, operation, &found).await?;
    if found.is_cancel_pending() {
        // In flexible mode a pending cancel may show as an instant only.
        let mut request = Update { id: &found.id, ..Update::default() };
        if found.cancel_at_period_end {
            request.cancel_at_period_end = Some(false);
        } else {
            request.cancel_at = Some(CancelAt::Never);
        }
        stripe.client.post(&request, &key(operation, "resume")?).await?;
    }
    sync::sync_tenant(stripe, operation.tenant_id).await?;
    Ok(json!({ "resumed": true }))
}
