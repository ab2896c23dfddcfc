//! Writing what Stripe says of a customer: the subscription, and the usage periods and limits that follow from it, in
//! one transaction under the tenant's lock.

mod begin;
mod end;
mod update;

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_domain::plan::Plan;
use uuid::Uuid;

use super::error::SyncError;
use super::state::{CustomerState, SubscriptionState};
use super::sync::Lease;
use super::{Stripe, metered};
use crate::notices::{self, Notice, data};
use crate::storage::jobs::{self, NewJob};
use crate::storage::stripe::customers;
use crate::storage::stripe::subscriptions::{self as rows, Current, LinkRow, Stated};
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::{StoreError, Tx, subscriptions};
use crate::tenancy::Actor;
use crate::tenancy::audit::{self, Deed};
use crate::tenancy::members::SEATS_JOB;
use crate::usage::plan_change::NewTerms;
use crate::usage::plans::PlanBook;
use crate::write_tx;

/// Kind of the jobs that look at a tenant's customer again.
pub const SYNC_JOB: &str = "sync_customer";

/// What writing came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The tenant is deleted: nothing was written.
    pub is_gone: bool,
    /// What changed, in words for an operator; empty where all was so already.
    pub changes: Vec<String>,
    /// Stripe's ids of living subscriptions beside the one in force.
    pub surplus: Vec<String>,
}

/// Writes what was read under a lease that still holds.
pub async fn apply(stripe: &Stripe, lease: &Lease, read: &CustomerState) -> Result<Applied, SyncError> {
    let now = stripe.env.clock.now();
    write_tx!(stripe.db, "apply_stripe_state", &[lease.tenant_id], |tx| {
        let Some(tenant) = tenants::lock(tx, lease.tenant_id).await? else {
            return Ok(Applied { is_gone: true, ..Applied::default() });
        };
        if !customers::hold_lease(tx, &lease.customer_id, lease.token, now).await? {
            return Err(SyncError::LeaseLost);
        }
        let writer = Writer { tx, stripe, tenant: &tenant, customer: &lease.customer_id, now };
        writer.write(read).await
    })
}

/// What writing would change; undone again.
pub async fn preview(stripe: &Stripe, lease: &Lease, read: &CustomerState) -> Result<Applied, SyncError> {
    let now = stripe.env.clock.now();
    let tx = stripe.db.begin("preview_stripe_state", &[lease.tenant_id]).await?;
    let would = match tenants::lock(&tx, lease.tenant_id).await? {
        Some(tenant) => {
            let writer = Writer { tx: &tx, stripe, tenant: &tenant, customer: &lease.customer_id, now };
            writer.write(read).await
        }
        None => Ok(Applied { is_gone: true, ..Applied::default() }),
    };
    tx.rollback().await?;
    would
}

/// One transaction's means.
#[derive(Clone, Copy)]
struct Writer<'a> {
    tx: &'a Tx,
    stripe: &'a Stripe,
    tenant: &'a LockedTenant,
    customer: &'a str,
    now: Timestamp,
}

/// A plan as its version says, for who gets it now.
#[derive(Debug, Clone)]
struct PlanNow {
    id: String,
    version: i32,
    plan: Plan,
}

impl PlanNow {
    fn name(&self) -> data::PlanName {
        data::PlanName { id: self.id.clone(), name: self.plan.name.clone() }
    }

    fn key(&self) -> (String, i32) {
        (self.id.clone(), self.version)
    }
}

