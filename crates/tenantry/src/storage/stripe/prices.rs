//! Rows of `stripe_prices`: which price at Stripe stands, or stood, for a plan and an interval.

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// A price at Stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRow {
    /// Stripe's id.
    pub price_id: String,
    /// Stripe's id of its product.
    pub product_id: String,
    /// The plan that it stands for.
    pub plan_id: String,
    /// `month` or `year`.
    pub interval: String,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Minor units.
    pub unit_amount: i64,
}

query! {
    service CURRENT = "
        select price_id, product_id, plan_id, billing_interval, currency, unit_amount
        from tenantry.stripe_prices where plan_id = $1 and billing_interval = $2 and current";
    service ALL_CURRENT = "
        select price_id, product_id, plan_id, billing_interval, currency, unit_amount
        from tenantry.stripe_prices where current order by plan_id, billing_interval";
    service ALL = "
        select price_id, product_id, plan_id, billing_interval, currency, unit_amount from tenantry.stripe_prices";
    service BY_ID = "
        select price_id, product_id, plan_id, billing_interval, currency, unit_amount
        from tenantry.stripe_prices where price_id = $1";
    service RETIRE = "
        update tenantry.stripe_prices set current = false
        where plan_id = $1 and billing_interval = $2 and current and price_id <> $3";
    service PUT = "
        insert into tenantry.stripe_prices
            (price_id, product_id, plan_id, billing_interval, currency, unit_amount, current, created_at)
        values ($1, $2, $3, $4, $5, $6, true, $7)
        on conflict (price_id) do update set current = true";
    service WITHDRAW = "update tenantry.stripe_prices set current = false where price_id = $1 and current";
}

/// The price that who buys this plan now pays.
pub async fn current(tx: &Tx, plan: &str, interval: &str) -> Result<Option<PriceRow>, StoreError> {
    tx.opt(&CURRENT, &[&plan, &interval]).await?.as_ref().map(from_row).transpose()
}

/// All prices that are sold now.
pub async fn all_current(tx: &Tx) -> Result<Vec<PriceRow>, StoreError> {
    tx.rows(&ALL_CURRENT, &[]).await?.iter().map(from_row).collect()
}

/// All prices, sold now or once.
pub async fn all(tx: &Tx) -> Result<Vec<PriceRow>, StoreError> {
    tx.rows(&ALL, &[]).await?.iter().map(from_row).collect()
}

/// A price, sold now or once.
pub async fn by_id(tx: &Tx, price: &str) -> Result<Option<PriceRow>, StoreError> {
    tx.opt(&BY_ID, &[&price]).await?.as_ref().map(from_row).transpose()
}

/// Makes a price the one that is sold for its plan and interval.
pub async fn put(tx: &Tx, price: &PriceRow, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(&RETIRE, &[&price.plan_id, &price.interval, &price.price_id]).await?;
    tx.exactly_one(
        &PUT,
        &[
            &price.price_id,
            &price.product_id,
            &price.plan_id,
            &price.interval,
            &price.currency,
            &price.unit_amount,
            &now,
        ],
    )
    .await
}

/// Offers a price no more; who pays it goes on.
pub async fn withdraw(tx: &Tx, price: &str) -> Result<(), StoreError> {
    tx.execute(&WITHDRAW, &[&price]).await?;
    Ok(())
}

fn from_row(row: &Row) -> Result<PriceRow, StoreError> {
    Ok(PriceRow {
        price_id: row.col(0)?,
        product_id: row.col(1)?,
        plan_id: row.col(2)?,
        interval: row.col(3)?,
        currency: row.col(4)?,
        unit_amount: row.col(5)?,
    })
}
