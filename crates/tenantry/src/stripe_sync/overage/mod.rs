//! Charges of closed periods on their way to an invoice: on the open draft, else on the next one, else on one of their
//! own; carried where nobody can pay them yet.
//!
//! Every charge becomes one invoice item, for ever: its id is in the item's metadata and in the idempotency key, and
//! before an item is made it is looked for, since a try that got no answer may have made it. Where overage is billed by
//! meters, a charge that the open draft of its own period counts becomes one meter event instead ([`events`]).

mod events;
mod items;
mod own;
mod target;

use jiff::Timestamp;
use tenantry_domain::money::Money;
use tenantry_stripe::{IdempotencyKey, StripeError, invoice_items};
use uuid::Uuid;

use self::target::Target;
use super::Stripe;
use super::error::SyncError;
use super::sync::{self, Lease};
use crate::notices::{self, Notice, data};
use crate::storage::StoreError;
use crate::storage::stripe::charges::{self, OpenCharge};
use crate::storage::stripe::customers;
use crate::write_tx;

/// Brings what a tenant owes onto an invoice, for a job; false where its customer is in somebody else's hands.
pub async fn bill_tenant(stripe: &Stripe, tenant: Uuid) -> Result<bool, SyncError> {
    let Some(customer) = sync::customer_of(stripe, tenant).await? else {
        let open = open_charges(stripe, tenant).await?;
        carry(stripe, tenant, &open).await?;
        return Ok(true);
    };
    let lease = match Lease::take(stripe, tenant, &customer).await {
        Ok(lease) => lease,
        Err(SyncError::Busy) => return Ok(false),
        Err(error) => return Err(error),
    };
    let billed = bill_and_collect(stripe, &lease).await;
    lease.release(stripe, None).await?;
    billed.map(|()| true)
}

async fn bill_and_collect(stripe: &Stripe, lease: &Lease) -> Result<(), SyncError> {
    bill(stripe, lease).await?;
    own::collect_stranded(stripe, lease).await
}

/// The same by who holds the customer's lease already.
pub async fn bill(stripe: &Stripe, lease: &Lease) -> Result<(), SyncError> {
    let open = open_charges(stripe, lease.tenant_id).await?;
    let Some(oldest) = open.iter().map(|charge| charge.created_at).min() else { return Ok(()) };
    let made = items::made(stripe, &lease.customer_id, oldest).await?;
    let mut rest = Vec::new();
    for charge in open {
        match made.get(&charge.id) {
            // An earlier try made it and got no answer.
            Some((item, target)) => note(stripe, lease, &charge, item, target).await?,
            None => rest.push(charge),
        }
    }
    let rest = Box::pin(events::settle(stripe, lease, rest)).await?;
    if rest.is_empty() {
        return Ok(());
    }
    let customer = target::customer(stripe, &lease.customer_id).await?;
    match target::choose(stripe, &customer).await? {
        Target::Nobody => carry(stripe, lease.tenant_id, &rest).await,
        Target::Own => own::bill(stripe, lease, &customer, &rest).await,
        target => {
            for charge in &Box::pin(events::count(stripe, lease, (&customer, &target), rest)).await? {
                put(stripe, lease, charge, &target).await?;
            }
            Ok(())
        }
    }
}

/// Writes what an operator found out about a charge whose meter event is in doubt, and bills it where it does not count;
/// false where the charge has no such event.
pub async fn resolve(stripe: &Stripe, tenant: Uuid, charge: Uuid, counts: bool) -> Result<bool, SyncError> {
    let Some(customer) = sync::customer_of(stripe, tenant).await? else { return Ok(false) };
    let lease = Lease::take(stripe, tenant, &customer).await?;
    let resolved = match events::resolve(stripe, &lease, charge, counts).await {
        Ok(true) => bill_and_collect(stripe, &lease).await.map(|()| true),
        other => other,
    };
    lease.release(stripe, None).await?;
    resolved
}

/// What an operator has to look at, in words: meter events of a tenant of which nobody can know whether they count, and
/// invoices that do not count what was reported for them.
pub async fn doubts(stripe: &Stripe, tenant: Uuid) -> Result<Vec<String>, SyncError> {
    let mut found = events::doubts(stripe, tenant).await?;
    found.extend(events::miscounts(stripe, tenant).await?);
    Ok(found)
}

async fn open_charges(stripe: &Stripe, tenant: Uuid) -> Result<Vec<OpenCharge>, SyncError> {
    let tx = stripe.db.read_as_service("open_charges", &[tenant]).await?;
    let open = charges::open(&tx, tenant).await?;
    tx.rollback().await?;
    Ok(open)
}

