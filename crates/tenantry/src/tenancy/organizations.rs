//! Making, changing and deleting organizations.

use serde_json::{Map, Value, json};
use tenantry_domain::permission::{Action, Permission, Role};
use tenantry_domain::slug;
use uuid::Uuid;

use super::audit::{self, Deed};
use super::authority::{Authority, key_scopes};
use super::ending::{leave_stripe, refuse_unsettled};
use super::idempotency::{self, Answer, Claim, Idempotent};
use super::slugs::{self, Wanted};
use super::{Actor, TenancyError, invitations, subscription, validate};
use crate::env::Env;
use crate::storage::tenants::{self, NewTenant, SLUG_CONSTRAINT, TenantRow};
use crate::storage::{Database, keys, members, subscriptions, users};
use crate::write_tx;

/// An organization to be made.
#[derive(Debug, Clone, Default)]
pub struct NewOrganization {
    /// For people.
    pub name: String,
    /// For URLs; made from the name where it is missing.
    pub slug: Option<String>,
    /// Where bills go.
    pub billing_email: Option<String>,
    /// Its first owner. A user makes organizations of its own only and may leave this out.
    pub owner_id: Option<Uuid>,
}

/// Makes an organization with its owner and its free subscription.
pub async fn create(
    db: &Database,
    env: &Env,
    actor: Actor,
    new: &NewOrganization,
    idempotent: Option<&Idempotent<'_, TenantRow>>,
) -> Result<Answer<TenantRow>, TenancyError> {
    let name = validate::name("name", &new.name, validate::MAX_TENANT_NAME)?;
    let billing_email = new.billing_email.as_deref().map(|text| validate::email("billingEmail", text)).transpose()?;
    let owner_id = owner(actor, new.owner_id)?;
    let wanted = new.slug.as_deref().map_or(Wanted::FromName(&name), Wanted::Exactly);
    let settings = billing_email.map_or_else(|| json!({}), |email| json!({ "billing_email": email }));
    let now = env.clock.now();
    let id = env.ids.uuid_v7(now);
    write_tx!(db, "create_organization", &[id], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        if let Actor::ServiceKey(key) = actor {
            let needed = Permission::ManageMembers;
            if !key_scopes(tx, key, None).await?.contains(needed) {
                return Err(TenancyError::Forbidden { needed: needed.as_str(), role: None });
            }
        }
        if users::existing(tx, &[owner_id]).await?.is_empty() {
            if actor == Actor::User(owner_id) && users::is_deleted(tx, owner_id).await? {
                return Err(TenancyError::AccountDeleted);
            }
            return Err(TenancyError::invalid("ownerId", "names no user: a user is made by its first request"));
        }
        let tenant = NewTenant { id, kind: "organization", name: &name, slug: "", owner_id, settings: &settings };
        let tenant = slugs::insert(tx, env, &tenant, wanted, now).await?;
        members::insert(tx, &tenant, (owner_id, Role::Owner.as_str(), &json!({})), now).await?;
        subscription::begin_free(tx, &tenant, env, now).await?;
        let payload = json!({ "type": "organization", "name": name, "slug": tenant.row().slug });
        let deed = Deed { kind: "tenant.created", actor, subject_id: Some(owner_id), payload };
        audit::append(tx, &tenant, env, now, deed).await?;
        ticket.done(tx, tenant.row().clone()).await
    })
}

fn owner(actor: Actor, given: Option<Uuid>) -> Result<Uuid, TenancyError> {
    match (actor, given) {
        (Actor::User(user), None) => Ok(user),
        (Actor::User(user), Some(owner)) if owner == user => Ok(user),
        (Actor::User(_), Some(_)) => Err(TenancyError::invalid("ownerId", "only a service key names another owner")),
        (Actor::Key { .. }, _) => Err(TenancyError::Forbidden { needed: "createTenant", role: None }),
        (Actor::ServiceKey(_) | Actor::System, Some(owner)) => Ok(owner),
        (Actor::ServiceKey(_) | Actor::System, None) => Err(TenancyError::invalid("ownerId", "is required")),
    }
}

/// What is to be changed of a tenant; what is missing stays.
#[derive(Debug, Clone, Default)]
pub struct TenantPatch {
    /// For people.
    pub name: Option<String>,
    /// For URLs.
    pub slug: Option<String>,
    /// Where bills go; `Some(None)` takes it away.
    pub billing_email: Option<Option<String>>,
}

