//! Rows of `stripe_meter_prices`: which metered price at Stripe expresses what a plan charges above what is included.

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// A metered price at Stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterPriceRow {
    /// Stripe's id.
    pub price_id: String,
    /// Stripe's id of the metric's product.
    pub product_id: String,
    /// Stripe's id of the meter that counts.
    pub meter_id: String,
    /// The plan.
    pub plan_id: String,
    /// The metric.
    pub metric: String,
    /// ISO 4217, lower case.
    pub currency: String,
    /// The overage terms that it expresses.
    pub terms: serde_json::Value,
}

query! {
    service ALL_CURRENT = "
        select price_id, product_id, meter_id, plan_id, metric, currency, terms
        from tenantry.stripe_meter_prices where current order by plan_id, metric";
    service OF_PLAN = "
        select price_id, product_id, meter_id, plan_id, metric, currency, terms
        from tenantry.stripe_meter_prices where plan_id = $1
        order by metric, current desc, created_at desc, price_id";
    service RETIRE = "
        update tenantry.stripe_meter_prices set current = false
        where plan_id = $1 and metric = $2 and current and price_id <> $3";
    service PUT = "
        insert into tenantry.stripe_meter_prices
            (price_id, product_id, meter_id, plan_id, metric, currency, terms, current, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, true, $8)
        on conflict (price_id) do update set current = true";
}

/// The metered prices of what is sold now.
pub async fn all_current(tx: &Tx) -> Result<Vec<MeterPriceRow>, StoreError> {
    tx.rows(&ALL_CURRENT, &[]).await?.iter().map(from_row).collect()
}

/// All metered prices of a plan, of each metric the one that is sold now first, then the newest.
pub async fn of_plan(tx: &Tx, plan: &str) -> Result<Vec<MeterPriceRow>, StoreError> {
    tx.rows(&OF_PLAN, &[&plan]).await?.iter().map(from_row).collect()
}

/// Makes a price the one that is sold for its plan and metric.
pub async fn put(tx: &Tx, price: &MeterPriceRow, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(&RETIRE, &[&price.plan_id, &price.metric, &price.price_id]).await?;
    tx.exactly_one(
        &PUT,
        &[
            &price.price_id,
            &price.product_id,
            &price.meter_id,
            &price.plan_id,
            &price.metric,
            &price.currency,
            &price.terms,
            &now,
        ],
    )
    .await
}

fn from_row(row: &Row) -> Result<MeterPriceRow, StoreError> {
    Ok(MeterPriceRow {
        price_id: row.col(0)?,
        product_id: row.col(1)?,
        meter_id: row.col(2)?,
        plan_id: row.col(3)?,
        metric: row.col(4)?,
        currency: row.col(5)?,
        terms: row.col(6)?,
    })
}
