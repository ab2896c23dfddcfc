//! What falls due, in the order of time.

use super::subscription::{expire_incomplete, expire_pending};
use super::work::Work;
use super::{checkout, renewal, schedule};
use crate::fault::Fault;
use crate::model::{
    Invoice, InvoiceStatus, Schedule, ScheduleStatus, Session, SessionStatus, Status, Subscription, Time,
};

const INCOMPLETE: i64 = 23 * 3600;
const TRIAL_WARNING: i64 = 3 * 86_400;
const UPCOMING: i64 = 7 * 86_400;
/// Events and answers to repeated requests are forgotten after these times, as Stripe does.
const EVENTS_KEPT: i64 = 30 * 86_400;
const ANSWERS_KEPT: i64 = 86_400;

/// Something to do at a time. In one second the order is that of the variants: a schedule changes the price before
/// the period ends, and a subscription that is to end does so instead of renewing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Session,
    Incomplete,
    Pending,
    TrialWarning,
    Upcoming,
    Phase,
    End,
    Renewal,
    Finalize,
    Retry,
}

/// When the next thing falls due.
pub(crate) fn next_due(work: &Work) -> Option<Time> {
    next(work).map(|(at, ..)| at)
}

/// Does everything that falls due up to a time, each at its own, and leaves the clock there.
///
/// What cannot be done is logged and put off by an hour, so that one broken object does not stop the clock.
pub(crate) fn run_due(work: &mut Work, until: Time) {
    while let Some((at, kind, id)) = next(work).filter(|(at, ..)| *at <= until) {
        work.now = at.max(work.state.done_until);
        work.state.done_until = work.now;
        let before = work.state.clone();
        if let Err(fault) = run(work, kind, &id) {
            tracing::error!(kind = ?kind, object = %id, error = %fault.message(), "what fell due could not be done");
            work.state = before;
            put_off(work, kind, &id);
        }
    }
    work.now = until.max(work.state.done_until);
    work.state.done_until = work.now;
    forget(work);
}

fn next(work: &Work) -> Option<(Time, Kind, String)> {
    let sessions = work.state.sessions.iter().filter_map(of_session);
    let subscriptions = work.state.subscriptions.iter().flat_map(of_subscription);
    let schedules = work.state.schedules.iter().filter_map(of_schedule);
    let invoices = work.state.invoices.iter().filter_map(of_invoice);
    let all = sessions.chain(subscriptions).chain(schedules).chain(invoices);
    all.min().map(|(at, kind, id)| (at, kind, id.to_owned()))
}

fn of_session(session: &Session) -> Option<(Time, Kind, &str)> {
    (session.status == SessionStatus::Open).then_some((session.expires_at, Kind::Session, session.id.as_str()))
}

fn of_subscription(subscription: &Subscription) -> impl Iterator<Item = (Time, Kind, &str)> {
    let id = subscription.id.as_str();
    let status = subscription.status;
    let end = subscription.period_end();
    let runs = matches!(status, Status::Trialing | Status::Active | Status::PastDue | Status::Unpaid);
    let warning = subscription.trial_end.filter(|_| status == Status::Trialing && !subscription.trial_warned);
    let ending = subscription.cancel_at.filter(|_| runs || status == Status::Paused);
    let ends_first = ending.is_some_and(|at| at <= end);
    let upcoming = runs && !ends_first && status != Status::Trialing && subscription.upcoming_sent != Some(end);
    [
        (status == Status::Incomplete).then_some((subscription.created + INCOMPLETE, Kind::Incomplete, id)),
        subscription.pending_update.as_ref().map(|pending| (pending.expires_at, Kind::Pending, id)),
        warning.map(|at| (at - TRIAL_WARNING, Kind::TrialWarning, id)),
        upcoming.then_some((end - UPCOMING, Kind::Upcoming, id)),
        ending.map(|at| (at, Kind::End, id)),
        (runs && !ends_first).then_some((end, Kind::Renewal, id)),
    ]
    .into_iter()
    .flatten()
}

fn of_schedule(schedule: &Schedule) -> Option<(Time, Kind, &str)> {
    if schedule.status != ScheduleStatus::Active {
        return None;
    }
    let next = schedule.phases.get(schedule.begun + 1).map(|phase| phase.start);
    let end = schedule.phases.last().map(|phase| phase.end);
    next.or(end).map(|at| (at, Kind::Phase, schedule.id.as_str()))
}