/// Changes name, slug or billing address of a tenant.
pub async fn patch(
    db: &Database,
    env: &Env,
    actor: Actor,
    tenant: Uuid,
    patch: &TenantPatch,
) -> Result<TenantRow, TenancyError> {
    let name = patch.name.as_deref().map(|text| validate::name("name", text, validate::MAX_TENANT_NAME)).transpose()?;
    if let Some(slug) = &patch.slug {
        slug::validate(slug).map_err(|error| TenancyError::invalid("slug", error.to_string()))?;
    }
    if let Some(Some(address)) = &patch.billing_email {
        validate::email("billingEmail", address)?;
    }
    let now = env.clock.now();
    write_tx!(db, "patch_tenant", &[tenant], |tx| {
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        Authority::of(tx, &held, actor).await?.require(Permission::ManageMembers)?;
        let row = held.row();
        let mut changed = Map::new();
        let name = pick(&mut changed, "name", name.as_deref(), &row.name);
        let slug = pick(&mut changed, "slug", patch.slug.as_deref(), &row.slug);
        let settings = settings(&mut changed, &row.settings, patch.billing_email.as_ref());
        if changed.is_empty() {
            return Ok(row.clone());
        }
        let held = tenants::update(tx, &held, (name, slug), &settings, now).await.map_err(|error| {
            if error.constraint() == Some(SLUG_CONSTRAINT) {
                TenancyError::SlugTaken(slug.to_owned())
            } else {
                error.into()
            }
        })?;
        let payload = Value::Object(changed);
        let deed = Deed { kind: "tenant.changed", actor, subject_id: Some(tenant), payload };
        audit::append(tx, &held, env, now, deed).await?;
        Ok(held.row().clone())
    })
}

/// The new value of a field, noted where it differs from the old one.
fn pick<'a>(changed: &mut Map<String, Value>, field: &str, new: Option<&'a str>, old: &'a str) -> &'a str {
    match new {
        Some(new) if new != old => {
            changed.insert(field.to_owned(), json!({ "from": old, "to": new }));
            new
        }
        _ => old,
    }
}

fn settings(changed: &mut Map<String, Value>, old: &Value, billing_email: Option<&Option<String>>) -> Value {
    let mut settings = old.as_object().cloned().unwrap_or_default();
    let before = settings.get("billing_email").cloned().unwrap_or(Value::Null);
    if let Some(address) = billing_email {
        let after = json!(address);
        if after != before {
            changed.insert("billing_email".to_owned(), json!({ "from": before, "to": after }));
            match after {
                Value::Null => settings.remove("billing_email"),
                address => settings.insert("billing_email".to_owned(), address),
            };
        }
    }
    Value::Object(settings)
}

/// Writes down that an owner takes everything along that the tenant has.
pub async fn note_export(db: &Database, env: &Env, actor: Actor, tenant: Uuid) -> Result<(), TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "note_export", &[tenant], |tx| {
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        Authority::of(tx, &held, actor).await?.require_owner(Action::ExportTenant)?;
        let deed = Deed { kind: "tenant.exported", actor, subject_id: Some(tenant), payload: json!({}) };
        Ok(audit::append(tx, &held, env, now, deed).await?)
    })
}

/// Deletes an organization: nobody is a member any more, its keys are revoked, its free subscription ends, its slug
/// is free. Usage and audit trail stay.
pub async fn delete(db: &Database, env: &Env, actor: Actor, tenant: Uuid) -> Result<(), TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "delete_tenant", &[tenant], |tx| {
        let held = tenants::lock(tx, tenant).await?.ok_or(TenancyError::NotFound)?;
        Authority::of(tx, &held, actor).await?.require_owner(Action::DeleteTenant)?;
        if held.row().is_personal() {
            return Err(TenancyError::PersonalTenant("cannot be deleted: it stands for its user"));
        }
        refuse_unsettled(tx, &held).await?;
        let keys = keys::revoke_all(tx, &held, now).await?;
        let members = members::remove_all(tx, &held).await?;
        let invitations = invitations::revoke_all(tx, &held, now).await?;
        subscriptions::end(tx, &held, now).await?;
        let payload = json!({ "slug": held.row().slug, "members": members, "keys_revoked": keys,
            "invitations_revoked": invitations });
        let deed = Deed { kind: "tenant.deleted", actor, subject_id: Some(tenant), payload };
        audit::append(tx, &held, env, now, deed).await?;
        leave_stripe(tx, &held, env, now).await?;
        Ok(tenants::delete(tx, &held, now).await?)
    })
}
