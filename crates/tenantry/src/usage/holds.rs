//! Holds: quota that is reserved before work of unknown size, and settled with what the work used.
//!
//! An open hold is part of its counter's `held`, and limits judge `total + held`. Whoever takes or settles one has the
//! counter's row locked. From its expiry on a hold counts no more: the careful way and everything here takes expired
//! ones out of the counters that it locked before it decides, reads leave them out, and a job takes out the rest, so that
//! the guard of the fast way does not refuse for their sake what then has to be decided with care.
//!
//! A hold belongs to the period in which it was taken and settles there; see `ingest/settle.rs`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use tenantry_domain::limit::Standing;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::event::truncate_to_micros;
use super::outcome::Outcome;
use crate::env::Env;
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::holds::{self as rows, HeldBy, HoldRow};
use crate::storage::usage::{commit, open};
use crate::storage::{Database, MaybeRetryable, StoreError, Tx};
use crate::tenancy::TenancyError;
use crate::write_tx;

/// Seconds that a hold lasts where nobody says.
pub const DEFAULT_TTL: i64 = 300;
/// Seconds that a hold lasts at the most.
pub const LONGEST_TTL: i64 = 86_400;

/// Kind of the jobs that take expired holds out of the counters.
pub const EXPIRE_JOB: &str = "expire_holds";
/// Holds of a tenant that expire within this are taken out together.
const TOGETHER: SignedDuration = SignedDuration::from_mins(1);

/// What the keys of the events begin with that holds become.
const KEY_PREFIX: &str = "hold:";

/// Quota to be reserved.
#[derive(Debug, Clone)]
pub struct NewHold {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The team in whose name a user asks; the tenant is its owner's.
    pub team_id: Option<Uuid>,
    /// What is reserved; declared by the catalog.
    pub metric: String,
    /// How much.
    pub amount: Quantity,
    /// How long it lasts.
    pub lasts: SignedDuration,
    /// Who will use it.
    pub user_id: Option<Uuid>,
    /// Metadata of the event that it becomes.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// How a hold is to end.
#[derive(Debug, Clone)]
pub enum Settlement {
    /// So much was used: more than 0.
    Commit(Quantity, serde_json::Map<String, serde_json::Value>),
    /// Nothing was used.
    Release,
}

/// A hold, and where its metric stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The hold.
    pub hold: HoldRow,
    /// Of the hold's period.
    pub standing: Standing,
}

/// Why a hold is not taken or settled. Nothing was changed but a counter of refusals.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The database, or the request's `Idempotency-Key`.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// What recording the same usage would be answered: anything but that it counts.
    #[error("the usage would not be recorded: {0:?}")]
    Declined(Box<Outcome>),
    /// There is no such hold of the caller's.
    #[error("no such hold")]
    NotFound,
    /// The hold ended before, in another way.
    #[error("the hold is {}", .0.state)]
    NotOpen(Box<HoldRow>),
    /// Reserving needs a total that is the sum of its events.
    #[error("a metric that is counted as `{0}` cannot be reserved")]
    NotSupported(String),
}

impl From<StoreError> for HoldError {
    fn from(error: StoreError) -> Self {
        Self::Tenancy(error.into())
    }
}

impl MaybeRetryable for HoldError {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::Tenancy(error) if error.is_retryable())
    }
}

impl HoldError {
    /// What recording the usage would be answered.
    pub(super) fn declined(outcome: Outcome) -> Self {
        Self::Declined(Box::new(outcome))
    }
}

/// The idempotency key of the event that a hold becomes.
pub fn key_of(hold: Uuid) -> String {
    format!("{KEY_PREFIX}{hold}")
}

/// Whether an idempotency key is one that a hold's event has, so that no caller may take it.
pub(super) fn is_key(key: &str) -> bool {
    key.strip_prefix(KEY_PREFIX).is_some_and(|id| id.len() == 36 && Uuid::try_parse(id).is_ok())
}

/// When a hold that is taken now expires.
pub(super) fn expiry(now: Timestamp, lasts: SignedDuration) -> Timestamp {
    truncate_to_micros(now.saturating_add(lasts).unwrap_or(now))
}

/// The instant of what is used by a hold: now, or the last one of its period where that has ended.
pub(super) fn settles_at(now: Timestamp, counter: &CounterRow) -> Timestamp {
    let last = counter.period_end.saturating_sub(SignedDuration::from_micros(1)).unwrap_or(counter.period_end);
    truncate_to_micros(now).clamp(counter.period_start, last)
}

/// Takes holds that have expired out of these counters, which are locked, and out of their rows here.
pub(super) async fn expire(tx: &Tx, counters: &mut [CounterRow], now: Timestamp) -> Result<(), StoreError> {
    let holding: Vec<&CounterRow> = counters.iter().filter(|counter| !counter.held.is_zero()).collect();
    if holding.is_empty() {
        return Ok(());
    }
    let sums = sums(rows::expire(tx, &holding, now).await?);
    if sums.is_empty() {
        return Ok(());
    }
    let changes: Vec<HeldBy> = sums.iter().map(|(key, sum)| (key.clone(), -*sum)).collect();
    rows::add_held(tx, &changes).await?;
    take_out(counters, &sums);
    Ok(())
}

