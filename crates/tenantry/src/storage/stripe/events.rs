//! Rows of `stripe_events`: the inbox. An event comes in once, is claimed by a lease, done or tried again, and dead
//! after too many failures.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::{StoreError, Tx};

/// An event as it came in.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// Stripe's id: the same event told twice is one row.
    pub id: &'a str,
    /// What happened, as Stripe names it; any name is taken.
    pub kind: &'a str,
    /// Version of the API that the payload is of.
    pub api_version: Option<&'a str>,
    /// Id of the object that it is about.
    pub object_id: Option<&'a str>,
    /// Customer that the object belongs to, where the payload says so.
    pub customer_id: Option<&'a str>,
    /// The whole event.
    pub payload: &'a serde_json::Value,
    /// When Stripe made it, to the second.
    pub created_at: Timestamp,
}

/// An event of the inbox.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Stripe's id.
    pub id: String,
    /// What happened.
    pub kind: String,
    /// Id of the object that it is about.
    pub object_id: Option<String>,
    /// Customer that the object belongs to.
    pub customer_id: Option<String>,
    /// The whole event.
    pub payload: serde_json::Value,
    /// When Stripe made it.
    pub created_at: Timestamp,
    /// How often it was begun.
    pub attempts: i32,
    /// `pending`, `done` or `dead`.
    pub state: String,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// When it came in.
    pub received_at: Timestamp,
}

query! {
    service INSERT = "
        insert into tenantry.stripe_events
            (id, type, api_version, object_id, customer_id, payload, created_at, received_at, run_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $8)
        on conflict (id) do nothing";
    service CLAIM = "
        update tenantry.stripe_events e set lease_token = $1, lease_until = $3, attempts = e.attempts + 1
        from (
            select id from tenantry.stripe_events
            where state = 'pending' and run_at <= $2 and (lease_until is null or lease_until <= $2)
            order by run_at limit $4
            for update skip locked
        ) due
        where e.id = due.id
        returning e.id, e.type, e.object_id, e.customer_id, e.payload, e.created_at, e.attempts, e.state, e.last_error,
                  e.received_at";
    service FINISH = "
        update tenantry.stripe_events
        set state = 'done', finished_at = $3, lease_token = null, lease_until = null, last_error = null
        where id = any ($1) and lease_token = $2";
    service POSTPONE = "
        update tenantry.stripe_events
        set run_at = $3, last_error = coalesce($4, last_error), lease_token = null, lease_until = null,
            attempts = attempts - $5, state = case when $6 then 'dead' else state end
        where id = $1 and lease_token = $2";
    service OF_STATE = "
        select id, type, object_id, customer_id, payload, created_at, attempts, state, last_error, received_at
        from tenantry.stripe_events where state = $1 order by received_at desc, id limit $2";
    service COUNT_OF_STATE = "select count(*) from tenantry.stripe_events where state = $1";
    service COUNT_DUE = "
        select count(*) from tenantry.stripe_events where state = 'pending' and run_at <= $1";
    service REVIVE = "
        update tenantry.stripe_events
        set state = 'pending', run_at = $2, attempts = 0, finished_at = null
        where id = $1";
    service REVIVE_SINCE = "
        update tenantry.stripe_events
        set state = 'pending', run_at = $2, attempts = 0, finished_at = null
        where received_at >= $1 and state <> 'pending'";
    service REVIVE_DEAD = "
        update tenantry.stripe_events set state = 'pending', run_at = $1, attempts = 0 where state = 'dead'";
    service CURSOR = "select position from tenantry.stripe_cursors where name = $1";
    service MOVE_CURSOR = "
        insert into tenantry.stripe_cursors (name, position, updated_at) values ($1, $2, $3)
        on conflict (name) do update set position = excluded.position, updated_at = excluded.updated_at";
}

/// Puts an event into the inbox; false where it is there already.
pub async fn insert(tx: &Tx, event: &NewEvent<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let rows = tx
        .execute(
            &INSERT,
            &[
                &event.id,
                &event.kind,
                &event.api_version,
                &event.object_id,
                &event.customer_id,
                &event.payload,
                &event.created_at,
                &now,
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// Takes events that are due until `until`.
pub async fn claim(
    tx: &Tx,
    lease: Uuid,
    (now, until): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<EventRow>, StoreError> {
    tx.rows(&CLAIM, &[&lease, &now, &until, &limit]).await?.iter().map(from_row).collect()
}

/// Marks events done, those whose lease is still held.
pub async fn finish(tx: &Tx, ids: &[&str], lease: Uuid, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(&FINISH, &[&ids, &lease, &now]).await
}

/// What becomes of an event that is not done.
#[derive(Debug, Clone, Copy)]
pub enum Postponed<'a> {
    /// Somebody else works on its customer: again at once, not counted as a try.
    Busy,
    /// It failed: again later.
    Failed(&'a str),
    /// It failed too often.
    Dead(&'a str),
}

/// Gives an event back, to be tried at `run_at`.
pub async fn postpone(tx: &Tx, id: &str, lease: Uuid, run_at: Timestamp, why: Postponed<'_>) -> Result<(), StoreError> {
    let (reason, uncounted, is_dead) = match why {
        Postponed::Busy => (None, 1_i32, false),
        Postponed::Failed(reason) => (Some(reason), 0, false),
        Postponed::Dead(reason) => (Some(reason), 0, true),
    };
    tx.execute(&POSTPONE, &[&id, &lease, &run_at, &reason, &uncounted, &is_dead]).await?;
    Ok(())
}

/// The newest events of a state.
pub async fn of_state(tx: &Tx, state: &str, limit: i64) -> Result<Vec<EventRow>, StoreError> {
    tx.rows(&OF_STATE, &[&state, &limit]).await?.iter().map(from_row).collect()
}

/// How many events are in a state.
pub async fn count_of_state(tx: &Tx, state: &str) -> Result<i64, StoreError> {
    tx.one(&COUNT_OF_STATE, &[&state]).await?.col(0)
}

/// How many events wait to be handled.
pub async fn count_due(tx: &Tx, now: Timestamp) -> Result<i64, StoreError> {
    tx.one(&COUNT_DUE, &[&now]).await?.col(0)
}

/// Makes one event due again; false where there is none of this id.
pub async fn revive(tx: &Tx, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&REVIVE, &[&id, &now]).await? == 1)
}

/// Makes all events due again that came in at or after an instant; how many they are.
pub async fn revive_since(tx: &Tx, since: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(&REVIVE_SINCE, &[&since, &now]).await
}

/// Makes all dead events due again; how many they are.
pub async fn revive_dead(tx: &Tx, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(&REVIVE_DEAD, &[&now]).await
}

/// How far a sweep got.
pub async fn cursor(tx: &Tx, name: &str) -> Result<Option<Timestamp>, StoreError> {
    tx.opt(&CURSOR, &[&name]).await?.map(|row| row.col(0)).transpose()
}

/// Notes how far a sweep got.
pub async fn move_cursor(tx: &Tx, name: &str, position: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    tx.exactly_one(&MOVE_CURSOR, &[&name, &position, &now]).await
}

fn from_row(row: &Row) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        id: row.col(0)?,
        kind: row.col(1)?,
        object_id: row.col(2)?,
        customer_id: row.col(3)?,
        payload: row.col(4)?,
        created_at: row.col(5)?,
        attempts: row.col(6)?,
        state: row.col(7)?,
        last_error: row.col(8)?,
        received_at: row.col(9)?,
    })
}
