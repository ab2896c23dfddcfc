//! Subscriptions.

use super::cards::adopt;
use super::customers::own_card;
use super::list::{created, page, same};
use super::subscription_params::{
    BILLING_MODE, CANCELLATION, COMMON, ITEMS, PRORATION_DATE, billing_mode, change, item_changes, missing_method,
    prorate, trial_end,
};
use super::{Call, Route, delete, get, post};
use crate::engine::{
    Behaviour, Cancel, NewSubscription, Prorate, TrialEnd, Work, cancel_now, resume as resume_now, subscribe,
    update as update_now,
};
use crate::fault::{Answer, Fault};
use crate::http::{Args, CREATED, Kind, ONE, PAGE, Param, boolean, integer, one_of, param, text, time, unsupported};
use crate::model::{Metadata, Status, Subscription, Time};

const CREATE: &[Param] = &[
    time("billing_cycle_anchor"),
    unsupported("billing_cycle_anchor_config"),
    BILLING_MODE,
    param("cancel_at", Kind::TimeOr(&["min_period_end", "max_period_end"])),
    text("currency"),
    text("customer").required(),
    ITEMS.required(),
    integer("trial_period_days"),
];
const UPDATE: &[Param] = &[
    param("billing_cycle_anchor", Kind::TimeOr(&["now", "unchanged"])),
    param("cancel_at", Kind::TimeOr(&["min_period_end", "max_period_end"])),
    CANCELLATION,
    ITEMS,
    unsupported("pause_collection"),
    PRORATION_DATE,
];
const LIST: &[Param] = &[
    one_of("collection_method", &["charge_automatically", "send_invoice"]),
    CREATED,
    param("current_period_end", Kind::Range),
    param("current_period_start", Kind::Range),
    text("customer"),
    text("price"),
    one_of(
        "status",
        &[
            "active",
            "all",
            "canceled",
            "ended",
            "incomplete",
            "incomplete_expired",
            "past_due",
            "paused",
            "trialing",
            "unpaid",
        ],
    ),
];
const CANCEL: &[Param] = &[CANCELLATION, boolean("invoice_now"), boolean("prorate")];
const RESUME: &[Param] =
    &[one_of("billing_cycle_anchor", &["now", "unchanged"]), super::subscription_params::PRORATION, PRORATION_DATE];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/subscriptions", &[COMMON, CREATE, ONE], create),
    get("/v1/subscriptions", &[LIST, PAGE], list),
    get("/v1/subscriptions/:id", &[ONE], retrieve),
    post("/v1/subscriptions/:id", &[COMMON, UPDATE, ONE], update),
    delete("/v1/subscriptions/:id", &[CANCEL, ONE], cancel),
    post("/v1/subscriptions/:id/resume", &[RESUME, ONE], resume),
];

fn shown(work: &Work, id: &str) -> Answer {
    Ok(work.subscription_json(Work::find(&work.state.subscriptions, id)?))
}

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let customer = work.customer(args.text("customer").unwrap_or_default(), "customer")?.id.clone();
    let mut items = Vec::new();
    for (position, item) in item_changes(args)?.into_iter().enumerate() {
        let name = format!("items[{position}][price]");
        let missing =
            || Fault::invalid(format!("Missing required param: {name}.")).code("parameter_missing").param(name.clone());
        items.push((item.price.ok_or_else(missing)?, item.quantity, item.metadata.unwrap_or_default()));
    }
    let default_payment_method = card(work, args, &customer)?;
    let trial = trial(args, work.now)?;
    let new = NewSubscription {
        customer,
        items,
        trial_end: trial,
        anchor: args.integer("billing_cycle_anchor"),
        prorate: prorate(args) != Prorate::None,
        metadata: args.metadata(),
        description: args.owned("description"),
        billing_mode: billing_mode(args),
        missing_payment_method: missing_method(args),
        default_payment_method,
        behaviour: Behaviour::of(args.text("payment_behavior")),
        automatic_tax: args.object("automatic_tax").boolean("enabled") == Some(true),
        sends_bill: args.is("collection_method", "send_invoice"),
        days_until_due: args.integer("days_until_due"),
        cancel_at: args.integer("cancel_at"),
        cancel_at_period_end: args.boolean("cancel_at_period_end") == Some(true),
        payment_settings: args.raw("payment_settings"),
        confirmed: false,
    };
    if new.sends_bill && new.days_until_due.is_none() {
        let message = "Missing required param: days_until_due, with `collection_method=send_invoice`.";
        return Err(Fault::invalid(message).code("parameter_missing").param("days_until_due"));
    }
    let id = subscribe(work, &new)?;
    shown(work, &id)
}

