//! What the sync writes of subscriptions: rows of `stripe_subscriptions`, and of `tenant_subscriptions` as far as
//! Stripe states them.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::tenants::LockedTenant;
use crate::storage::{StoreError, Tx};

/// The current subscription of a tenant as the sync compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Our id.
    pub id: Uuid,
    /// The plan.
    pub plan_id: String,
    /// Its version.
    pub plan_version: i32,
    /// As Stripe names it.
    pub status: String,
    /// `month` or `year`.
    pub interval: String,
    /// Usage periods are months from here.
    pub anchor: Timestamp,
    /// Billing period.
    pub period: (Timestamp, Timestamp),
    /// Whether it ends with the period.
    pub cancel_at_period_end: bool,
    /// When it ends, where that is decided.
    pub cancel_at: Option<Timestamp>,
    /// Seats.
    pub quantity: i32,
    /// First instant after the trial.
    pub trial_end: Option<Timestamp>,
    /// Since when a payment is overdue.
    pub past_due_since: Option<Timestamp>,
    /// Whether the limits of its plan are in force.
    pub has_full_access: bool,
    /// Plan, interval and instant of a change to come.
    pub pending: Option<(String, String, Timestamp)>,
    /// Whether Stripe states it.
    pub is_at_stripe: bool,
}

/// A subscription of Stripe's that the database knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Stripe's id.
    pub stripe_id: String,
    /// Our id.
    pub subscription_id: Uuid,
    /// Stripe's customer.
    pub customer_id: String,
    /// Stripe's id of the item that stands for the plan.
    pub item_id: String,
    /// Stripe's id of the price.
    pub price_id: String,
    /// Stripe's id of the schedule that will change it.
    pub schedule_id: Option<String>,
    /// Status as last read.
    pub status: String,
}

/// What Stripe states of a subscription.
#[derive(Debug, Clone)]
pub struct Stated<'a> {
    /// As Stripe names it.
    pub status: &'a str,
    /// `month` or `year`.
    pub interval: &'a str,
    /// Billing period.
    pub period: (Timestamp, Timestamp),
    /// Whether it ends with the period.
    pub cancel_at_period_end: bool,
    /// When it ends, where that is decided.
    pub cancel_at: Option<Timestamp>,
    /// Seats.
    pub quantity: i32,
    /// First instant after the trial.
    pub trial_end: Option<Timestamp>,
    /// Since when a payment is overdue.
    pub past_due_since: Option<Timestamp>,
    /// Whether the limits of its plan are in force.
    pub has_full_access: bool,
    /// Plan, interval and instant of a change to come.
    pub pending: Option<(&'a str, &'a str, Timestamp)>,
}

