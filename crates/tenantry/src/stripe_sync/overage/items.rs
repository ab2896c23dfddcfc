//! The invoice item that stands for a charge.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tenantry_domain::quantity::Quantity;
use tenantry_stripe::invoice_items;
use tenantry_stripe::shared::PeriodParameters;
use uuid::Uuid;

use super::target::Target;
use super::{Lease, OpenCharge, SyncError, listing};
use crate::stripe_sync::Stripe;

/// Name of the note that says which charge an item stands for.
const CHARGE: &str = "charge_id";
/// Name of the note that says where it was put.
const TARGET: &str = "target";

/// An item to be made.
pub(super) struct Item<'a> {
    charge: &'a OpenCharge,
    description: String,
    metadata: BTreeMap<String, String>,
    invoice: Option<&'a str>,
    subscription: Option<&'a str>,
}

/// The item of a charge.
pub(super) fn of<'a>(charge: &'a OpenCharge, lease: &Lease, target: &'a Target) -> Item<'a> {
    let (invoice, subscription) = match target {
        Target::Draft { id, .. } | Target::Invoice { id } => (Some(id.as_str()), None),
        Target::Next { subscription } => (None, Some(subscription.as_str())),
        Target::Own | Target::Nobody => (None, None),
    };
    let quantity = Quantity::from_decimal(charge.overage).to_string();
    let what = if charge.sequence == 0 { "above the included quantity" } else { "adjustment" };
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let description =
        format!("{} {} {what}, {} to {}", quantity, charge.metric, day(charge.period_start), day(charge.period_end));
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
    Item { charge, description, metadata, invoice, subscription }
}

/// The plan version whose rates the charge was computed with, and the exact price before rounding.
fn rate(charge: &OpenCharge) -> String {
    let text = |pointer: &str| charge.inputs.pointer(pointer).map(ToString::to_string).unwrap_or_default();
    let plan = charge.inputs.get("segments").and_then(|segments| segments.as_array()).and_then(|all| all.last());
    let plan = plan.map_or_else(String::new, |segment| {
        format!(
            "{} version {}",
            segment.get("planId").and_then(|id| id.as_str()).unwrap_or_default(),
            segment.get("planVersion").map(ToString::to_string).unwrap_or_default()
        )
    });
    format!("{plan}, exactly {} minor units in all", text("/exactMinor").trim_matches('"'))
}

impl Item<'_> {
    /// Its idempotency key: the charge, and where it goes.
    pub(super) fn key(&self) -> String {
        match (self.invoice, self.subscription) {
            (Some(invoice), _) => format!("charge-{}-{invoice}", self.charge.id),
            _ => format!("charge-{}-next", self.charge.id),
        }
    }

    /// The call that makes it.
    pub(super) fn request<'a>(&'a self, customer: &'a str) -> invoice_items::Create<'a> {
        invoice_items::Create {
            customer,
            amount: Some(self.charge.amount_minor),
            currency: Some(&self.charge.currency),
            description: Some(&self.description),
            invoice: self.invoice,
            subscription: self.subscription,
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
