//! Subscription schedules: phases that take effect at their time.

use super::subscribe::Behaviour;
use super::subscription::{Cancel, cancel_now};
use super::update::{Change, ItemChange, Prorate, update};
use super::work::Work;
use crate::fault::Fault;
use crate::model::{Item, Phase, Schedule, ScheduleStatus, Subscription};

impl Work {
    fn schedule(&self, id: &str) -> Result<Schedule, Fault> {
        Self::find(&self.state.schedules, id).cloned()
    }

    /// Changes a schedule and emits what differs.
    pub(crate) fn change_schedule(&mut self, id: &str, change: impl FnOnce(&mut Schedule)) -> Result<(), Fault> {
        let mut schedule = self.schedule(id)?;
        let before = self.schedule_json(&schedule);
        change(&mut schedule);
        let after = self.schedule_json(&schedule);
        self.state.schedules.put(schedule);
        self.emit_change("subscription_schedule.updated", &before, after);
        Ok(())
    }

    fn emit_schedule(&mut self, kind: &str, id: &str) -> Result<(), Fault> {
        let shown = self.schedule_json(&self.schedule(id)?);
        self.emit(kind, shown);
        Ok(())
    }
}

/// Begins the phases whose time has come, and ends the schedule after the last.
pub(crate) fn begin_phases(work: &mut Work, id: &str) -> Result<(), Fault> {
    let schedule = work.schedule(id)?;
    let Some(subscription) = schedule.subscription.clone() else { return Ok(()) };
    let next = schedule.phases.get(schedule.begun + 1).filter(|phase| phase.start <= work.now).cloned();
    if let Some(phase) = next {
        work.change_schedule(id, |schedule| schedule.begun += 1)?;
        return apply(work, &subscription, &phase);
    }
    if schedule.phases.last().is_none_or(|last| last.end > work.now) {
        return Ok(());
    }
    if schedule.end_behavior == "cancel" {
        let now = work.now;
        work.change_schedule(id, |schedule| {
            schedule.status = ScheduleStatus::Completed;
            schedule.completed_at = Some(now);
        })?;
        work.emit_schedule("subscription_schedule.completed", id)?;
        work.state.subscriptions.edit(&subscription, |subscription| subscription.schedule = None);
        return cancel_now(work, &subscription, Cancel::default());
    }
    release(work, id)
}

/// Gives the subscription the prices of a phase.
fn apply(work: &mut Work, id: &str, phase: &Phase) -> Result<(), Fault> {
    let subscription = work.subscription(id)?;
    let changes = item_changes(&subscription.items, phase);
    if subscription.period_end() <= work.now {
        // The renewal that falls due in this same second bills the new prices: there is nothing to prorate.
        return at_period_end(work, &subscription, &changes, phase);
    }
    let change = Change {
        items: changes,
        prorate: match phase.proration_behavior.as_str() {
            "none" => Prorate::None,
            "always_invoice" => Prorate::AlwaysInvoice,
            _ => Prorate::Create,
        },
        proration_date: None,
        behaviour: Behaviour::AllowIncomplete,
        anchor_now: false,
        trial_end: None,
    };
    update(work, id, &change, |subscription| merge_metadata(subscription, phase))
}

fn at_period_end(
    work: &mut Work,
    subscription: &Subscription,
    changes: &[ItemChange],
    phase: &Phase,
) -> Result<(), Fault> {
    let before = super::subscription::recurring(work, subscription)?;
    let items = super::update::changed_items(work, subscription, changes)?;
    let mut after = subscription.clone();
    after.items = items;
    let other = super::subscription::recurring(work, &after)?;
    if (&before.interval, before.interval_count) != (&other.interval, other.interval_count) {
        after.billing_cycle_anchor = after.period_end();
    }
    work.change_subscription(&subscription.id, |subscription| {
        subscription.items = after.items;
        subscription.billing_cycle_anchor = after.billing_cycle_anchor;
        merge_metadata(subscription, phase);
    })
}

fn merge_metadata(subscription: &mut Subscription, phase: &Phase) {
    subscription.metadata.extend(phase.metadata.clone());
}

/// Items keep their ids by position; what is too many is removed, what is missing added.
fn item_changes(items: &[Item], phase: &Phase) -> Vec<ItemChange> {
    let longest = items.len().max(phase.items.len());
    let change = |place: usize| match (items.get(place), phase.items.get(place)) {
        (Some(old), None) => ItemChange { id: Some(old.id.clone()), deleted: true, ..ItemChange::default() },
        (old, Some(new)) => ItemChange {
            id: old.map(|item| item.id.clone()),
            price: Some(new.price.clone()),
            quantity: new.quantity,
            metadata: (!new.metadata.is_empty()).then(|| new.metadata.clone()),
            deleted: false,
        },
        (None, None) => ItemChange::default(),
    };
    (0..longest).map(change).collect()
}

/// Lets go of the subscription, which goes on as it is.
pub(crate) fn release(work: &mut Work, id: &str) -> Result<(), Fault> {
    let schedule = work.schedule(id)?;
    in_force(&schedule, "released")?;
    let now = work.now;
    if let Some(subscription) = &schedule.subscription {
        work.change_subscription(subscription, |subscription| subscription.schedule = None)?;
    }
    work.change_schedule(id, |schedule| {
        schedule.status = ScheduleStatus::Released;
        schedule.released_at = Some(now);
        schedule.released_subscription = schedule.subscription.take();
    })?;
    work.emit_schedule("subscription_schedule.released", id)
}

/// Cancels the schedule and its subscription.
pub(crate) fn cancel_schedule(work: &mut Work, id: &str, cancel: Cancel) -> Result<(), Fault> {
    let schedule = work.schedule(id)?;
    in_force(&schedule, "canceled")?;
    match schedule.subscription {
        Some(subscription) => cancel_now(work, &subscription, cancel),
        None => subscription_ended(work, id),
    }
}

/// The subscription of a schedule has ended.
pub(super) fn subscription_ended(work: &mut Work, id: &str) -> Result<(), Fault> {
    let now = work.now;
    work.change_schedule(id, |schedule| {
        schedule.status = ScheduleStatus::Canceled;
        schedule.canceled_at = Some(now);
    })?;
    work.emit_schedule("subscription_schedule.canceled", id)
}

fn in_force(schedule: &Schedule, wanted: &str) -> Result<(), Fault> {
    if matches!(schedule.status, ScheduleStatus::NotStarted | ScheduleStatus::Active) {
        return Ok(());
    }
    let message = format!(
        "You cannot update a subscription schedule that is currently in the `{}` status: it can't be {wanted}.",
        schedule.status.word()
    );
    Err(Fault::invalid(message))
}
