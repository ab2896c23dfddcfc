//! Seats that are paid for, brought to the number of members.

use serde_json::{Value, json};
use tenantry_domain::plan::Plan;
use tenantry_stripe::shared::ProrationBehavior;
use tenantry_stripe::subscriptions::{ItemParameters, Update};
use uuid::Uuid;

use super::{Operation, StepError, key, link};
use crate::storage::stripe::{prices, subscriptions as rows};
use crate::storage::{StoreError, subscriptions};
use crate::stripe_sync::{Stripe, sync};

/// How many seats of a plan a tenant needs: one for each member, or one where the plan is not per seat.
pub(super) async fn needed(stripe: &Stripe, tenant: Uuid, plan: &str) -> Result<u64, StoreError> {
    let tx = stripe.db.read_as_service("seats_needed", &[tenant]).await?;
    let definition = subscriptions::version_now(&tx, plan).await?.map(|(_, definition)| definition);
    let members = rows::count_members(&tx, tenant).await?;
    tx.rollback().await?;
    let plan: Option<Plan> = definition
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| StoreError::corrupt("definition of a plan", error))?;
    let is_per_seat = plan.is_some_and(|plan| plan.per_seat);
    Ok(if is_per_seat { u64::try_from(members).unwrap_or(1).max(1) } else { 1 })
}

pub(super) async fn run(stripe: &Stripe, operation: &Operation) -> Result<Value, StepError> {
    let tenant = operation.tenant_id;
    let link = link(stripe, tenant).await?;
    let tx = stripe.db.read_as_service("price_of_seats", &[]).await?;
    let price = prices::by_id(&tx, &link.price_id).await?;
    tx.rollback().await?;
    // A price that is not ours: nobody knows what its quantity stands for.
    let Some(price) = price else { return Ok(json!({ "seats": null })) };
    let seats = needed(stripe, tenant, &price.plan_id).await?;
    let request = Update {
        id: &link.stripe_id,
        items: vec![ItemParameters { id: Some(&link.item_id), quantity: Some(seats), ..ItemParameters::default() }],
        proration_behavior: Some(ProrationBehavior::CreateProrations),
        ..Update::default()
    };
    stripe.client.post(&request, &key(operation, &format!("seats-{seats}"))?).await?;
    sync::sync_tenant(stripe, tenant).await?;
    Ok(json!({ "seats": seats }))
}
