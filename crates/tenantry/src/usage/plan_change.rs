//! Changing what usage is judged and priced by: new terms from an instant on, or a new anchor.
//!
//! Called by whoever learns of the change, inside one transaction, under the lock of the subscription and of every
//! counter that the change touches.
//!
//! The instant may lie in the past, also in periods that are closed: who tells of a change is often late. What holds
//! then is the same as if the change had been known at once. **The newest word counts from its instant on**: whatever
//! was said before about later instants gives way, so several changes are told in the order in which they happened.
//! Closed periods stay closed and their charges are adjusted in the same transaction. Historic periods, from before
//! the tenant was here, stay as they are. What was refused or accepted under the old limits stays so; a total that is
//! above a new limit is no fault.

use std::collections::HashMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::plans::PlanBook;
use super::spend::tell;
use super::spend::watch::{self, Watched};
use super::{anchor, charges, opening, recount};
use crate::env::Env;
use crate::storage::usage::facts::{CounterRow, PeriodRow};
use crate::storage::usage::open::{self, SegmentRow, SubscriptionRow};
use crate::storage::usage::{commit, segments};
use crate::storage::{StoreError, Tx};

/// A plan version, as priced by and as limited by. They differ while a payment is overdue beyond its grace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTerms {
    /// Prices come from this plan.
    pub plan: (String, i32),
    /// Limits come from this plan.
    pub limits: (String, i32),
}

/// How a subscription is paid for, as Stripe names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Billing<'a> {
    /// `month` or `year`.
    pub interval: &'a str,
    /// `active`, `trialing`, `past_due` and so on.
    pub status: &'a str,
}

/// Puts a tenant on another plan from an instant on, as [`start_segment`] does, and the subscription with it, so that
/// periods that are opened later begin under it.
pub async fn change_plan(
    tx: &Tx,
    env: &Env,
    (tenant, at): (Uuid, Timestamp),
    terms: &NewTerms,
    billing: Billing<'_>,
) -> Result<(), StoreError> {
    let subscription = start_segment(tx, env, tenant, at, terms).await?;
    let plan = segments::SubscriptionPlan {
        tenant_id: tenant,
        id: subscription.id,
        plan_id: &terms.plan.0,
        plan_version: terms.plan.1,
        billing_interval: billing.interval,
        status: billing.status,
    };
    segments::set_subscription_plan(tx, &plan, env.clock.now()).await
}

/// Puts everything from an instant on under new terms: a segment of the period that contains it (made if it is not
/// there), and every period that was opened after that one, used or not, closed or not. Totals continue; events at or
/// after the instant are priced by the new terms, those before it by the old ones.
///
/// Told again with the same instant and terms it changes nothing, unless something else was told meanwhile: then it
/// is the newest word. Gives the subscription as it is; it is locked, and not changed.
pub async fn start_segment(
    tx: &Tx,
    env: &Env,
    tenant: Uuid,
    at: Timestamp,
    terms: &NewTerms,
) -> Result<SubscriptionRow, StoreError> {
    let subscription = lock_subscription(tx, tenant).await?;
    opening::open_period(tx, env, &subscription, at).await?;
    retake(tx, env, (tenant, at), terms).await?;
    Ok(subscription)
}

/// Ends the period that contains `at` there and begins the next one, at 0, with `at` as the anchor that months count
/// from; everything from `at` on is under the terms. Events at or after it move over with their totals and rollups.
///
/// Periods that were opened after that one keep their start; those that are open run to the next boundary of the new
/// anchor, and what was recorded beyond it moves on into the period that begins there. A closed period that is ended
/// earlier stays closed and gives back what its moved events cost; the new one is open and is closed in its turn. A
/// segment that would begin at `at` or later in the ended period holds nothing any more. Where a period begins at
/// `at` already, it is kept and gets the new rhythm if it is open. Where `at` lies before the tenant was here, no
/// period is ended. The subscription's anchor and current period are written, its plan is not.
///
/// Gives the period that contains `at`.
pub async fn set_anchor(
    tx: &Tx,
    env: &Env,
    tenant: Uuid,
    at: Timestamp,
    terms: &NewTerms,
) -> Result<PeriodRow, StoreError> {
    let subscription = lock_subscription(tx, tenant).await?;
    let old = opening::open_period(tx, env, &subscription, at).await?;
    segments::lock_counters_from(tx, tenant, at).await?;
    let moving = anchor::Moving { tx, env, tenant, anchor: at, watched: watch::of_tenant(tx, tenant).await? };
    let ended = if old.historic || old.start == at { Vec::new() } else { moving.cut(&old, at, terms).await?.0 };
    moving.follow(terms).await?;
    recount::whole(tx, &ended).await?;
    recount::whole(tx, &segments::lock_counters_from(tx, tenant, at).await?).await?;
    retake(tx, env, (tenant, at), terms).await?;
    charges::adjust_closed(tx, &ended, env, env.clock.now()).await?;
    let period = moving.period_at(at).await?;
    let period = period.ok_or_else(|| StoreError::corrupt("anchor", "no period contains it"))?;
    let current = moving.period_at(env.clock.now()).await?.unwrap_or_else(|| period.clone());
    let bounds = (current.start, current.end);
    segments::set_subscription_anchor(tx, (tenant, subscription.id), at, bounds, env.clock.now()).await?;
    Ok(period)
}

