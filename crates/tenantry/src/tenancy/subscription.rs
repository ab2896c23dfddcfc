//! The free subscription that every tenant begins with.

use jiff::{SignedDuration, Timestamp};
use tenantry_domain::period::period_containing;

use super::TenancyError;
use crate::env::{Env, whole_seconds};
use crate::storage::subscriptions::{self, NewSubscription};
use crate::storage::tenants::LockedTenant;
use crate::storage::usage::facts::PeriodRow;
use crate::storage::usage::open::{self, SegmentRow};
use crate::storage::{StoreError, Tx};

/// From the end of a period to the closing of its books.
pub const CLOSES_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// Puts a new tenant on the default plan from now on: subscription, first usage period with its segment, and
/// the job that closes the period.
pub(super) async fn begin_free(tx: &Tx, tenant: &LockedTenant, env: &Env, now: Timestamp) -> Result<(), TenancyError> {
    let (plan_id, plan_version) = subscriptions::default_plan(tx).await?.ok_or(TenancyError::NoCatalog)?;
    // Whole seconds, as Stripe counts: a plan that is bought within the second begins no earlier than this one.
    let anchor = whole_seconds(now);
    let period = period_containing(anchor, anchor);
    let subscription = NewSubscription {
        id: env.ids.uuid_v7(now),
        plan_id: &plan_id,
        plan_version,
        anchor,
        period_start: period.start,
        period_end: period.end,
    };
    subscriptions::insert(tx, tenant, &subscription).await?;
    let row = PeriodRow {
        tenant_id: tenant.id(),
        start: period.start,
        end: period.end,
        anchor,
        historic: false,
        closed: false,
    };
    open::insert_periods(tx, &[row]).await?;
    let segment = SegmentRow {
        tenant_id: tenant.id(),
        period_start: period.start,
        sequence: 0,
        started_at: period.start,
        plan_id: plan_id.clone(),
        plan_version,
        limits_plan_id: plan_id.clone(),
        limits_plan_version: plan_version,
    };
    open::insert_segments(tx, &[segment]).await?;
    let close_at =
        period.end.checked_add(CLOSES_AFTER).map_err(|error| StoreError::corrupt("end of a period", error))?;
    let job = (tenant.id(), env.ids.uuid_v7(now), period.start, close_at);
    open::insert_close_jobs(tx, &[job], now).await?;
    Ok(())
}
