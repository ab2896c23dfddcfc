//! Spend caps and alerts on the careful way: what must be locked to judge by them, what they refuse, what is told.
//!
//! A cap over all metrics is judged by the sum of several counters. They are locked together, in key order with the
//! others, and read again once they are held: a counter that came meanwhile, or a cap that was set, is seen then, and
//! the group starts again. Nobody who takes part in a sum can add to it without a counter that is held here, because
//! every counter that costs something beyond its `sure_limit` is decided on this way.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tenantry_domain::permission::Permission;
use tenantry_domain::quantity::Quantity;
use tenantry_domain::spend::{Passed, Weighed};
use uuid::Uuid;

use super::super::event::NewEvent;
use super::super::outcome::{Outcome, Refusal, SpendCap};
use super::super::spend::period::{self, Period, PeriodKey};
use super::super::spend::watch::{self, Watched};
use super::Sources;
use super::facts::Facts;
use super::prepare::Prepared;
use super::tallies::Growth;
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::spend as rows;
use crate::storage::{StoreError, Tx};
use crate::tenancy::Actor;

/// Tenant, metric, first instant of the period.
pub(super) type CounterKey = (Uuid, String, Timestamp);

/// Whether use of a counter at an instant can change what its period costs. Where nobody watches, `sure_limit` says so;
/// of closed periods, and of segments that have ended, it says nothing.
pub(super) fn may_cost(counter: &CounterRow, at: Timestamp) -> bool {
    !counter.historic && (counter.closed || at < counter.segment_start || counter.sure_limit.is_some())
}

/// The periods of these events that their tenants may watch.
pub(super) fn periods_of(prepared: &[Prepared], facts: &Facts) -> BTreeSet<PeriodKey> {
    let counters = prepared.iter().map(|event| (&facts.counters[event.counter], event.occurred_at));
    let costing = counters.filter(|(counter, at)| may_cost(counter, *at));
    costing.map(|(counter, _)| (counter.tenant_id, counter.period_start)).collect()
}

/// The counters beside the events' own that must be locked to judge them.
pub(super) async fn counters_beside(tx: &Tx, periods: &BTreeSet<PeriodKey>) -> Result<Vec<CounterKey>, StoreError> {
    if periods.is_empty() {
        return Ok(Vec::new());
    }
    let (tenants, starts): (Vec<Uuid>, Vec<Timestamp>) = periods.iter().copied().unzip();
    let (watches, counters) =
        tokio::try_join!(watch::of_tenants(tx, &tenants), rows::counters_of_periods(tx, &tenants, &starts))?;
    Ok(counters.iter().filter(|counter| judges(watches.of(counter.tenant_id), counter)).map(key).collect())
}

/// Whether the counter is one of those whose cost may change, and by which caps and alerts over all metrics of its
/// period are judged: then it is locked with any other of them. In a period of several segments that is every one,
/// since what is not priced now may have been.
fn judges(watched: &Watched, counter: &CounterRow) -> bool {
    let may_change = counter.closed || counter.sure_limit.is_some() || counter.segment_sequence > 0;
    watched.has_whole() && !counter.historic && may_change
}

fn key(counter: &CounterRow) -> CounterKey {
    (counter.tenant_id, counter.metric.clone(), counter.period_start)
}

/// The watched periods of a group, as they are with the events that were accepted so far.
#[derive(Debug, Default)]
pub(super) struct Spend {
    periods: BTreeMap<PeriodKey, Judged>,
}

#[derive(Debug)]
struct Judged {
    period: Period,
    /// Accrued of each alert and of each cap, in their order, before the group.
    alerts_before: Vec<i64>,
    caps_before: Vec<i64>,
    /// Caps that refused something.
    refused_by: BTreeSet<Option<String>>,
}

impl Spend {
    /// Reads these periods under the counters' locks; none where a counter that is needed is not among the locked ones.
    pub(super) async fn read(
        tx: &Tx,
        periods: &BTreeSet<PeriodKey>,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let found = period::read(tx, periods, now).await?;
        let locked: BTreeSet<CounterKey> = facts.counters.iter().map(key).collect();
        for period in found.values() {
            if period.counters.iter().any(|one| judges(&period.watched, one) && !locked.contains(&key(one))) {
                return Ok(None);
            }
        }
        let judged = |period: Period| Judged {
            alerts_before: period.watched.alerts.iter().map(|one| period.accrued(one.metric.as_deref())).collect(),
            caps_before: period.watched.caps.iter().map(|one| period.accrued(one.metric.as_deref())).collect(),
            refused_by: BTreeSet::new(),
            period,
        };
        Ok(Some(Self { periods: found.into_iter().map(|(key, period)| (key, judged(period))).collect() }))
    }