fn of_invoice(invoice: &Invoice) -> Option<(Time, Kind, &str)> {
    let (at, kind) = match invoice.status {
        InvoiceStatus::Draft if invoice.auto_advance => (invoice.automatically_finalizes_at?, Kind::Finalize),
        InvoiceStatus::Open if invoice.auto_advance => (invoice.next_payment_attempt?, Kind::Retry),
        _ => return None,
    };
    Some((at, kind, invoice.id.as_str()))
}

fn run(work: &mut Work, kind: Kind, id: &str) -> Result<(), Fault> {
    match kind {
        Kind::Session => checkout::expire_session(work, id),
        Kind::Incomplete => expire_incomplete(work, id),
        Kind::Pending => expire_pending(work, id),
        Kind::TrialWarning => {
            work.state.subscriptions.edit(id, |subscription| subscription.trial_warned = true);
            work.emit_subscription("customer.subscription.trial_will_end", id)
        }
        Kind::Upcoming => upcoming(work, id),
        Kind::Phase => schedule::begin_phases(work, id),
        Kind::End => renewal::end(work, id),
        Kind::Renewal => renewal::renew(work, id),
        Kind::Finalize => renewal::advance(work, id),
        Kind::Retry => renewal::attempt(work, id),
    }
}

/// Tells of the invoice that the renewal will make. It has no id, since it does not exist.
fn upcoming(work: &mut Work, id: &str) -> Result<(), Fault> {
    let end = work.subscription(id)?.period_end();
    work.state.subscriptions.edit(id, |subscription| subscription.upcoming_sent = Some(end));
    let mut trial = work.clone();
    trial.now = end;
    renewal::renew(&mut trial, id)?;
    let Some(invoice) = trial.subscription(id)?.latest_invoice else { return Ok(()) };
    let mut shown = trial.invoice_json(&trial.invoice(&invoice)?);
    if let Some(members) = shown.as_object_mut() {
        members.remove("id");
        members.insert("billing_reason".to_owned(), "upcoming".into());
    }
    work.emit("invoice.upcoming", shown);
    Ok(())
}

fn put_off(work: &mut Work, kind: Kind, id: &str) {
    let later = work.now + 3600;
    match kind {
        Kind::Session => work.state.sessions.edit(id, |session| session.expires_at = later),
        Kind::Incomplete => {
            work.state.subscriptions.edit(id, |subscription| subscription.created = later - INCOMPLETE);
        }
        Kind::Pending => work.state.subscriptions.edit(id, |subscription| subscription.pending_update = None),
        Kind::TrialWarning => work.state.subscriptions.edit(id, |subscription| subscription.trial_warned = true),
        Kind::Upcoming => work.state.subscriptions.edit(id, |subscription| {
            subscription.upcoming_sent = Some(subscription.period_end());
        }),
        Kind::Phase => work.state.schedules.edit(id, |schedule| schedule.status = ScheduleStatus::Canceled),
        Kind::End => work.state.subscriptions.edit(id, |subscription| subscription.cancel_at = Some(later)),
        Kind::Renewal => work.state.subscriptions.edit(id, |subscription| {
            for item in &mut subscription.items {
                item.period_end = later;
            }
        }),
        Kind::Finalize => {
            work.state.invoices.edit(id, |invoice| invoice.automatically_finalizes_at = Some(later));
        }
        Kind::Retry => work.state.invoices.edit(id, |invoice| invoice.next_payment_attempt = Some(later)),
    }
}

fn forget(work: &mut Work) {
    let too_old = work.now - EVENTS_KEPT;
    let old: Vec<String> =
        (work.state.events.iter()).take_while(|event| event.created < too_old).map(|event| event.id.clone()).collect();
    for id in old {
        work.state.events.remove(&id);
        let of_it: Vec<String> = (work.state.deliveries.iter())
            .take_while(|delivery| delivery.event == id)
            .map(|delivery| delivery.id.clone())
            .collect();
        for delivery in of_it {
            work.state.deliveries.remove(&delivery);
        }
    }
    let stale: Vec<String> = (work.state.idempotency.iter())
        .filter(|(_, answer)| answer.at < work.now - ANSWERS_KEPT)
        .map(|(key, _)| key.clone())
        .collect();
    for key in stale {
        work.state.idempotency.remove_mut(&key);
    }
}
