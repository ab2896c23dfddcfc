//! Rows of `tenant_subscriptions` and `plan_versions`, as far as tenants are made and ended and catalogs loaded.

use jiff::Timestamp;
use uuid::Uuid;

use super::row::Column as _;
use super::tenants::LockedTenant;
use super::{StoreError, Tx};
use crate::query;

/// A subscription to be made, in force from its anchor on.
#[derive(Debug)]
pub struct NewSubscription<'a> {
    /// Its id.
    pub id: Uuid,
    /// The plan.
    pub plan_id: &'a str,
    /// Its version.
    pub plan_version: i32,
    /// Usage periods are months from here.
    pub anchor: Timestamp,
    /// First instant of the current period.
    pub period_start: Timestamp,
    /// First instant after it.
    pub period_end: Timestamp,
}

/// The current subscription of a tenant, for readers.
#[derive(Debug, Clone, PartialEq)]
pub struct CurrentSubscription {
    /// Its id.
    pub id: Uuid,
    /// The plan.
    pub plan_id: String,
    /// Version of the plan that the current period runs under.
    pub plan_version: i32,
    /// That version as the catalog file gave it.
    pub definition: serde_json::Value,
    /// As Stripe names it; of a free plan `active`.
    pub status: String,
    /// `month` or `year`.
    pub billing_interval: String,
    /// Usage periods are months from here.
    pub anchor: Timestamp,
    /// First instant of the current period.
    pub current_period_start: Timestamp,
    /// First instant after it.
    pub current_period_end: Timestamp,
    /// It ends with the period.
    pub cancel_at_period_end: bool,
    /// When it ends, where that is decided.
    pub cancel_at: Option<Timestamp>,
    /// Seats that are paid for.
    pub quantity: i32,
    /// First instant after the trial.
    pub trial_end: Option<Timestamp>,
    /// `full`, or `fallback` while its status gives the limits of the default plan only.
    pub access: String,
    /// Plan, interval and instant of a change to come.
    pub pending: Option<(String, String, Timestamp)>,
    /// Whether it is paid for through Stripe.
    pub is_paid: bool,
}

/// The newest version of a plan that was ever loaded.
#[derive(Debug, Clone)]
pub struct LatestVersion {
    /// The plan.
    pub plan_id: String,
    /// Its newest version.
    pub version: i32,
    /// The plan as the catalog file gave it.
    pub definition: serde_json::Value,
    /// New tenants get it, where it is current.
    pub is_default: bool,
    /// New periods begin with it.
    pub current: bool,
}

query! {
    service DEFAULT_PLAN = "
        select plan_id, version from tenantry.plan_versions where current and is_default";
    service IS_PAID = "
        select exists (
            select from tenantry.tenant_subscriptions
            where tenant_id = $1 and ended_at is null and provider is not null)";
    service VERSION_NOW = "
        select version, definition from tenantry.plan_versions where plan_id = $1
        order by current desc, version desc limit 1";
    /// While access falls back, the limits are those of the plan that new tenants get.
    service IN_FORCE = "
        select v.plan_id, v.definition
        from tenantry.tenant_subscriptions s
        join tenantry.plan_versions v on case s.access
            when 'full' then v.plan_id = s.plan_id and v.version = s.plan_version
            else v.current and v.is_default end
        where s.tenant_id = $1 and s.ended_at is null";
    service INSERT = "
        insert into tenantry.tenant_subscriptions
            (tenant_id, id, plan_id, plan_version, status, anchor, current_period_start, current_period_end,
             created_at, updated_at)
        values ($1, $2, $3, $4, 'active', $5, $6, $7, $5, $5)";
    both CURRENT = "
        select s.id, s.plan_id, s.plan_version, v.definition, s.status, s.billing_interval, s.anchor,
               s.current_period_start, s.current_period_end, s.cancel_at_period_end, s.cancel_at, s.quantity,
               s.trial_end, s.access, s.pending_plan_id, s.pending_interval, s.pending_at, s.provider is not null
        from tenantry.tenant_subscriptions s
        join tenantry.plan_versions v on v.plan_id = s.plan_id and v.version = s.plan_version
        where s.tenant_id = $1 and s.ended_at is null";
    service END = "
        update tenantry.tenant_subscriptions set ended_at = $2, updated_at = $2, status = 'canceled'
        where tenant_id = $1 and ended_at is null";
    service LOCK_CATALOG = "select pg_advisory_xact_lock(hashtext('tenantry.catalog'))";
    service LATEST_VERSIONS = "
        select distinct on (plan_id) plan_id, version, definition, is_default, current
        from tenantry.plan_versions order by plan_id, version desc";
    service RETIRE_VERSIONS = "
        update tenantry.plan_versions set current = false where current and plan_id = any ($1)";
    service REVIVE_VERSION = "
        update tenantry.plan_versions set current = true where plan_id = $1 and version = $2";
    service INSERT_VERSION = "
        insert into tenantry.plan_versions (plan_id, version, definition, is_default, current, created_at)
        values ($1, $2, $3, $4, true, $5)";
}

