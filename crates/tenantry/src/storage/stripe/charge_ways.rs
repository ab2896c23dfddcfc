//! Rows of `stripe_charge_ways`: whether a charge becomes an invoice item or a meter event, decided before the first call.

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// A meter event that stands for a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventWay {
    /// The charge, whose id is the event's identifier.
    pub charge_id: Uuid,
    /// The invoice on which it counts.
    pub invoice_id: String,
    /// The name that the meter listens to.
    pub event_name: String,
    /// Change of the quantity above included; negative takes back.
    pub value: Decimal,
    /// When it happened, as Stripe is told.
    pub occurred_at: Timestamp,
    /// Before the first call.
    pub began_at: Timestamp,
    /// It was told that nobody can know whether it counts.
    pub is_doubted: bool,
}

query! {
    service INSERT_ITEM = "
        insert into tenantry.stripe_charge_ways (tenant_id, charge_id, way, began_at) values ($1, $2, 'item', $3)
        on conflict do nothing";
    service WAY = "select way from tenantry.stripe_charge_ways where tenant_id = $1 and charge_id = $2";
    service INSERT_EVENT = "
        insert into tenantry.stripe_charge_ways
            (tenant_id, charge_id, way, invoice_id, event_name, value, occurred_at, began_at)
        values ($1, $2, 'event', $3, $4, $5, $6, $7)
        on conflict do nothing";
    service UNANSWERED = "
        select charge_id, invoice_id, event_name, value, occurred_at, began_at, doubted_at is not null
        from tenantry.stripe_charge_ways
        where tenant_id = $1 and way = 'event' and counted_at is null
        order by began_at, charge_id";
    service COUNTED = "
        select coalesce(sum(value), 0) from tenantry.stripe_charge_ways
        where tenant_id = $1 and invoice_id = $2 and event_name = $3 and way = 'event' and counted_at is not null";
    service SUMS = "
        select invoice_id, event_name, sum(value) from tenantry.stripe_charge_ways
        where tenant_id = $1 and way = 'event' and counted_at is not null
          and invoice_id in (
              select invoice_id from tenantry.stripe_charge_ways
              where tenant_id = $1 and way = 'event' and began_at >= $2)
        group by invoice_id, event_name order by invoice_id, event_name";
    service COUNT = "
        update tenantry.stripe_charge_ways set counted_at = $3
        where tenant_id = $1 and charge_id = $2 and way = 'event' and counted_at is null";
    service TURN = "
        update tenantry.stripe_charge_ways set way = 'item'
        where tenant_id = $1 and charge_id = $2 and way = 'event' and counted_at is null";
    service DOUBT = "
        update tenantry.stripe_charge_ways set doubted_at = $3
        where tenant_id = $1 and charge_id = $2 and way = 'event' and counted_at is null and doubted_at is null";
}

/// Decides that a charge becomes an item; false where it is a meter event already.
pub async fn decide_item(tx: &Tx, tenant: Uuid, charge: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    tx.execute(&INSERT_ITEM, &[&tenant, &charge, &now]).await?;
    let way: String = tx.one(&WAY, &[&tenant, &charge]).await?.col(0)?;
    Ok(way == "item")
}

/// Decides that a charge becomes a meter event; false where it was decided already, whichever way.
pub async fn decide_event(tx: &Tx, tenant: Uuid, event: &EventWay) -> Result<bool, StoreError> {
    let EventWay { charge_id, invoice_id, event_name, value, occurred_at, began_at, .. } = event;
    let row: [&(dyn ToSql + Sync); 7] = [&tenant, charge_id, invoice_id, event_name, value, occurred_at, began_at];
    Ok(tx.execute(&INSERT_EVENT, &row).await? == 1)
}

/// Whether it was decided which way a charge goes.
pub async fn is_decided(tx: &Tx, tenant: Uuid, charge: Uuid) -> Result<bool, StoreError> {
    Ok(tx.opt(&WAY, &[&tenant, &charge]).await?.is_some())
}

/// The meter events of a tenant that are not known to count, in the order in which they were begun.
pub async fn unanswered(tx: &Tx, tenant: Uuid) -> Result<Vec<EventWay>, StoreError> {
    tx.rows(&UNANSWERED, &[&tenant]).await?.iter().map(from_row).collect()
}

/// The sum of the events of this name that are known to count on an invoice.
pub async fn counted(tx: &Tx, tenant: Uuid, invoice: &str, event_name: &str) -> Result<Decimal, StoreError> {
    tx.one(&COUNTED, &[&tenant, &invoice, &event_name]).await?.col(0)
}

/// Invoices on which events count that were begun since an instant, with the name of the events and their sum.
pub async fn sums(tx: &Tx, tenant: Uuid, since: Timestamp) -> Result<Vec<(String, String, Decimal)>, StoreError> {
    let rows = tx.rows(&SUMS, &[&tenant, &since]).await?;
    rows.iter().map(|row| Ok((row.col(0)?, row.col(1)?, row.col(2)?))).collect()
}

/// Notes that an event counts. Exactly once: a second time fails.
pub async fn count(tx: &Tx, tenant: Uuid, charge: Uuid, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&COUNT, &[&tenant, &charge, &now]).await
}

/// Makes an item of a charge whose event is known not to count.
pub async fn turn_to_item(tx: &Tx, tenant: Uuid, charge: Uuid) -> Result<(), StoreError> {
    tx.exactly_one(&TURN, &[&tenant, &charge]).await
}

/// Notes that nobody can know whether an event counts; false where that was noted before.
pub async fn doubt(tx: &Tx, tenant: Uuid, charge: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&DOUBT, &[&tenant, &charge, &now]).await? == 1)
}

fn from_row(row: &Row) -> Result<EventWay, StoreError> {
    Ok(EventWay {
        charge_id: row.col(0)?,
        invoice_id: row.col(1)?,
        event_name: row.col(2)?,
        value: row.col(3)?,
        occurred_at: row.col(4)?,
        began_at: row.col(5)?,
        is_doubted: row.col(6)?,
    })
}
