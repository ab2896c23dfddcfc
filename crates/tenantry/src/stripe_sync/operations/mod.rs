//! Executing intents: each step a call under an idempotency key that is made of the intent's id, so that a request that
//! died, a worker that takes over and a call that got no answer all end in one customer, one subscription, one change.

mod cancel;
mod change;
mod checkout;
mod confirm;
mod metered;
pub mod portal;
pub mod preview;
mod seats;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tenantry_stripe::{IdempotencyKey, InvalidIdempotencyKey, StripeError};
use uuid::Uuid;

use super::Stripe;
use super::error::SyncError;
use crate::billing::operations::{Begun, Operation, Request};
use crate::storage::jobs::{self, ClaimedJob};
use crate::storage::stripe::operations as rows;
use crate::storage::stripe::prices::{self, PriceRow};
use crate::storage::stripe::subscriptions::{self as links, LinkRow};
use crate::storage::{StoreError, tenants};
use crate::tenancy::Actor;
use crate::tenancy::audit::{self, Deed};
use crate::write_tx;

/// How long a request waits for its operation before it answers that it goes on behind it.
const WAIT: Duration = Duration::from_secs(20);
/// How often a request looks whether the operation that it joined is done.
const LOOK: Duration = Duration::from_millis(200);
/// An operation that Stripe could not be reached for is given up after this long: its idempotency keys are forgotten
/// there about then.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(23);
/// The longest pause before an operation that Stripe could not be reached for is tried again.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);

/// What an operation is refused for, as it is told and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The problem's code.
    pub code: String,
    /// What happened.
    pub detail: String,
    /// Figures: a decline code, a page where the payment is confirmed.
    pub figures: Value,
}

impl Trouble {
    fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into(), figures: json!({}) }
    }

    fn to_json(&self) -> Value {
        json!({ "code": self.code, "detail": self.detail, "figures": self.figures })
    }

    fn of(stored: &Value) -> Self {
        let text = |name: &str| stored.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { code: text("code"), detail: text("detail"), figures: stored.get("figures").cloned().unwrap_or_default() }
    }
}

/// What became of an operation, for who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done; the answer.
    Done(Value),
    /// It is refused; nothing was changed.
    Refused(Trouble),
    /// It goes on; asked for again by its id.
    GoesOn(Uuid),
    /// Stripe cannot be reached: it goes on as soon as it can.
    Waits(Uuid),
}

/// Why a step is not done.
#[derive(Debug, thiserror::Error)]
enum StepError {
    /// Trying again can help.
    #[error(transparent)]
    Later(SyncError),
    /// It is refused for good.
    #[error("{0:?}")]
    Refused(Trouble),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Later(error.into())
    }
}

impl From<SyncError> for StepError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Stripe(error) => error.into(),
            other => Self::Later(other),
        }
    }
}

impl From<InvalidIdempotencyKey> for StepError {
    fn from(error: InvalidIdempotencyKey) -> Self {
        StripeError::from(error).into()
    }
}

impl From<StripeError> for StepError {
    fn from(error: StripeError) -> Self {
        if error.is_retryable_later() {
            return Self::Later(error.into());
        }
        match &error {
            StripeError::Card(refusal) => {
                let detail = format!("the payment failed: {}", refusal.message);
                let mut trouble = Trouble::new("card_declined", detail);
                trouble.figures = json!({ "declineCode": refusal.decline_code.as_ref().or(refusal.code.as_ref()) });
                Self::Refused(trouble)
            }
            other => {
                tracing::error!(error = %other, "Stripe refuses what an operation asks for");
                Self::Refused(Trouble::new("stripe_refused", "Stripe refuses this change; see the log of the server"))
            }
        }
    }
}

/// Executes an intent that was just written down, or waits for the one it joined. Goes on behind the caller where that
/// takes longer than a request should, or where the caller goes away.
pub async fn execute(stripe: &Stripe, begun: Begun, tenant: Uuid) -> Result<Outcome, SyncError> {
    let id = match begun {
        Begun::Joined(id) | Begun::Replayed(id) => id,
        Begun::New { operation, job, lease } => {
            let id = operation.id;
            let worker = stripe.clone();
            let run = tokio::spawn(async move { run_and_settle(&worker, &operation, &job, lease).await });
            match tokio::time::timeout(WAIT, run).await {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(error)) => {
                    tracing::error!(%error, operation = %id, "an operation ended badly; a worker takes it over");
                }
                Err(_) => {}
            }
            return Ok(Outcome::GoesOn(id));
        }
    };
    let looks = WAIT.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if let Some(outcome) = outcome(stripe, tenant, id).await? {
            return Ok(outcome);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Outcome::GoesOn(id))
}

/// What became of an operation; none while it is under way, or where there is none of this id.
pub async fn outcome(stripe: &Stripe, tenant: Uuid, id: Uuid) -> Result<Option<Outcome>, SyncError> {
    let tx = stripe.db.read_as_service("operation_outcome", &[tenant]).await?;
    let row = rows::get(&tx, tenant, id).await?;
    tx.rollback().await?;
    Ok(row.and_then(|row| match (row.state.as_str(), row.outcome) {
        ("succeeded", Some(outcome)) => Some(Outcome::Done(outcome)),
        ("failed", Some(outcome)) => Some(Outcome::Refused(Trouble::of(&outcome))),
        _ => None,
    }))
}