/// Lets the running period go on to its end, with its totals, and months count from `at` afterwards: the next period
/// runs to the next boundary of the anchor. For who cancels and subscribes again within one period. Periods that were
/// opened after the one that contains `at` and are still open are brought into the new rhythm, under the terms; the
/// running one keeps its segments (tell [`start_segment`] of new terms besides). The subscription's anchor is written.
pub async fn follow_anchor(
    tx: &Tx,
    env: &Env,
    tenant: Uuid,
    at: Timestamp,
    terms: &NewTerms,
) -> Result<(), StoreError> {
    let subscription = lock_subscription(tx, tenant).await?;
    opening::open_period(tx, env, &subscription, at).await?;
    segments::lock_counters_from(tx, tenant, at).await?;
    let moving = anchor::Moving { tx, env, tenant, anchor: at, watched: watch::of_tenant(tx, tenant).await? };
    moving.follow(terms).await?;
    recount::whole(tx, &segments::lock_counters_from(tx, tenant, at).await?).await?;
    if !moving.watched.is_empty() {
        Box::pin(tell::tell_standing(tx, env, tenant)).await?;
    }
    let current = moving.period_at(env.clock.now()).await?.or(moving.period_at(at).await?);
    let current = current.ok_or_else(|| StoreError::corrupt("anchor", "no period contains it"))?;
    let bounds = (current.start, current.end);
    segments::set_subscription_anchor(tx, (tenant, subscription.id), at, bounds, env.clock.now()).await
}

async fn lock_subscription(tx: &Tx, tenant: Uuid) -> Result<SubscriptionRow, StoreError> {
    open::lock_subscriptions(tx, &[tenant])
        .await?
        .pop()
        .ok_or_else(|| StoreError::corrupt("subscription", "the tenant has no current subscription"))
}

/// Puts every segment from an instant on under these terms; the period that contains it must be there.
async fn retake(tx: &Tx, env: &Env, (tenant, at): (Uuid, Timestamp), terms: &NewTerms) -> Result<(), StoreError> {
    let counters = segments::lock_counters_from(tx, tenant, at).await?;
    let watched = watch::of_tenant(tx, tenant).await?;
    let mut plans = PlanBook::default();
    plans.fetch(tx, [terms.plan.clone(), terms.limits.clone()]).await?;
    for period in open::periods_from(tx, tenant, at).await? {
        if period.historic {
            continue;
        }
        let own: Vec<&CounterRow> = counters.iter().filter(|counter| counter.period_start == period.start).collect();
        let current = split(tx, &period, &own, at, terms).await?;
        for counter in own {
            let mut counter = counter.clone();
            counter.segment_sequence = current.sequence;
            counter.segment_start = current.started_at;
            put_under(tx, &mut counter, &plans, terms, &watched).await?;
        }
    }
    recount::segments(tx, &counters).await?;
    charges::adjust_closed(tx, &counters, env, env.clock.now()).await?;
    // Spend that a change of plan raises is no fault, whatever the caps; it is told of.
    if watched.is_empty() { Ok(()) } else { Box::pin(tell::tell_standing(tx, env, tenant)).await }
}

/// Judges a locked counter by these terms from now on; their plans must be in the book.
pub(super) async fn put_under(
    tx: &Tx,
    counter: &mut CounterRow,
    plans: &PlanBook,
    terms: &NewTerms,
    watched: &Watched,
) -> Result<(), StoreError> {
    let found = plans.terms(&terms.limits.0, terms.limits.1, &counter.metric)?;
    let priced = plans.metric(&terms.plan.0, terms.plan.1, &counter.metric)?;
    counter.sure_limit = watched.sure_limit(&counter.metric, priced);
    counter.in_plan = found.in_plan;
    counter.included = found.included;
    counter.hard_limit = found.hard_limit;
    segments::set_counter_terms(tx, counter).await
}

