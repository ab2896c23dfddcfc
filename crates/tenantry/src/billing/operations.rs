//! What a tenant asks for that needs Stripe: judged and written down as an intent, in one transaction under the tenant's
//! lock. Whoever executes it comes later; the intent is there even if nobody does at once.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::permission::Permission;
use tenantry_domain::plan::Plan;
use uuid::Uuid;

use super::plan_choice::{self, Present, Refused, Wish};
use crate::env::{Env, whole_seconds};
use crate::storage::jobs::ClaimedJob;
use crate::storage::stripe::operations::{self as rows, NewOperation, OperationRow};
use crate::storage::stripe::subscriptions as stripe_rows;
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::usage::open;
use crate::storage::{Database, MaybeRetryable, StoreError, Tx};
use crate::tenancy::audit::{self, Deed};
use crate::tenancy::authority::Authority;
use crate::tenancy::idempotency::{self, Claim, Idempotent, Kept};
use crate::tenancy::{Actor, TenancyError};
use crate::write_tx;

/// How long the request that wrote an intent may work on it before a worker takes it over.
const LEASE: SignedDuration = SignedDuration::from_secs(90);

/// What is asked for, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// Buy a plan on Stripe's page.
    Checkout {
        /// The plan.
        plan_id: String,
        /// `month` or `year`.
        interval: String,
        /// Days of trial.
        trial_days: u32,
    },
    /// Change to a higher plan, or from months to years, now.
    Upgrade {
        /// The plan.
        plan_id: String,
        /// `month` or `year`.
        interval: String,
        /// Instant that prorations count from: a preview's, else when it was asked for.
        proration_date: Timestamp,
    },
    /// Change to a lower plan, or from years to months, with the next period.
    Downgrade {
        /// The plan.
        plan_id: String,
        /// `month` or `year`.
        interval: String,
    },
    /// End with the period.
    Cancel,
    /// Take back a cancellation or a downgrade that is pending.
    Resume,
    /// Bring the seats that are paid for to the number of members.
    Seats,
    /// Bring the metered items to what the plan charges above what is included.
    Metered,
}

impl Request {
    /// As stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Checkout { .. } => "checkout",
            Self::Upgrade { .. } => "upgrade",
            Self::Downgrade { .. } => "downgrade",
            Self::Cancel => "cancel",
            Self::Resume => "resume",
            Self::Seats => "seats",
            Self::Metered => "metered",
        }
    }

    /// Name of its audit entry.
    fn deed(&self) -> &'static str {
        match self {
            Self::Checkout { .. } => "billing.checkout_requested",
            Self::Upgrade { .. } => "billing.upgrade_requested",
            Self::Downgrade { .. } => "billing.downgrade_requested",
            Self::Cancel => "billing.cancel_requested",
            Self::Resume => "billing.resume_requested",
            Self::Seats => "billing.seats_requested",
            Self::Metered => "billing.metered_items_requested",
        }
    }

    /// Whether two requests ask for the same, whenever they were made.
    fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Upgrade { plan_id, interval, .. },
                Self::Upgrade { plan_id: other_plan, interval: other_interval, .. },
            ) => plan_id == other_plan && interval == other_interval,
            _ => self == other,
        }
    }
}

/// An intent.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its id; idempotency keys at Stripe begin with it.
    pub id: Uuid,
    /// What is asked for.
    pub request: Request,
    /// The user who asked, where it was one.
    pub user_id: Option<Uuid>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

impl Operation {
    /// Reads a stored one.
    pub fn of(row: &OperationRow) -> Result<Self, StoreError> {
        let request = Request::deserialize(&row.request)
            .map_err(|error| StoreError::corrupt("request of a billing operation", error))?;
        let user_id = row.actor_id.filter(|_| row.actor == "user");
        Ok(Self { tenant_id: row.tenant_id, id: row.id, request, user_id, created_at: row.created_at })
    }
}

