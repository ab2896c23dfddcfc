//! Operations' errors as problems.

use serde_json::{Value, json};

use super::problem::{Code, Problem};
use crate::tenancy::TenancyError;
use crate::tenancy::idempotency::KeyRefusal;
use crate::usage::outcome::SubmitError;
use crate::usage::report::ReportError;

impl From<TenancyError> for Problem {
    fn from(error: TenancyError) -> Self {
        match error {
            TenancyError::Store(error) => error.into(),
            TenancyError::Key(KeyRefusal::InFlight) => Self::new(Code::IdempotencyInFlight),
            TenancyError::Key(KeyRefusal::OtherRequest) => Self::new(Code::IdempotencyKeyReused),
            TenancyError::Invalid(fields) => fields
                .into_iter()
                .fold(Self::new(Code::ValidationFailed), |problem, error| problem.field(error.field, error.message)),
            TenancyError::NotFound => Self::not_found(),
            TenancyError::Forbidden { needed, .. } => {
                Self::new(Code::InsufficientPermissions).detail(format!("{needed} is needed for this"))
            }
            TenancyError::Grant { reason, .. } => Self::new(Code::InsufficientPermissions).detail(reason),
            TenancyError::LastOwner => Self::new(Code::LastOwner),
            TenancyError::OnlyOwner(ref organizations) => {
                let named: Vec<Value> =
                    organizations.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
                Self::new(Code::LastOwner).detail(error.to_string()).figure("organizations", named)
            }
            TenancyError::AccountDeleted => Self::new(Code::AccountDeleted),
            TenancyError::SlugTaken(_) => Self::new(Code::SlugTaken),
            error @ TenancyError::PersonalTenant(_) => Self::new(Code::Conflict).detail(error.to_string()),
            TenancyError::Conflict(detail) => Self::new(Code::Conflict).detail(detail),
            error @ TenancyError::TeamLimit { limit, .. } => {
                Self::new(Code::TeamLimitReached).detail(error.to_string()).figure("limit", limit)
            }
            TenancyError::AlreadyMember => Self::new(Code::AlreadyMember),
            ref error @ TenancyError::TooManyInvitations { limit } => {
                Self::new(Code::InvitationLimitReached).detail(error.to_string()).figure("limit", limit)
            }
            error @ TenancyError::MailedTooOften { .. } => {
                Self::new(Code::RateLimited).detail(error.to_string()).retry_after(3600)
            }
            TenancyError::InvitationInvalid => Self::new(Code::InvitationInvalid),
            TenancyError::InvitationOfAnother => Self::new(Code::InvitationOfAnother),
            TenancyError::EmailNotVerified => Self::new(Code::EmailNotVerified),
            ref error @ TenancyError::MembersFull { ref plan_id, places } => Self::new(Code::MemberLimitReached)
                .detail(error.to_string())
                .figure("planId", plan_id.clone())
                .figure("maxMembers", places),
            error @ TenancyError::ActiveSubscription(_) => {
                Self::new(Code::ActiveSubscription).detail(error.to_string())
            }
            TenancyError::UnbilledUsage(ref metrics) => {
                Self::new(Code::UnbilledUsage).detail(error.to_string()).figure("metrics", metrics.clone())
            }
            TenancyError::NoCatalog => Self::internal("no plan catalog is loaded"),
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Store(error) => error.into(),
            ReportError::NoTenant => Self::not_found(),
            ReportError::NotABound { field, nearest } => Self::invalid(
                field,
                format!("must be a whole UTC hour or a bound of a usage period; the nearest hour is {nearest}"),
            )
            .figure("nearest", nearest.to_string()),
            ReportError::Archived { ref metric, from } => Self::invalid(
                "from",
                format!(
                    "`{metric}` is no sum, and events of it from before {from} have left: ask from then on, or for one period"
                ),
            )
            .figure("nearest", from.to_string()),
            ReportError::Empty => Self::invalid("from", "must be before `to`"),
            ReportError::Undeclared(_) | ReportError::NoSum { .. } | ReportError::NotOfOneUser => Self::invalid("groupBy", error.to_string()),
            ReportError::NotSummed { since, .. } => {
                let problem = Self::invalid("groupBy", error.to_string());
                match since {
                    Some(since) => problem.figure("summedSince", since.to_string()),
                    None => problem,
                }
            }
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Overloaded => Self::new(Code::Overloaded),
            SubmitError::Unavailable => Self::new(Code::Unavailable),
            SubmitError::ShuttingDown => Self::new(Code::Unavailable).detail("the server is shutting down"),
            SubmitError::Internal => Self::internal("an event could not be recorded; see the log"),
        }
    }
}