fn trial(args: &Args, now: Time) -> Result<Option<Time>, Fault> {
    if args.has("trial_end") && args.has("trial_period_days") {
        let message = "You may only specify one of these parameters: trial_end, trial_period_days.";
        return Err(Fault::invalid(message).param("trial_period_days"));
    }
    let days = args.integer("trial_period_days");
    if days.is_some_and(|days| !(0..=730).contains(&days)) {
        let message = "Invalid trial_period_days: must be between 0 and 730.";
        return Err(Fault::invalid(message).param("trial_period_days"));
    }
    Ok(match trial_end(args, now)? {
        Some(TrialEnd::At(at)) => Some(at),
        Some(TrialEnd::Now) => None,
        None => days.filter(|days| *days > 0).map(|days| now + days * 86_400),
    })
}

/// The card that a request names, which must be the customer's own.
fn card(work: &mut Work, args: &Args, customer: &str) -> Result<Option<String>, Fault> {
    let Some(method) = args.text("default_payment_method") else { return Ok(None) };
    let method = adopt(work, method, "default_payment_method")?;
    own_card(work, &method, customer, "default_payment_method").map(Some)
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let status = args.text("status");
    let rows = work.state.subscriptions.iter().rev().filter(|subscription| {
        let listed = match status {
            // Canceled ones are listed only when asked for.
            None => subscription.status != Status::Canceled,
            Some("all") => true,
            Some("ended") => subscription.status.terminal(),
            Some(named) => subscription.status.word() == named,
        };
        let collected = if subscription.sends_bill { "send_invoice" } else { "charge_automatically" };
        listed
            && same(call, "customer", Some(&subscription.customer))
            && args.text("price").is_none_or(|price| subscription.items.iter().any(|item| item.price == price))
            && same(call, "collection_method", Some(collected))
            && created(call, subscription.created)
            && within(args, "current_period_start", subscription.period_start())
            && within(args, "current_period_end", subscription.period_end())
    });
    page(call, "/v1/subscriptions", rows, |subscription| work.subscription_json(subscription))
}

fn within(args: &Args, name: &str, at: Time) -> bool {
    if let Some(exactly) = args.integer(name) {
        return at == exactly;
    }
    let bounds = args.object(name);
    bounds.integer("gt").is_none_or(|bound| at > bound)
        && bounds.integer("gte").is_none_or(|bound| at >= bound)
        && bounds.integer("lt").is_none_or(|bound| at < bound)
        && bounds.integer("lte").is_none_or(|bound| at <= bound)
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    shown(work, call.id(0))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    let args = &call.args;
    apply(work, id, args)?;
    shown(work, id)
}

/// Changes a subscription as the parameters of an update, or of a preview, say.
pub(super) fn apply(work: &mut Work, id: &str, args: &Args) -> Result<(), Fault> {
    let before = work.subscription(id)?;
    if before.status.terminal() {
        let message =
            format!("A {} subscription can only update its cancellation_details and metadata.", before.status.word());
        if args.0.keys().any(|name| !matches!(name.as_str(), "metadata" | "cancellation_details" | "expand")) {
            return Err(Fault::invalid(message));
        }
        return work.change_subscription(id, |subscription| details(subscription, args));
    }
    if args.is("payment_behavior", "pending_if_incomplete") {
        check_pending(args)?;
    }
    if before.pending_update.is_some() && args.has("items") {
        let message = "This subscription has a pending update. Pay or void its invoice before changing it again.";
        return Err(Fault::invalid(message).code("subscription_pending_update"));
    }
    if before.schedule.is_some() && (args.boolean("cancel_at_period_end") == Some(true) || args.has("cancel_at")) {
        let message = "The subscription is managed by the subscription schedule, and updating any cancelation behavior \
                       directly is not allowed. Please update the schedule instead.";
        return Err(Fault::invalid(message));
    }
    let method = card(work, args, &before.customer)?;
    let change = change(work, args)?;
    let now = work.now;
    update_now(work, id, &change, |subscription| {
        details(subscription, args);
        plain(subscription, args, method, now);
    })
}

