//! What is done behind the requests: due jobs, one tenant at a time, and housekeeping.
//!
//! A job is a row that was committed with its cause. A worker leases it, opens its tenant, does it, and marks it
//! done; a worker that dies loses its lease, and the job is done by another. Every job is safe to do twice.
//!
//! There are three lanes: what only needs the database is done one after the other; what waits for machines elsewhere
//! (`outbound`) is done many at a time, so that a slow receiver holds up nobody's books; what needs Stripe (`billing`)
//! has a pace of its own, and is left alone where there is no Stripe. Letting old usage leave takes long, and nobody
//! waits for it.

mod billing;
mod housekeeping;
mod outbound;
mod retention;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::env::Env;
use crate::notices::{self, FAN_OUT_NOTICE, Outbound};
use crate::storage::jobs::{self, ClaimedJob, Kinds};
use crate::storage::{Database, StoreError};
use crate::stripe_sync::Stripe;
use crate::stripe_sync::error::SyncError;
use crate::usage::closing::{self, Closed};
use crate::usage::holds::{self, EXPIRE_JOB};
use crate::usage::retention::Retention;
use crate::write_tx;

pub use billing::work_due;
pub use outbound::deliver_due;

/// How long a worker waits before it looks again, when nothing was due.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a job may take before another worker takes it over.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
/// Jobs that are claimed at once.
const AT_ONCE: i64 = 20;
/// How long a job that came too early waits.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// The longest pause between two tries of a job that fails.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// What became of a job.
enum Done {
    Finished,
    /// Not yet; again at this time.
    Later(Timestamp),
}

/// Why a job is not done.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no such kind of job; a newer tenantry may know it")]
    UnknownKind,
    #[error("the payload has no {0}")]
    Payload(&'static str),
    #[error("it panicked; the log has the place")]
    Panicked,
    #[error(transparent)]
    Stripe(#[from] SyncError),
}

impl From<notices::Then> for Done {
    fn from(then: notices::Then) -> Self {
        match then {
            notices::Then::Finished => Self::Finished,
            notices::Then::Later(at) => Self::Later(at),
        }
    }
}

/// The worker of a server.
#[derive(Debug)]
pub struct Worker {
    stopping: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Starts working. Usage leaves where so many months of it are retained.
    pub fn start(
        db: Database,
        env: Env,
        outbound: Outbound,
        stripe: Option<Stripe>,
        retained: Option<(Retention, u32)>,
    ) -> Self {
        let stopping = CancellationToken::new();
        let sending = outbound::work(db.clone(), env.clone(), outbound, stopping.clone());
        let mut tasks = vec![tokio::spawn(work(db, env, stopping.clone())), tokio::spawn(sending)];
        tasks.extend(stripe.map(|stripe| tokio::spawn(billing::work(stripe, stopping.clone()))));
        tasks.extend(
            retained.map(|(retention, months)| tokio::spawn(retention::work(retention, months, stopping.clone()))),
        );
        Self { stopping, tasks }
    }

    /// Finishes the jobs in hand and stops.
    pub async fn stop(self) {
        self.stopping.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the worker ended badly");
            }
        }
    }
}