    /// What an event would make its metric cost, where its tenant watches that; or the cap that refuses it. What was
    /// held is refused by none, and neither is what makes no figure grow. Of what is no sum `growth` is weighed.
    pub(super) fn weigh(
        &mut self,
        event: &Prepared,
        counter: &CounterRow,
        growth: Option<&Growth>,
    ) -> Result<Option<Weighed>, SpendCap> {
        let Some(judged) = self.periods.get_mut(&(counter.tenant_id, counter.period_start)) else { return Ok(None) };
        let weighed = match growth {
            None => weighed(&judged.period, event.occurred_at, counter, Quantity::from_decimal(event.amount)),
            Some(growth) => {
                let current = (judged.period.last_segment(), growth.current);
                let changes = growth.ended.iter().copied().chain([current]);
                let changes = changes.map(|(segment, grown)| (segment, Quantity::from_decimal(grown))).collect();
                judged.period.spend.weigh_all(&counter.metric, changes)
            }
        };
        match passed(&judged.period, weighed.as_ref()) {
            None => Ok(weighed),
            Some(_) if event.is_reserved() || growth.is_some_and(|growth| !growth.is_growth()) => Ok(weighed),
            Some(cap) => {
                judged.refused_by.insert(cap.of_metric.then(|| counter.metric.clone()));
                Err(cap)
            }
        }
    }

    /// Whether the period of a counter is one whose tenant watches what it costs.
    pub(super) fn watches(&self, counter: &CounterRow) -> bool {
        self.periods.contains_key(&(counter.tenant_id, counter.period_start))
    }

    /// Counts an event that was accepted.
    pub(super) fn take(&mut self, counter: &CounterRow, weighed: &Weighed) {
        if let Some(judged) = self.periods.get_mut(&(counter.tenant_id, counter.period_start)) {
            judged.period.spend.take(weighed);
        }
    }

    /// Raises what the group gives cause to: alerts and caps that were reached, caps that refused something.
    pub(super) async fn tell(&self, tx: &Tx, sources: &Sources<'_>) -> Result<(), StoreError> {
        for Judged { period, alerts_before, caps_before, refused_by } in self.periods.values() {
            for (alert, before) in period.watched.alerts.iter().zip(alerts_before) {
                if is_reached(*before, period.accrued(alert.metric.as_deref()), alert.amount_minor) {
                    period.tell_alert(tx, sources.env, alert).await?;
                }
            }
            for (cap, before) in period.watched.caps.iter().zip(caps_before) {
                let after = period.accrued(cap.metric.as_deref());
                if refused_by.contains(&cap.metric) || is_reached(*before, after, cap.amount_minor) {
                    period.tell_capped(tx, sources.env, cap).await?;
                }
            }
        }
        Ok(())
    }
}

fn is_reached(before: i64, after: i64, amount: i64) -> bool {
    before < amount && amount <= after
}

fn weighed(period: &Period, at: Timestamp, counter: &CounterRow, amount: Quantity) -> Option<Weighed> {
    period.spend.weigh(&counter.metric, period.segment_at(at), amount)
}

fn passed(period: &Period, weighed: Option<&Weighed>) -> Option<SpendCap> {
    let Passed { of_metric, cap, accrued, adds } = period.caps.passed_by(weighed?, &period.spend)?;
    Some(SpendCap {
        of_metric,
        cap_minor: cap,
        accrued_minor: accrued.used,
        held_minor: accrued.with_held.saturating_sub(accrued.used),
        event_minor: adds,
        currency: period.currency,
    })
}

/// Whether a cap would refuse so much more of a counter at an instant; for checks, which change nothing.
pub(super) fn would_refuse(
    periods: &BTreeMap<PeriodKey, Period>,
    counter: &CounterRow,
    at: Timestamp,
    amount: Quantity,
) -> Option<SpendCap> {
    let period = periods.get(&(counter.tenant_id, counter.period_start))?;
    passed(period, weighed(period, at, counter, amount).as_ref())
}

/// Leaves of an outcome what its sender may see: money is for those who may view the tenant's billing, never for a team.
pub(super) fn hide_money(outcome: &mut Outcome, (actor, event): (&Actor, &NewEvent), facts: &Facts) {
    if let Outcome::Refused(Refusal::SpendCapExceeded(cap), _) = outcome
        && !sees_money(facts, *actor, event.tenant_id, event.team_id)
    {
        *cap = None;
    }
}

/// Whether somebody may see what a tenant's use costs.
pub(super) fn sees_money(facts: &Facts, actor: Actor, tenant: Uuid, team: Option<Uuid>) -> bool {
    team.is_none() && facts.reach(actor, tenant, None).has(Permission::ViewBilling)
}
