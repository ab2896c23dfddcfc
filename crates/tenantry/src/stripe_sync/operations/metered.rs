//! Metered items of a subscription, brought to what its plan charges above what is included.

use serde_json::{Value, json};
use tenantry_domain::plan::Plan;
use tenantry_stripe::shared::ProrationBehavior;
use tenantry_stripe::subscriptions::Update;

use super::change::subscription;
use super::{Operation, StepError, key, link};
use crate::storage::{StoreError, subscriptions};
use crate::stripe_sync::metered::{WantedItem, changes, name, wanted};
use crate::stripe_sync::state::metered_items;
use crate::stripe_sync::{Stripe, sync};

pub(super) async fn run(stripe: &Stripe, operation: &Operation) -> Result<Value, StepError> {
    let link = link(stripe, operation.tenant_id).await?;
    let found = subscription(stripe, &link).await?;
    let wanted = wanted_now(stripe, operation).await?;
    let items = metered_items(&found);
    let changes = changes(&items, &wanted);
    let is_as_known = found.items.data.iter().any(|item| item.id == link.item_id && item.price.id == link.price_id);
    if found.status.is_terminal() || found.is_cancel_pending() || !is_as_known {
        // What is to be, follows from what the sync reads.
        sync::sync_tenant(stripe, operation.tenant_id).await?;
        return Ok(json!({ "metered": null }));
    }
    if !changes.is_empty() {
        // What may differ from one try to the next is in the key.
        let key = key(operation, &format!("metered-{}", name(&found, &wanted)))?;
        let request = Update {
            id: &found.id,
            items: changes,
            proration_behavior: Some(ProrationBehavior::None),
            ..Update::default()
        };
        stripe.client.post(&request, &key).await?;
    }
    sync::sync_tenant(stripe, operation.tenant_id).await?;
    let metrics: Vec<&str> = wanted.iter().map(|item| item.metric.as_str()).collect();
    Ok(json!({ "metered": metrics }))
}

/// What the plan version wants that the tenant's running period has.
async fn wanted_now(stripe: &Stripe, operation: &Operation) -> Result<Vec<WantedItem>, StepError> {
    let tx = stripe.db.read_as_service("metered_items_wanted", &[operation.tenant_id]).await?;
    let found = match subscriptions::current(&tx, operation.tenant_id).await? {
        Some(current) => {
            let plan: Plan = serde_json::from_value(current.definition)
                .map_err(|error| StoreError::corrupt("definition of a plan", error))?;
            wanted(&tx, &stripe.settings, &plan, &current.billing_interval).await?
        }
        None => Vec::new(),
    };
    tx.rollback().await?;
    Ok(found)
}