/// What came of asking.
#[derive(Debug)]
pub enum Begun {
    /// It is written down, and in the caller's hands until its lease ends.
    New {
        /// The intent.
        operation: Box<Operation>,
        /// Its job, to be settled by the caller.
        job: ClaimedJob,
        /// Proves that the job is the caller's.
        lease: Uuid,
    },
    /// Somebody asked for the same a moment ago: its outcome is the caller's too.
    Joined(Uuid),
    /// The caller asked for it before, under the same idempotency key.
    Replayed(Uuid),
}

/// Why it is not written down. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// Who asks may not, the tenant is unknown, or the database failed.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// The plan cannot be had, or not this way.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Another operation of the tenant is not done yet.
    #[error("another change of this subscription is still under way")]
    InProgress,
    /// There is nothing to take back.
    #[error("neither a cancellation nor a change of plan is pending")]
    NothingToResume,
    /// What a preview showed counts for an hour: an upgrade that counts from long ago would give back what was used.
    #[error("the preview is over an hour old: preview again")]
    PreviewOver,
}

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        Self::Tenancy(error.into())
    }
}

impl MaybeRetryable for OperationError {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::Tenancy(error) if error.is_retryable())
    }
}

/// What somebody asks for, as it comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Buy a plan.
    Checkout(Wish),
    /// Change to a higher plan; with a preview's instant.
    Upgrade(Wish, Option<Timestamp>),
    /// Change to a lower plan.
    Downgrade(Wish),
    /// End with the period.
    Cancel,
    /// Take back what is pending.
    Resume,
    /// Bring seats to members.
    Seats,
    /// Bring metered items to the plan.
    Metered,
}

/// How long an upgrade may be charged as a preview showed it.
const PREVIEW_HOLDS: SignedDuration = SignedDuration::from_hours(1);

/// Judges what is asked for and writes it down.
pub async fn begin(
    db: &Database,
    env: &Env,
    actor: Actor,
    tenant: Uuid,
    asked: &Asked,
    idempotent: Option<&Idempotent<'_, Uuid>>,
) -> Result<Begun, OperationError> {
    let now = env.clock.now();
    write_tx!(db, "begin_billing_operation", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return replayed(&kept),
            Claim::Go(ticket) => ticket,
        };
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        Authority::of(tx, &held, actor).await?.require(Permission::ManageBilling)?;
        let running = rows::running(tx, tenant).await?.as_ref().map(Operation::of).transpose()?;
        let request = match (judge(tx, &held, asked, now).await, &running) {
            (Ok(request), Some(running)) if running.request.is_same_as(&request) => {
                ticket.done(tx, running.id).await?;
                return Ok(Begun::Joined(running.id));
            }
            (_, Some(_)) => return Err(OperationError::InProgress),
            (judged, None) => judged?,
        };
        let begun = write_down(tx, env, actor, &held, request, now).await?;
        if let Begun::New { operation, .. } = &begun {
            ticket.done(tx, operation.id).await?;
        }
        Ok(begun)
    })
}

/// What is kept of an answer is the operation's id: how it went is looked up each time.
pub fn keep(id: &Uuid) -> Kept {
    Kept { status: 202, body: json!({ "operationId": id }) }
}

fn replayed(kept: &Kept) -> Result<Begun, OperationError> {
    let id = kept.body.get("operationId").and_then(|id| id.as_str()).and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| StoreError::corrupt("kept answer", "it names no operation"))?;
    Ok(Begun::Replayed(id))
}