/// Plan and version that new tenants get; nothing where no catalog was loaded.
pub async fn default_plan(tx: &Tx) -> Result<Option<(String, i32)>, StoreError> {
    tx.opt(&DEFAULT_PLAN, &[]).await?.map(|row| Ok((row.col(0)?, row.col(1)?))).transpose()
}

/// Whether a locked tenant pays for its plan through Stripe.
pub async fn is_paid(tx: &Tx, tenant: &LockedTenant) -> Result<bool, StoreError> {
    tx.one(&IS_PAID, &[&tenant.id()]).await?.col(0)
}

/// The plan whose limits are in force for a locked tenant, and what it says.
pub async fn in_force(tx: &Tx, tenant: &LockedTenant) -> Result<Option<(String, serde_json::Value)>, StoreError> {
    tx.opt(&IN_FORCE, &[&tenant.id()]).await?.map(|row| Ok((row.col(0)?, row.col(1)?))).transpose()
}

/// The version of a plan that who gets it now gets, and what it says: the current one, or the last of a plan that left
/// the catalog.
pub async fn version_now(tx: &Tx, plan: &str) -> Result<Option<(i32, serde_json::Value)>, StoreError> {
    tx.opt(&VERSION_NOW, &[&plan]).await?.map(|row| Ok((row.col(0)?, row.col(1)?))).transpose()
}

/// Makes the subscription of a locked tenant that has none.
pub async fn insert(tx: &Tx, tenant: &LockedTenant, new: &NewSubscription<'_>) -> Result<(), StoreError> {
    tx.exactly_one(
        &INSERT,
        &[&tenant.id(), &new.id, &new.plan_id, &new.plan_version, &new.anchor, &new.period_start, &new.period_end],
    )
    .await
}

/// The current subscription of a tenant that the transaction may see.
pub async fn current(tx: &Tx, tenant: Uuid) -> Result<Option<CurrentSubscription>, StoreError> {
    let Some(row) = tx.opt(&CURRENT, &[&tenant]).await? else {
        return Ok(None);
    };
    Ok(Some(CurrentSubscription {
        id: row.col(0)?,
        plan_id: row.col(1)?,
        plan_version: row.col(2)?,
        definition: row.col(3)?,
        status: row.col(4)?,
        billing_interval: row.col(5)?,
        anchor: row.col(6)?,
        current_period_start: row.col(7)?,
        current_period_end: row.col(8)?,
        cancel_at_period_end: row.col(9)?,
        cancel_at: row.col(10)?,
        quantity: row.col(11)?,
        trial_end: row.col(12)?,
        access: row.col(13)?,
        pending: match (row.col(14)?, row.col(15)?, row.col(16)?) {
            (Some(plan), Some(interval), Some(at)) => Some((plan, interval, at)),
            _ => None,
        },
        is_paid: row.col(17)?,
    }))
}

/// Ends the current subscription of a locked tenant, if it has one.
pub async fn end(tx: &Tx, tenant: &LockedTenant, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(&END, &[&tenant.id(), &now]).await?;
    Ok(())
}

/// Stands in line with other processes that load a catalog, to the end of the transaction.
pub async fn lock_catalog(tx: &Tx) -> Result<(), StoreError> {
    tx.one(&LOCK_CATALOG, &[]).await.map(drop)
}

/// The newest version of every plan that was ever loaded.
pub async fn latest_versions(tx: &Tx) -> Result<Vec<LatestVersion>, StoreError> {
    tx.rows(&LATEST_VERSIONS, &[])
        .await?
        .iter()
        .map(|row| {
            Ok(LatestVersion {
                plan_id: row.col(0)?,
                version: row.col(1)?,
                definition: row.col(2)?,
                is_default: row.col(3)?,
                current: row.col(4)?,
            })
        })
        .collect()
}

/// Takes these plans out of what new periods begin with.
pub async fn retire_versions(tx: &Tx, plans: &[&str]) -> Result<(), StoreError> {
    tx.execute(&RETIRE_VERSIONS, &[&plans]).await?;
    Ok(())
}

/// Puts a version that was retired back.
pub async fn revive_version(tx: &Tx, plan: &str, version: i32) -> Result<(), StoreError> {
    tx.exactly_one(&REVIVE_VERSION, &[&plan, &version]).await
}

/// Writes a new version, current at once. No other version of the plan may be current.
pub async fn insert_version(
    tx: &Tx,
    (plan, version): (&str, i32),
    definition: &serde_json::Value,
    is_default: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.exactly_one(&INSERT_VERSION, &[&plan, &version, &definition, &is_default, &now]).await
}
