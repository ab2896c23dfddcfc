//! Subscription schedules that begin with a running subscription.

use super::list::{created, page, same};
use super::prices::interval_count;
use super::subscription_params::{BILLING_MODE, PRORATION};
use super::{Call, Route, get, post};
use crate::engine::{Calendar, Cancel, Work, begin_phases, cancel_schedule, release as release_now};
use crate::fault::{Answer, Fault};
use crate::http::{
    Args, CREATED, Kind, METADATA, ONE, PAGE, Param, anything, boolean, integer, object, objects, one_of, param, text,
    unsupported,
};
use crate::model::{Phase, PhaseItem, Recurring, Schedule, ScheduleStatus, Time};

const DURATION: Param =
    object("duration", &[one_of("interval", &["day", "week", "month", "year"]).required(), integer("interval_count")]);
const PHASE: &[Param] = &[
    unsupported("add_invoice_items"),
    anything("automatic_tax"),
    one_of("billing_cycle_anchor", &["automatic", "phase_start"]),
    one_of("collection_method", &["charge_automatically", "send_invoice"]),
    text("currency"),
    text("default_payment_method"),
    unsupported("default_tax_rates"),
    text("description"),
    unsupported("discounts"),
    DURATION,
    param("end_date", Kind::TimeOr(&["now"])),
    anything("invoice_settings"),
    objects(
        "items",
        &[
            text("price").required(),
            integer("quantity"),
            METADATA,
            unsupported("tax_rates"),
            unsupported("discounts"),
            unsupported("billing_thresholds"),
        ],
    )
    .required(),
    integer("iterations"),
    METADATA,
    PRORATION,
    param("start_date", Kind::TimeOr(&["now"])),
    boolean("trial"),
    param("trial_end", Kind::TimeOr(&["now"])),
];
const CREATE: &[Param] =
    &[BILLING_MODE, text("customer"), text("from_subscription"), param("start_date", Kind::TimeOr(&["now"]))];
const COMMON: &[Param] = &[
    anything("default_settings"),
    one_of("end_behavior", &["cancel", "none", "release", "renew"]),
    METADATA,
    objects("phases", PHASE),
];
const LIST: &[Param] = &[
    param("canceled_at", Kind::Range),
    param("completed_at", Kind::Range),
    CREATED,
    text("customer"),
    param("released_at", Kind::Range),
    boolean("scheduled"),
];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/subscription_schedules", &[COMMON, CREATE, ONE], create),
    get("/v1/subscription_schedules", &[LIST, PAGE], list),
    get("/v1/subscription_schedules/:id", &[ONE], retrieve),
    post("/v1/subscription_schedules/:id", &[COMMON, &[PRORATION], ONE], update),
    post("/v1/subscription_schedules/:id/release", &[&[boolean("preserve_cancel_date")], ONE], release),
    post("/v1/subscription_schedules/:id/cancel", &[&[boolean("invoice_now"), boolean("prorate")], ONE], cancel),
];

fn shown(work: &Work, id: &str) -> Answer {
    Ok(work.schedule_json(Work::find(&work.state.schedules, id)?))
}

fn create(work: &mut Work, call: &Call) -> Answer {
    let Some(from) = call.args.text("from_subscription") else {
        let message = "The sandbox makes schedules of running subscriptions only: send `from_subscription`.";
        return Err(Fault::invalid(message).param("from_subscription"));
    };
    if let Some(other) = ["phases", "end_behavior", "metadata", "customer"].iter().find(|name| call.args.has(name)) {
        let message = format!("You cannot set `{other}` if `from_subscription` is set.");
        return Err(Fault::invalid(message).param(*other));
    }
    let subscription = Work::named(&work.state.subscriptions, from, "from_subscription")?.clone();
    if let Some(schedule) = &subscription.schedule {
        let message =
            format!("You cannot migrate a subscription that is already attached to a schedule: `{schedule}`.");
        return Err(Fault::invalid(message).param("from_subscription"));
    }
    if subscription.status.terminal() {
        let message = "You cannot migrate a subscription that is canceled or expired to a schedule.";
        return Err(Fault::invalid(message).param("from_subscription"));
    }
    let items = (subscription.items.iter())
        .map(|item| PhaseItem { price: item.price.clone(), quantity: item.quantity, metadata: item.metadata.clone() })
        .collect();
    let schedule = Schedule {
        id: work.long_id("sub_sched_"),
        created: work.now,
        customer: subscription.customer.clone(),
        subscription: Some(subscription.id.clone()),
        released_subscription: None,
        status: ScheduleStatus::Active,
        billing_mode: subscription.billing_mode,
        phases: vec![Phase {
            start: subscription.period_start(),
            end: subscription.period_end(),
            items,
            currency: subscription.currency.clone(),
            proration_behavior: "create_prorations".to_owned(),
            metadata: subscription.metadata.clone(),
            trial_end: subscription.trial_end.filter(|end| *end > work.now),
        }],
        end_behavior: if subscription.cancel_at.is_some() { "cancel" } else { "release" }.to_owned(),
        metadata: crate::model::Metadata::new(),
        canceled_at: None,
        completed_at: None,
        released_at: None,
        begun: 0,
    };
    let id = schedule.id.clone();
    let answer = work.schedule_json(&schedule);
    work.state.schedules.put(schedule);
    work.emit("subscription_schedule.created", answer.clone());
    work.change_subscription(&subscription.id, |subscription| subscription.schedule = Some(id))?;
    Ok(answer)
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let rows = work.state.schedules.iter().rev().filter(|schedule| {
        same(call, "customer", Some(&schedule.customer))
            && call
                .args
                .boolean("scheduled")
                .is_none_or(|wanted| (schedule.status == ScheduleStatus::NotStarted) == wanted)
            && created(call, schedule.created)
    });
    page(call, "/v1/subscription_schedules", rows, |schedule| work.schedule_json(schedule))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    shown(work, call.id(0))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    let args = &call.args;
    let schedule = Work::find(&work.state.schedules, id)?.clone();
    if !matches!(schedule.status, ScheduleStatus::Active | ScheduleStatus::NotStarted) {
        let message = format!(
            "You cannot update a subscription schedule that is currently in the `{}` status. It must be in either \
             `active` or `not_started` status.",
            schedule.status.word()
        );
        return Err(Fault::invalid(message));
    }
    let phases = if args.has("phases") { Some(phases(work, &schedule, &args.objects("phases"))?) } else { None };
    work.change_schedule(id, |schedule| {
        if let Some(end_behavior) = args.text("end_behavior") {
            end_behavior.clone_into(&mut schedule.end_behavior);
        }
        args.put_metadata(&mut schedule.metadata);
        if let Some((phases, begun)) = phases {
            schedule.phases = phases;
            schedule.begun = begun;
        }
    })?;
    begin_phases(work, id)?;
    shown(work, id)
}

