//! Refusals that leave a security event behind, in a transaction of their own.

use tenantry_domain::permission::Role;
use uuid::Uuid;

use super::caller::Caller;
use super::problem::{Code, Problem};
use super::state::AppState;
use crate::tenancy::security::{Refusal, Severity, record};
use crate::tenancy::{Actor, TenancyError, keys, users};

/// Writes down that a permission is missing and gives the refusal to answer with. To a key that does not work any more
/// that it does not.
pub async fn insufficient(
    state: &AppState,
    caller: &Caller,
    tenant_id: Uuid,
    needed: &'static str,
    role: Option<Role>,
) -> Problem {
    if let Err(dead) = key_works(state, caller).await {
        return dead;
    }
    write(state, caller, tenant_id, ("insufficient_permissions", Severity::Warning), Some(needed), role).await;
    let problem = Problem::new(Code::InsufficientPermissions)
        .detail(format!("{needed} is needed for this"))
        .figure("requiredPermission", needed);
    match role {
        Some(role) => problem.figure("role", role.as_str()),
        None => problem,
    }
}

/// Something that a caller tried and has nothing to do with. That it exists is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// The tenant of a header.
    Tenant,
    /// The tenant of a path.
    PathTenant,
    /// The team of a header.
    Team,
    /// The team of a path.
    PathTeam,
}

impl Foreign {
    /// The type of the security event, and the problem.
    fn named(self) -> (&'static str, Code) {
        match self {
            Self::Tenant => ("forbidden_tenant", Code::ForbiddenTenant),
            Self::PathTenant => ("unknown_tenant", Code::NotFound),
            Self::Team => ("forbidden_team", Code::ForbiddenTenant),
            Self::PathTeam => ("unknown_team", Code::NotFound),
        }
    }
}

/// Writes down that something was tried that the caller has nothing to do with, and gives the refusal to answer with:
/// that, or that the caller is nobody any more. A process remembers whom it has seen, so that it is here that a deleted
/// user and a revoked key stand out.
pub async fn foreign(state: &AppState, caller: &Caller, id: Uuid, what: Foreign) -> Problem {
    if let Some(dead) = dead(state, caller).await {
        return dead;
    }
    let (kind, code) = what.named();
    write(state, caller, id, (kind, Severity::Warning), None, None).await;
    Problem::new(code)
}

/// The refusal of a caller that is nobody any more, a revoked key or a deleted account; none of everybody else. For routes
/// that may answer again what they answered before, or look nothing else up.
pub async fn dead(state: &AppState, caller: &Caller) -> Option<Problem> {
    match key_works(state, caller).await {
        Ok(()) => deleted(state, caller).await,
        Err(dead) => Some(dead),
    }
}

/// Whether a caller that is a key still works: who it was is known from its secret alone until somebody looks.
async fn key_works(state: &AppState, caller: &Caller) -> Result<(), Problem> {
    let (Actor::Key { id, .. } | Actor::ServiceKey(id)) = caller.actor else { return Ok(()) };
    let found = keys::find(&state.db, id).await?;
    if found.is_some_and(|key| key.works) { Ok(()) } else { Err(Problem::new(Code::Unauthenticated)) }
}

/// The refusal of a caller whose account was deleted, or about whom that cannot be found out; none of everybody else.
pub async fn deleted(state: &AppState, caller: &Caller) -> Option<Problem> {
    match users::is_deleted(&state.db, caller.user_id()?).await {
        Ok(false) => None,
        Ok(true) => Some(account_deleted(state, caller).await),
        Err(error) => Some(error.into()),
    }
}

/// Writes down that somebody whose account was deleted came again, and gives the refusal to answer with.
pub async fn account_deleted(state: &AppState, caller: &Caller) -> Problem {
    let home = caller.actor.home().unwrap_or(Uuid::nil());
    write(state, caller, home, ("account_deleted", Severity::Warning), None, None).await;
    Problem::new(Code::AccountDeleted)
}

/// Turns an operation's refusal into a problem, with a security event where it was about rights.
pub async fn refused(state: &AppState, caller: &Caller, tenant_id: Uuid, error: TenancyError) -> Problem {
    match error {
        TenancyError::Forbidden { needed, role } => insufficient(state, caller, tenant_id, needed, role).await,
        TenancyError::Grant { ref reason, role } => {
            let kind = ("grant_refused", Severity::Warning);
            write(state, caller, tenant_id, kind, None, role).await;
            Problem::new(Code::InsufficientPermissions).detail(reason.clone())
        }
        TenancyError::InvitationInvalid | TenancyError::InvitationOfAnother | TenancyError::EmailNotVerified => {
            let problem = Problem::from(error);
            write(state, caller, tenant_id, (problem.code().name(), Severity::Warning), None, None).await;
            problem
        }
        TenancyError::AccountDeleted => account_deleted(state, caller).await,
        other => other.into(),
    }
}

async fn write(
    state: &AppState,
    caller: &Caller,
    tenant_id: Uuid,
    (kind, severity): (&'static str, Severity),
    needed_permission: Option<&'static str>,
    role: Option<Role>,
) {
    let request_id = caller.request_id.map(|id| id.to_string());
    let refusal = Refusal {
        kind,
        severity,
        actor: caller.actor,
        attempted: Some(tenant_id),
        needed_permission,
        role: role.map(Role::as_str),
        request_id: request_id.as_deref(),
        address: caller.address.as_deref(),
        details: &[],
    };
    // The refusal stands whether or not it can be written down; that it could not is for the operator.
    if let Err(error) = record(&state.db, &state.env, &refusal).await {
        tracing::error!(%error, kind, "a security event could not be written");
    }
}
