//! Seats follow members: a change of membership leaves a job, and the job asks for the operation that brings what is
//! paid for to the number of members.

use uuid::Uuid;

use super::Stripe;
use super::error::SyncError;
use super::follow::follow;
use crate::billing::operations::Asked;
use crate::tenancy::members::SEATS_JOB;

/// Kind of the jobs that bring seats to members.
pub const JOB: &str = SEATS_JOB;

/// Brings seats to members, where the tenant pays for a plan; false where another change is under way.
pub async fn reconcile(stripe: &Stripe, tenant: Uuid) -> Result<bool, SyncError> {
    follow(stripe, tenant, &Asked::Seats).await
}
