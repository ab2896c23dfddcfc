//! The queue of side effects: claimed by a lease, finished or tried again later.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::row::Column as _;
use super::{StoreError, Tx};
use crate::query;

/// How long what failed so many times waits: 5 seconds, doubled with each failure, up to `longest`.
pub fn pause(attempts: i32, longest: SignedDuration) -> SignedDuration {
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    SignedDuration::from_secs(5_i64 << doublings).min(longest)
}

/// A job that this process holds until its lease ends.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    /// The tenant it belongs to.
    pub tenant_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// What is to be done.
    pub kind: String,
    /// With what.
    pub payload: serde_json::Value,
    /// How often it was begun, this time included.
    pub attempts: i32,
}

/// A job to be asked for.
#[derive(Debug)]
pub struct NewJob<'a> {
    /// Its id.
    pub id: Uuid,
    /// The same kind and key of a tenant are one job, also after it was done.
    pub dedupe_key: String,
    /// With what.
    pub payload: &'a serde_json::Value,
}

query! {
    service INSERT = "
        insert into tenantry.jobs (tenant_id, id, kind, dedupe_key, payload, run_at, created_at)
        select $1, id, $2, dedupe_key, payload, $7, $6
        from unnest($3::uuid[], $4::text[], $5::jsonb[]) as wanted (id, dedupe_key, payload)
        on conflict (tenant_id, kind, dedupe_key) do nothing";
    /// Of the kinds in $5, or of all others.
    service CLAIM = "
        update tenantry.jobs j set lease_token = $1, lease_until = $3, attempts = j.attempts + 1
        from (
            select tenant_id, id from tenantry.jobs
            where finished_at is null and run_at <= $2 and (lease_until is null or lease_until <= $2)
              and (kind = any ($5)) = $6
            order by run_at limit $4
            for update skip locked
        ) due
        where j.tenant_id = due.tenant_id and j.id = due.id
        returning j.tenant_id, j.id, j.kind, j.payload, j.attempts";
    service FINISH = "
        update tenantry.jobs set finished_at = $4, lease_token = null, lease_until = null, last_error = null
        where tenant_id = $1 and id = $2 and lease_token = $3";
    service POSTPONE = "
        update tenantry.jobs set run_at = $4, last_error = $5, lease_token = null, lease_until = null
        where tenant_id = $1 and id = $2 and lease_token = $3";
    service COUNT_DUE = "select count(*) from tenantry.jobs where finished_at is null and run_at <= $1";
    service ENSURE_MONTH = "select tenantry.ensure_usage_month($1)";
}

/// Which jobs a worker takes.
#[derive(Debug, Clone, Copy)]
pub enum Kinds<'a> {
    /// These.
    Only(&'a [&'a str]),
    /// All but these.
    AllBut(&'a [&'a str]),
}

/// Asks for jobs of one kind, due now.
pub async fn insert(tx: &Tx, tenant: Uuid, kind: &str, jobs: &[NewJob<'_>], now: Timestamp) -> Result<(), StoreError> {
    insert_at(tx, tenant, kind, jobs, (now, now)).await
}

/// Asks for jobs of one kind, due at `run_at`.
pub async fn insert_at(
    tx: &Tx,
    tenant: Uuid,
    kind: &str,
    jobs: &[NewJob<'_>],
    (now, run_at): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.id).collect();
    let keys: Vec<&str> = jobs.iter().map(|job| job.dedupe_key.as_str()).collect();
    let payloads: Vec<&serde_json::Value> = jobs.iter().map(|job| job.payload).collect();
    tx.execute(&INSERT, &[&tenant, &kind, &ids, &keys, &payloads, &now, &run_at]).await?;
    Ok(())
}

/// Takes jobs that are due, the oldest first, for a lease that ends at `until`. Jobs of a worker that died are
/// taken when its lease is over.
pub async fn claim(
    tx: &Tx,
    lease: Uuid,
    (now, until): (Timestamp, Timestamp),
    kinds: Kinds<'_>,
    limit: i64,
) -> Result<Vec<ClaimedJob>, StoreError> {
    let (names, is_listed) = match kinds {
        Kinds::Only(names) => (names, true),
        Kinds::AllBut(names) => (names, false),
    };
    tx.rows(&CLAIM, &[&lease, &now, &until, &limit, &names, &is_listed])
        .await?
        .iter()
        .map(|row| {
            Ok(ClaimedJob {
                tenant_id: row.col(0)?,
                id: row.col(1)?,
                kind: row.col(2)?,
                payload: row.col(3)?,
                attempts: row.col(4)?,
            })
        })
        .collect()
}

/// Marks a job done. False where the lease was lost: somebody else does or did it.
pub async fn finish(tx: &Tx, job: &ClaimedJob, lease: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(&FINISH, &[&job.tenant_id, &job.id, &lease, &now]).await? == 1)
}

/// Gives a job back, to be done at `run_at`. `reason` is for the operator. False where the lease was lost.
pub async fn postpone(
    tx: &Tx,
    job: &ClaimedJob,
    lease: Uuid,
    run_at: Timestamp,
    reason: Option<&str>,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&POSTPONE, &[&job.tenant_id, &job.id, &lease, &run_at, &reason]).await? == 1)
}

/// Jobs that wait to be done.
pub async fn count_due(tx: &Tx, now: Timestamp) -> Result<i64, StoreError> {
    tx.one(&COUNT_DUE, &[&now]).await?.col(0)
}

/// Makes sure that usage of this month finds its partition.
pub async fn ensure_month(tx: &Tx, at: Timestamp) -> Result<(), StoreError> {
    tx.one(&ENSURE_MONTH, &[&at]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let hour = SignedDuration::from_hours(1);
        let seconds: Vec<i64> = [0, 1, 2, 3, 11, 1000].map(|attempts| pause(attempts, hour).as_secs()).to_vec();
        assert_eq!(seconds, [5, 5, 10, 20, 3600, 3600]);
    }
}