/// The phases that are sent, with the place of the one that is running.
fn phases(work: &Work, schedule: &Schedule, sent: &[Args]) -> Result<(Vec<Phase>, usize), Fault> {
    let current = schedule.phases.get(schedule.begun);
    let mut phases: Vec<Phase> = Vec::new();
    for (position, args) in sent.iter().enumerate() {
        let named = |name: &str| format!("phases[{position}][{name}]");
        let start = match (args.integer("start_date"), args.is("start_date", "now"), phases.last()) {
            (Some(start), ..) => start,
            (None, true, _) => work.now,
            (None, false, Some(before)) => before.end,
            (None, false, None) => {
                let message = "The start date must be set on the first phase.";
                return Err(Fault::invalid(message).code("parameter_missing").param(named("start_date")));
            }
        };
        if phases.last().is_some_and(|before| before.end != start) {
            let message = "The start date of each phase must be the end date of the one before.";
            return Err(Fault::invalid(message).param(named("start_date")));
        }
        let items = items(work, args, position)?;
        let end = end(work, args, start, &items)?;
        if end <= start {
            let message = "The end date of a phase must be after its start date.";
            return Err(Fault::invalid(message).param(named("end_date")));
        }
        phases.push(Phase {
            start,
            end,
            items,
            currency: current.map(|phase| phase.currency.clone()).unwrap_or_default(),
            proration_behavior: args.owned("proration_behavior").unwrap_or_else(|| "create_prorations".to_owned()),
            metadata: args.metadata(),
            trial_end: args.integer("trial_end"),
        });
    }
    let begun = phases.iter().position(|phase| phase.start <= work.now && work.now < phase.end);
    match (begun, current) {
        (Some(begun), Some(current)) if phases.iter().any(|phase| phase.start == current.start) => Ok((phases, begun)),
        (_, Some(current)) => {
            let message = format!(
                "You must pass in the current phase when updating a subscription schedule: one whose start_date is {}.",
                current.start
            );
            Err(Fault::invalid(message).param("phases"))
        }
        (begun, None) => Ok((phases, begun.unwrap_or(0))),
    }
}

fn items(work: &Work, args: &Args, phase: usize) -> Result<Vec<PhaseItem>, Fault> {
    let mut items = Vec::new();
    for (position, item) in args.objects("items").iter().enumerate() {
        let id = item.text("price").unwrap_or_default();
        let name = format!("phases[{phase}][items][{position}][price]");
        let price = Work::named(&work.state.prices, id, &name)?;
        let quantity = (!price.metered()).then(|| item.integer("quantity").unwrap_or(1));
        items.push(PhaseItem { price: price.id.clone(), quantity, metadata: item.metadata() });
    }
    if items.is_empty() {
        let name = format!("phases[{phase}][items]");
        return Err(Fault::invalid(format!("Missing required param: {name}.")).code("parameter_missing").param(name));
    }
    Ok(items)
}

/// Given as a date, as a duration, or as a number of periods of the price; one period by default.
fn end(work: &Work, args: &Args, start: Time, items: &[PhaseItem]) -> Result<Time, Fault> {
    if let Some(end) = args.integer("end_date") {
        return Ok(end);
    }
    if args.is("end_date", "now") {
        return Ok(work.now);
    }
    let duration = args.object("duration");
    let recurring = match duration.owned("interval") {
        Some(interval) => {
            let interval_count = interval_count(&duration, &interval, "phases[duration]")?;
            Some(Recurring { interval, interval_count, meter: None, metered: false })
        }
        None => items.first().and_then(|item| work.state.prices.get(&item.price)).and_then(|price| {
            let recurring = price.recurring.clone()?;
            let interval_count = recurring.interval_count * args.integer("iterations").unwrap_or(1).clamp(1, 1200);
            Some(Recurring { interval_count, ..recurring })
        }),
    };
    let none = || Fault::invalid("Phases need recurring prices.").param("phases");
    recurring.map(|recurring| Calendar::new(start, &recurring).first_end()).ok_or_else(none)
}

fn release(work: &mut Work, call: &Call) -> Answer {
    release_now(work, call.id(0))?;
    shown(work, call.id(0))
}

fn cancel(work: &mut Work, call: &Call) -> Answer {
    let cancel = Cancel {
        prorate: call.args.boolean("prorate").unwrap_or(true),
        invoice_now: call.args.boolean("invoice_now").unwrap_or(true),
        reason: Some("cancellation_requested"),
        ..Cancel::default()
    };
    cancel_schedule(work, call.id(0), cancel)?;
    shown(work, call.id(0))
}
