//! Inviting people by e-mail address: they become members by a token that was mailed to them, once they show that the
//! address is theirs. Every change locks the tenant first, so that of many who accept at once one does.

mod accept;
pub mod token;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tenantry_domain::permission::{Overrides, Permission, Role};
use uuid::Uuid;

pub use self::accept::{Accepted, Invitee, accept};
use self::token::MintedToken;
use super::audit::{self, Deed};
use super::authority::{self, Authority};
use super::idempotency::{self, Answer, Claim, Idempotent};
use super::members::{assignable, refuse_personal};
use super::{Actor, TenancyError, validate};
use crate::env::Env;
use crate::storage::invitations::{self as rows, InvitationRow};
use crate::storage::jobs::{self, NewJob};
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::users::LockedUser;
use crate::storage::{Database, StoreError, Tx, invitation_mails};
use crate::write_tx;

/// Kind of the jobs that send the mail of an invitation.
pub const MAIL_JOB: &str = "send_invitation";
/// Invitations of a tenant that may be pending at once.
pub const MAX_PENDING: i64 = 100;
/// Mails that a tenant may send to one address in [`MAILS_SPAN`].
pub const MAX_MAILS: i64 = 10;
/// See [`MAX_MAILS`].
const MAILS_SPAN: SignedDuration = SignedDuration::from_hours(24);

/// Somebody to be invited.
#[derive(Debug)]
pub struct NewInvitation {
    /// The address, which is compared without regard to the case of ASCII letters.
    pub email: String,
    /// The role that waits; not `owner`.
    pub role: Role,
    /// What overrides the role's permissions.
    pub permissions: Overrides,
    /// How long it can be accepted.
    pub valid_for: SignedDuration,
}

/// An address as it is compared: ASCII letters small, before the `@` too, where mail servers could tell them apart and
/// none does. Other letters stay: what Unicode holds for small letters of each other are different mailboxes.
pub(super) fn key_of(email: &str) -> String {
    email.to_ascii_lowercase()
}

/// Invites an address to an organization. An invitation of the same address that is still pending ends, and its token
/// with it.
pub async fn create(
    db: &Database,
    env: &Env,
    (actor, tenant): (Actor, Uuid),
    new: &NewInvitation,
    token: &MintedToken,
    idempotent: Option<&Idempotent<'_, InvitationRow>>,
) -> Result<Answer<InvitationRow>, TenancyError> {
    let email = validate::email("email", &new.email)?;
    let now = env.clock.now();
    write_tx!(db, "create_invitation", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let authority = Authority::of(tx, &held, actor).await?;
        authority.require(Permission::ManageMembers)?;
        refuse_personal(&held)?;
        let permissions = invitable(&authority, new.role, &new.permissions)?;
        let key = key_of(&email);
        let replaced = rows::supersede(tx, &held, &key, now).await?;
        refuse_many(tx, &held, now).await?;
        let row = rows::NewInvitation {
            id: token.invitation_id,
            email: &email,
            email_key: &key,
            role: new.role.as_str(),
            permissions: &permissions,
            token_hash: &token.hash,
            inviter: (actor.kind(), actor.id()),
            expires_at: end(now, new.valid_for),
        };
        rows::insert(tx, &held, &row, now).await?;
        mail(tx, env, &held, token, replaced, now).await?;
        let payload =
            json!({ "email": email, "role": new.role.as_str(), "permissions": permissions, "replaces": replaced });
        let deed = Deed { kind: "invitation.created", actor, subject_id: Some(token.invitation_id), payload };
        audit::append(tx, &held, env, now, deed).await?;
        let row = invitation(tx, &held, token.invitation_id, now).await?;
        ticket.done(tx, row).await
    })
}

/// Sends an invitation again, with a new token and a new end; the older token is dead. Who sends it again vouches for
/// it from now on.
pub async fn resend(
    db: &Database,
    env: &Env,
    (actor, tenant): (Actor, Uuid),
    valid_for: SignedDuration,
    token: &MintedToken,
    idempotent: Option<&Idempotent<'_, InvitationRow>>,
) -> Result<Answer<InvitationRow>, TenancyError> {
    let now = env.clock.now();
    let id = token.invitation_id;
    write_tx!(db, "resend_invitation", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let authority = Authority::of(tx, &held, actor).await?;
        authority.require(Permission::ManageMembers)?;
        let before = invitation(tx, &held, id, now).await?;
        invitable(&authority, authority::role(&before.role)?, &authority::overrides(&before.permissions)?)?;
        if before.state == "expired" {
            // It counts again.
            refuse_many(tx, &held, now).await?;
        }
        let renewed = ((actor.kind(), actor.id()), end(now, valid_for));
        if !rows::renew(tx, &held, id, &token.hash, renewed).await? {
            let what = "has been accepted, revoked or followed by another one: invite the address anew";
            return Err(TenancyError::Conflict(format!("the invitation {what}")));
        }
        mail(tx, env, &held, token, Some(id), now).await?;
        let payload = json!({ "email": before.email, "role": before.role });
        let deed = Deed { kind: "invitation.resent", actor, subject_id: Some(id), payload };
        audit::append(tx, &held, env, now, deed).await?;
        let row = invitation(tx, &held, id, now).await?;
        ticket.done(tx, row).await
    })
}

