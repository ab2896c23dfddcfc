//! API keys. Secrets are made and shown by who calls; only what they are recognized by gets here.

use std::num::NonZeroU32;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::audit::{self, Deed};
use super::authority::{Authority, scopes};
use super::idempotency::{self, Answer, Claim, Idempotent};
use super::{Actor, TenancyError, validate};
use crate::env::Env;
use crate::storage::keys::{self as rows, KeyRow, NewKeyRow, PresentedKey};
use crate::storage::{Database, invitations, tenants};
use crate::write_tx;

/// A key to be stored.
pub struct NewKey {
    /// Its id, which is part of the secret.
    pub id: Uuid,
    /// First characters of the secret, to recognize it by.
    pub prefix: String,
    /// SHA-256 of the random bytes of the secret.
    pub secret_hash: [u8; 32],
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Permission>,
    /// First instant at which it no longer works.
    pub expires_at: Option<Timestamp>,
    /// Requests that are answered in a minute, 1 to 1,000,000; none: as many as come.
    pub requests_per_minute: Option<u32>,
}

/// The most requests a minute that a key can be limited to; who needs more needs no limit.
const MOST_PER_MINUTE: u32 = 1_000_000;
/// For how long a key and the one that replaces it may both work.
pub const LONGEST_OVERLAP: SignedDuration = SignedDuration::from_hours(24 * 30);

/// A key that takes the place of another: with its name, scopes and limit.
pub struct Replacement {
    /// Its id, which is part of the secret.
    pub id: Uuid,
    /// First characters of the secret, to recognize it by.
    pub prefix: String,
    /// SHA-256 of the random bytes of the secret.
    pub secret_hash: [u8; 32],
    /// For how long the old one still works.
    pub overlap: SignedDuration,
    /// First instant at which it no longer works; none: as long from now as the old one had from its making.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A key that may be stored.
struct Checked<'a> {
    key: &'a NewKey,
    name: String,
    scopes: Vec<String>,
    requests_per_minute: Option<NonZeroU32>,
}

impl Checked<'_> {
    fn of(key: &NewKey, now: Timestamp) -> Result<Checked<'_>, TenancyError> {
        let name = validate::name("name", &key.name, validate::MAX_KEY_NAME)?;
        let mut scopes: Vec<String> = key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(TenancyError::invalid("scopes", "must name at least one permission"));
        }
        if key.expires_at.is_some_and(|end| end <= now) {
            return Err(TenancyError::invalid("expiresAt", "must be in the future"));
        }
        let requests_per_minute = key.requests_per_minute.map(per_minute).transpose()?;
        Ok(Checked { key, name, scopes, requests_per_minute })
    }

    fn row(&self, created_by: Option<Uuid>) -> NewKeyRow<'_> {
        NewKeyRow {
            id: self.key.id,
            name: &self.name,
            prefix: &self.key.prefix,
            secret_hash: &self.key.secret_hash,
            scopes: &self.scopes,
            created_by,
            expires_at: self.key.expires_at,
            requests_per_minute: self.requests_per_minute,
        }
    }
}

fn per_minute(given: u32) -> Result<NonZeroU32, TenancyError> {
    let message = || TenancyError::invalid("requestsPerMinute", format!("must be 1 to {MOST_PER_MINUTE}"));
    NonZeroU32::new(given).filter(|limit| limit.get() <= MOST_PER_MINUTE).ok_or_else(message)
}

/// A key makes no key: one that was stolen would outlive its end, its limit and its revocation.
fn refuse_key(actor: Actor) -> Result<(), TenancyError> {
    if matches!(actor, Actor::Key { .. }) {
        return Err(TenancyError::Forbidden { needed: "user", role: None });
    }
    Ok(())
}

/// Stores a key of a tenant, with scopes at most the actor's own. For users and the host application.
pub async fn create(
    db: &Database,
    env: &Env,
    actor: Actor,
    tenant: Uuid,
    key: &NewKey,
    idempotent: Option<&Idempotent<'_, KeyRow>>,
) -> Result<Answer<KeyRow>, TenancyError> {
    let now = env.clock.now();
    let checked = Checked::of(key, env.clock.real_now())?;
    write_tx!(db, "create_key", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let authority = Authority::of(tx, &held, actor).await?;
        authority.require(Permission::ManageBilling)?;
        refuse_key(actor)?;
        for scope in &key.scopes {
            authority.require(*scope)?;
        }
        let created_by = if let Actor::User(user) = actor { Some(user) } else { None };
        let row = rows::insert(tx, Some(&held), &checked.row(created_by), now).await?;
        let payload = json!({ "name": row.name, "prefix": row.prefix, "scopes": row.scopes });
        let deed = Deed { kind: "key.created", actor, subject_id: Some(row.id), payload };
        audit::append(tx, &held, env, now, deed).await?;
        ticket.done(tx, row).await
    })
}

