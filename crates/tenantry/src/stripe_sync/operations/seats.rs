//! Seats that are paid for, brought to the number of members.

use serde_json::{Value, json};
use tenantry_stripe::shared::ProrationBehavior;
use tenantry_stripe::subscriptions::{ItemParameters, Update};

use super::checkout::is_per_seat;
use super::{Operation, StepError, key, link};
use crate::storage::stripe::{prices, subscriptions as rows};
use crate::storage::subscriptions;
use crate::stripe_sync::{Stripe, sync};

pub(super) async fn run(stripe: &Stripe, operation: &Operation) -> Result<Value, StepError> {
    let tenant = operation.tenant_id;
    let link = link(stripe, tenant).await?;
    let tx = stripe.db.read_as_service("seats", &[tenant]).await?;
    let members = rows::count_members(&tx, tenant).await?;
    let price = prices::by_id(&tx, &link.price_id).await?;
    let definition = match &price {
        Some(price) => subscriptions::version_now(&tx, &price.plan_id).await?.map(|(_, definition)| definition),
        None => None,
    };
    tx.rollback().await?;
    let seats = u64::try_from(members).unwrap_or(1).max(1);
    if !is_per_seat(definition.as_ref()) {
        return Ok(json!({ "seats": 1 }));
    }
    let request = Update {
        id: &link.stripe_id,
        items: vec![ItemParameters { id: Some(&link.item_id), quantity: Some(seats), ..ItemParameters::default() }],
        proration_behavior: Some(ProrationBehavior::CreateProrations),
        ..Update::default()
    };
    stripe.client.post(&request, &key(operation, &format!("seats-{seats}"))).await?;
    sync::sync_tenant(stripe, tenant).await?;
    Ok(json!({ "seats": seats }))
}