impl Writer<'_> {
    async fn write(self, read: &CustomerState) -> Result<Applied, SyncError> {
        let mut applied = Applied::default();
        if read.is_deleted {
            customers::end(self.tx, self.tenant.id(), self.customer, self.now).await?;
        }
        let current = rows::current(self.tx, self.tenant)
            .await?
            .ok_or_else(|| SyncError::Confused("the tenant has no current subscription".to_owned()))?;
        let link =
            if current.is_at_stripe { rows::link_of(self.tx, self.tenant.id(), current.id).await? } else { None };
        if link.as_ref().is_some_and(|link| link.customer_id != self.customer) {
            // Told late of a customer that was deleted: the tenant pays through another one since.
            return Ok(applied);
        }
        let linked = link.as_ref().map(|link| link.stripe_id.as_str());
        let in_force = read.in_force(linked);
        applied.surplus =
            read.surplus(in_force.map(|found| found.id.as_str())).into_iter().map(str::to_owned).collect();
        if !applied.surplus.is_empty() {
            tracing::warn!(tenant = %self.tenant.id(), surplus = ?applied.surplus, "the customer pays for more than one subscription");
        }
        match (in_force, &link) {
            (Some(found), Some(link)) if found.id == link.stripe_id => {
                self.update(&current, link, found, &mut applied).await?;
            }
            (Some(found), _) => {
                if link.is_some() {
                    let ended = linked.and_then(|id| read.find(id));
                    self.end(&current, link.as_ref(), ended, &mut applied).await?;
                }
                self.begin(found, &mut applied).await?;
            }
            (None, Some(link)) => {
                let ended = read.find(&link.stripe_id);
                self.end(&current, Some(link), ended, &mut applied).await?;
            }
            (None, None) => {}
        }
        Ok(applied)
    }

    /// The version of a plan that who gets it now gets.
    async fn plan_now(self, id: &str) -> Result<PlanNow, SyncError> {
        let (version, definition) = subscriptions::version_now(self.tx, id).await?.ok_or_else(|| {
            SyncError::Confused(format!("a price stands for the plan {id}, which no catalog ever had"))
        })?;
        let plan =
            serde_json::from_value(definition).map_err(|error| StoreError::corrupt("definition of a plan", error))?;
        Ok(PlanNow { id: id.to_owned(), version, plan })
    }

    async fn default_plan(self) -> Result<PlanNow, SyncError> {
        let (id, _) = subscriptions::default_plan(self.tx)
            .await?
            .ok_or_else(|| SyncError::Confused("no plan catalog is loaded".to_owned()))?;
        self.plan_now(&id).await
    }

    /// Terms of a plan: its own limits with full access, else those of the default plan.
    async fn terms(self, plan: (String, i32), is_full: bool) -> Result<NewTerms, SyncError> {
        let limits = if is_full { plan.clone() } else { self.default_plan().await?.key() };
        Ok(NewTerms { plan, limits })
    }

    /// Writes what Stripe states, and how it is linked.
    async fn state(self, id: Uuid, found: &SubscriptionState, access: &super::access::Access) -> Result<(), SyncError> {
        let stated = Stated {
            status: found.status.as_str(),
            interval: &found.plan.interval,
            period: found.period,
            cancel_at_period_end: found.cancel_at_period_end,
            cancel_at: found.cancel_at,
            quantity: found.quantity,
            trial_end: found.trial_end,
            past_due_since: access.past_due_since,
            has_full_access: access.is_full,
            pending: found
                .pending
                .as_ref()
                .map(|pending| (pending.to.plan_id.as_str(), pending.to.interval.as_str(), pending.at)),
        };
        rows::state(self.tx, self.tenant, id, &stated, self.now).await?;
        let link = LinkRow {
            stripe_id: found.id.clone(),
            subscription_id: id,
            customer_id: self.customer.to_owned(),
            item_id: found.item_id.clone(),
            price_id: found.price_id.clone(),
            schedule_id: found.schedule_id.clone(),
            status: found.status.as_str().to_owned(),
        };
        rows::put_link(self.tx, self.tenant.id(), &link, self.now).await?;
        if let Some(at) = access.look_again_at {
            let key = format!("grace {} {at}", found.id);
            self.job(SYNC_JOB, key, at).await?;
        }
        Ok(())
    }

    /// Asks for seats where what is paid for is not the number of members: somebody joined while a checkout was open, or
    /// a schedule brought the quantity of the day on which it was made.
    async fn follow_with_seats(self, found: &SubscriptionState, plan: &Plan) -> Result<(), SyncError> {
        if !plan.per_seat || rows::count_members(self.tx, self.tenant.id()).await? == i64::from(found.quantity) {
            return Ok(());
        }
        self.job(SEATS_JOB, format!("{} {} {}", found.id, found.price_id, found.period.0), self.now).await
    }

    /// Asks for metered items where those of the subscription are not what its plan charges above what is included.
    async fn follow_with_metered(self, found: &SubscriptionState, plan: &PlanNow) -> Result<(), SyncError> {
        // Of the version that prices the running period: a later one counts from the next period on.
        let mut plans = PlanBook::default();
        plans.fetch(self.tx, [plan.key()]).await?;
        let plan = plans.get(&plan.id, plan.version)?;
        let wanted = metered::wanted(self.tx, &self.stripe.settings, plan, &found.plan.interval).await?;
        match metered::due(found, &wanted, self.now) {
            Some((key, at)) => self.job(metered::JOB, key, at).await,
            None => Ok(()),
        }
    }

    async fn job(self, kind: &str, dedupe_key: String, at: Timestamp) -> Result<(), SyncError> {
        let job = NewJob { id: self.stripe.env.ids.uuid_v7(self.now), dedupe_key, payload: &json!({}) };
        Ok(jobs::insert_at(self.tx, self.tenant.id(), kind, &[job], (self.now, at)).await?)
    }

    async fn audit(self, kind: &'static str, subject: Uuid, payload: Value) -> Result<(), SyncError> {
        let deed = Deed { kind, actor: Actor::System, subject_id: Some(subject), payload };
        Ok(audit::append(self.tx, self.tenant, &self.stripe.env, self.now, deed).await?)
    }

    async fn notice(self, key: String, data: impl Into<data::Data>) -> Result<(), SyncError> {
        let notice = Notice::new(key, data);
        notices::raise(self.tx, &self.stripe.env, self.now, self.tenant.id(), &notice).await?;
        Ok(())
    }

    /// Whether a change of what status gives is told: an audit entry and a notice.
    async fn access_changed(
        self,
        current: &Current,
        found: &SubscriptionState,
        is_full: bool,
        plan: &PlanNow,
    ) -> Result<(), SyncError> {
        let limits = if is_full { plan.clone() } else { self.default_plan().await? };
        let kind = if is_full { "access.restored" } else { "access.narrowed" };
        let payload = json!({ "status": found.status.as_str(), "planId": plan.id, "limitsPlanId": limits.id });
        self.audit(kind, current.id, payload).await?;
        // Narrowed and restored once for each time that a payment was overdue, or the subscription changed its state.
        let since = found.overdue_since.or(current.past_due_since).unwrap_or(found.period.0);
        let key = format!("{} {} {since}", found.id, if is_full { "full" } else { "narrowed" });
        let told = data::AccessChanged {
            status: found.status.as_str().to_owned(),
            plan: plan.name(),
            limits: limits.name(),
            since: self.now,
        };
        self.notice(key, told).await
    }
}
