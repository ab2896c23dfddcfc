//! Changing what a running period is judged and priced by: a new segment, or a new anchor.
//!
//! Called by whoever learns of the change (the sync with Stripe, later; the command line and tests now), inside
//! one transaction, under the lock of the subscription and of every counter that the change touches.

use std::collections::HashMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use tenantry_domain::period::period_containing;
use uuid::Uuid;

use super::opening;
use super::plans::PlanBook;
use crate::env::Env;
use crate::storage::usage::facts::{CounterRow, PeriodRow};
use crate::storage::usage::open::{self, NewCounter, SegmentRow, SubscriptionRow};
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

/// Puts a tenant on another plan from an instant on: a segment of the running period, and the subscription, so that
/// the next periods begin under it.
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

/// Starts a segment under new terms at an instant inside the current period. Totals continue; events at or
/// after the instant move into the new segment. Periods that were opened ahead begin under the new terms too.
pub async fn start_segment(
    tx: &Tx,
    env: &Env,
    tenant: Uuid,
    at: Timestamp,
    terms: &NewTerms,
) -> Result<SubscriptionRow, StoreError> {
    let subscription = lock_subscription(tx, tenant).await?;
    let period = opening::open_period(tx, env, &subscription, at).await?;
    let counters = segments::lock_counters_from(tx, tenant, at).await?;
    let mut plans = PlanBook::default();
    plans.fetch(tx, [terms.limits.clone()]).await?;
    let last = open::last_segments(tx, &[tenant], &[period.start])
        .await?
        .pop()
        .ok_or_else(|| StoreError::corrupt("period", "it has no segment"))?;
    if at <= last.started_at {
        // Two changes at one instant: the later one takes the segment over.
        segments::set_segment_plan(tx, &under(&last, terms)).await?;
    } else {
        let mut next = under(&last, terms);
        next.sequence += 1;
        next.started_at = at;
        open::insert_segments(tx, std::slice::from_ref(&next)).await?;
        end_segment(tx, &period, &last, &counters, at).await?;
    }
    for mut counter in counters {
        if counter.closed {
            continue;
        }
        if counter.period_start == period.start {
            if at > last.started_at {
                counter.segment_sequence = last.sequence + 1;
                counter.segment_start = at;
            }
        } else {
            retake_period_ahead(tx, tenant, counter.period_start, terms).await?;
        }
        apply(&mut counter, &plans, terms)?;
        segments::set_counter_terms(tx, &counter).await?;
    }
    Ok(subscription)
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

fn apply(counter: &mut CounterRow, plans: &PlanBook, terms: &NewTerms) -> Result<(), StoreError> {
    let found = plans.terms(&terms.limits.0, terms.limits.1, &counter.metric)?;
    counter.in_plan = found.in_plan;
    counter.included = found.included;
    counter.hard_limit = found.hard_limit;
    Ok(())
}

async fn retake_period_ahead(
    tx: &Tx,
    tenant: Uuid,
    period_start: Timestamp,
    terms: &NewTerms,
) -> Result<(), StoreError> {
    for segment in open::last_segments(tx, &[tenant], &[period_start]).await? {
        segments::set_segment_plan(tx, &under(&segment, terms)).await?;
    }
    Ok(())
}

/// Writes what the ending segment used: the total, less what earlier segments used, less what lies beyond.
async fn end_segment(
    tx: &Tx,
    period: &PeriodRow,
    ending: &SegmentRow,
    counters: &[CounterRow],
    at: Timestamp,
) -> Result<(), StoreError> {
    let here: Vec<&CounterRow> = counters.iter().filter(|counter| counter.period_start == period.start).collect();
    if here.is_empty() {
        return Ok(());
    }
    let tenant = period.tenant_id;
    let metrics: Vec<&str> = here.iter().map(|counter| counter.metric.as_str()).collect();
    let tenants = vec![tenant; metrics.len()];
    let starts = vec![period.start; metrics.len()];
    let mut earlier: HashMap<String, Decimal> = HashMap::new();
    for ((_, metric, _), _, amount) in segments::segment_amounts_of(tx, &tenants, &metrics, &starts).await? {
        *earlier.entry(metric).or_default() += amount;
    }
    let beyond: HashMap<String, Decimal> = segments::used_since(tx, tenant, &metrics, period.start, at)
        .await?
        .into_iter()
        .map(|(metric, amount, _)| (metric, amount))
        .collect();
    let amounts: Vec<_> = here
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

/// Ends the open period at `at` and begins the next one there, at 0, with `at` as the new anchor. Events at or
/// after it move over with their counters and rollups. Periods that were opened ahead of `at` must be empty of
/// events beyond the next period's end. Refused where a segment of the open period began at `at` or later.
pub async fn set_anchor(
    tx: &Tx,
    env: &Env,
    tenant: Uuid,
    at: Timestamp,
    terms: &NewTerms,
) -> Result<PeriodRow, StoreError> {
    let now = env.clock.now();
    let subscription = lock_subscription(tx, tenant).await?;
    let old = opening::open_period(tx, env, &subscription, at).await?;
    let counters = segments::lock_counters_from(tx, tenant, at).await?;
    let window = period_containing(at, at);
    if old.start == at {
        // The period begins here anyway: only its terms are new.
        start_segment(tx, env, tenant, at, terms).await?;
        segments::set_subscription_anchor(tx, (tenant, subscription.id), at, (old.start, old.end), now).await?;
        return Ok(old);
    }
    let last = open::last_segments(tx, &[tenant], &[old.start]).await?.pop();
    if let Some(last) = last.filter(|last| last.started_at >= at) {
        // The amounts of segments that would begin before the new period cannot be told apart any more.
        let reason = format!("the plan changed at {}, not before the new anchor {at}", last.started_at);
        return Err(StoreError::corrupt("anchor", reason));
    }
    let end = next_start_after(tx, tenant, at).await?.map_or(window.end, |start| start.min(window.end));
    segments::truncate_period(tx, tenant, old.start, at).await?;
    let period = PeriodRow { tenant_id: tenant, start: at, end, anchor: at, historic: false, closed: false };
    open::insert_periods(tx, std::slice::from_ref(&period)).await?;
    let segment = SegmentRow {
        tenant_id: tenant,
        period_start: at,
        sequence: 0,
        started_at: at,
        plan_id: terms.plan.0.clone(),
        plan_version: terms.plan.1,
        limits_plan_id: terms.limits.0.clone(),
        limits_plan_version: terms.limits.1,
    };
    open::insert_segments(tx, std::slice::from_ref(&segment)).await?;
    let mut plans = PlanBook::default();
    plans.fetch(tx, [terms.limits.clone()]).await?;
    let here: Vec<&CounterRow> = counters.iter().filter(|counter| counter.period_start == old.start).collect();
    move_counters(tx, &here, &period, &plans, terms).await?;
    let jobs = [(&period, period.end), (&old, at)].map(|(period, end)| {
        let run_at = end.saturating_add(opening::CLOSING_GRACE).unwrap_or(end);
        (tenant, env.ids.uuid_v7(now), period.start, run_at)
    });
    open::insert_close_jobs(tx, &jobs[..1], now).await?;
    open::hasten_close_job(tx, tenant, old.start, jobs[1].3).await?;
    segments::set_subscription_anchor(tx, (tenant, subscription.id), at, (period.start, period.end), now).await?;
    Ok(period)
}

async fn move_counters(
    tx: &Tx,
    counters: &[&CounterRow],
    period: &PeriodRow,
    plans: &PlanBook,
    terms: &NewTerms,
) -> Result<(), StoreError> {
    let tenant = period.tenant_id;
    let metrics: Vec<&str> = counters.iter().map(|counter| counter.metric.as_str()).collect();
    let Some(old_start) = counters.first().map(|counter| counter.period_start) else {
        return Ok(());
    };
    for (metric, amount, count) in segments::used_since(tx, tenant, &metrics, old_start, period.start).await? {
        let found = plans.terms(&terms.limits.0, terms.limits.1, &metric)?;
        let counter = NewCounter {
            tenant_id: tenant,
            metric: metric.clone(),
            period: period.clone(),
            segment_sequence: 0,
            segment_start: period.start,
            in_plan: found.in_plan,
            included: found.included,
            hard_limit: found.hard_limit,
        };
        open::insert_counters(tx, std::slice::from_ref(&counter)).await?;
        segments::move_events(tx, (tenant, &metric, old_start), (period.start, period.end), (amount, count)).await?;
    }
    Ok(())
}

async fn next_start_after(tx: &Tx, tenant: Uuid, at: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let periods = open::nearest_periods(tx, &[tenant], &[at]).await?;
    Ok(periods.into_iter().map(|period| period.start).filter(|start| *start > at).min())
}

async fn lock_subscription(tx: &Tx, tenant: Uuid) -> Result<SubscriptionRow, StoreError> {
    open::lock_subscriptions(tx, &[tenant])
        .await?
        .pop()
        .ok_or_else(|| StoreError::corrupt("subscription", "the tenant has no current subscription"))
}
