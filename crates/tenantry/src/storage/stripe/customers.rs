//! Rows of `stripe_customers`: which customer at Stripe stands for a tenant, and who works on it right now.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// A customer at Stripe and its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Stripe's id.
    pub customer_id: String,
}

query! {
    service OF_TENANT = "
        select customer_id from tenantry.stripe_customers where tenant_id = $1 and ended_at is null";
    service TENANT_OF = "select tenant_id from tenantry.stripe_customers where customer_id = $1";
    service INSERT = "
        insert into tenantry.stripe_customers (tenant_id, customer_id, created_at) values ($1, $2, $3)
        on conflict do nothing";
    service END = "
        update tenantry.stripe_customers set ended_at = $3 where tenant_id = $1 and customer_id = $2 and ended_at is null";
    service TAKE_LEASE = "
        update tenantry.stripe_customers set lease_token = $2, lease_until = $4
        where customer_id = $1 and (lease_until is null or lease_until <= $3)";
    // Locks the row: until this transaction ends nobody else takes the lease over.
    service HOLD_LEASE = "
        update tenantry.stripe_customers set lease_until = greatest(lease_until, $4)
        where customer_id = $1 and lease_token = $2 and lease_until > $3";
    service RELEASE = "
        update tenantry.stripe_customers
        set lease_token = null, lease_until = null, synced_at = coalesce($3, synced_at)
        where customer_id = $1 and lease_token = $2";
    service PAGE = "
        select tenant_id, customer_id from tenantry.stripe_customers
        where ended_at is null and ($1::text is null or customer_id > $1)
        order by customer_id limit $2";
    service STALE = "
        select tenant_id, customer_id from tenantry.stripe_customers
        where ended_at is null and (synced_at is null or synced_at <= $1)
        order by synced_at nulls first limit $2";
}

/// The customer of a tenant.
pub async fn of_tenant(tx: &Tx, tenant: Uuid) -> Result<Option<String>, StoreError> {
    tx.opt(&OF_TENANT, &[&tenant]).await?.map(|row| row.col(0)).transpose()
}

/// The tenant that a customer stands for, or stood for.
pub async fn tenant_of(tx: &Tx, customer: &str) -> Result<Option<Uuid>, StoreError> {
    tx.opt(&TENANT_OF, &[&customer]).await?.map(|row| row.col(0)).transpose()
}

/// Notes the customer of a tenant. False where the tenant has one, or the customer is another's.
pub async fn insert(tx: &Tx, tenant: Uuid, customer: &str, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&INSERT, &[&tenant, &customer, &now]).await? == 1)
}

/// Notes that a customer is gone at Stripe.
pub async fn end(tx: &Tx, tenant: Uuid, customer: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(&END, &[&tenant, &customer, &now]).await?;
    Ok(())
}

/// Takes the lease of a customer until `until`. False where somebody else holds it.
pub async fn take_lease(
    tx: &Tx,
    customer: &str,
    token: Uuid,
    (now, until): (Timestamp, Timestamp),
) -> Result<bool, StoreError> {
    Ok(tx.execute(&TAKE_LEASE, &[&customer, &token, &now, &until]).await? == 1)
}

/// How long a lease holds from when it was last used.
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// Whether the lease still holds. It goes on for [`LEASE`] from here, and to the end of this transaction in any case.
pub async fn hold_lease(tx: &Tx, customer: &str, token: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    let until = now.saturating_add(LEASE).unwrap_or(now);
    Ok(tx.execute(&HOLD_LEASE, &[&customer, &token, &now, &until]).await? == 1)
}

/// Gives a lease back; `synced_at` is when what was written was read from Stripe.
pub async fn release(tx: &Tx, customer: &str, token: Uuid, synced_at: Option<Timestamp>) -> Result<(), StoreError> {
    tx.execute(&RELEASE, &[&customer, &token, &synced_at]).await?;
    Ok(())
}

/// Customers in the order of their ids, after this one.
pub async fn page(tx: &Tx, after: Option<&str>, limit: i64) -> Result<Vec<CustomerRow>, StoreError> {
    tx.rows(&PAGE, &[&after, &limit]).await?.iter().map(from_row).collect()
}

/// Customers that were last read from Stripe at or before an instant, the longest ago first.
pub async fn stale(tx: &Tx, before: Timestamp, limit: i64) -> Result<Vec<CustomerRow>, StoreError> {
    tx.rows(&STALE, &[&before, &limit]).await?.iter().map(from_row).collect()
}

fn from_row(row: &tokio_postgres::Row) -> Result<CustomerRow, StoreError> {
    Ok(CustomerRow { tenant_id: row.col(0)?, customer_id: row.col(1)? })
}