query! {
    service CURRENT = "
        select id, plan_id, plan_version, status, billing_interval, anchor, current_period_start, current_period_end,
               cancel_at_period_end, cancel_at, quantity, trial_end, past_due_since, access, pending_plan_id,
               pending_interval, pending_at, provider
        from tenantry.tenant_subscriptions where tenant_id = $1 and ended_at is null
        for update";
    service END = "
        update tenantry.tenant_subscriptions
        set ended_at = $3, status = $4, updated_at = $5, cancel_at_period_end = false, cancel_at = null,
            pending_plan_id = null, pending_interval = null, pending_at = null
        where tenant_id = $1 and id = $2 and ended_at is null";
    service BEGIN = "
        insert into tenantry.tenant_subscriptions
            (tenant_id, id, plan_id, plan_version, status, billing_interval, anchor, current_period_start,
             current_period_end, provider, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)";
    service STATE = "
        update tenantry.tenant_subscriptions
        set status = $3, billing_interval = $4, current_period_start = $5, current_period_end = $6,
            cancel_at_period_end = $7, cancel_at = $8, quantity = $9, trial_end = $10, past_due_since = $11, access = $12,
            pending_plan_id = $13, pending_interval = $14, pending_at = $15, updated_at = $16
        where tenant_id = $1 and id = $2 and ended_at is null";
    service LINK = "
        select stripe_subscription_id, subscription_id, customer_id, item_id, price_id, schedule_id, status
        from tenantry.stripe_subscriptions where tenant_id = $1 and stripe_subscription_id = $2";
    service LINK_OF = "
        select stripe_subscription_id, subscription_id, customer_id, item_id, price_id, schedule_id, status
        from tenantry.stripe_subscriptions where tenant_id = $1 and subscription_id = $2";
    service PUT_LINK = "
        insert into tenantry.stripe_subscriptions
            (tenant_id, stripe_subscription_id, subscription_id, customer_id, item_id, price_id, schedule_id, status,
             created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
        on conflict (tenant_id, stripe_subscription_id) do update set
            subscription_id = excluded.subscription_id, item_id = excluded.item_id, price_id = excluded.price_id, schedule_id = excluded.schedule_id,
            status = excluded.status, updated_at = excluded.updated_at";
    service LAST_PAID_END = "
        select max(ended_at) from tenantry.tenant_subscriptions
        where tenant_id = $1 and provider is not null and ended_at is not null";
    service MEMBERS = "select count(*) from tenantry.tenant_members where tenant_id = $1";
}

/// The current subscription of a locked tenant, locked.
pub async fn current(tx: &Tx, tenant: &LockedTenant) -> Result<Option<Current>, StoreError> {
    tx.opt(&CURRENT, &[&tenant.id()]).await?.as_ref().map(current_from).transpose()
}

/// Ends a subscription.
pub async fn end(
    tx: &Tx,
    tenant: &LockedTenant,
    id: Uuid,
    (ended_at, status): (Timestamp, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.exactly_one(&END, &[&tenant.id(), &id, &ended_at, &status, &now]).await
}

/// A subscription to be begun.
#[derive(Debug)]
pub struct Begun<'a> {
    /// Our id.
    pub id: Uuid,
    /// Plan and version.
    pub plan: (&'a str, i32),
    /// As Stripe names it.
    pub status: &'a str,
    /// `month` or `year`.
    pub interval: &'a str,
    /// Usage periods are months from here.
    pub anchor: Timestamp,
    /// Billing period.
    pub period: (Timestamp, Timestamp),
    /// Whether Stripe states it.
    pub is_at_stripe: bool,
}

/// Begins a subscription of a locked tenant whose last one has ended.
pub async fn begin(tx: &Tx, tenant: &LockedTenant, new: &Begun<'_>, now: Timestamp) -> Result<(), StoreError> {
    let provider = new.is_at_stripe.then_some("stripe");
    tx.exactly_one(
        &BEGIN,
        &[
            &tenant.id(),
            &new.id,
            &new.plan.0,
            &new.plan.1,
            &new.status,
            &new.interval,
            &new.anchor,
            &new.period.0,
            &new.period.1,
            &provider,
            &now,
        ],
    )
    .await
}

/// Writes what Stripe states of the current subscription; its plan is changed elsewhere, with its usage.
pub async fn state(
    tx: &Tx,
    tenant: &LockedTenant,
    id: Uuid,
    stated: &Stated<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let access = if stated.has_full_access { "full" } else { "fallback" };
    let (plan, interval, at) = match stated.pending {
        Some((plan, interval, at)) => (Some(plan), Some(interval), Some(at)),
        None => (None, None, None),
    };
    tx.exactly_one(
        &STATE,
        &[
            &tenant.id(),
            &id,
            &stated.status,
            &stated.interval,
            &stated.period.0,
            &stated.period.1,
            &stated.cancel_at_period_end,
            &stated.cancel_at,
            &stated.quantity,
            &stated.trial_end,
            &stated.past_due_since,
            &access,
            &plan,
            &interval,
            &at,
            &now,
        ],
    )
    .await
}

/// What is known of a subscription of Stripe's.
pub async fn link(tx: &Tx, tenant: Uuid, stripe_id: &str) -> Result<Option<LinkRow>, StoreError> {
    tx.opt(&LINK, &[&tenant, &stripe_id]).await?.as_ref().map(link_from).transpose()
}

/// The subscription of Stripe's that one of ours stands for.
pub async fn link_of(tx: &Tx, tenant: Uuid, subscription: Uuid) -> Result<Option<LinkRow>, StoreError> {
    tx.opt(&LINK_OF, &[&tenant, &subscription]).await?.as_ref().map(link_from).transpose()
}

/// Notes a subscription of Stripe's as it was last read.
pub async fn put_link(tx: &Tx, tenant: Uuid, link: &LinkRow, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(
        &PUT_LINK,
        &[
            &tenant,
            &link.stripe_id,
            &link.subscription_id,
            &link.customer_id,
            &link.item_id,
            &link.price_id,
            &link.schedule_id,
            &link.status,
            &now,
        ],
    )
    .await
}

/// When the tenant's last paid subscription ended.
pub async fn last_paid_end(tx: &Tx, tenant: &LockedTenant) -> Result<Option<Timestamp>, StoreError> {
    tx.one(&LAST_PAID_END, &[&tenant.id()]).await?.col(0)
}

/// How many members a tenant has: the seats of a plan that is paid per seat.
pub async fn count_members(tx: &Tx, tenant: Uuid) -> Result<i64, StoreError> {
    tx.one(&MEMBERS, &[&tenant]).await?.col(0)
}

fn current_from(row: &Row) -> Result<Current, StoreError> {
    let access: &str = row.col(13)?;
    let (plan, interval, at): (Option<String>, Option<String>, Option<Timestamp>) =
        (row.col(14)?, row.col(15)?, row.col(16)?);
    let provider: Option<&str> = row.col(17)?;
    Ok(Current {
        id: row.col(0)?,
        plan_id: row.col(1)?,
        plan_version: row.col(2)?,
        status: row.col(3)?,
        interval: row.col(4)?,
        anchor: row.col(5)?,
        period: (row.col(6)?, row.col(7)?),
        cancel_at_period_end: row.col(8)?,
        cancel_at: row.col(9)?,
        quantity: row.col(10)?,
        trial_end: row.col(11)?,
        past_due_since: row.col(12)?,
        has_full_access: access == "full",
        pending: match (plan, interval, at) {
            (Some(plan), Some(interval), Some(at)) => Some((plan, interval, at)),
            _ => None,
        },
        is_at_stripe: provider.is_some(),
    })
}

fn link_from(row: &Row) -> Result<LinkRow, StoreError> {
    Ok(LinkRow {
        stripe_id: row.col(0)?,
        subscription_id: row.col(1)?,
        customer_id: row.col(2)?,
        item_id: row.col(3)?,
        price_id: row.col(4)?,
        schedule_id: row.col(5)?,
        status: row.col(6)?,
    })
}
