//! Accepting an invitation: the one way in that somebody outside a tenant has.

use serde_json::{Value, json};
use tenantry_domain::permission::{Permission, Role};
use uuid::Uuid;

use super::token::PresentedToken;
use super::{invitable, key_of};
use crate::env::Env;
use crate::storage::invitations::{self as rows, InvitationRow};
use crate::storage::members::{self as member_rows, MemberRow};
use crate::storage::tenants::{self, LockedTenant, TenantRow};
use crate::storage::{Database, StoreError, Tx, invitation_mails, users};
use crate::tenancy::audit::{self, Deed};
use crate::tenancy::authority::{self, Authority};
use crate::tenancy::idempotency::{self, Answer, Claim, Idempotent};
use crate::tenancy::members::join;
use crate::tenancy::{Actor, TenancyError};
use crate::write_tx;

/// Who accepts: a user, and the address that somebody who is trusted with it says is theirs.
#[derive(Debug, Clone, Copy)]
pub struct Invitee<'a> {
    /// The user, who was seen before.
    pub user_id: Uuid,
    /// The verified address.
    pub email: &'a str,
}

/// What came of accepting.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The tenant.
    pub tenant: TenantRow,
    /// The user as a member of it.
    pub member: MemberRow,
}

/// Makes a user a member by a token, once. Who invited must still be able to give what the invitation gives.
///
/// A token that is unknown, another tenant's, revoked, expired, used, or followed by a newer one, and one whose inviter
/// has lost the authority, are all [`TenancyError::InvitationInvalid`]: who holds it needs another one in each case,
/// and what happened inside the tenant is not for people outside it. The server's log has the reason.
pub async fn accept(
    db: &Database,
    env: &Env,
    invitee: Invitee<'_>,
    token: &PresentedToken,
    idempotent: Option<&Idempotent<'_, Accepted>>,
) -> Result<Answer<Accepted>, TenancyError> {
    let now = env.clock.now();
    let (user, tenant, id) = (invitee.user_id, token.tenant_id, token.invitation_id);
    write_tx!(db, "accept_invitation", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        // Looked up before the lock too: nobody holds up a tenant that they were not invited to.
        recognized(tx, token).await?;
        let held = tenants::lock(tx, tenant).await?.ok_or_else(|| invalid(token, "the tenant is gone"))?;
        let email_key = recognized(tx, token).await?;
        let row = rows::get(tx, tenant, id, now).await?.ok_or_else(|| invalid(token, "it is gone"))?;
        let is_own = row.state == "accepted" && row.accepted_by == Some(user);
        if (is_own || row.state == "pending") && member_rows::get(tx, tenant, user).await?.is_some() {
            return Err(TenancyError::AlreadyMember);
        }
        if row.state != "pending" {
            return Err(invalid(token, &row.state));
        }
        if key_of(invitee.email) != email_key {
            return Err(TenancyError::InvitationOfAnother);
        }
        if users::existing(tx, &[user]).await?.is_empty() {
            return Err(TenancyError::AccountDeleted);
        }
        let (role, permissions) = vouched(tx, &held, &row).await?.ok_or_else(|| invalid(token, "its inviter"))?;
        let member = join(tx, env, &held, (user, role, &permissions), now).await?;
        rows::accept(tx, &held, id, user, now).await?;
        invitation_mails::cancel(tx, tenant, &[id]).await?;
        let payload = json!({ "userId": user, "email": row.email, "role": row.role, "permissions": permissions });
        let deed = Deed { kind: "invitation.accepted", actor: Actor::User(user), subject_id: Some(id), payload };
        audit::append(tx, &held, env, now, deed).await?;
        ticket.done(tx, Accepted { tenant: held.row().clone(), member }).await
    })
}

/// The address, as it is compared, of the invitation whose newest token this is.
async fn recognized(tx: &Tx, token: &PresentedToken) -> Result<String, TenancyError> {
    match rows::token_hash(tx, token.tenant_id, token.invitation_id).await? {
        Some((hash, email_key)) if token.matches(&hash) => Ok(email_key),
        Some(_) => Err(invalid(token, "another token")),
        None => Err(invalid(token, "unknown")),
    }
}

/// What the invitation gives, where who vouches for it could give it now.
async fn vouched(tx: &Tx, tenant: &LockedTenant, row: &InvitationRow) -> Result<Option<(Role, Value)>, TenancyError> {
    let inviter = match (row.inviter.as_str(), row.inviter_id) {
        ("user", Some(id)) => Actor::User(id),
        ("key", Some(id)) => Actor::Key { id, tenant_id: tenant.id() },
        ("service_key", Some(id)) => Actor::ServiceKey(id),
        ("system", None) => Actor::System,
        (kind, _) => return Err(StoreError::corrupt("inviter of an invitation", kind).into()),
    };
    let role = authority::role(&row.role)?;
    let overrides = authority::overrides(&row.permissions)?;
    let given = async {
        let authority = Authority::of(tx, tenant, inviter).await?;
        authority.require(Permission::ManageMembers)?;
        invitable(&authority, role, &overrides)
    };
    match given.await {
        Ok(permissions) => Ok(Some((role, permissions))),
        Err(TenancyError::NotFound | TenancyError::Forbidden { .. } | TenancyError::Grant { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The one refusal of a token that is good for nothing; why stands in the log only.
fn invalid(token: &PresentedToken, reason: &str) -> TenancyError {
    tracing::info!(tenant = %token.tenant_id, invitation = %token.invitation_id, reason, "an invitation is refused");
    TenancyError::InvitationInvalid
}