async fn work(db: Database, env: Env, stopping: CancellationToken) {
    let mut housekeeping = housekeeping::Housekeeping::default();
    while !stopping.is_cancelled() {
        if AssertUnwindSafe(housekeeping.run_if_due(&db, &env)).catch_unwind().await.is_err() {
            tracing::error!("housekeeping panicked; it is tried again in ten minutes");
        }
        let done = match run_due(&db, &env, &stopping).await {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(%error, "jobs could not be claimed");
                0
            }
        };
        if done == 0 {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// Takes jobs that are due for a lease, whose token comes first.
async fn claim(db: &Database, env: &Env, kinds: Kinds<'_>, limit: i64) -> Result<(Uuid, Vec<ClaimedJob>), StoreError> {
    let now = env.clock.now();
    let lease = env.ids.uuid_v7(now);
    let until = now.checked_add(LEASE).unwrap_or(now);
    let claimed = write_tx!(db, "claim_jobs", &[], |tx| jobs::claim(tx, lease, (now, until), kinds, limit).await)?;
    Ok((lease, claimed))
}

/// Does the jobs that are due, one after the other, but for those that send something; how many were claimed. Also
/// for commands and tests that do not wait for a server.
pub async fn run_due(db: &Database, env: &Env, stopping: &CancellationToken) -> Result<usize, StoreError> {
    let others: Vec<&str> = outbound::KINDS.iter().chain(billing::KINDS).copied().collect();
    let (lease, claimed) = claim(db, env, Kinds::AllBut(&others), AT_ONCE).await?;
    for job in &claimed {
        if stopping.is_cancelled() {
            settle(db, job, lease, Ok(Done::Later(env.clock.now())), env).await?;
            continue;
        }
        let done = caught(run(db, env, job)).await;
        settle(db, job, lease, done, env).await?;
    }
    Ok(claimed.len())
}

/// A bug must cost its job this try, not everybody the worker.
async fn caught(work: impl Future<Output = Result<Done, JobError>>) -> Result<Done, JobError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Err(JobError::Panicked))
}

async fn run(db: &Database, env: &Env, job: &ClaimedJob) -> Result<Done, JobError> {
    match job.kind.as_str() {
        "close_period" => {
            let start = job.payload.get("periodStart").and_then(|value| value.as_str());
            let start = start.and_then(|text| text.parse().ok()).ok_or(JobError::Payload("periodStart"))?;
            Ok(match closing::close_period(db, env, job.tenant_id, start).await? {
                Closed::Now | Closed::Before => Done::Finished,
                Closed::NotYet => Done::Later(later(env.clock.now(), EARLY)),
            })
        }
        EXPIRE_JOB => Ok(match holds::expire_due(db, env, job.tenant_id).await? {
            Some(next) => Done::Later(next),
            None => Done::Finished,
        }),
        FAN_OUT_NOTICE => {
            notices::fan_out::fan_out(db, env, job.tenant_id, id_of(job, "notificationId")?).await?;
            Ok(Done::Finished)
        }
        _ => Err(JobError::UnknownKind),
    }
}

/// An id that a job's payload names.
fn id_of(job: &ClaimedJob, member: &'static str) -> Result<Uuid, JobError> {
    let id = job.payload.get(member).and_then(|value| value.as_str());
    id.and_then(|text| text.parse().ok()).ok_or(JobError::Payload(member))
}

async fn settle(
    db: &Database,
    job: &ClaimedJob,
    lease: Uuid,
    done: Result<Done, JobError>,
    env: &Env,
) -> Result<(), StoreError> {
    let now = env.clock.now();
    let (outcome, run_at, reason) = match done {
        Ok(Done::Finished) => ("done", None, None),
        Ok(Done::Later(at)) => ("later", Some(at), None),
        Err(error) => {
            tracing::warn!(%error, tenant = %job.tenant_id, job = %job.id, kind = job.kind, attempts = job.attempts, "a job failed");
            ("failed", Some(later(now, jobs::pause(job.attempts, LONGEST_PAUSE))), Some(error.to_string()))
        }
    };
    metrics::counter!("tenantry_jobs_total", "kind" => job.kind.clone(), "outcome" => outcome).increment(1);
    let is_ours = write_tx!(db, "settle_job", &[], |tx| {
        match run_at {
            None => jobs::finish(tx, job, lease, now).await,
            Some(run_at) => jobs::postpone(tx, job, lease, run_at, reason.as_deref()).await,
        }
    })?;
    if !is_ours {
        tracing::info!(job = %job.id, kind = job.kind, "another worker took the job over");
    }
    Ok(())
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_is_a_job_that_failed() {
        let job = async { std::panic::resume_unwind(Box::new("a bug")) };
        assert!(matches!(caught(job).await, Err(JobError::Panicked)));
        assert!(matches!(caught(async { Ok(Done::Finished) }).await, Ok(Done::Finished)));
    }
}
