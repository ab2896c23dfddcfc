//! Metered items follow the plan: where those of a subscription are not what its plan charges above what is included, a
//! job asks for the operation that brings them to it.
//!
//! They belong to subscriptions by the month only. A year's subscription keeps its overage as invoice items, since
//! usage periods are months.

use jiff::{SignedDuration, Timestamp};
use tenantry_domain::plan::Plan;
use tenantry_stripe::subscriptions::{ItemParameters, Subscription};
use uuid::Uuid;

use super::catalog::metered::{INTERVAL, overage_of, says};
use super::error::SyncError;
use super::follow::follow;
use super::state::{MeteredItem, SubscriptionState, metered_items};
use super::{OverageBilling, Settings, Stripe, digest};
use crate::billing::operations::Asked;
use crate::storage::stripe::meter_prices;
use crate::storage::{StoreError, Tx};

/// Kind of the jobs that bring metered items to the plan.
pub const JOB: &str = "metered_items";

/// The draft of a renewal is open for about an hour. What it counts is what the subscription had when the period ended,
/// so items stay as they are until it is final for certain.
const DRAFTS_ARE_FINAL: SignedDuration = SignedDuration::from_hours(2);

/// A metered item as the plan wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedItem {
    /// The metric.
    pub metric: String,
    /// Stripe's id of the price that says what the plan charges.
    pub price_id: String,
}

/// What a plan wants of a subscription's items: none where overage is billed by items, or by the year. Terms that were
/// never pushed have no price: their overage goes out as invoice items.
pub async fn wanted(tx: &Tx, settings: &Settings, plan: &Plan, interval: &str) -> Result<Vec<WantedItem>, StoreError> {
    if settings.overage_billing == OverageBilling::Items || interval != INTERVAL {
        return Ok(Vec::new());
    }
    let known = meter_prices::of_plan(tx, plan.id.as_str()).await?;
    let item = |(metric, terms, currency): (&str, _, _)| {
        let price = known.iter().find(|row| row.metric == metric && says(row, terms, currency))?;
        Some(WantedItem { metric: metric.to_owned(), price_id: price.price_id.clone() })
    };
    Ok(overage_of(plan).filter_map(item).collect())
}

/// What has to change for the items to be the wanted ones: another price of an item, an item more, an item less.
pub fn changes<'a>(found: &'a [MeteredItem], wanted: &'a [WantedItem]) -> Vec<ItemParameters<'a>> {
    let mut changes = Vec::new();
    let mut kept: Vec<&str> = Vec::new();
    for item in wanted {
        let price = Some(item.price_id.as_str());
        match found.iter().find(|found| found.metric == item.metric) {
            None => changes.push(ItemParameters { price, ..ItemParameters::default() }),
            Some(found) => {
                kept.push(&found.id);
                if found.price_id != item.price_id {
                    changes.push(ItemParameters { id: Some(&found.id), price, ..ItemParameters::default() });
                }
            }
        }
    }
    let gone = found.iter().filter(|found| !kept.contains(&found.id.as_str()));
    changes.extend(gone.map(removed));
    changes
}

fn removed(item: &MeteredItem) -> ItemParameters<'_> {
    ItemParameters { id: Some(&item.id), deleted: Some(true), ..ItemParameters::default() }
}

/// What a change to another interval takes away: metered items are by the month, as all items of a subscription must be.
pub fn removed_by<'a>(items: &'a [MeteredItem], interval: &str) -> Vec<ItemParameters<'a>> {
    if interval == INTERVAL { Vec::new() } else { items.iter().map(removed).collect() }
}

/// When the job that brings items to the plan is due and under which key; none where nothing has to change. It is asked
/// for again each hour while they differ.
pub(super) fn due(found: &SubscriptionState, wanted: &[WantedItem], now: Timestamp) -> Option<(String, Timestamp)> {
    // One that ends keeps what it has to its end.
    if found.cancel_at.is_some() || changes(&found.metered, wanted).is_empty() {
        return None;
    }
    let settled = found.period.0.saturating_add(DRAFTS_ARE_FINAL).unwrap_or(now);
    let at = if found.metered.is_empty() { now } else { now.max(settled) };
    Some((format!("{} {}", found.id, now.as_second() / 3600), at))
}

/// Brings metered items to the plan, where the tenant pays for one; false where another change is under way.
pub async fn reconcile(stripe: &Stripe, tenant: Uuid) -> Result<bool, SyncError> {
    follow(stripe, tenant, &Asked::Metered).await
}

/// Names a set of changes in an idempotency key.
pub(super) fn name(subscription: &Subscription, wanted: &[WantedItem]) -> String {
    let found = metered_items(subscription);
    digest(&format!("{found:?} {wanted:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_changed_added_and_removed_as_the_plan_wants() {
        let found = |id: &str, metric: &str, price: &str| MeteredItem {
            id: id.to_owned(),
            price_id: price.to_owned(),
            metric: metric.to_owned(),
        };
        let found = [
            found("si_1", "a", "p_a"),
            found("si_2", "b", "p_b"),
            found("si_3", "c", "p_c"),
            found("si_4", "a", "p_x"),
        ];
        let item = |metric: &str, price: &str| WantedItem { metric: metric.to_owned(), price_id: price.to_owned() };
        let wanted = [item("a", "p_a"), item("b", "p_new"), item("d", "p_d")];
        let told: Vec<String> = changes(&found, &wanted)
            .iter()
            .map(|item| format!("{:?} {:?} {:?} {:?}", item.id, item.price, item.quantity, item.deleted))
            .collect();
        assert_eq!(
            told,
            [
                r#"Some("si_2") Some("p_new") None None"#,
                r#"None Some("p_d") None None"#,
                r#"Some("si_3") None None Some(true)"#,
                r#"Some("si_4") None None Some(true)"#,
            ]
        );
        assert!(changes(&found[..1], &wanted[..1]).is_empty());
        assert_eq!((removed_by(&found, "month").len(), removed_by(&found, "year").len()), (0, 4));
    }
}
