//! The subscription in force changed: its plan, its anchor, its status, what is pending.

use jiff::Timestamp;
use serde_json::json;

use super::{Applied, PlanNow, SyncError, Writer};
use crate::notices::data;
use crate::storage::stripe::subscriptions::{Current, LinkRow};
use crate::storage::usage::segments;
use crate::stripe_sync::access::{self, Access, Before};
use crate::stripe_sync::state::SubscriptionState;
use crate::usage::charges::BILL_JOB;
use crate::usage::instant::{Begins, possible};
use crate::usage::plan_change::{self, Billing};

impl Writer<'_> {
    pub(super) async fn update(
        self,
        current: &Current,
        link: &LinkRow,
        found: &SubscriptionState,
        applied: &mut Applied,
    ) -> Result<(), SyncError> {
        let past_due_since = found.overdue_since.or(current.past_due_since);
        let before = Before { is_full: current.has_full_access, past_due_since };
        let access = access::access(&found.status, before, self.stripe.settings.payment_grace, self.now);
        let is_other_plan = found.plan.plan_id != current.plan_id;
        let plan = if is_other_plan {
            self.plan_now(&found.plan.plan_id).await?
        } else {
            // The same plan keeps the version that the running period began with.
            PlanNow { version: current.plan_version, ..self.plan_now(&current.plan_id).await? }
        };
        // Stripe tells its anchor in whole seconds.
        let is_other_anchor = found.anchor.as_second() != current.anchor.as_second() && found.anchor <= self.now;
        if is_other_anchor {
            self.move_anchor(current, found, &access, &plan, applied).await?;
        } else if is_other_plan {
            self.change_plan(current, found, &access, &plan, applied).await?;
        } else if access.is_full != current.has_full_access {
            let terms = self.terms(plan.key(), access.is_full).await?;
            let at = possible(self.tx, self.tenant.id(), self.now, Begins::Segment).await?;
            plan_change::start_segment(self.tx, &self.stripe.env, self.tenant.id(), at, &terms).await?;
        }
        self.state(current.id, found, &access).await?;
        self.follow_with_seats(found, &plan.plan).await?;
        self.follow_with_metered(found, &plan).await?;
        if access.is_full != current.has_full_access {
            self.access_changed(current, found, access.is_full, &plan).await?;
            applied.changes.push(format!("access is {}", if access.is_full { "restored" } else { "narrowed" }));
        }
        if is_other_plan {
            let payload = json!({
                "from": { "planId": current.plan_id, "interval": current.interval },
                "to": { "planId": plan.id, "planVersion": plan.version, "interval": found.plan.interval },
            });
            self.audit("subscription.plan_changed", current.id, payload).await?;
        } else if current.interval != found.plan.interval {
            let payload = json!({ "from": current.interval, "to": found.plan.interval });
            self.audit("subscription.interval_changed", current.id, payload).await?;
        }
        self.tell_pending(current, found, applied).await?;
        if current.status != found.status.as_str() {
            let payload = json!({ "from": current.status, "to": found.status.as_str() });
            self.audit("subscription.status_changed", current.id, payload).await?;
            applied.changes.push(format!("status {} becomes {}", current.status, found.status));
            // A charge may wait for a subscription that can pay it.
            self.job(BILL_JOB, format!("status {} {} {}", found.id, found.status, found.period.0), self.now).await?;
        }
        if current.quantity != found.quantity {
            let payload = json!({ "from": current.quantity, "to": found.quantity });
            self.audit("subscription.seats_changed", current.id, payload).await?;
            applied.changes.push(format!("seats {} become {}", current.quantity, found.quantity));
        }
        if current.period != found.period {
            applied.changes.push(format!("the billing period is from {} to {}", found.period.0, found.period.1));
        }
        if link.item_id != found.item_id || link.price_id != found.price_id {
            applied.changes.push(format!("item {} has price {}", found.item_id, found.price_id));
        }
        Ok(())
    }

    /// A new period begins where Stripe's anchor lies: a trial ended, or the interval changed.
    async fn move_anchor(
        self,
        current: &Current,
        found: &SubscriptionState,
        access: &Access,
        plan: &PlanNow,
        applied: &mut Applied,
    ) -> Result<(), SyncError> {
        let Self { tx, stripe, tenant, now, .. } = self;
        let terms = self.terms(plan.key(), access.is_full).await?;
        let at = possible(tx, tenant.id(), found.anchor, Begins::Period).await?;
        self.put_plan(current, found, plan).await?;
        plan_change::set_anchor(tx, &stripe.env, tenant.id(), at, &terms).await?;
        segments::set_subscription_anchor(tx, (tenant.id(), current.id), found.anchor, found.period, now).await?;
        let payload =
            json!({ "from": current.anchor.to_string(), "to": found.anchor.to_string(), "at": at.to_string() });
        self.audit("subscription.anchor_changed", current.id, payload).await?;
        applied.changes.push(format!("usage periods begin anew at {at} under plan {}", plan.id));
        Ok(())
    }

    async fn change_plan(
        self,
        current: &Current,
        found: &SubscriptionState,
        access: &Access,
        plan: &PlanNow,
        applied: &mut Applied,
    ) -> Result<(), SyncError> {
        let Self { tx, stripe, tenant, now, .. } = self;
        let terms = self.terms(plan.key(), access.is_full).await?;
        let at = possible(tx, tenant.id(), changed_at(current, found, now), Begins::Segment).await?;
        let billing = Billing { interval: &found.plan.interval, status: found.status.as_str() };
        plan_change::change_plan(tx, &stripe.env, (tenant.id(), at), &terms, billing).await?;
        applied.changes.push(format!("plan {} becomes {} at {at}", current.plan_id, plan.id));
        Ok(())
    }

    /// The plan of the subscription's row, before a period is begun under it.
    async fn put_plan(self, current: &Current, found: &SubscriptionState, plan: &PlanNow) -> Result<(), SyncError> {
        let row = segments::SubscriptionPlan {
            tenant_id: self.tenant.id(),
            id: current.id,
            plan_id: &plan.id,
            plan_version: plan.version,
            billing_interval: &found.plan.interval,
            status: found.status.as_str(),
        };
        Ok(segments::set_subscription_plan(self.tx, &row, self.now).await?)
    }

    async fn tell_pending(
        self,
        current: &Current,
        found: &SubscriptionState,
        applied: &mut Applied,
    ) -> Result<(), SyncError> {
        if current.cancel_at != found.cancel_at {
            let kind =
                if found.cancel_at.is_some() { "subscription.cancel_scheduled" } else { "subscription.cancel_undone" };
            let payload = json!({ "at": found.cancel_at.or(current.cancel_at).map(|at| at.to_string()) });
            self.audit(kind, current.id, payload).await?;
            applied.changes.push(kind.to_owned());
        }
        if let Some(ends_at) = found.cancel_at {
            let plan = self.plan_now(&found.plan.plan_id).await?.name();
            let key = format!("{} {ends_at}", found.id);
            self.notice(key, data::CancellationScheduled { plan, ends_at }).await?;
        }
        let pending = found.pending.as_ref().map(|next| (next.to.plan_id.clone(), next.to.interval.clone(), next.at));
        if current.pending != pending {
            let payload = json!({
                "planId": found.pending.as_ref().map(|next| next.to.plan_id.clone()),
                "interval": found.pending.as_ref().map(|next| next.to.interval.clone()),
                "at": found.pending.as_ref().map(|next| next.at.to_string()),
            });
            let kind = if pending.is_some() { "subscription.change_scheduled" } else { "subscription.change_settled" };
            self.audit(kind, current.id, payload).await?;
            applied.changes.push(kind.to_owned());
        }
        Ok(())
    }
}

/// When the plan changed: as we noted when we changed it, else with the period that began since, else now.
fn changed_at(current: &Current, found: &SubscriptionState, now: Timestamp) -> Timestamp {
    if let Some((at, to)) = &found.changed
        && *to == found.price_id
        && found.period.0 <= *at
        && *at <= now
    {
        return *at;
    }
    if found.period.0 > current.period.0 && found.period.0 <= now { found.period.0 } else { now }
}
