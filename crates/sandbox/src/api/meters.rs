//! Billing meters and what they count.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::list::{page, same};
use super::{Call, Route, get, post};
use crate::engine::{Work, recount_drafts};
use crate::fault::{Answer, Fault};
use crate::http::{Kind, ONE, PAGE, Param, integer, object, one_of, param, text};
use crate::model::{Meter, MeterEvent};

const CREATE: &[Param] = &[
    object("customer_mapping", &[text("event_payload_key").required(), one_of("type", &["by_id"]).required()]),
    object("default_aggregation", &[one_of("formula", &["count", "last", "sum"]).required()]).required(),
    text("display_name").required(),
    text("event_name").required(),
    one_of("event_time_window", &["day", "hour"]),
    object("value_settings", &[text("event_payload_key").required()]),
];
const EVENT: &[Param] = &[
    text("event_name").required(),
    text("identifier"),
    param("payload", Kind::Pairs).required(),
    integer("timestamp"),
];

/// A meter event's identifier keeps it from counting twice for this long.
const REMEMBERED: i64 = 86_400;
const OLDEST: i64 = 35 * 86_400;
const AHEAD: i64 = 300;

pub(super) const ROUTES: &[Route] = &[
    post("/v1/billing/meters", &[CREATE, ONE], create),
    get("/v1/billing/meters", &[&[one_of("status", &["active", "inactive"])], PAGE], list),
    get("/v1/billing/meters/:id", &[ONE], retrieve),
    post("/v1/billing/meters/:id", &[&[text("display_name")], ONE], update),
    post("/v1/billing/meters/:id/deactivate", &[ONE], deactivate),
    post("/v1/billing/meters/:id/reactivate", &[ONE], reactivate),
    post("/v1/billing/meter_events", &[EVENT, ONE], event),
];

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let event_name = args.owned("event_name").unwrap_or_default();
    let taken = |meter: &Meter| meter.event_name == event_name && meter.deactivated_at.is_none();
    if work.state.meters.iter().any(taken) {
        let message = format!("There is already an active meter for the event name {event_name}.");
        return Err(Fault::invalid(message).code("resource_already_exists").param("event_name"));
    }
    let key =
        |name: &str, default: &str| args.object(name).owned("event_payload_key").unwrap_or_else(|| default.to_owned());
    let meter = Meter {
        id: work.id("mtr_test_", 24),
        created: work.now,
        updated: work.now,
        display_name: args.owned("display_name").unwrap_or_default(),
        event_name,
        formula: args.object("default_aggregation").owned("formula").unwrap_or_default(),
        customer_key: key("customer_mapping", "stripe_customer_id"),
        value_key: key("value_settings", "value"),
        deactivated_at: None,
    };
    let shown = work.meter_json(&meter);
    work.state.meters.put(meter);
    work.emit("billing.meter.created", shown.clone());
    Ok(shown)
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let rows = work.state.meters.iter().rev().filter(|meter| {
        let status = if meter.deactivated_at.is_some() { "inactive" } else { "active" };
        same(call, "status", Some(status))
    });
    page(call, "/v1/billing/meters", rows, |meter| work.meter_json(meter))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.meter_json(Work::find(&work.state.meters, call.id(0))?))
}

fn change(work: &mut Work, id: &str, kind: &str, change: impl FnOnce(&mut Meter)) -> Answer {
    let mut meter = Work::find(&work.state.meters, id)?.clone();
    let before = work.meter_json(&meter);
    change(&mut meter);
    meter.updated = work.now;
    let after = work.meter_json(&meter);
    work.state.meters.put(meter);
    work.emit_change(kind, &before, after.clone());
    Ok(after)
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let name = call.args.owned("display_name");
    change(work, call.id(0), "billing.meter.updated", |meter| {
        meter.display_name = name.unwrap_or_else(|| meter.display_name.clone());
    })
}

fn deactivate(work: &mut Work, call: &Call) -> Answer {
    let now = work.now;
    change(work, call.id(0), "billing.meter.deactivated", |meter| meter.deactivated_at = Some(now))
}

fn reactivate(work: &mut Work, call: &Call) -> Answer {
    change(work, call.id(0), "billing.meter.reactivated", |meter| meter.deactivated_at = None)
}

fn event(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let event_name = args.owned("event_name").unwrap_or_default();
    let of_name = |meter: &&Meter| meter.event_name == event_name && meter.deactivated_at.is_none();
    let Some(meter) = work.state.meters.iter().find(of_name).cloned() else {
        let message = format!("No active meter found for event name: {event_name}.");
        return Err(Fault::invalid(message).code("billing_meter_event_name_not_found").param("event_name"));
    };
    let payload = args.object("payload").pairs();
    check_payload(&meter, &payload)?;
    let timestamp = args.integer("timestamp").unwrap_or(work.now);
    if !(work.now - OLDEST..=work.now + AHEAD).contains(&timestamp) {
        let message = "The timestamp must be within the past 35 calendar days or up to 5 minutes in the future.";
        return Err(Fault::invalid(message).code("timestamp_out_of_range").param("timestamp"));
    }
    let identifier = args.owned("identifier").unwrap_or_else(|| work.id("", 32));
    let oldest = work.now - REMEMBERED;
    let recent = work.state.meter_events.iter().rev().take_while(|known| known.created > oldest);
    if recent.map(|known| &known.identifier).any(|known| *known == identifier) {
        let message = format!("An event already exists with identifier {identifier}.");
        return Err(Fault::invalid(message).code("duplicate_meter_event").param("identifier"));
    }
    let customer = payload.get(&meter.customer_key).cloned().unwrap_or_default();
    let event = MeterEvent { id: work.id("mev_", 24), identifier, created: work.now, event_name, timestamp, payload };
    let shown = work.meter_event_json(&event);
    work.state.meter_events.put(event);
    recount_drafts(work, &customer)?;
    Ok(shown)
}

fn check_payload(meter: &Meter, payload: &BTreeMap<String, String>) -> Result<(), Fault> {
    for key in [&meter.customer_key, &meter.value_key] {
        let optional = meter.formula == "count" && *key == meter.value_key;
        if !optional && !payload.contains_key(key) {
            let message = format!("The payload must have the key {key} of the meter.");
            return Err(Fault::invalid(message).param(format!("payload[{key}]")));
        }
    }
    let value = payload.get(&meter.value_key).map(|value| value.parse::<Decimal>());
    if value.is_some_and(|value| value.is_err()) {
        let message = format!("The value of payload[{}] must be a number.", meter.value_key);
        return Err(Fault::invalid(message).param(format!("payload[{}]", meter.value_key)));
    }
    Ok(())
}
