//! Rows of `development_clock`: how far the sandbox's clock was moved ahead.

use jiff::Timestamp;
use uuid::Uuid;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

query! {
    service OFFSET = "select coalesce(max(offset_seconds), 0) from tenantry.development_clock";
    service MOVE = "
        insert into tenantry.development_clock (id, offset_seconds, created_at) values ($1, $2, $3)";
}

/// Seconds that the deployment's clock is ahead of the machine's.
pub async fn offset_seconds(tx: &Tx) -> Result<i64, StoreError> {
    tx.one(&OFFSET, &[]).await?.col(0)
}

/// Moves the clock ahead; it never goes back.
pub async fn move_to(tx: &Tx, id: Uuid, offset_seconds: i64, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&MOVE, &[&id, &offset_seconds, &now]).await
}
