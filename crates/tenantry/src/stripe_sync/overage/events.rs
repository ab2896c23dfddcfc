//! The meter event that stands for a charge: the change of the quantity above included, reported for the charge's own
//! period while the draft of its renewal is open, so that Stripe counts it there and prices it.
//!
//! What comes when that draft is final becomes an invoice item, as it does everywhere else. An event for the running
//! period would be lost with a subscription that is ended at once, count as nothing where it takes back, and be priced
//! by the tiers and the plan of another month.
//!
//! The change of a quantity is an amount whatever the metric's figure is, a sum or another: the meter adds the changes up
//! to it.
//!
//! A month with more than one set of terms becomes an item, too: Stripe would price all of it by the last ones, and what
//! is taken back later by ours.
//!
//! Which way a charge goes is decided once, in a row that is committed before the first call: a call without an answer
//! may have counted. Stripe tells the same event apart for a day. While its invoice is a draft, with time left to count
//! it, it is sent again under the same identifier; after that it waits until the invoice is final, whose quantity then
//! says whether it counted (that of a draft may still be to come); where even that does not say it, it is told and left
//! to an operator. So it never counts twice.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tenantry_domain::quantity::Quantity;
use tenantry_stripe::invoice_lines::{self, InvoiceLine};
use tenantry_stripe::invoices::{self, Invoice, InvoiceStatus};
use tenantry_stripe::{StripeError, meters};
use uuid::Uuid;

use super::target::Target;
use super::{Lease, OpenCharge, SyncError};
use crate::storage::jobs::{self, NewJob};
use crate::storage::stripe::charge_ways::{self, EventWay};
use crate::storage::stripe::{charges, customers};
use crate::storage::tenants;
use crate::stripe_sync::catalog::metered::{CUSTOMER, VALUE, event_name, metric_of_product};
use crate::stripe_sync::state::CustomerState;
use crate::stripe_sync::{OverageBilling, Stripe, invoices as mirrored};
use crate::tenancy::audit::{self, Deed};
use crate::tenancy::{Actor, TenancyError};
use crate::usage::charges::BILL_JOB;
use crate::write_tx;

/// Where a charge went whose quantity a meter counts.
const TARGET: &str = "meter";
/// Stripe knows an identifier for a day from its first call: for so long it is sent again.
const SENT_AGAIN: SignedDuration = SignedDuration::from_hours(23);
/// How long after an invoice should be final is looked for what it counts.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(30);
/// How far back is looked whether invoices count what was reported.
const LOOKED_AT_AGAIN: SignedDuration = SignedDuration::from_hours(24 * 40);
/// A draft that is final sooner may be so before Stripe counts what is reported now.
const TIME_TO_COUNT: SignedDuration = SignedDuration::from_mins(5);

/// What an invoice counts of a metric.
struct Counted {
    metric: String,
    period: (Timestamp, Timestamp),
    quantity: i64,
}

/// Decides, where overage is billed by meters, that a charge becomes an item: whoever worked on it before and was slow
/// does not make an event of it any more.
pub(super) async fn decide_item(stripe: &Stripe, lease: &Lease, charge: &OpenCharge) -> Result<(), SyncError> {
    if stripe.settings.overage_billing == OverageBilling::Items {
        return Ok(());
    }
    let (tenant, now) = (lease.tenant_id, stripe.env.clock.now());
    write_tx!(stripe.db, "decide_charge_item", &[tenant], |tx| {
        hold(tx, lease, now).await?;
        let is_item = charge_ways::decide_item(tx, tenant, charge.id, now).await?;
        if is_item { Ok(()) } else { Err(SyncError::LeaseLost) }
    })
}

/// Takes up the events that an earlier try left without an answer; the charges that are still to go somewhere. Also
/// where overage is billed by items by now: what was sent was sent.
pub(super) async fn settle(
    stripe: &Stripe,
    lease: &Lease,
    open: Vec<OpenCharge>,
) -> Result<Vec<OpenCharge>, SyncError> {
    if open.is_empty() {
        return Ok(open);
    }
    let mut begun = unanswered(stripe, lease.tenant_id).await?;
    let mut rest = Vec::new();
    for charge in open {
        let Some(place) = begun.iter().position(|event| event.charge_id == charge.id) else {
            rest.push(charge);
            continue;
        };
        let event = begun.swap_remove(place);
        if !event.is_doubted && answer(stripe, lease, &charge, &event).await? == Found::NotCounted {
            rest.push(charge);
        }
    }
    Ok(rest)
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It counts, or it was told that nobody can know.
    Settled,
    /// It does not count: the charge becomes an item.
    NotCounted,
}

