//! The invoice item that stands for a charge.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;
use tenantry_domain::plan::OverageTerms;
use tenantry_domain::quantity::Quantity;
use tenantry_stripe::invoice_items;
use tenantry_stripe::shared::PeriodParameters;
use uuid::Uuid;

use super::target::Target;
use super::{Lease, OpenCharge, SyncError, listing};
use crate::stripe_sync::Stripe;

/// Name of the note that says which charge an item stands for.
pub(super) const CHARGE: &str = "charge_id";
/// Name of the note that says where it was put.
const TARGET: &str = "target";

/// An item to be made.
pub(super) struct Item<'a> {
    charge: &'a OpenCharge,
    description: String,
    metadata: BTreeMap<String, String>,
    invoice: Option<&'a str>,
}

/// The item of a charge.
pub(super) fn of<'a>(charge: &'a OpenCharge, lease: &Lease, target: &'a Target) -> Item<'a> {
    let invoice = match target {
        Target::Draft { id } | Target::Invoice { id } => Some(id.as_str()),
        Target::Next | Target::Own | Target::Nobody => None,
    };
    let quantity = Quantity::from_decimal(charge.overage).to_string();
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let when = format!("{} to {}", day(charge.period_start), day(charge.period_end));
    let metric = &charge.metric;
    let description = if charge.sequence == 0 {
        format!("{quantity} {metric} above the included quantity, {when}")
    } else {
        format!("Adjustment to {quantity} {metric} above the included quantity, {when}")
    };
    let metadata = [
        (CHARGE, charge.id.to_string()),
        ("tenant_id", lease.tenant_id.to_string()),
        ("metric", charge.metric.clone()),
        ("quantity", quantity),
        ("rate", rate(charge)),
        ("period_start", charge.period_start.to_string()),
        ("period_end", charge.period_end.to_string()),
        ("sequence", charge.sequence.to_string()),
        (TARGET, target.name().to_owned()),
    ];
    let metadata = metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Item { charge, description, metadata, invoice }
}

/// The rates that the charge was computed with, of each part of the period that had its own.
fn rate(charge: &OpenCharge) -> String {
    let segments = charge.inputs.get("segments").and_then(Value::as_array);
    let mut rates: Vec<String> = segments.into_iter().flatten().filter_map(rate_of).collect();
    rates.dedup();
    // Stripe keeps 500 characters of a note; our charge has the whole.
    rates.join("; ").chars().take(500).collect()
}

fn rate_of(segment: &Value) -> Option<String> {
    let terms: OverageTerms = serde_json::from_value(segment.get("overage")?.clone()).ok()?;
    let per = if terms.per == 1 { String::new() } else { format!(" for {}", terms.per) };
    let tiers: Vec<String> = terms
        .tiers
        .iter()
        .map(|tier| match tier.up_to {
            Some(up_to) => format!("{}{per} up to {up_to}", tier.unit_price),
            None => format!("{}{per}", tier.unit_price),
        })
        .collect();
    let mode = serde_json::to_value(terms.mode).ok()?;
    let plan = segment.get("planId")?.as_str()?;
    Some(format!("{plan}: {} {} (minor units)", mode.as_str()?, tiers.join(", then ")))
}

/// The first idempotency key under which a charge becomes an item.
pub(super) fn key(charge: &OpenCharge) -> String {
    format!("charge-{}", charge.id)
}

impl Item<'_> {
    /// The call that makes it.
    pub(super) fn request<'a>(&'a self, customer: &'a str) -> invoice_items::Create<'a> {
        invoice_items::Create {
            customer,
            amount: Some(self.charge.amount_minor),
            currency: Some(&self.charge.currency),
            description: Some(&self.description),
            invoice: self.invoice,
            period: Some(PeriodParameters { start: self.charge.period_start, end: self.charge.period_end }),
            metadata: self.metadata.clone(),
            ..invoice_items::Create::default()
        }
    }
}

/// The items of a customer that stand for charges: charge, item and where it was put.
pub(super) async fn made(
    stripe: &Stripe,
    customer: &str,
    since: Timestamp,
) -> Result<HashMap<Uuid, (String, String)>, SyncError> {
    let items = stripe.client.all(&listing(customer, since)).await?;
    Ok(items
        .into_iter()
        .filter_map(|item| {
            let charge = item.metadata.get(CHARGE)?.parse().ok()?;
            let target = item.metadata.get(TARGET).cloned().unwrap_or_else(|| "next".to_owned());
            Some((charge, (item.id, target)))
        })
        .collect())
}
