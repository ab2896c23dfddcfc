//! A subscription begins: free to paid, or a new one after one that ended.

use serde_json::json;

use super::{Applied, SyncError, Writer};
use crate::storage::stripe::subscriptions::{self as rows, Begun};
use crate::storage::usage::{open, segments};
use crate::stripe_sync::access::{self, Before};
use crate::stripe_sync::state::SubscriptionState;
use crate::usage::charges::BILL_JOB;
use crate::usage::instant::{Begins, possible};
use crate::usage::plan_change;

impl Writer<'_> {
    /// Ends the free subscription and begins the one that is paid. Its usage begins at 0 with Stripe's anchor, unless a
    /// paid one ended within the running period: then totals go on, so that nobody gets a second allowance by leaving
    /// and coming back.
    pub(super) async fn begin(self, found: &SubscriptionState, applied: &mut Applied) -> Result<(), SyncError> {
        let Self { tx, stripe, tenant, now, .. } = self;
        let plan = self.plan_now(&found.plan.plan_id).await?;
        let free = rows::current(tx, tenant)
            .await?
            .ok_or_else(|| SyncError::Confused("the tenant has no current subscription".to_owned()))?;
        let before = Before { is_full: true, past_due_since: found.overdue_since };
        let access = access::access(&found.status, before, stripe.settings.payment_grace, now);
        let terms = self.terms(plan.key(), access.is_full).await?;
        let continues = self.continues(found).await?;
        let starts = if continues { Begins::Segment } else { Begins::Period };
        let at = possible(tx, tenant.id(), found.anchor.max(found.started_at).min(now), starts).await?;
        rows::end(tx, tenant, free.id, (at, "canceled"), now).await?;
        let id = stripe.env.ids.uuid_v7(now);
        let begun = Begun {
            id,
            plan: (&plan.id, plan.version),
            status: found.status.as_str(),
            interval: &found.plan.interval,
            anchor: free.anchor,
            period: found.period,
            is_at_stripe: true,
        };
        rows::begin(tx, tenant, &begun, now).await?;
        if continues {
            plan_change::start_segment(tx, &stripe.env, tenant.id(), at, &terms).await?;
            plan_change::follow_anchor(tx, &stripe.env, tenant.id(), found.anchor.min(now), &terms).await?;
        } else {
            plan_change::set_anchor(tx, &stripe.env, tenant.id(), at, &terms).await?;
        }
        segments::set_subscription_anchor(tx, (tenant.id(), id), found.anchor, found.period, now).await?;
        self.state(id, found, &access).await?;
        self.follow_with_seats(found, &plan.plan).await?;
        self.follow_with_metered(found, &plan).await?;
        let payload = json!({
            "planId": plan.id, "planVersion": plan.version, "interval": found.plan.interval,
            "status": found.status.as_str(), "at": at.to_string(), "continuesPeriod": continues,
        });
        self.audit("subscription.started", id, payload).await?;
        // What a free plan used above its included quantity waited for somebody who can pay it.
        self.job(BILL_JOB, format!("started {}", found.id), now).await?;
        applied.changes.push(format!("subscription {} begins plan {} at {at}", found.id, plan.id));
        Ok(())
    }

    /// Whether a paid subscription ended within the usage period in which this one begins.
    async fn continues(self, found: &SubscriptionState) -> Result<bool, SyncError> {
        let Some(ended_at) = rows::last_paid_end(self.tx, self.tenant).await? else { return Ok(false) };
        let periods = open::nearest_periods(self.tx, &[self.tenant.id()], &[found.started_at]).await?;
        Ok(periods.iter().any(|period| {
            period.start <= found.started_at
                && found.started_at < period.end
                && period.start < ended_at
                && ended_at <= found.started_at
        }))
    }
}
