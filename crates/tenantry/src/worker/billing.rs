//! The lane of what has to do with Stripe: the inbox of events, operations that a request did not see through, charges
//! on their way to an invoice, and the sweeps that find what no webhook told.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Done, JobError, PAUSE, caught, claim, later, settle};
use crate::storage::StoreError;
use crate::storage::jobs::{ClaimedJob, Kinds};
use crate::storage::stripe::operations::JOB as OPERATION_JOB;
use crate::stripe_sync::apply::SYNC_JOB;
use crate::stripe_sync::error::SyncError;
use crate::stripe_sync::{Stripe, events, farewell, metered, operations, overage, seats, sweep, sync};
use crate::usage::charges::BILL_JOB;

/// The kinds of jobs of this lane.
pub(super) const KINDS: &[&str] = &[OPERATION_JOB, BILL_JOB, SYNC_JOB, seats::JOB, metered::JOB, farewell::JOB];
/// Jobs that are claimed at once: each makes calls, one after the other.
const AT_ONCE: i64 = 10;
/// How long a job waits whose customer is in somebody else's hands.
const BUSY: SignedDuration = SignedDuration::from_secs(2);
/// How often is looked for what no webhook told.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// Works until it is told to stop.
pub(super) async fn work(stripe: Stripe, stopping: CancellationToken) {
    let mut swept: Option<Timestamp> = None;
    while !stopping.is_cancelled() {
        let now = stripe.env.clock.now();
        if swept.is_none_or(|last| now.duration_since(last) >= SWEEP_EVERY) {
            swept = Some(now);
            sweep(&stripe).await;
        }
        let done = match AssertUnwindSafe(round(&stripe, &stopping)).catch_unwind().await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                tracing::warn!(%error, "work with Stripe could not be claimed");
                0
            }
            Err(_) => {
                tracing::error!("handling events panicked; they are handled again when their lease is over");
                0
            }
        };
        if done == 0 {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = stripe.woken.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// Looks for what no webhook told; what goes wrong is tried again with the next sweep.
async fn sweep(stripe: &Stripe) {
    match sweep::undelivered_events(stripe).await {
        Ok(0) => {}
        Ok(found) => tracing::info!(found, "events that no webhook told were found"),
        Err(error) => tracing::warn!(%error, "the sweep over events failed; it is tried again in five minutes"),
    }
    if let Err(error) = sweep::stale_customers(stripe).await {
        tracing::warn!(%error, "the sweep over customers failed; it is tried again in five minutes");
    }
}

async fn round(stripe: &Stripe, stopping: &CancellationToken) -> Result<usize, StoreError> {
    let handled = events::handle_due(stripe).await?;
    Ok(handled + jobs_due(stripe, stopping).await?)
}

/// Does everything of this lane that is due, until nothing more is. For commands and tests that do not wait for a
/// server.
pub async fn work_due(stripe: &Stripe) -> Result<usize, StoreError> {
    let never = CancellationToken::new();
    let mut done = 0;
    loop {
        match round(stripe, &never).await? {
            0 => return Ok(done),
            some => done += some,
        }
    }
}

async fn jobs_due(stripe: &Stripe, stopping: &CancellationToken) -> Result<usize, StoreError> {
    let (lease, claimed) = claim(&stripe.db, &stripe.env, Kinds::Only(KINDS), AT_ONCE).await?;
    for job in &claimed {
        if stopping.is_cancelled() {
            settle(&stripe.db, job, lease, Ok(Done::Later(stripe.env.clock.now())), &stripe.env).await?;
        } else if job.kind == OPERATION_JOB {
            operation(stripe, job, lease).await;
        } else {
            let done = caught(run(stripe, job)).await;
            settle(&stripe.db, job, lease, done, &stripe.env).await?;
        }
    }
    Ok(claimed.len())
}

/// An operation settles its job itself, together with its outcome.
async fn operation(stripe: &Stripe, job: &ClaimedJob, lease: Uuid) {
    let taken = caught(async {
        Box::pin(operations::take_over(stripe, job, lease)).await?;
        Ok(Done::Finished)
    });
    if let Err(error) = taken.await {
        tracing::warn!(%error, tenant = %job.tenant_id, operation = %job.id, "an operation is left for its next lease");
    }
}

async fn run(stripe: &Stripe, job: &ClaimedJob) -> Result<Done, JobError> {
    let again = Done::Later(later(stripe.env.clock.now(), BUSY));
    let is_done = match job.kind.as_str() {
        BILL_JOB => overage::bill_tenant(stripe, job.tenant_id).await,
        SYNC_JOB => sync::sync_tenant(stripe, job.tenant_id).await.map(|_| true),
        seats::JOB => seats::reconcile(stripe, job.tenant_id).await,
        metered::JOB => metered::reconcile(stripe, job.tenant_id).await,
        farewell::JOB => farewell::leave(stripe, job.tenant_id).await,
        _ => return Err(JobError::UnknownKind),
    };
    match is_done {
        Ok(true) => Ok(Done::Finished),
        Ok(false) | Err(SyncError::Busy) => Ok(again),
        Err(error) => Err(error.into()),
    }
}