async fn write_down(
    tx: &Tx,
    env: &Env,
    actor: Actor,
    tenant: &LockedTenant,
    request: Request,
    now: Timestamp,
) -> Result<Begun, OperationError> {
    let (id, lease) = (env.ids.uuid_v7(now), env.ids.uuid_v7(now));
    let until = now.saturating_add(LEASE).unwrap_or(now);
    let stored = serde_json::to_value(&request).map_err(|error| StoreError::corrupt("request", error))?;
    let new = NewOperation { id, kind: request.kind(), request: &stored, actor: (actor.kind(), actor.id()) };
    let job = rows::insert(tx, tenant, &new, lease, (now, until)).await?;
    let payload = json!({ "operationId": id, "request": stored });
    let deed = Deed { kind: request.deed(), actor, subject_id: Some(id), payload };
    audit::append(tx, tenant, env, now, deed).await?;
    let user_id = actor.id().filter(|_| matches!(actor, Actor::User(_)));
    let operation = Box::new(Operation { tenant_id: tenant.id(), id, request, user_id, created_at: now });
    Ok(Begun::New { operation, job, lease })
}

/// What the tenant has, as plans are chosen by.
pub async fn present(tx: &Tx, tenant: &LockedTenant) -> Result<Present, OperationError> {
    let current = stripe_rows::current(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
    let members = stripe_rows::count_members(tx, tenant.id()).await?;
    let ever_paid = stripe_rows::last_paid_end(tx, tenant).await?.is_some() || current.is_at_stripe;
    Ok(Present {
        plan_id: current.plan_id,
        interval: current.interval,
        is_paid: current.is_at_stripe,
        ever_paid,
        cancel_pending: current.cancel_at.is_some(),
        change_pending: current.pending.is_some(),
        members: u64::try_from(members).unwrap_or(0),
    })
}

/// What a tenant has and what it could have; none where there is no such tenant.
pub async fn choices(db: &Database, tenant: Uuid) -> Result<Option<(Present, Vec<Plan>)>, OperationError> {
    write_tx!(db, "plan_choices", &[tenant], |tx| {
        let Some(held) = tenants::lock(tx, tenant).await? else { return Ok(None) };
        Ok(Some((present(tx, &held).await?, plans(tx).await?)))
    })
}

/// The plans that can be bought now.
pub async fn plans(tx: &Tx) -> Result<Vec<Plan>, StoreError> {
    let read = |row: open::PlanVersionRow| {
        serde_json::from_value(row.definition).map_err(|error| StoreError::corrupt("definition of a plan", error))
    };
    open::current_plans(tx).await?.into_iter().map(read).collect()
}

async fn judge(tx: &Tx, tenant: &LockedTenant, asked: &Asked, now: Timestamp) -> Result<Request, OperationError> {
    let present = present(tx, tenant).await?;
    let plans = plans(tx).await?;
    Ok(match asked {
        Asked::Checkout(wish) => {
            let bought = plan_choice::checkout(&plans, &present, wish)?;
            let trial_days = if present.ever_paid { 0 } else { bought.plan.trial_days };
            Request::Checkout { plan_id: bought.plan.id.to_string(), interval: bought.interval, trial_days }
        }
        Asked::Upgrade(wish, previewed) => {
            let chosen = plan_choice::upgrade(&plans, &present, wish)?;
            let proration_date = previewed.unwrap_or(whole_seconds(now));
            if now.duration_since(proration_date) > PREVIEW_HOLDS {
                return Err(OperationError::PreviewOver);
            }
            Request::Upgrade { plan_id: chosen.plan.id.to_string(), interval: chosen.interval, proration_date }
        }
        Asked::Downgrade(wish) => match plan_choice::downgrade(&plans, &present, wish)? {
            Some(chosen) => Request::Downgrade { plan_id: chosen.plan.id.to_string(), interval: chosen.interval },
            None => Request::Cancel,
        },
        Asked::Cancel => {
            plan_choice::paid(&present)?;
            Request::Cancel
        }
        Asked::Resume => {
            plan_choice::paid(&present)?;
            if !present.cancel_pending && !present.change_pending {
                return Err(OperationError::NothingToResume);
            }
            Request::Resume
        }
        Asked::Seats => {
            plan_choice::paid(&present)?;
            Request::Seats
        }
        Asked::Metered => {
            plan_choice::paid(&present)?;
            Request::Metered
        }
    })
}