/// Brings an event to an answer that has none.
async fn answer(stripe: &Stripe, lease: &Lease, charge: &OpenCharge, event: &EventWay) -> Result<Found, SyncError> {
    let invoice = match invoice(stripe, &event.invoice_id).await {
        Ok(invoice) => Some(invoice).filter(|invoice| !invoice.deleted),
        Err(SyncError::Stripe(error)) if error.is_missing() => None,
        Err(error) => return Err(error),
    };
    let Some(invoice) = invoice else { return doubt(stripe, lease, charge, event).await };
    if invoice.customer.as_ref().is_none_or(|customer| customer.id() != lease.customer_id) {
        // The tenant has another customer since, whose meters have nothing to do with it.
        return doubt(stripe, lease, charge, event).await;
    }
    let is_draft = invoice.status == Some(InvoiceStatus::Draft);
    let now = stripe.env.clock.now();
    let age = now.duration_since(event.began_at);
    let has_time = invoice
        .automatically_finalizes_at
        .is_none_or(|at| now.saturating_add(TIME_TO_COUNT).is_ok_and(|last| last <= at));
    if is_draft && (age >= SENT_AGAIN || !has_time) {
        return wait(stripe, lease, event, invoice.automatically_finalizes_at).await;
    }
    if is_draft {
        send(stripe, lease, event).await?;
        let found = note(stripe, lease, charge, event).await?;
        mirror(stripe, lease, &event.invoice_id).await?;
        return Ok(found);
    }
    let quantity = quantity_of(&counted(stripe, &invoice.id).await?, &event.event_name);
    let before = counted_before(stripe, lease, event).await?;
    let may_be = |exact| is_shown(quantity, exact);
    match (may_be(before + event.value), may_be(before)) {
        (true, false) => note(stripe, lease, charge, event).await,
        (false, true) => {
            tracing::info!(charge = %charge.id, invoice = event.invoice_id, "a meter event does not count; the charge becomes an invoice item");
            turn(stripe, lease, charge).await
        }
        _ => doubt(stripe, lease, charge, event).await,
    }
}

/// Leaves an event until its invoice is final: a draft does not say what it will count.
async fn wait(
    stripe: &Stripe,
    lease: &Lease,
    event: &EventWay,
    finalizes_at: Option<Timestamp>,
) -> Result<Found, SyncError> {
    let (tenant, now) = (lease.tenant_id, stripe.env.clock.now());
    let at = finalizes_at.unwrap_or(now).max(now).saturating_add(LOOK_AGAIN).unwrap_or(now);
    write_tx!(stripe.db, "wait_for_invoice", &[tenant], |tx| {
        hold(tx, lease, now).await?;
        let dedupe_key = format!("event {} {}", event.charge_id, at.as_second() / LOOK_AGAIN.as_secs());
        let job = NewJob { id: stripe.env.ids.uuid_v7(now), dedupe_key, payload: &json!({}) };
        jobs::insert_at(tx, tenant, BILL_JOB, &[job], (now, at)).await?;
        Ok(Found::Settled)
    })
}

/// Whether a charge is for use under one set of terms, so that Stripe's price of the month is ours.
fn has_one_price(charge: &OpenCharge) -> bool {
    let segments = charge.inputs.get("segments").and_then(Value::as_array);
    let mut terms = segments.into_iter().flatten().map(|segment| (&segment["planId"], &segment["planVersion"]));
    let first = terms.next();
    terms.all(|other| Some(other) == first)
}

