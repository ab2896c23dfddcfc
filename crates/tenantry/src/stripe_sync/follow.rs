//! What of a subscription follows something else (seats the members, metered items the plan): a job asks for the system's
//! own operation.

use uuid::Uuid;

use super::error::SyncError;
use super::operations::{self, Outcome};
use super::{Stripe, sync};
use crate::billing::operations::{Asked, Begun, OperationError, begin};
use crate::tenancy::Actor;

/// Asks for an operation of the system's own, where the tenant pays for a plan; false where another change is under way.
pub(super) async fn follow(stripe: &Stripe, tenant: Uuid, asked: &Asked) -> Result<bool, SyncError> {
    if sync::customer_of(stripe, tenant).await?.is_none() {
        return Ok(true);
    }
    match begin(&stripe.db, &stripe.env, Actor::System, tenant, asked, None).await {
        // Who is at it may have looked before the change that this is about.
        Ok(Begun::Joined(_)) | Err(OperationError::InProgress) => Ok(false),
        Ok(begun) => {
            let outcome = operations::execute(stripe, begun, tenant).await?;
            Ok(!matches!(outcome, Outcome::GoesOn(_)))
        }
        // The free plan has neither, and following is no upgrade.
        Err(OperationError::Refused(_) | OperationError::NothingToResume | OperationError::PreviewOver) => Ok(true),
        Err(OperationError::Tenancy(error)) => Err(error.into()),
    }
}
