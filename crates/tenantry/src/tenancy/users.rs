//! First sight of a user: the user, the personal tenant and all that belongs to it.

use jiff::Timestamp;
use serde_json::json;
use tenantry_domain::permission::Role;
use uuid::Uuid;

use super::audit::{self, Deed};
use super::slugs::{self, Wanted};
use super::{Actor, TenancyError, subscription, validate};
use crate::env::Env;
use crate::storage::tenants::{self, LockedTenant, NewTenant};
use crate::storage::{Database, Tx, members, users};
use crate::write_tx;

/// What a personal tenant is called until its user says otherwise. Not the e-mail address: names are shown to
/// others.
pub(super) const PERSONAL_NAME: &str = "Personal";

/// Whether a text can be stored as a user's e-mail address.
pub fn is_address(text: &str) -> bool {
    validate::email("email", text).is_ok()
}

/// Makes sure that a user and its personal tenant exist, and takes over a changed e-mail address; an address that
/// is missing changes nothing. Cheap where nothing is to be done (one read), safe from many requests at once.
///
/// True where the user was seen for the first time. An account that was deleted is never made again.
///
/// An address that the host application or the command line gives is taken for the user's; one that the user's token
/// says is not, see [`ensure_signed_in`].
pub async fn ensure(
    db: &Database,
    env: &Env,
    actor: Actor,
    user: Uuid,
    email: Option<&str>,
) -> Result<bool, TenancyError> {
    ensure_with(db, env, actor, user, (email, !matches!(actor, Actor::User(_)))).await
}

/// The same for a user with a good token, which may say that its address is verified.
pub async fn ensure_signed_in(
    db: &Database,
    env: &Env,
    user: Uuid,
    email: Option<&str>,
    is_verified: bool,
) -> Result<bool, TenancyError> {
    ensure_with(db, env, Actor::User(user), user, (email, is_verified)).await
}

async fn ensure_with(
    db: &Database,
    env: &Env,
    actor: Actor,
    user: Uuid,
    (email, is_verified): (Option<&str>, bool),
) -> Result<bool, TenancyError> {
    let email = email.map(|text| validate::email("email", text)).transpose()?;
    if user.is_nil() {
        return Err(TenancyError::invalid("id", "must not be the nil UUID"));
    }
    let tx = db.read_as_service("known_user", &[user]).await?;
    let known = users::known(&tx, user).await?;
    tx.rollback().await?;
    if let Some(known) = known {
        if known.is_deleted {
            return Err(TenancyError::AccountDeleted);
        }
        let says_nothing_new = email.is_none() || (known.email == email && known.is_verified >= is_verified);
        if known.has_personal_tenant && says_nothing_new {
            return Ok(false);
        }
    }
    let now = env.clock.now();
    write_tx!(db, "ensure_user", &[user], |tx| {
        // The tenant before its user, as everybody locks them.
        let held = tenants::lock(tx, user).await?;
        // Locks the user's row, so that of many first requests one makes the tenant and the others see it made.
        let before = users::known(tx, user).await?.and_then(|known| known.email);
        let is_written = users::upsert(tx, user, (email.as_deref(), is_verified), now).await?;
        let known = users::known(tx, user).await?;
        if known.as_ref().is_some_and(|known| known.is_deleted) {
            return Err(TenancyError::AccountDeleted);
        }
        if known.is_some_and(|known| known.has_personal_tenant) {
            if is_written && before != email {
                note_new_address(tx, env, actor, user, held, now).await?;
            }
            return Ok(false);
        }
        let settings = json!({});
        let new =
            NewTenant { id: user, kind: "user", name: PERSONAL_NAME, slug: "", owner_id: user, settings: &settings };
        let tenant = slugs::insert(tx, env, &new, Wanted::Random("user"), now).await?;
        members::insert(tx, &tenant, (user, Role::Owner.as_str(), &json!({})), now).await?;
        subscription::begin_free(tx, &tenant, env, now).await?;
        let payload = json!({ "type": "user" });
        let deed = Deed { kind: "tenant.created", actor, subject_id: Some(user), payload };
        audit::append(tx, &tenant, env, now, deed).await?;
        Ok(true)
    })
}

/// That a user's e-mail address changed; not to what, so that there is nothing to erase.
async fn note_new_address(
    tx: &Tx,
    env: &Env,
    actor: Actor,
    user: Uuid,
    held: Option<LockedTenant>,
    now: Timestamp,
) -> Result<(), TenancyError> {
    let held = match held {
        Some(held) => held,
        // Made by another first request meanwhile.
        None => tenants::lock(tx, user).await?.ok_or(TenancyError::NotFound)?,
    };
    let deed = Deed { kind: "user.email_changed", actor, subject_id: Some(user), payload: json!({}) };
    Ok(audit::append(tx, &held, env, now, deed).await?)
}

/// Whether an account was deleted, as it is right now.
pub async fn is_deleted(db: &Database, user: Uuid) -> Result<bool, TenancyError> {
    let tx = db.read_as_service("is_user_deleted", &[]).await?;
    let is_deleted = users::is_deleted(&tx, user).await?;
    tx.rollback().await?;
    Ok(is_deleted)
}
