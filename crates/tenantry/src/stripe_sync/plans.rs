//! Which plan a price at Stripe stands for: by what we noted when we made it, else by its lookup key; never by
//! metadata, which anybody with the dashboard edits.

use std::collections::HashMap;

use tenantry_stripe::prices::Price;

use super::catalog::parse_lookup_key;
use super::state::PlanChoice;
use crate::storage::stripe::prices::{self, PriceRow};
use crate::storage::{Database, StoreError};

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
        self.plan_of_id(&price.id).or_else(|| {
            let (plan, interval) = parse_lookup_key(price.lookup_key.as_deref()?)?;
            Some(PlanChoice { plan_id: plan.to_owned(), interval: interval.to_owned() })
        })
    }

    fn plan_of_id(&self, price: &str) -> Option<PlanChoice> {
        self.0.get(price).cloned()
    }
}
