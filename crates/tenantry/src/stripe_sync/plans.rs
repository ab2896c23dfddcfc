//! Which plan a price at Stripe stands for: by what we noted when we made it, else by its lookup key; never by
//! metadata, which anybody with the dashboard edits.

use std::collections::HashMap;

use tenantry_stripe::prices::Price;

use super::state::PlanChoice;
use crate::storage::stripe::prices::{self, PriceRow};
use crate::storage::{Database, StoreError};

/// What every lookup key of ours begins with.
const PREFIX: &str = "tenantry_";

/// The lookup key of a plan's price.
pub fn lookup_key(plan: &str, interval: &str) -> String {
    format!("{PREFIX}{plan}_{interval}")
}

/// Reads a lookup key of ours.
fn read_lookup_key(key: &str) -> Option<PlanChoice> {
    let (plan, interval) = key.strip_prefix(PREFIX)?.rsplit_once('_')?;
    ["month", "year"]
        .contains(&interval)
        .then(|| PlanChoice { plan_id: plan.to_owned(), interval: interval.to_owned() })
}

/// Tells plans by their prices.
pub trait PriceNames {
    /// The plan that a price stands for.
    fn plan_of(&self, price: &Price) -> Option<PlanChoice>;
    /// The same where only the id is known.
    fn plan_of_id(&self, price: &str) -> Option<PlanChoice>;
}

/// All prices that ever stood for a plan here.
#[derive(Debug, Clone, Default)]
pub struct KnownPrices(HashMap<String, PlanChoice>);

impl KnownPrices {
    /// Reads them.
    pub async fn read(db: &Database) -> Result<Self, StoreError> {
        let tx = db.read_as_service("known_prices", &[]).await?;
        let rows = prices::all(&tx).await?;
        tx.rollback().await?;
        Ok(Self::of(rows))
    }

    /// Those of the rows.
    pub fn of(rows: Vec<PriceRow>) -> Self {
        let choice = |row: PriceRow| (row.price_id, PlanChoice { plan_id: row.plan_id, interval: row.interval });
        Self(rows.into_iter().map(choice).collect())
    }
}

impl PriceNames for KnownPrices {
    fn plan_of(&self, price: &Price) -> Option<PlanChoice> {
        self.plan_of_id(&price.id).or_else(|| read_lookup_key(price.lookup_key.as_deref()?))
    }

    fn plan_of_id(&self, price: &str) -> Option<PlanChoice> {
        self.0.get(price).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup_keys_are_read_back_whatever_the_plan_is_called() {
        for (plan, interval) in [("pro", "month"), ("big_team-2", "year"), ("a_month", "year")] {
            let read = read_lookup_key(&lookup_key(plan, interval)).unwrap();
            assert_eq!((read.plan_id.as_str(), read.interval.as_str()), (plan, interval));
        }
        for other in ["pro_month", "tenantry_pro", "tenantry_pro_week", ""] {
            assert_eq!(read_lookup_key(other), None, "{other}");
        }
    }
}