/// Executes the operation of a job that a worker took over; when to try again, where it is not done.
pub async fn take_over(stripe: &Stripe, job: &ClaimedJob, lease: Uuid) -> Result<(), SyncError> {
    let tx = stripe.db.read_as_service("operation_of_job", &[job.tenant_id]).await?;
    let row = rows::get(&tx, job.tenant_id, job.id).await?;
    tx.rollback().await?;
    let Some(row) = row.filter(|row| row.state == "running") else {
        let now = stripe.env.clock.now();
        write_tx!(stripe.db, "finish_operation_job", &[], |tx| jobs::finish(tx, job, lease, now).await)?;
        return Ok(());
    };
    run_and_settle(stripe, &Operation::of(&row)?, job, lease).await.map(drop)
}

async fn run_and_settle(
    stripe: &Stripe,
    operation: &Operation,
    job: &ClaimedJob,
    lease: Uuid,
) -> Result<Outcome, SyncError> {
    match run(stripe, operation).await {
        Ok(answer) => {
            settle(stripe, operation, job, lease, Ok(&answer)).await?;
            Ok(Outcome::Done(answer))
        }
        Err(StepError::Refused(trouble)) => {
            settle(stripe, operation, job, lease, Err(&trouble)).await?;
            Ok(Outcome::Refused(trouble))
        }
        Err(StepError::Later(error)) => {
            let now = stripe.env.clock.now();
            if now.duration_since(operation.created_at) >= GIVE_UP {
                let trouble = Trouble::new("stripe_unavailable", "Stripe could not be reached for a day");
                settle(stripe, operation, job, lease, Err(&trouble)).await?;
                return Ok(Outcome::Refused(trouble));
            }
            tracing::warn!(operation = %operation.id, kind = operation.request.kind(), %error, "an operation waits");
            let run_at = now.saturating_add(jobs::pause(job.attempts, LONGEST)).unwrap_or(now);
            let reason = error.to_string();
            write_tx!(stripe.db, "postpone_operation", &[], |tx| {
                jobs::postpone(tx, job, lease, run_at, Some(&reason)).await
            })?;
            Ok(Outcome::Waits(operation.id))
        }
    }
}

async fn run(stripe: &Stripe, operation: &Operation) -> Result<Value, StepError> {
    match &operation.request {
        Request::Checkout { plan_id, interval, trial_days } => {
            checkout::run(stripe, operation, (plan_id, interval), *trial_days).await
        }
        Request::Upgrade { plan_id, interval, proration_date } => {
            change::upgrade(stripe, operation, (plan_id, interval), *proration_date).await
        }
        Request::Downgrade { plan_id, interval } => change::downgrade(stripe, operation, (plan_id, interval)).await,
        Request::Cancel => cancel::cancel(stripe, operation).await,
        Request::Resume => cancel::resume(stripe, operation).await,
        Request::Seats => seats::run(stripe, operation).await,
        Request::Metered => metered::run(stripe, operation).await,
    }
}

/// Writes what became of an operation, where its job is still ours.
async fn settle(
    stripe: &Stripe,
    operation: &Operation,
    job: &ClaimedJob,
    lease: Uuid,
    done: Result<&Value, &Trouble>,
) -> Result<(), SyncError> {
    let now = stripe.env.clock.now();
    let tenant = operation.tenant_id;
    let succeeded = done.is_ok();
    let outcome = done.map_or_else(Trouble::to_json, Clone::clone);
    write_tx!(stripe.db, "settle_operation", &[tenant], |tx| {
        if !jobs::finish(tx, job, lease, now).await? {
            // Somebody else took it over, and comes to the same under the same keys.
            return Ok(());
        }
        rows::settle(tx, (tenant, operation.id), succeeded, &outcome, now).await?;
        if let (false, Some(held)) = (succeeded, tenants::lock(tx, tenant).await?) {
            let payload = json!({ "kind": operation.request.kind(), "code": outcome.get("code") });
            let deed = Deed { kind: "billing.refused", actor: Actor::System, subject_id: Some(operation.id), payload };
            audit::append(tx, &held, &stripe.env, now, deed).await?;
        }
        Ok(())
    })
    .map_err(SyncError::Store)
}

/// The idempotency key of a step, which can name objects of Stripe's.
fn key(operation: &Operation, step: &str) -> Result<IdempotencyKey, InvalidIdempotencyKey> {
    IdempotencyKey::new(format!("op-{}-{step}", operation.id))
}

/// The price of a plan that is sold now.
async fn price(stripe: &Stripe, (plan, interval): (&str, &str)) -> Result<PriceRow, StepError> {
    let tx = stripe.db.read_as_service("price_of_plan", &[]).await?;
    let found = prices::current(&tx, plan, interval).await?;
    tx.rollback().await?;
    found.ok_or_else(|| {
        StepError::Refused(Trouble::new(
            "catalog_not_pushed",
            format!("the plan {plan} has no price at Stripe yet: run `tenantry catalog push`"),
        ))
    })
}

/// The subscription at Stripe that a tenant pays for.
async fn link(stripe: &Stripe, tenant: Uuid) -> Result<LinkRow, StepError> {
    let found = write_tx!(stripe.db, "paid_subscription", &[tenant], |tx| {
        let Some(held) = tenants::lock(tx, tenant).await? else { return Ok(None) };
        let Some(current) = links::current(tx, &held).await?.filter(|current| current.is_at_stripe) else {
            return Ok(None);
        };
        links::link_of(tx, tenant, current.id).await
    })?;
    found.ok_or_else(|| {
        StepError::Refused(Trouble::new("checkout_required", "the tenant has no paid subscription any more"))
    })
}

/// An instant for who asked.
fn told(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.to_string().into())
}
