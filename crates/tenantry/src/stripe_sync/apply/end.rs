//! A subscription ends: the tenant goes on under the default plan, in the same usage period.

use jiff::Timestamp;
use serde_json::json;
use tenantry_domain::period::period_containing;

use super::{Applied, SyncError, Writer};
use crate::notices::data;
use crate::storage::stripe::subscriptions::{self as rows, Begun, Current, LinkRow};
use crate::stripe_sync::state::SubscriptionState;
use crate::usage::charges::BILL_JOB;
use crate::usage::instant::{Begins, possible};
use crate::usage::plan_change::{self, NewTerms};

impl Writer<'_> {
    /// Ends the current subscription as Stripe says it ended; now, where Stripe knows it no more.
    pub(super) async fn end(
        self,
        current: &Current,
        link: Option<&LinkRow>,
        ended: Option<&SubscriptionState>,
        applied: &mut Applied,
    ) -> Result<(), SyncError> {
        let Self { tx, stripe, tenant, now, .. } = self;
        let ended_at = ended.and_then(|ended| ended.ended_at).unwrap_or(now).min(now);
        let status = ended.filter(|ended| ended.status.is_terminal()).map_or("canceled", |ended| ended.status.as_str());
        let plan = self.default_plan().await?;
        let at = possible(tx, tenant.id(), ended_at, Begins::Segment).await?;
        rows::end(tx, tenant, current.id, (at, status), now).await?;
        if let Some(link) = link {
            let link = LinkRow { status: status.to_owned(), schedule_id: None, ..link.clone() };
            rows::put_link(tx, tenant.id(), &link, now).await?;
        }
        let id = stripe.env.ids.uuid_v7(now);
        let period = period_containing(current.anchor, at);
        let begun = Begun {
            id,
            plan: (&plan.id, plan.version),
            status: "active",
            interval: "month",
            anchor: current.anchor,
            period: (period.start, period.end),
            is_at_stripe: false,
        };
        rows::begin(tx, tenant, &begun, now).await?;
        let terms = NewTerms { plan: plan.key(), limits: plan.key() };
        plan_change::start_segment(tx, &stripe.env, tenant.id(), at, &terms).await?;
        let payload = json!({ "planId": current.plan_id, "status": status, "at": at.to_string(), "nowOn": plan.id });
        self.audit("subscription.ended", current.id, payload).await?;
        // As its event says, whatever was missed between the last look and the end.
        let ended_plan = ended.map_or(&current.plan_id, |ended| &ended.plan.plan_id);
        self.tell_the_end(ended_plan, link, ended_at).await?;
        // What was used above the included quantity is charged on an invoice of its own, since none will come.
        self.job(BILL_JOB, format!("ended {}", current.id), now).await?;
        applied.changes.push(format!("the subscription to plan {} ended at {at}", current.plan_id));
        Ok(())
    }

    async fn tell_the_end(self, plan: &str, link: Option<&LinkRow>, ended_at: Timestamp) -> Result<(), SyncError> {
        let Some(link) = link else { return Ok(()) };
        let told = data::SubscriptionCanceled {
            plan: self.plan_now(plan).await?.name(),
            now_on: self.default_plan().await?.name(),
            ended_at,
        };
        self.notice(link.stripe_id.clone(), told).await
    }
}