/// Reports those charges whose period the open draft counts; the others, which become items.
pub(super) async fn count(
    stripe: &Stripe,
    lease: &Lease,
    (customer, target): (&CustomerState, &Target),
    open: Vec<OpenCharge>,
) -> Result<Vec<OpenCharge>, SyncError> {
    let Target::Draft { id } = target else { return Ok(open) };
    if stripe.settings.overage_billing == OverageBilling::Items {
        return Ok(open);
    }
    let now = stripe.env.clock.now();
    let draft = invoice(stripe, id).await?;
    let last = now.saturating_add(TIME_TO_COUNT).unwrap_or(now);
    if draft.status != Some(InvoiceStatus::Draft) || draft.automatically_finalizes_at.is_none_or(|at| at < last) {
        return Ok(open);
    }
    // What is used in a trial costs nothing at Stripe.
    let trial_end = customer.in_force(None).and_then(|found| found.trial_end);
    let mut lines = counted(stripe, id).await?;
    lines.retain(|line| trial_end.is_none_or(|end| end <= line.period.0));
    let (mut rest, charges) = (Vec::new(), open.len());
    for charge in open {
        let found = match event(&charge, id, &lines, now) {
            Some(event) if begin(stripe, lease, &charge, &event).await? => {
                first(stripe, lease, &charge, &event).await?
            }
            _ => Found::NotCounted,
        };
        if found == Found::NotCounted {
            rest.push(charge);
        }
    }
    if rest.len() < charges {
        mirror(stripe, lease, id).await?;
    }
    Ok(rest)
}

/// Mirrors a draft whose quantities changed: no event of Stripe's tells of that.
async fn mirror(stripe: &Stripe, lease: &Lease, id: &str) -> Result<(), SyncError> {
    let draft = invoice(stripe, id).await?;
    Box::pin(mirrored::mirror(stripe, lease, &draft)).await
}

/// The event of a charge, where the draft counts its metric over its period.
fn event(charge: &OpenCharge, invoice: &str, lines: &[Counted], now: Timestamp) -> Option<EventWay> {
    let occurred_at = charge.period_end.checked_sub(SignedDuration::from_secs(1)).ok()?;
    let value = charge.overage - charge.overage_before;
    let mut of_it = lines.iter().filter(|line| {
        line.metric == charge.metric
            && line.period.0 <= charge.period_start
            && line.period.1.as_second() == charge.period_end.as_second()
    });
    // With two, each has a part of the period: nobody can tell which counts.
    let is_one = of_it.next().is_some() && of_it.next().is_none();
    (is_one && !value.is_zero() && has_one_price(charge)).then(|| EventWay {
        charge_id: charge.id,
        invoice_id: invoice.to_owned(),
        event_name: event_name(&charge.metric),
        value,
        occurred_at,
        began_at: now,
        is_doubted: false,
    })
}

/// Decides that a charge becomes this event; false where it does not, since it was decided otherwise before, or since
/// not all that was charged before it for the period counts on this invoice: then the sum could come below nothing.
async fn begin(stripe: &Stripe, lease: &Lease, charge: &OpenCharge, event: &EventWay) -> Result<bool, SyncError> {
    let tenant = lease.tenant_id;
    write_tx!(stripe.db, "decide_charge_event", &[tenant], |tx| {
        hold(tx, lease, event.began_at).await?;
        let before = charge_ways::counted(tx, tenant, &event.invoice_id, &event.event_name).await?;
        if before != charge.overage_before || charge_ways::is_decided(tx, tenant, charge.id).await? {
            return Ok(false);
        }
        Ok(charge_ways::decide_event(tx, tenant, event).await?)
    })
}

