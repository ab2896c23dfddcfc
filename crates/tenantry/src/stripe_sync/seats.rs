//! Seats follow members: a change of membership leaves a job, and the job asks for the operation that brings what is
//! paid for to the number of members.

use uuid::Uuid;

use super::error::SyncError;
use super::operations::{self, Outcome};
use super::{Stripe, sync};
use crate::billing::operations::{Asked, Begun, OperationError, begin};
use crate::tenancy::Actor;
use crate::tenancy::members::SEATS_JOB;

/// Kind of the jobs that bring seats to members.
pub const JOB: &str = SEATS_JOB;

/// Brings seats to members, where the tenant pays for a plan; false where another change is under way.
pub async fn reconcile(stripe: &Stripe, tenant: Uuid) -> Result<bool, SyncError> {
    if sync::customer_of(stripe, tenant).await?.is_none() {
        return Ok(true);
    }
    match begin(&stripe.db, &stripe.env, Actor::System, tenant, &Asked::Seats, None).await {
        // Who is at it may have counted members before the one that this is about.
        Ok(Begun::Joined(_)) | Err(OperationError::InProgress) => Ok(false),
        Ok(begun) => {
            let outcome = operations::execute(stripe, begun, tenant).await?;
            Ok(!matches!(outcome, Outcome::GoesOn(_)))
        }
        // The free plan has no seats, and seats are no upgrade.
        Err(OperationError::Refused(_) | OperationError::NothingToResume | OperationError::PreviewOver) => Ok(true),
        Err(OperationError::Tenancy(error)) => Err(error.into()),
    }
}