/// Revokes an invitation: its token is dead. What is over already stays as it is; what was accepted is a member.
pub async fn revoke(db: &Database, env: &Env, actor: Actor, tenant: Uuid, id: Uuid) -> Result<(), TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "revoke_invitation", &[tenant], |tx| {
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        Authority::of(tx, &held, actor).await?.require(Permission::ManageMembers)?;
        let before = invitation(tx, &held, id, now).await?;
        if before.state == "accepted" {
            return Err(TenancyError::Conflict("the invitation was accepted: remove the member instead".to_owned()));
        }
        if !rows::revoke(tx, &held, id, now).await? {
            return Ok(());
        }
        invitation_mails::cancel(tx, tenant, &[id]).await?;
        let payload = json!({ "email": before.email, "role": before.role });
        let deed = Deed { kind: "invitation.revoked", actor, subject_id: Some(id), payload };
        Ok(audit::append(tx, &held, env, now, deed).await?)
    })
}

/// Ends all pending invitations of a tenant that is deleted; how many they were.
pub(super) async fn revoke_all(tx: &Tx, tenant: &LockedTenant, now: Timestamp) -> Result<usize, StoreError> {
    let ids = rows::revoke_all(tx, tenant, now).await?;
    invitation_mails::cancel(tx, tenant.id(), &ids).await?;
    Ok(ids.len())
}

/// Role and permissions, where the actor may give them to who is invited; the permissions as they are stored.
fn invitable(authority: &Authority, role: Role, permissions: &Overrides) -> Result<Value, TenancyError> {
    let permissions = assignable(authority, role, permissions)?;
    if role == Role::Owner {
        let what = "must be admin, billing_admin or member: nobody is invited as an owner; make a member one";
        return Err(TenancyError::invalid("role", what));
    }
    Ok(permissions)
}

/// Refuses where as many are pending as may be. Holds only under the tenant's lock.
async fn refuse_many(tx: &Tx, tenant: &LockedTenant, now: Timestamp) -> Result<(), TenancyError> {
    if rows::count_pending(tx, tenant, now).await? >= MAX_PENDING {
        return Err(TenancyError::TooManyInvitations { limit: MAX_PENDING });
    }
    Ok(())
}

/// Asks for the mail that says a token, in place of the mails of an invitation whose token is dead.
async fn mail(
    tx: &Tx,
    env: &Env,
    tenant: &LockedTenant,
    token: &MintedToken,
    replaced: Option<Uuid>,
    now: Timestamp,
) -> Result<(), TenancyError> {
    if let Some(dead) = replaced {
        invitation_mails::cancel(tx, tenant.id(), &[dead]).await?;
    }
    let since = now.checked_sub(MAILS_SPAN).unwrap_or(now);
    if invitation_mails::count_since(tx, tenant.id(), token.invitation_id, since).await? >= MAX_MAILS {
        return Err(TenancyError::MailedTooOften { limit: MAX_MAILS });
    }
    let id = env.ids.uuid_v7(now);
    invitation_mails::insert(tx, (tenant.id(), id), (token.invitation_id, token.expose()), now).await?;
    let payload = json!({ "mailId": id });
    let job = NewJob { id: env.ids.uuid_v7(now), dedupe_key: id.to_string(), payload: &payload };
    Ok(jobs::insert(tx, tenant.id(), MAIL_JOB, &[job], now).await?)
}

fn end(now: Timestamp, valid_for: SignedDuration) -> Timestamp {
    now.checked_add(valid_for).unwrap_or(Timestamp::MAX)
}

async fn invitation(tx: &Tx, tenant: &LockedTenant, id: Uuid, now: Timestamp) -> Result<InvitationRow, TenancyError> {
    rows::get(tx, tenant.id(), id, now).await?.ok_or(TenancyError::NotFound)
}

/// Takes from the invitations of these tenants whom they were for, where that is a user who is being deleted; how many
/// in each.
pub(super) async fn forget(
    tx: &Tx,
    tenants: &[Uuid],
    user: &LockedUser,
    now: Timestamp,
) -> Result<BTreeMap<Uuid, usize>, StoreError> {
    let key = user.email().map(key_of);
    let mut forgotten: BTreeMap<Uuid, usize> = BTreeMap::new();
    for (tenant, id) in rows::forget(tx, tenants, (key.as_deref(), user.id()), now).await? {
        invitation_mails::cancel(tx, tenant, &[id]).await?;
        *forgotten.entry(tenant).or_default() += 1;
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_by_ascii_letters() {
        assert_eq!(key_of("Ada.L@Example.COM"), "ada.l@example.com");
        // The Kelvin sign is a K to Unicode, and another mailbox.
        assert_ne!(key_of("\u{212a}@example.com"), key_of("k@example.com"));
    }
}