/// Sends an event for the first time. A refusal says that it does not count: nothing was sent before.
async fn first(stripe: &Stripe, lease: &Lease, charge: &OpenCharge, event: &EventWay) -> Result<Found, SyncError> {
    match send(stripe, lease, event).await {
        Ok(()) => note(stripe, lease, charge, event).await,
        Err(error @ StripeError::InvalidRequest(_)) => {
            tracing::warn!(charge = %charge.id, %error, "Stripe refuses a meter event; the charge becomes an invoice item");
            turn(stripe, lease, charge).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends an event. That Stripe has it already is an answer as well.
async fn send(stripe: &Stripe, lease: &Lease, event: &EventWay) -> Result<(), StripeError> {
    let identifier = event.charge_id.to_string();
    let value = Quantity::from_decimal(event.value).to_string();
    let request = meters::CreateEvent {
        event_name: &event.event_name,
        payload: BTreeMap::from([(CUSTOMER.to_owned(), lease.customer_id.clone()), (VALUE.to_owned(), value)]),
        identifier: Some(&identifier),
        timestamp: Some(event.occurred_at),
        ..meters::CreateEvent::default()
    };
    // The identifier keeps it from counting twice. A key that stays the same would replay a failure of Stripe's for a
    // day.
    match stripe.client.post(&request, &stripe.fresh_key("meter")?).await {
        Err(error) if !is_known(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether Stripe has an event of this identifier.
fn is_known(error: &StripeError) -> bool {
    let StripeError::InvalidRequest(refusal) = error else { return false };
    refusal.code.as_deref() == Some("duplicate_meter_event")
        || refusal.param.as_deref() == Some("identifier")
        || refusal.message.contains("already exists with identifier")
}

/// Notes that an event counts and stands for its charge, under a lease that still holds.
async fn note(stripe: &Stripe, lease: &Lease, charge: &OpenCharge, event: &EventWay) -> Result<Found, SyncError> {
    let (tenant, now) = (lease.tenant_id, stripe.env.clock.now());
    let identifier = event.charge_id.to_string();
    write_tx!(stripe.db, "note_meter_event", &[tenant], |tx| {
        hold(tx, lease, now).await?;
        charge_ways::count(tx, tenant, charge.id, now).await?;
        charges::bill(tx, tenant, charge.id, (&identifier, TARGET), now).await?;
        Ok(Found::Settled)
    })
}

async fn turn(stripe: &Stripe, lease: &Lease, charge: &OpenCharge) -> Result<Found, SyncError> {
    let (tenant, now) = (lease.tenant_id, stripe.env.clock.now());
    write_tx!(stripe.db, "turn_charge_to_item", &[tenant], |tx| {
        hold(tx, lease, now).await?;
        charge_ways::turn_to_item(tx, tenant, charge.id).await?;
        Ok(Found::NotCounted)
    })
}

/// Nobody can know whether it counts: told once, and by each reconciliation.
async fn doubt(stripe: &Stripe, lease: &Lease, charge: &OpenCharge, event: &EventWay) -> Result<Found, SyncError> {
    let (tenant, now) = (lease.tenant_id, stripe.env.clock.now());
    let is_new = write_tx!(stripe.db, "doubt_meter_event", &[tenant], |tx| {
        hold(tx, lease, now).await?;
        Ok::<_, SyncError>(charge_ways::doubt(tx, tenant, charge.id, now).await?)
    })?;
    if is_new {
        tracing::error!(%tenant, "{}", words(event));
    }
    Ok(Found::Settled)
}

fn words(event: &EventWay) -> String {
    format!(
        "nobody can know whether the meter event {} ({} of {}) counts on invoice {}: it is not sent again; look it up at \
         Stripe and say it with `tenantry stripe resolve`",
        event.charge_id,
        Quantity::from_decimal(event.value),
        event.event_name,
        event.invoice_id
    )
}

/// Each event of a tenant that nobody can know of, in words.
pub(super) async fn doubts(stripe: &Stripe, tenant: Uuid) -> Result<Vec<String>, SyncError> {
    let events = unanswered(stripe, tenant).await?;
    Ok(events.iter().filter(|event| event.is_doubted).map(words).collect())
}

/// Whether an invoice that shows this quantity may count so much: it shows whole units, however Stripe rounds to them.
fn is_shown(quantity: Decimal, exact: Decimal) -> bool {
    (quantity - exact.max(Decimal::ZERO)).abs() < Decimal::ONE
}

fn quantity_of(lines: &[Counted], name: &str) -> Decimal {
    let of_it = lines.iter().filter(|line| event_name(&line.metric) == name);
    of_it.map(|line| Decimal::from(line.quantity)).sum()
}

/// Invoices of the last weeks that do not count what was reported for them, in words: that Stripe takes an event does
/// not say that it counts.
pub(super) async fn miscounts(stripe: &Stripe, tenant: Uuid) -> Result<Vec<String>, SyncError> {
    let now = stripe.env.clock.now();
    let tx = stripe.db.read_as_service("reported_by_invoice", &[tenant]).await?;
    let sums = charge_ways::sums(&tx, tenant, now.saturating_sub(LOOKED_AT_AGAIN).unwrap_or(now)).await?;
    tx.rollback().await?;
    let mut found = Vec::new();
    let mut read: BTreeMap<String, Option<Vec<Counted>>> = BTreeMap::new();
    for (invoice, name, sum) in sums {
        if !read.contains_key(&invoice) {
            read.insert(invoice.clone(), counted_at_the_end(stripe, &invoice).await?);
        }
        // A draft may still count it, and one that is gone counts nothing that anybody pays.
        let Some(Some(lines)) = read.get(&invoice) else { continue };
        let quantity = quantity_of(lines, &name);
        if !is_shown(quantity, sum) {
            let sum = Quantity::from_decimal(sum);
            found.push(format!("invoice {invoice} counts {quantity} of {name}, and {sum} were reported for it"));
        }
    }
    Ok(found)
}

/// What an invoice counts that is final; none of a draft, and of one that is not there.
async fn counted_at_the_end(stripe: &Stripe, id: &str) -> Result<Option<Vec<Counted>>, SyncError> {
    match invoice(stripe, id).await {
        Ok(found) if found.deleted || found.status == Some(InvoiceStatus::Draft) => Ok(None),
        Ok(_) => Ok(Some(counted(stripe, id).await?)),
        Err(SyncError::Stripe(error)) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes what an operator found out about an event in doubt; false where this charge has none. One that does not count
/// becomes an invoice item.
pub(super) async fn resolve(stripe: &Stripe, lease: &Lease, charge: Uuid, counts: bool) -> Result<bool, SyncError> {
    let (tenant, now) = (lease.tenant_id, stripe.env.clock.now());
    write_tx!(stripe.db, "resolve_meter_event", &[tenant], |tx| {
        hold(tx, lease, now).await?;
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let begun = charge_ways::unanswered(tx, tenant).await?;
        let Some(event) = begun.iter().find(|event| event.charge_id == charge && event.is_doubted) else {
            return Ok(false);
        };
        if counts {
            charge_ways::count(tx, tenant, charge, now).await?;
            charges::bill(tx, tenant, charge, (&charge.to_string(), TARGET), now).await?;
        } else {
            charge_ways::turn_to_item(tx, tenant, charge).await?;
        }
        let payload = json!({ "invoiceId": event.invoice_id, "quantity": event.value.to_string(), "counts": counts });
        let deed = Deed { kind: "overage.doubt_resolved", actor: Actor::System, subject_id: Some(charge), payload };
        audit::append(tx, &held, &stripe.env, now, deed).await?;
        Ok::<_, SyncError>(true)
    })
}

async fn unanswered(stripe: &Stripe, tenant: Uuid) -> Result<Vec<EventWay>, SyncError> {
    let tx = stripe.db.read_as_service("unanswered_meter_events", &[tenant]).await?;
    let events = charge_ways::unanswered(&tx, tenant).await?;
    tx.rollback().await?;
    Ok(events)
}

async fn counted_before(stripe: &Stripe, lease: &Lease, event: &EventWay) -> Result<Decimal, SyncError> {
    let tx = stripe.db.read_as_service("counted_on_invoice", &[lease.tenant_id]).await?;
    let before = charge_ways::counted(&tx, lease.tenant_id, &event.invoice_id, &event.event_name).await?;
    tx.rollback().await?;
    Ok(before)
}

/// Locks the tenant, and the lease for as long as the transaction takes; refuses where the lease is over.
async fn hold(tx: &crate::storage::Tx, lease: &Lease, now: Timestamp) -> Result<(), SyncError> {
    tenants::lock(tx, lease.tenant_id).await?;
    if customers::hold_lease(tx, &lease.customer_id, lease.token, now).await? {
        Ok(())
    } else {
        Err(SyncError::LeaseLost)
    }
}

async fn invoice(stripe: &Stripe, id: &str) -> Result<Invoice, SyncError> {
    Ok(stripe.client.get(&invoices::Retrieve { id, expand: Vec::new() }).await?)
}

/// What an invoice counts, by metric and period. Tiers may have a line each.
async fn counted(stripe: &Stripe, invoice: &str) -> Result<Vec<Counted>, SyncError> {
    let list = invoice_lines::List { invoice, limit: Some(100), ..invoice_lines::List::default() };
    let mut found: Vec<(String, Counted)> = Vec::new();
    for line in stripe.client.all::<InvoiceLine, _>(&list).await? {
        let product = line.pricing.as_ref().and_then(|pricing| pricing.price_details.as_ref()?.product.as_deref());
        let metric = product.and_then(metric_of_product).filter(|_| line.subscription_item().is_some());
        let (Some(metric), Some(period), Some(price)) = (metric, line.times(), line.price_id()) else { continue };
        let quantity = line.quantity.unwrap_or(0);
        match found.iter_mut().find(|(known, counted)| known == price && counted.period == period) {
            Some((_, counted)) => counted.quantity = counted.quantity.saturating_add(quantity),
            None => found.push((price.to_owned(), Counted { metric: metric.to_owned(), period, quantity })),
        }
    }
    Ok(found.into_iter().map(|(_, counted)| counted).collect())
}