/// Revokes a key of a tenant; it is refused from the next request on. Revoking it again changes nothing.
pub async fn revoke(db: &Database, env: &Env, actor: Actor, tenant: Uuid, key: Uuid) -> Result<(), TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "revoke_key", &[tenant], |tx| {
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        Authority::of(tx, &held, actor).await?.require(Permission::ManageBilling)?;
        let row = rows::get(tx, tenant, key).await?.ok_or(TenancyError::NotFound)?;
        if !rows::revoke(tx, &held, key, now).await? {
            return Ok(());
        }
        let payload = json!({ "name": row.name, "prefix": row.prefix });
        let deed = Deed { kind: "key.revoked", actor, subject_id: Some(key), payload };
        Ok(audit::append(tx, &held, env, now, deed).await?)
    })
}

/// Replaces a key of a tenant by one with the same name, scopes and limit. Both work until the overlap is over. The row of
/// the new one.
pub async fn rotate(
    db: &Database,
    env: &Env,
    actor: Actor,
    (tenant, old): (Uuid, Uuid),
    by: &Replacement,
    idempotent: Option<&Idempotent<'_, KeyRow>>,
) -> Result<Answer<KeyRow>, TenancyError> {
    let (now, real_now) = (env.clock.now(), env.clock.real_now());
    if by.overlap.is_negative() || by.overlap > LONGEST_OVERLAP {
        let most = LONGEST_OVERLAP.as_secs();
        return Err(TenancyError::invalid("overlapSeconds", format!("must be 0 to {most}")));
    }
    if by.expires_at.is_some_and(|end| end <= real_now) {
        return Err(TenancyError::invalid("expiresAt", "must be in the future"));
    }
    write_tx!(db, "rotate_key", &[tenant], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        let authority = Authority::of(tx, &held, actor).await?;
        authority.require(Permission::ManageBilling)?;
        let before = rows::get(tx, tenant, old).await?.ok_or(TenancyError::NotFound)?;
        refuse_key(actor)?;
        for scope in scopes(&before.scopes)?.iter() {
            authority.require(scope)?;
        }
        let until = real_now.saturating_add(by.overlap).unwrap_or(real_now);
        if !rows::replace(tx, &held, (old, by.id), until).await? {
            let message = "the key does not work any more, or was rotated already: create another";
            return Err(TenancyError::Conflict(message.to_owned()));
        }
        let row = rows::insert(tx, Some(&held), &replacing(&before, by, actor, real_now), now).await?;
        // What the old one vouched for, the new one does.
        invitations::hand_on(tx, &held, (old, by.id)).await?;
        let payload = json!({ "name": row.name, "prefix": row.prefix, "replaces": old, "overlap_until": until });
        let deed = Deed { kind: "key.rotated", actor, subject_id: Some(row.id), payload };
        audit::append(tx, &held, env, now, deed).await?;
        ticket.done(tx, row).await
    })
}

/// The row of a key that replaces another.
fn replacing<'a>(before: &'a KeyRow, by: &'a Replacement, actor: Actor, now: Timestamp) -> NewKeyRow<'a> {
    let lifetime = before.expires_at.map(|end| end.duration_since(before.created_at));
    NewKeyRow {
        id: by.id,
        name: &before.name,
        prefix: &by.prefix,
        secret_hash: &by.secret_hash,
        scopes: &before.scopes,
        created_by: if let Actor::User(user) = actor { Some(user) } else { None },
        expires_at: by.expires_at.or_else(|| lifetime.and_then(|lifetime| now.saturating_add(lifetime).ok())),
        requests_per_minute: before.requests_per_minute,
    }
}

/// Stores a service key. For the command line only: whoever may run it is trusted with the database.
pub async fn create_service(db: &Database, env: &Env, key: &NewKey) -> Result<KeyRow, TenancyError> {
    let now = env.clock.now();
    let checked = Checked::of(key, env.clock.real_now())?;
    // No audit entry: the trail is kept per tenant, and this key has none.
    tracing::info!(key = %key.id, scopes = ?checked.scopes, "service key created");
    write_tx!(db, "create_service_key", &[], |tx| Ok(rows::insert(tx, None, &checked.row(None), now).await?))
}

/// Revokes a service key; it is refused from the next request on. False where it was revoked already.
pub async fn revoke_service(db: &Database, env: &Env, key: Uuid) -> Result<bool, TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "revoke_service_key", &[], |tx| {
        if rows::find(tx, key).await?.is_none_or(|found| found.tenant_id.is_some()) {
            return Err(TenancyError::NotFound);
        }
        Ok(rows::revoke_service(tx, key, now).await?)
    })
}

/// The key with this id, of whatever tenant, as it is right now; whether it is revoked or expired is for the
/// caller to look at ([`PresentedKey::works`]), after it compared the secret.
pub async fn find(db: &Database, key: Uuid) -> Result<Option<PresentedKey>, TenancyError> {
    let tx = db.read_as_service("find_key", &[]).await?;
    let found = rows::find(&tx, key).await?;
    tx.rollback().await?;
    Ok(found)
}
