//! The end of a tenant: what it must be through with before it is deleted, and what is still to be done elsewhere.

use jiff::Timestamp;
use serde_json::json;
use tenantry_domain::plan::Plan;

use super::TenancyError;
use crate::env::Env;
use crate::storage::jobs::{self, NewJob};
use crate::storage::stripe::operations;
use crate::storage::tenants::LockedTenant;
use crate::storage::usage::unbilled;
use crate::storage::{StoreError, Tx, subscriptions};

/// Refuses where a locked tenant pays for a plan, where a change of its subscription is under way, or where use above
/// what is included is still to be billed. Charges that nobody can pay keep no tenant.
pub(super) async fn refuse_unsettled(tx: &Tx, tenant: &LockedTenant) -> Result<(), TenancyError> {
    if let Some(current) = subscriptions::current(tx, tenant.id()).await? {
        let plan: Plan = serde_json::from_value(current.definition)
            .map_err(|error| StoreError::corrupt("definition of a plan version", error))?;
        if current.is_paid || plan.prices.is_some() {
            return Err(TenancyError::ActiveSubscription(current.plan_id));
        }
    }
    if operations::running(tx, tenant.id()).await?.is_some() {
        let detail = "a change of the tenant's subscription is under way: wait until it is done";
        return Err(TenancyError::Conflict(detail.to_owned()));
    }
    let metrics = unbilled::metrics(tx, tenant).await?;
    if metrics.is_empty() { Ok(()) } else { Err(TenancyError::UnbilledUsage(metrics)) }
}

/// Kind of the jobs that end at Stripe what a deleted tenant left there: open checkouts, and what was bought meanwhile.
pub const FAREWELL_JOB: &str = "leave_stripe";

/// Leaves the job that ends at Stripe what a locked tenant, which is being deleted, left there.
pub(super) async fn leave_stripe(tx: &Tx, tenant: &LockedTenant, env: &Env, now: Timestamp) -> Result<(), StoreError> {
    let id = tenant.id();
    let job = NewJob { id: env.ids.uuid_v7(now), dedupe_key: id.to_string(), payload: &json!({}) };
    jobs::insert(tx, id, FAREWELL_JOB, &[job], now).await
}
