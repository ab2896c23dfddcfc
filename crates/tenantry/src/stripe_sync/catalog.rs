//! The plan catalog at Stripe: a product for each plan that costs something, a price for each of its intervals.
//!
//! Prices are found by lookup key. An amount that changed is a new price that takes the lookup key over; the price
//! before it stays as it is for those who pay it. Nothing is made twice, however often or at once this runs: what is
//! there is looked at first, and what is made has an id or an idempotency key that follows from what it is.
//!
//! Where overage is billed by meters, so do a meter and a product for each metric, and a metered price for each plan and
//! metric that has overage ([`metered`]).

mod apply;
mod decide;
mod express;
pub mod metered;

use serde::Serialize;
use tenantry_domain::plan::{Catalog, Plan};
use tenantry_stripe::prices::{self, Price};
use tenantry_stripe::products::{self, Product};
use tenantry_stripe::{InvalidIdempotencyKey, StripeError};

use self::decide::{AtStripe, Step};
use super::Stripe;
use crate::storage::StoreError;
use crate::storage::stripe::prices::{self as rows, PriceRow};

/// Both begin with it, so that they are told from what else an account sells.
const PREFIX: &str = "tenantry_";

/// The intervals that a price may have.
pub const INTERVALS: [&str; 2] = ["month", "year"];

/// The lookup key of a plan's price.
pub fn lookup_key(plan: &str, interval: &str) -> String {
    format!("{PREFIX}{plan}_{interval}")
}

/// The plan and the interval that a lookup key names; none where it is not one of ours.
pub fn parse_lookup_key(key: &str) -> Option<(&str, &str)> {
    let (plan, interval) = key.strip_prefix(PREFIX)?.rsplit_once('_')?;
    (INTERVALS.contains(&interval) && !plan.is_empty()).then_some((plan, interval))
}

/// The id of a plan's product.
pub fn product_id(plan: &str) -> String {
    format!("{PREFIX}{plan}")
}

/// What is done about a product or a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The product is made.
    MakeProduct,
    /// The product gets the plan's name, or is sold again.
    UpdateProduct,
    /// The plan left the catalog: its product is no longer sold. Its prices stay for those who pay them.
    ArchiveProduct,
    /// The price is made.
    MakePrice,
    /// A new price takes the lookup key over, which the old one's subscribers do not notice.
    ReplacePrice,
    /// The price is there and is noted in the database.
    NotePrice,
    /// The interval left the catalog: its price is no longer offered. It stays for those who pay it.
    WithdrawPrice,
    /// The meter of a metric is made.
    MakeMeter,
}

/// One difference between the catalog and Stripe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The plan; of a metric's meter or product the first one that needs it.
    pub plan_id: String,
    /// The metric whose overage it is about, where it is about that.
    pub metric: Option<String>,
    /// The interval of the price; none for a product or a meter.
    pub interval: Option<&'static str>,
    /// What is done.
    pub action: Action,
    /// Stripe's id of what is made or changed; none for a price or a meter that is not made yet.
    pub id: Option<String>,
    /// For people: from what to what.
    pub detail: String,
}

/// Why the catalog is not, or not all, at Stripe. To run it again is safe.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Stripe refused or did not answer.
    #[error("plan `{plan}`: {source}")]
    Stripe {
        /// The plan in hand.
        plan: String,
        /// What Stripe said.
        source: StripeError,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A product of ours was deleted at Stripe, where its id is not given again.
    #[error("the product {0} was deleted at Stripe: give its plan or metric another name in the catalog")]
    ProductDeleted(String),
    /// An answer without what it must have.
    #[error("Stripe answers with a price {0} that is not the one that was asked for")]
    WrongPrice(String),
    /// What a plan charges above what is included has no words at Stripe.
    #[error(
        "plan `{plan}`, metric `{metric}`: the overage cannot be expressed as a price of Stripe's: {reason}; change it, or bill overage by items (overage_billing)"
    )]
    Inexpressible {
        /// The plan.
        plan: String,
        /// The metric.
        metric: String,
        /// What of it.
        reason: String,
    },
    /// No key can be made.
    #[error(transparent)]
    Key(#[from] InvalidIdempotencyKey),
}

