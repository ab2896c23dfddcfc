//! Handing an organization over: one owner becomes an admin and another member the owner, or neither does.

use serde_json::json;
use tenantry_domain::permission::{Action, Role};
use uuid::Uuid;

use super::audit::{self, Deed};
use super::authority::{self, Authority};
use super::idempotency::{self, Answer, Claim, Idempotent};
use super::{Actor, TenancyError};
use crate::env::Env;
use crate::storage::members::{self as rows, MemberRow};
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::{Database, Tx};
use crate::write_tx;

/// Who hands an organization over to whom.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// The member who becomes an owner.
    pub to: Uuid,
    /// The owner who becomes an admin. An owner who asks hands over its own; whoever asks for somebody else may
    /// leave it out where there is one owner only.
    pub from: Option<Uuid>,
}

/// Hands an organization over. The new owner has every permission; the former one stays as an admin, with its
/// overrides gone. The new owner's row.
pub async fn transfer(
    db: &Database,
    env: &Env,
    actor: Actor,
    tenant: Uuid,
    transfer: Transfer,
    idempotent: Option<&Idempotent<'_, MemberRow>>,
) -> Result<Answer<MemberRow>, TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "transfer_tenant", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        Authority::of(tx, &held, actor).await?.require_owner(Action::TransferTenant)?;
        if held.row().is_personal() {
            return Err(TenancyError::PersonalTenant("cannot be handed over: it stands for its user"));
        }
        let from = giver(tx, &held, actor, transfer.from).await?;
        if transfer.to == from {
            return Err(TenancyError::invalid("userId", "is the owner already: name another member"));
        }
        let taker = rows::get(tx, tenant, transfer.to).await?;
        let taker = taker
            .ok_or_else(|| TenancyError::invalid("userId", "names no member: add the user to the tenant first"))?;
        let none = json!({});
        rows::update(tx, &held, (transfer.to, Role::Owner.as_str(), &none), now).await?;
        rows::update(tx, &held, (from, Role::Admin.as_str(), &none), now).await?;
        let held = tenants::set_owner(tx, &held, transfer.to, now).await?;
        let payload = json!({ "from": from, "to": transfer.to, "role_before": taker.role });
        let deed = Deed { kind: "tenant.transferred", actor, subject_id: Some(transfer.to), payload };
        audit::append(tx, &held, env, now, deed).await?;
        let row = rows::get(tx, tenant, transfer.to).await?.ok_or(TenancyError::NotFound)?;
        ticket.done(tx, row).await
    })
}

/// The owner who hands over.
async fn giver(tx: &Tx, held: &LockedTenant, actor: Actor, named: Option<Uuid>) -> Result<Uuid, TenancyError> {
    match (actor, named) {
        (Actor::User(user), None) => Ok(user),
        (Actor::User(user), Some(named)) if named == user => Ok(user),
        (Actor::User(_), Some(_)) => {
            Err(TenancyError::invalid("fromUserId", "an owner hands over its own part only: leave it out"))
        }
        (_, Some(named)) => {
            let member = rows::get(tx, held.id(), named).await?;
            let role = member.as_ref().map(|member| authority::role(&member.role)).transpose()?;
            if role != Some(Role::Owner) {
                return Err(TenancyError::invalid("fromUserId", "names no owner of the tenant"));
            }
            Ok(named)
        }
        (_, None) => match rows::owner_ids(tx, held).await?.as_slice() {
            [one] => Ok(*one),
            _ => Err(TenancyError::invalid("fromUserId", "is required: the tenant has more than one owner")),
        },
    }
}