/// Puts the segments of a period from `at` on under the terms and lets one begin there; gives the last one.
async fn split(
    tx: &Tx,
    period: &PeriodRow,
    counters: &[&CounterRow],
    at: Timestamp,
    terms: &NewTerms,
) -> Result<SegmentRow, StoreError> {
    let mut all = segments::segments_of(tx, &[period.tenant_id], &[period.start]).await?;
    let mut later = all.split_off(all.partition_point(|segment| segment.started_at < at));
    for segment in &mut later {
        *segment = under(segment, terms);
        segments::set_segment_plan(tx, segment).await?;
    }
    match (all.last(), later.as_mut_slice()) {
        (Some(ending), []) => {
            let next = SegmentRow { sequence: ending.sequence + 1, started_at: at, ..under(ending, terms) };
            open::insert_segments(tx, std::slice::from_ref(&next)).await?;
            end_segment(tx, period, ending, counters, at).await?;
            return Ok(next);
        }
        // All that begins later is under the same terms now, so the first of them may as well begin here.
        (Some(ending), [next, rest @ ..]) if next.started_at > at => {
            let span = (at, next.started_at);
            let gains = (!rest.is_empty()).then_some(next.sequence);
            move_amounts(tx, period, counters, span, (ending.sequence, gains)).await?;
            segments::pull_segment(tx, next, at).await?;
            next.started_at = at;
        }
        _ => {}
    }
    later.pop().ok_or_else(|| StoreError::corrupt("period", "it has no segment"))
}

fn under(segment: &SegmentRow, terms: &NewTerms) -> SegmentRow {
    SegmentRow {
        plan_id: terms.plan.0.clone(),
        plan_version: terms.plan.1,
        limits_plan_id: terms.limits.0.clone(),
        limits_plan_version: terms.limits.1,
        ..segment.clone()
    }
}

/// Writes what the ending segment used: the total, less what earlier segments used, less what lies beyond. Of what is no
/// sum that is computed when all segments are as they shall be.
async fn end_segment(
    tx: &Tx,
    period: &PeriodRow,
    ending: &SegmentRow,
    counters: &[&CounterRow],
    at: Timestamp,
) -> Result<(), StoreError> {
    let counters = sums_of(counters);
    if counters.is_empty() {
        return Ok(());
    }
    let tenant = period.tenant_id;
    let metrics: Vec<&str> = counters.iter().map(|counter| counter.metric.as_str()).collect();
    let tenants = vec![tenant; metrics.len()];
    let starts = vec![period.start; metrics.len()];
    let mut earlier: HashMap<String, Decimal> = HashMap::new();
    for ((_, metric, _), _, amount) in segments::segment_amounts_of(tx, &tenants, &metrics, &starts).await? {
        *earlier.entry(metric).or_default() += amount;
    }
    let beyond: HashMap<String, Decimal> = segments::used_between(tx, (tenant, period.start), &metrics, at, None)
        .await?
        .into_iter()
        .map(|(metric, amount, _)| (metric, amount))
        .collect();
    let amounts: Vec<_> = counters
        .iter()
        .map(|counter| {
            let before = earlier.get(&counter.metric).copied().unwrap_or_default();
            let after = beyond.get(&counter.metric).copied().unwrap_or_default();
            let key = (tenant, counter.metric.clone(), period.start);
            (key, ending.sequence, counter.total - before - after)
        })
        .collect();
    commit::add_segment_amounts(tx, &amounts).await
}

/// Takes what was used in a span of time from one ended segment and adds it to another, or to the current one, whose
/// amount is what the others leave of the total.
pub(super) async fn move_amounts(
    tx: &Tx,
    period: &PeriodRow,
    counters: &[&CounterRow],
    (since, until): (Timestamp, Timestamp),
    (loses, gains): (i32, Option<i32>),
) -> Result<(), StoreError> {
    let metrics: Vec<&str> = sums_of(counters).iter().map(|counter| counter.metric.as_str()).collect();
    let key = (period.tenant_id, period.start);
    let mut amounts = Vec::new();
    for (metric, amount, _) in segments::used_between(tx, key, &metrics, since, Some(until)).await? {
        amounts.push(((key.0, metric.clone(), key.1), loses, -amount));
        amounts.extend(gains.map(|sequence| ((key.0, metric, key.1), sequence, amount)));
    }
    commit::add_segment_amounts(tx, &amounts).await
}

/// The counters whose total is a sum: what is moved of them moves it.
pub(super) fn sums_of<'a>(counters: &[&'a CounterRow]) -> Vec<&'a CounterRow> {
    counters.iter().copied().filter(|counter| counter.aggregation == "sum").collect()
}