/// What [`push`] would do.
pub async fn differences(stripe: &Stripe, catalog: &Catalog) -> Result<Vec<Change>, PushError> {
    let metered = metered::Wanted::of(stripe, catalog)?;
    let known = known_prices(stripe).await?;
    let mut changes = Vec::new();
    for plan in catalog.plans().iter().filter(|plan| plan.prices.is_some()) {
        let found = look(stripe, plan).await?;
        changes.extend(decide::plan(plan, &found, &known).iter().map(Step::change));
    }
    for row in decide::left(catalog, &known) {
        changes.extend(apply::leave(stripe, row, catalog, true).await?);
    }
    changes.extend(metered.bring(stripe, true).await?);
    Ok(changes)
}

/// Brings Stripe to the catalog, and notes in the database which price stands for which plan and interval.
pub async fn push(stripe: &Stripe, catalog: &Catalog) -> Result<Vec<Change>, PushError> {
    let metered = metered::Wanted::of(stripe, catalog)?;
    let known = known_prices(stripe).await?;
    let mut changes = Vec::new();
    for plan in catalog.plans().iter().filter(|plan| plan.prices.is_some()) {
        let found = look(stripe, plan).await?;
        for step in decide::plan(plan, &found, &known) {
            changes.push(apply::step(stripe, plan, &step).await?);
        }
    }
    for row in decide::left(catalog, &known) {
        changes.extend(apply::leave(stripe, row, catalog, false).await?);
    }
    changes.extend(metered.bring(stripe, false).await?);
    Ok(changes)
}

/// Plans and intervals of the catalog for which no price is noted, so that they cannot be bought. Asks the database
/// only.
pub async fn missing(stripe: &Stripe, catalog: &Catalog) -> Result<Vec<String>, StoreError> {
    let known = known_prices(stripe).await?;
    let is_noted = |wanted: &decide::Wanted<'_>| {
        known.iter().any(|row| row.plan_id == wanted.plan.id.as_str() && wanted.is_met_by_row(row))
    };
    let wanted = catalog.plans().iter().flat_map(decide::wanted);
    Ok(wanted
        .filter(|wanted| !is_noted(wanted))
        .map(|wanted| format!("{} ({})", wanted.plan.id, wanted.interval))
        .collect())
}

async fn known_prices(stripe: &Stripe) -> Result<Vec<PriceRow>, StoreError> {
    let tx = stripe.db.read_as_service("read_stripe_prices", &[]).await?;
    let known = rows::all_current(&tx).await;
    tx.rollback().await?;
    known
}

/// A product by its id.
async fn product_of(stripe: &Stripe, plan: &str, id: String) -> Result<Option<Product>, PushError> {
    match stripe.client.get(&products::Retrieve { id: &id, expand: Vec::new() }).await {
        Ok(product) if product.deleted => Err(PushError::ProductDeleted(id)),
        Ok(product) => Ok(Some(product)),
        Err(error) if error.is_missing() => Ok(None),
        Err(source) => Err(failed(plan, source)),
    }
}

/// What Stripe has of a plan.
async fn look(stripe: &Stripe, plan: &Plan) -> Result<AtStripe, PushError> {
    let keys = INTERVALS.map(|interval| lookup_key(plan.id.as_str(), interval));
    let request = prices::List {
        lookup_keys: keys.iter().map(String::as_str).collect(),
        limit: Some(100),
        ..prices::List::default()
    };
    let prices = stripe.client.all::<Price, _>(&request).await.map_err(|source| failed(plan.id.as_str(), source))?;
    Ok(AtStripe { product: product(stripe, plan.id.as_str()).await?, prices })
}

async fn product(stripe: &Stripe, plan: &str) -> Result<Option<Product>, PushError> {
    product_of(stripe, plan, product_id(plan)).await
}

fn failed(plan: &str, source: StripeError) -> PushError {
    PushError::Stripe { plan: plan.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup_keys_name_a_plan_and_an_interval() {
        for plan in ["pro", "team_month", "a-b_c"] {
            for interval in INTERVALS {
                assert_eq!(parse_lookup_key(&lookup_key(plan, interval)), Some((plan, interval)));
            }
        }
        for other in ["pro_month", "tenantry_pro", "tenantry_pro_week", "tenantry__month", "tenantry_month", ""] {
            assert_eq!(parse_lookup_key(other), None, "{other}");
        }
    }
}