/// Makes the item of a charge. Wherever it is to go, the first key is the same: of two workers that chose differently
/// Stripe lets one make it. A draft that became final meanwhile sends it to the next invoice.
async fn put(stripe: &Stripe, lease: &Lease, charge: &OpenCharge, target: &Target) -> Result<(), SyncError> {
    events::decide_item(stripe, lease, charge).await?;
    let refusal = match create(stripe, lease, charge, target, &items::key(charge)).await {
        Ok(item) => return note(stripe, lease, charge, &item, target.name()).await,
        Err(StripeError::InvalidRequest(refusal) | StripeError::Idempotency(refusal)) => refusal,
        Err(error) => return Err(error.into()),
    };
    let made = items::made(stripe, &lease.customer_id, charge.created_at).await?;
    if let Some((item, target)) = made.get(&charge.id) {
        return note(stripe, lease, charge, item, target).await;
    }
    let (instead, key) = target.instead(charge);
    tracing::info!(charge = %charge.id, %refusal, ?instead, "a charge goes elsewhere");
    let item = create(stripe, lease, charge, &instead, &key).await?;
    note(stripe, lease, charge, &item, instead.name()).await
}

async fn create(
    stripe: &Stripe,
    lease: &Lease,
    charge: &OpenCharge,
    target: &Target,
    idempotency_key: &str,
) -> Result<String, StripeError> {
    let item = items::of(charge, lease, target);
    let created = stripe.client.post(&item.request(&lease.customer_id), &IdempotencyKey::new(idempotency_key)?).await?;
    Ok(created.id)
}

/// Notes the item that stands for a charge, under a lease that still holds.
async fn note(stripe: &Stripe, lease: &Lease, charge: &OpenCharge, item: &str, target: &str) -> Result<(), SyncError> {
    let now = stripe.env.clock.now();
    write_tx!(stripe.db, "note_invoice_item", &[lease.tenant_id], |tx| {
        if !customers::hold_lease(tx, &lease.customer_id, lease.token, now).await? {
            return Err(SyncError::LeaseLost);
        }
        Ok(charges::bill(tx, lease.tenant_id, charge.id, (item, target), now).await?)
    })
}

/// Nobody can pay yet: the charges wait, and who could change that is told once per period.
async fn carry(stripe: &Stripe, tenant: Uuid, open: &[OpenCharge]) -> Result<(), SyncError> {
    let now = stripe.env.clock.now();
    let waiting: Vec<Uuid> = open.iter().filter(|charge| charge.state == "unbilled").map(|charge| charge.id).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    write_tx!(stripe.db, "carry_charges", &[tenant], |tx| {
        charges::carry(tx, tenant, &waiting).await?;
        for (period, amount) in sums(open)? {
            let key = period.start.to_string();
            let notice = Notice::new(key, data::OverageCarried { amount, period });
            notices::raise(tx, &stripe.env, now, tenant, &notice).await?;
        }
        Ok(())
    })
}

/// What is owed for each period, where that is something.
fn sums(open: &[OpenCharge]) -> Result<Vec<(data::Span, Money)>, StoreError> {
    let mut sums: Vec<(data::Span, Money)> = Vec::new();
    for charge in open {
        let period = data::Span { start: charge.period_start, end: charge.period_end };
        let currency = charge.currency.parse().map_err(|error| StoreError::corrupt("currency of a charge", error))?;
        match sums.iter_mut().find(|(known, _)| *known == period) {
            Some((_, sum)) => sum.minor += charge.amount_minor,
            None => sums.push((period, Money { minor: charge.amount_minor, currency })),
        }
    }
    sums.retain(|(_, sum)| sum.minor > 0);
    Ok(sums)
}

/// Whether an instant of ours and one of Stripe's may be this far apart.
fn with_slack(at: Timestamp) -> Timestamp {
    at.checked_sub(jiff::SignedDuration::from_hours(24)).unwrap_or(at)
}

/// Lists items of a customer that were made since an instant.
fn listing(customer: &str, since: Timestamp) -> invoice_items::List<'_> {
    invoice_items::List {
        customer: Some(customer),
        created: Some(tenantry_stripe::shared::TimeRange {
            gte: Some(with_slack(since)),
            ..tenantry_stripe::shared::TimeRange::default()
        }),
        limit: Some(100),
        ..invoice_items::List::default()
    }
}