/// With `pending_if_incomplete` only what is billed can change.
fn check_pending(args: &Args) -> Result<(), Fault> {
    const ALLOWED: &[&str] = &[
        "expand",
        "payment_behavior",
        "proration_behavior",
        "proration_date",
        "billing_cycle_anchor",
        "items",
        "trial_end",
        "trial_from_plan",
        "add_invoice_items",
        "off_session",
    ];
    let Some(other) = args.0.keys().find(|name| !ALLOWED.contains(&name.as_str())) else { return Ok(()) };
    let message = format!("The parameter {other} cannot be used with `payment_behavior=pending_if_incomplete`.");
    Err(Fault::invalid(message).param(other.clone()))
}

fn details(subscription: &mut Subscription, args: &Args) {
    let mut metadata: Metadata = std::mem::take(&mut subscription.metadata);
    args.put_metadata(&mut metadata);
    subscription.metadata = metadata;
    let details = args.object("cancellation_details");
    details.put_text("comment", &mut subscription.cancel_comment);
    details.put_text("feedback", &mut subscription.cancel_feedback);
}

/// What an update changes besides what is billed.
fn plain(subscription: &mut Subscription, args: &Args, method: Option<String>, now: Time) {
    if args.has("default_payment_method") {
        subscription.default_payment_method = method;
    }
    args.put_text("description", &mut subscription.description);
    if let Some(enabled) = args.object("automatic_tax").boolean("enabled") {
        subscription.automatic_tax = enabled;
    }
    if let Some(collection) = args.text("collection_method") {
        subscription.sends_bill = collection == "send_invoice";
    }
    subscription.days_until_due = args.integer("days_until_due").or(subscription.days_until_due);
    if args.has("payment_settings") {
        subscription.payment_settings = args.raw("payment_settings");
    }
    if args.has("trial_settings") {
        subscription.missing_payment_method = missing_method(args);
    }
    match args.boolean("cancel_at_period_end") {
        Some(true) => cancel_at(subscription, Some(subscription.period_end()), true, now),
        Some(false) if subscription.cancel_at_period_end => cancel_at(subscription, None, false, now),
        _ => {}
    }
    if args.has("cancel_at") {
        let at = match args.text("cancel_at") {
            Some("max_period_end") => subscription.items.iter().map(|item| item.period_end).max(),
            Some(_) => Some(subscription.period_end()),
            None => args.integer("cancel_at"),
        };
        cancel_at(subscription, at, false, now);
    }
}

fn cancel_at(subscription: &mut Subscription, at: Option<Time>, at_period_end: bool, now: Time) {
    subscription.cancel_at = at;
    subscription.cancel_at_period_end = at_period_end;
    subscription.canceled_at = at.map(|_| subscription.canceled_at.unwrap_or(now));
    subscription.cancel_reason = at.map(|_| "cancellation_requested".to_owned());
}

fn cancel(work: &mut Work, call: &Call) -> Answer {
    let id = call.id(0);
    let args = &call.args;
    if work.subscription(id)?.status.terminal() {
        return Err(Fault::missing("subscription", id));
    }
    let details = args.object("cancellation_details");
    let cancel = Cancel {
        prorate: args.boolean("prorate") == Some(true),
        invoice_now: args.boolean("invoice_now") == Some(true),
        reason: Some("cancellation_requested"),
        comment: details.owned("comment"),
        feedback: details.owned("feedback"),
    };
    cancel_now(work, id, cancel)?;
    shown(work, id)
}

fn resume(work: &mut Work, call: &Call) -> Answer {
    resume_now(work, call.id(0))?;
    shown(work, call.id(0))
}