/// Takes what has expired out of the rows of counters that were read, so that they say what counts at `now`.
pub(super) async fn leave_out_expired(tx: &Tx, counters: &mut [CounterRow], now: Timestamp) -> Result<(), StoreError> {
    let holding: Vec<&CounterRow> = counters.iter().filter(|counter| !counter.held.is_zero()).collect();
    if holding.is_empty() {
        return Ok(());
    }
    let sums = sums(rows::expired(tx, &holding, now).await?);
    take_out(counters, &sums);
    Ok(())
}

type Sums = BTreeMap<(Uuid, String, Timestamp), Decimal>;

fn sums(held: Vec<HeldBy>) -> Sums {
    let mut sums = Sums::new();
    for (key, amount) in held {
        *sums.entry(key).or_default() += amount;
    }
    sums
}

fn take_out(counters: &mut [CounterRow], sums: &Sums) {
    for counter in counters {
        let key = (counter.tenant_id, counter.metric.clone(), counter.period_start);
        // Between two reads somebody else may have taken out the same.
        counter.held = (counter.held - sums.get(&key).copied().unwrap_or_default()).max(Decimal::ZERO);
    }
}

/// Asks for the job that takes a hold out when it has expired.
pub(super) async fn arm(tx: &Tx, env: &Env, hold: &HoldRow, now: Timestamp) -> Result<(), StoreError> {
    let id = env.ids.uuid_v7(now);
    rows::arm(tx, (hold.tenant_id, id), EXPIRE_JOB, (now, together(hold.expires_at))).await
}

/// The next full minute.
fn together(at: Timestamp) -> Timestamp {
    let minute = i128::from(TOGETHER.as_secs()) * 1_000_000_000;
    let up = (at.as_nanosecond() + minute - 1).div_euclid(minute) * minute;
    Timestamp::from_nanosecond(up).unwrap_or(at)
}

/// Takes the expired holds of a tenant out of its counters. Gives when to look again, if any are open: not at once, also
/// where one could not be taken out.
pub async fn expire_due(db: &Database, env: &Env, tenant: Uuid) -> Result<Option<Timestamp>, StoreError> {
    write_tx!(db, "expire_holds", &[tenant], |tx| {
        let now = env.clock.now();
        let due = rows::due(tx, tenant, now).await?;
        if !due.is_empty() {
            let tenants = vec![tenant; due.len()];
            let metrics: Vec<&str> = due.iter().map(|(metric, _)| metric.as_str()).collect();
            let starts: Vec<Timestamp> = due.iter().map(|(_, start)| *start).collect();
            let mut counters = commit::lock_counters(tx, &tenants, &metrics, &starts).await?;
            expire(tx, &mut counters, now).await?;
        }
        let soon = now.saturating_add(TOGETHER).unwrap_or(now);
        Ok(rows::next_expiry(tx, tenant).await?.map(|next| together(next).max(soon)))
    })
}

/// Whether a period has open holds that were taken from an instant on.
pub(super) async fn any_since(
    tx: &Tx,
    key: (Uuid, Timestamp),
    since: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(!rows::taken_since(tx, key, since, now).await?.is_empty())
}

/// Moves the open holds of a period that were taken from the start of a new one on into that, with what they hold;
/// `counter` makes the counter of a metric there. What has expired stays where it is, until it is taken out.
pub(super) async fn move_on(
    tx: &Tx,
    (tenant, old_start): (Uuid, Timestamp),
    new_start: Timestamp,
    now: Timestamp,
    counter: impl Fn(&str) -> Result<open::NewCounter, StoreError>,
) -> Result<(), StoreError> {
    for metric in rows::taken_since(tx, (tenant, old_start), new_start, now).await? {
        open::insert_counters(tx, &[counter(&metric)?]).await?;
        rows::move_on(tx, (tenant, &metric, old_start), new_start, now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_holds_are_their_own() {
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        assert!(is_key(&key_of(id)));
        assert!(is_key(&key_of(id).to_uppercase().replace("HOLD:", "hold:")));
        for other in ["hold:", "hold:1", "hold", "", "HOLD:01900000-0000-7000-8000-000000000001"] {
            assert!(!is_key(other), "{other}");
        }
        assert!(!is_key(&format!("hold:{}", id.simple())));
        assert!(!is_key(&format!("{} ", key_of(id))));
    }

    #[test]
    fn holds_are_taken_out_on_full_minutes() {
        for (at, due) in [
            ("2026-03-15T12:00:00Z", "2026-03-15T12:00:00Z"),
            ("2026-03-15T12:00:00.000001Z", "2026-03-15T12:01:00Z"),
            ("2026-03-15T12:00:59.999999Z", "2026-03-15T12:01:00Z"),
        ] {
            assert_eq!(together(at.parse().unwrap()), due.parse().unwrap(), "{at}");
        }
    }
}
