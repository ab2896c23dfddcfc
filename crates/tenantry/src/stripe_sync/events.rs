//! What the events of the inbox lead to: the customer is read again, its invoices are mirrored, notices are raised.
//!
//! Events of one customer are handled together, so that a burst costs one reading. What an event says is used for one
//! thing only: to tell people what happened, under a key that names the object and the transition.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tenantry_stripe::invoices::{self as stripe_invoices, Invoice, InvoiceStatus};
use uuid::Uuid;

use super::error::SyncError;
use super::sync::{self, Lease};
use super::{Stripe, invoices, overage, tell};
use crate::storage::stripe::customers;
use crate::storage::stripe::events::{self as rows, EventRow, Postponed};
use crate::storage::{StoreError, Tx, jobs};
use crate::usage::closing;
use crate::write_tx;

/// Events that are claimed at once.
const AT_ONCE: i64 = 100;
/// How long handling a claimed batch may take before another worker takes it over.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
/// Tries after which an event is dead.
const MOST_ATTEMPTS: i32 = 12;
/// How long an event waits whose customer is in somebody else's hands.
const BUSY: SignedDuration = SignedDuration::from_secs(1);
/// The longest pause between two tries.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// Handles events that are due; how many were claimed.
pub async fn handle_due(stripe: &Stripe) -> Result<usize, StoreError> {
    let now = stripe.env.clock.now();
    let lease = stripe.env.ids.uuid_v7(now);
    let until = now.saturating_add(LEASE).unwrap_or(now);
    let claimed =
        write_tx!(stripe.db, "claim_stripe_events", &[], |tx| rows::claim(tx, lease, (now, until), AT_ONCE).await)?;
    let count = claimed.len();
    let mut groups: BTreeMap<Option<String>, Vec<EventRow>> = BTreeMap::new();
    for event in claimed {
        match customer_of(stripe, &event).await {
            Ok(customer) => groups.entry(customer).or_default().push(event),
            Err(error) => settle(stripe, lease, std::slice::from_ref(&event), Err(error)).await?,
        }
    }
    for (customer, events) in groups {
        let handled = match &customer {
            Some(customer) => handle(stripe, customer, &events).await,
            // Products, prices, meters: nothing of ours follows from them.
            None => Ok(()),
        };
        settle(stripe, lease, &events, handled).await?;
    }
    Ok(count)
}

/// The customer that an event concerns. A payment names its invoice only.
async fn customer_of(stripe: &Stripe, event: &EventRow) -> Result<Option<String>, SyncError> {
    if event.customer_id.is_some() || !event.kind.starts_with("invoice_payment.") {
        return Ok(event.customer_id.clone());
    }
    let Some(invoice) = invoice_of(event) else { return Ok(None) };
    Ok(fetch(stripe, &invoice).await?.and_then(|invoice| invoice.customer.map(|customer| customer.id().to_owned())))
}

/// The invoice that an event is about.
fn invoice_of(event: &EventRow) -> Option<String> {
    if event.kind.starts_with("invoice_payment.") {
        let invoice = event.payload.pointer("/data/object/invoice")?;
        return invoice.as_str().or_else(|| invoice.get("id")?.as_str()).map(str::to_owned);
    }
    event.kind.starts_with("invoice.").then(|| event.object_id.clone()).flatten()
}

async fn fetch(stripe: &Stripe, id: &str) -> Result<Option<Invoice>, SyncError> {
    match stripe.client.get(&stripe_invoices::Retrieve { id, expand: Vec::new() }).await {
        Ok(invoice) => Ok(Some(invoice).filter(|invoice| !invoice.deleted)),
        // A draft that was deleted, or a preview that never was an invoice.
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn handle(stripe: &Stripe, customer: &str, events: &[EventRow]) -> Result<(), SyncError> {
    let tx = stripe.db.read_as_service("tenant_of_customer", &[]).await?;
    let tenant = customers::tenant_of(&tx, customer).await?;
    tx.rollback().await?;
    let Some(tenant) = tenant else {
        tracing::debug!(customer, "an event of a customer that is no tenant's");
        return Ok(());
    };
    let lease = Lease::take(stripe, tenant, customer).await?;
    let read_at = stripe.env.clock.now();
    let handled = handle_leased(stripe, &lease, events).await;
    lease.release(stripe, handled.as_ref().ok().map(|()| read_at)).await?;
    handled
}

async fn handle_leased(stripe: &Stripe, lease: &Lease, events: &[EventRow]) -> Result<(), SyncError> {
    let applied = sync::sync_leased(stripe, lease).await?;
    if applied.is_gone {
        return Ok(());
    }
    let ids: BTreeSet<String> = events.iter().filter_map(invoice_of).collect();
    let mut has_renewal_draft = false;
    for id in &ids {
        let Some(invoice) = fetch(stripe, id).await? else {
            invoices::forget(stripe, lease, id).await?;
            continue;
        };
        has_renewal_draft |= invoice.status == Some(InvoiceStatus::Draft) && invoice.subscription_id().is_some();
        invoices::mirror(stripe, lease, &invoice).await?;
    }
    if has_renewal_draft {
        // The draft waits for about an hour: what the ended period costs goes on it.
        closing::close_ended(&stripe.db, &stripe.env, lease.tenant_id).await?;
        overage::bill(stripe, lease).await?;
    }
    for event in events {
        let now = stripe.env.clock.now();
        let tenant = lease.tenant_id;
        write_tx!(stripe.db, "tell_stripe_event", &[tenant], |tx| {
            tell::tell(tx, stripe, tenant, event, now).await
        })?;
    }
    Ok(())
}

async fn settle(
    stripe: &Stripe,
    lease: Uuid,
    events: &[EventRow],
    handled: Result<(), SyncError>,
) -> Result<(), StoreError> {
    let now = stripe.env.clock.now();
    let later = |by: SignedDuration| now.saturating_add(by).unwrap_or(now);
    let outcome = match &handled {
        Ok(()) => "done",
        Err(SyncError::Busy) => "busy",
        Err(_) => "failed",
    };
    for event in events {
        metrics::counter!("tenantry_stripe_events_total", "outcome" => outcome).increment(1);
        if let Err(error) = &handled
            && outcome == "failed"
        {
            tracing::warn!(event = event.id, kind = event.kind, attempts = event.attempts, %error, "an event of Stripe could not be handled");
        }
    }
    write_tx!(stripe.db, "settle_stripe_events", &[], |tx| {
        match &handled {
            Ok(()) => {
                let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
                rows::finish(tx, &ids, lease, now).await?;
            }
            Err(SyncError::Busy) => {
                for event in events {
                    rows::postpone(tx, &event.id, lease, later(BUSY), Postponed::Busy).await?;
                }
            }
            Err(error) => fail(tx, events, lease, &error.to_string(), later).await?,
        }
        Ok(())
    })
}

async fn fail(
    tx: &Tx,
    events: &[EventRow],
    lease: Uuid,
    reason: &str,
    later: impl Fn(SignedDuration) -> Timestamp,
) -> Result<(), StoreError> {
    for event in events {
        if event.attempts >= MOST_ATTEMPTS {
            tracing::error!(
                event = event.id,
                kind = event.kind,
                "an event of Stripe is dead; see `tenantry stripe events`"
            );
            rows::postpone(tx, &event.id, lease, later(SignedDuration::ZERO), Postponed::Dead(reason)).await?;
        } else {
            rows::postpone(
                tx,
                &event.id,
                lease,
                later(jobs::pause(event.attempts, LONGEST_PAUSE)),
                Postponed::Failed(reason),
            )
            .await?;
        }
    }
    Ok(())
}
