//! The lane of jobs that send something: mails and webhooks.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Done, JobError, PAUSE, claim, id_of, settle};
use crate::env::Env;
use crate::notices::{DELIVER_WEBHOOK, Outbound, SEND_MAIL, mail, webhooks};
use crate::storage::jobs::{ClaimedJob, Kinds};
use crate::storage::{Database, StoreError};
use crate::tenancy::invitations::MAIL_JOB as SEND_INVITATION;

/// The kinds of jobs of this lane.
pub(super) const KINDS: &[&str] = &[SEND_MAIL, DELIVER_WEBHOOK, SEND_INVITATION];
/// Jobs that are under way at once. Each waits for somebody else's machine most of its time.
const AT_ONCE: usize = 16;

/// What every job of the lane needs.
struct Means {
    db: Database,
    env: Env,
    outbound: Outbound,
}

/// Keeps the lane filled until it is told to stop; then finishes what is under way.
pub(super) async fn work(db: Database, env: Env, outbound: Outbound, stopping: CancellationToken) {
    let means = Arc::new(Means { db, env, outbound });
    let mut under_way = JoinSet::new();
    while !stopping.is_cancelled() {
        let free = AT_ONCE - under_way.len();
        let begun = if free == 0 { 0 } else { begin(&means, free, &mut under_way).await };
        if begun > 0 && under_way.len() < AT_ONCE {
            continue;
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            // With nothing under way this is never ready, and the pause counts.
            Some(ended) = under_way.join_next() => log(ended),
            () = tokio::time::sleep(PAUSE), if free > 0 => {}
        }
    }
    while let Some(ended) = under_way.join_next().await {
        log(ended);
    }
}

/// Begins jobs that are due; how many.
async fn begin(means: &Arc<Means>, free: usize, under_way: &mut JoinSet<Result<(), StoreError>>) -> usize {
    let limit = i64::try_from(free).unwrap_or(1);
    match claim(&means.db, &means.env, Kinds::Only(KINDS), limit).await {
        Ok((lease, claimed)) => {
            let begun = claimed.len();
            for job in claimed {
                let means = Arc::clone(means);
                under_way.spawn(async move { finish(&means, &job, lease).await });
            }
            begun
        }
        Err(error) => {
            tracing::warn!(%error, "mails and webhooks could not be claimed");
            0
        }
    }
}

fn log(ended: Result<Result<(), StoreError>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a job could not be marked; another worker does it again"),
        Err(error) => tracing::error!(%error, "a job ended badly; another worker does it again"),
    }
}

/// Sends what is due, until nothing more is; how many jobs that were. For commands and tests that do not wait for a
/// server.
pub async fn deliver_due(db: &Database, env: &Env, outbound: &Outbound) -> Result<usize, StoreError> {
    let means = Arc::new(Means { db: db.clone(), env: env.clone(), outbound: outbound.clone() });
    let mut done = 0;
    loop {
        let mut under_way = JoinSet::new();
        match begin(&means, AT_ONCE, &mut under_way).await {
            0 => return Ok(done),
            begun => done += begun,
        }
        while let Some(ended) = under_way.join_next().await {
            log(ended);
        }
    }
}

async fn finish(means: &Means, job: &ClaimedJob, lease: Uuid) -> Result<(), StoreError> {
    let done = run(means, job).await;
    settle(&means.db, job, lease, done, &means.env).await
}

async fn run(means: &Means, job: &ClaimedJob) -> Result<Done, JobError> {
    let Means { db, env, outbound } = means;
    let tenant = job.tenant_id;
    let then = match job.kind.as_str() {
        SEND_MAIL => mail::send(db, env, outbound.mailer.as_ref(), (tenant, id_of(job, "mailId")?)).await?,
        SEND_INVITATION => mail::invitation::send(db, env, outbound, (tenant, id_of(job, "mailId")?)).await?,
        _ => webhooks::delivery::deliver(db, env, &outbound.sender, (tenant, id_of(job, "deliveryId")?)).await?,
    };
    Ok(then.into())
}
