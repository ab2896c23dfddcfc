//! Operations on webhook endpoints: each locks the tenant, checks who asks, changes, writes its audit entry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::address::UrlPolicy;
use crate::env::Env;
use crate::notices::data::{Data, Test};
use crate::notices::kind::Kind;
use crate::notices::{DELIVER_WEBHOOK, Notice};
use crate::storage::jobs::{self, NewJob};
use crate::storage::notices::deliveries::{self, DeliveryRow};
use crate::storage::notices::endpoints::{self as rows, EndpointRow};
use crate::storage::notices::{self as notice_rows, NewNotice};
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::{Database, StoreError, Tx};
use crate::tenancy::audit::{self, Deed};
use crate::tenancy::authority::Authority;
use crate::tenancy::idempotency::{self, Answer, Claim, Idempotent};
use crate::tenancy::{Actor, TenancyError};
use crate::write_tx;

/// Endpoints that a tenant may have.
pub const MAX_ENDPOINTS: i64 = 10;
/// How long the secret before the present one signs too.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(24);
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 500;
/// Random bytes of a secret; the specification takes 24 to 64.
const SECRET_BYTES: usize = 32;

/// Whose endpoints, and who asks.
#[derive(Debug, Clone, Copy)]
pub struct On {
    /// Who asks.
    pub actor: Actor,
    /// The tenant.
    pub tenant_id: Uuid,
}

/// An endpoint to be made.
#[derive(Debug, Clone, Default)]
pub struct NewEndpoint {
    /// Where webhooks are posted.
    pub url: String,
    /// For people.
    pub description: String,
    /// Kinds of notices that it gets; none: all.
    pub kinds: Vec<Kind>,
}

/// What is to be changed of an endpoint; what is missing stays.
#[derive(Debug, Clone, Default)]
pub struct EndpointPatch {
    /// Where webhooks are posted.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Kinds of notices that it gets; an empty list: all.
    pub kinds: Option<Vec<Kind>>,
    /// Whether it gets any.
    pub enabled: Option<bool>,
}

/// An endpoint with its secret, which is shown this once.
#[derive(Debug, Clone)]
pub struct WithSecret {
    /// The endpoint.
    pub row: EndpointRow,
    /// `whsec_` and the random bytes in base64.
    pub secret: SecretString,
}

/// Makes an endpoint with a secret of its own.
pub async fn create(
    db: &Database,
    env: &Env,
    on: On,
    new: &NewEndpoint,
    policy: UrlPolicy,
    idempotent: Option<&Idempotent<'_, WithSecret>>,
) -> Result<Answer<WithSecret>, TenancyError> {
    let url = checked_url(policy, &new.url)?;
    check_description(&new.description)?;
    let kinds = names(&new.kinds);
    let now = env.clock.now();
    let secret = new_secret(env);
    write_tx!(db, "create_webhook_endpoint", &[on.tenant_id], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = hold(tx, on).await?;
        if rows::count(tx, &held).await? >= MAX_ENDPOINTS {
            return Err(TenancyError::Conflict(format!(
                "a tenant has at most {MAX_ENDPOINTS} webhook endpoints: delete one first"
            )));
        }
        let id = env.ids.uuid_v7(now);
        let row = rows::insert(tx, &held, (id, &url, &new.description), (&kinds, secret.expose_secret()), now).await?;
        let payload = json!({ "url": row.url, "kinds": row.kinds });
        note(tx, env, &held, on, ("webhook_endpoint.created", id), payload).await?;
        ticket.done(tx, WithSecret { row, secret: secret.clone() }).await
    })
}

/// Changes an endpoint. Enabling it, or another URL, forgets since when it failed; what it missed after that can be
/// replayed.
pub async fn patch(
    db: &Database,
    env: &Env,
    on: On,
    id: Uuid,
    patch: &EndpointPatch,
    policy: UrlPolicy,
) -> Result<EndpointRow, TenancyError> {
    let url = patch.url.as_deref().map(|url| checked_url(policy, url)).transpose()?;
    check_description(patch.description.as_deref().unwrap_or_default())?;
    let now = env.clock.now();
    write_tx!(db, "change_webhook_endpoint", &[on.tenant_id], |tx| {
        let held = hold(tx, on).await?;
        let row = rows::get(tx, on.tenant_id, id).await?.ok_or(TenancyError::NotFound)?;
        let (mut after, changed) = changed(&row, url.as_deref(), patch);
        if changed.is_empty() {
            return Ok(row);
        }
        after.updated_at = now;
        rows::update(tx, &held, &after).await?;
        note(tx, env, &held, on, ("webhook_endpoint.changed", id), Value::Object(changed)).await?;
        Ok(after)
    })
}

/// The row after a patch with this checked URL, and what differs.
fn changed(row: &EndpointRow, url: Option<&str>, patch: &EndpointPatch) -> (EndpointRow, Map<String, Value>) {
    let mut after = row.clone();
    let mut changed = Map::new();
    let mut differs = |field: &str, from: Value, to: Value| {
        if from != to {
            changed.insert(field.to_owned(), json!({ "from": from, "to": to }));
        }
    };
    if let Some(url) = url {
        differs("url", json!(row.url), json!(url));
        if url != row.url {
            after.failing_since = None;
        }
        url.clone_into(&mut after.url);
    }
    if let Some(description) = &patch.description {
        differs("description", json!(row.description), json!(description));
        after.description.clone_from(description);
    }
    if let Some(kinds) = &patch.kinds {
        after.kinds = names(kinds).into_iter().map(str::to_owned).collect();
        differs("kinds", json!(row.kinds), json!(after.kinds));
    }
    match patch.enabled {
        Some(true) if row.state != "enabled" => {
            differs("state", json!(row.state), json!("enabled"));
            (after.state, after.disabled_reason, after.failing_since) = ("enabled".to_owned(), None, None);
        }
        Some(false) if row.state != "disabled" => {
            differs("state", json!(row.state), json!("disabled"));
            (after.state, after.disabled_reason) = ("disabled".to_owned(), Some("by_hand".to_owned()));
        }
        _ => {}
    }
    (after, changed)
}

/// Takes an endpoint away, with its secrets and its deliveries.
pub async fn delete(db: &Database, env: &Env, on: On, id: Uuid) -> Result<(), TenancyError> {
    write_tx!(db, "delete_webhook_endpoint", &[on.tenant_id], |tx| {
        let held = hold(tx, on).await?;
        let row = rows::get(tx, on.tenant_id, id).await?.ok_or(TenancyError::NotFound)?;
        rows::delete(tx, &held, id).await?;
        let payload = json!({ "url": row.url });
        note(tx, env, &held, on, ("webhook_endpoint.deleted", id), payload).await
    })
}

/// Gives an endpoint a new secret. The old one signs too for [`OVERLAP`]; one that was still older stops at once.
pub async fn rotate_secret(
    db: &Database,
    env: &Env,
    on: On,
    id: Uuid,
    idempotent: Option<&Idempotent<'_, WithSecret>>,
) -> Result<Answer<WithSecret>, TenancyError> {
    let now = env.clock.now();
    let overlap_end = now.saturating_add(OVERLAP).unwrap_or(now);
    let secret = new_secret(env);
    write_tx!(db, "rotate_webhook_secret", &[on.tenant_id], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = hold(tx, on).await?;
        let rotated = rows::rotate(tx, &held, (id, secret.expose_secret()), (overlap_end, now)).await?;
        let row = rotated.ok_or(TenancyError::NotFound)?;
        let payload = json!({ "previousExpiresAt": overlap_end.to_string() });
        note(tx, env, &held, on, ("webhook_endpoint.secret_rotated", id), payload).await?;
        ticket.done(tx, WithSecret { row, secret: secret.clone() }).await
    })
}

/// Sends a test to an endpoint, to it alone and once.
pub async fn test(
    db: &Database,
    env: &Env,
    on: On,
    id: Uuid,
    idempotent: Option<&Idempotent<'_, DeliveryRow>>,
) -> Result<Answer<DeliveryRow>, TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "test_webhook_endpoint", &[on.tenant_id], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = hold(tx, on).await?;
        enabled(tx, on, id).await?;
        let notice_id = env.ids.uuid_v7(now);
        let notice = Notice::new(notice_id.to_string(), Data::Test(Test { endpoint_id: id }));
        let new = NewNotice {
            id: notice_id,
            job_id: notice_id,
            kind: Kind::Test.as_str(),
            dedupe_key: &notice.dedupe_key,
            data: &notice.data.to_json()?,
        };
        notice_rows::insert(tx, on.tenant_id, &new, now).await?;
        let delivery = env.ids.uuid_v7(now);
        deliveries::insert(tx, (on.tenant_id, notice_id), (&[delivery], &[id]), now).await?;
        ask(tx, env, on, delivery).await?;
        note(tx, env, &held, on, ("webhook_endpoint.tested", id), json!({})).await?;
        let row = deliveries::get(tx, on.tenant_id, id, delivery).await?.ok_or(TenancyError::NotFound)?;
        ticket.done(tx, row).await
    })
}

/// Begins a delivery anew, whatever became of it.
pub async fn replay(
    db: &Database,
    env: &Env,
    on: On,
    (id, delivery): (Uuid, Uuid),
    idempotent: Option<&Idempotent<'_, DeliveryRow>>,
) -> Result<Answer<DeliveryRow>, TenancyError> {
    let now = env.clock.now();
    write_tx!(db, "replay_webhook_delivery", &[on.tenant_id], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = hold(tx, on).await?;
        enabled(tx, on, id).await?;
        deliveries::get(tx, on.tenant_id, id, delivery).await?.ok_or(TenancyError::NotFound)?;
        if !deliveries::replay(tx, on.tenant_id, (id, delivery), now).await? {
            return Err(TenancyError::Conflict("the delivery is being attempted right now".to_owned()));
        }
        ask(tx, env, on, delivery).await?;
        let payload = json!({ "deliveryId": delivery.to_string() });
        note(tx, env, &held, on, ("webhook_delivery.replayed", id), payload).await?;
        let row = deliveries::get(tx, on.tenant_id, id, delivery).await?.ok_or(TenancyError::NotFound)?;
        ticket.done(tx, row).await
    })
}

/// Locks the tenant for somebody who manages its billing.
async fn hold(tx: &Tx, on: On) -> Result<LockedTenant, TenancyError> {
    let held = tenants::lock(tx, on.tenant_id).await?.ok_or(TenancyError::NotFound)?;
    Authority::of(tx, &held, on.actor).await?.require(Permission::ManageBilling)?;
    Ok(held)
}

/// Refuses where the endpoint is not there or gets nothing.
async fn enabled(tx: &Tx, on: On, id: Uuid) -> Result<(), TenancyError> {
    let row = rows::get(tx, on.tenant_id, id).await?.ok_or(TenancyError::NotFound)?;
    if row.state == "enabled" {
        Ok(())
    } else {
        Err(TenancyError::Conflict("the endpoint is disabled: enable it first".to_owned()))
    }
}

/// Asks for a delivery to be attempted, once more where it was before.
async fn ask(tx: &Tx, env: &Env, on: On, delivery: Uuid) -> Result<(), StoreError> {
    let now = env.clock.now();
    let id = env.ids.uuid_v7(now);
    let payload = json!({ "deliveryId": delivery });
    let job = NewJob { id, dedupe_key: format!("{delivery}:{id}"), payload: &payload };
    jobs::insert(tx, on.tenant_id, DELIVER_WEBHOOK, &[job], now).await
}

async fn note(
    tx: &Tx,
    env: &Env,
    held: &LockedTenant,
    on: On,
    (kind, id): (&'static str, Uuid),
    payload: Value,
) -> Result<(), TenancyError> {
    let deed = Deed { kind, actor: on.actor, subject_id: Some(id), payload };
    Ok(audit::append(tx, held, env, env.clock.now(), deed).await?)
}

/// The URL as it will be used, rather than as it was written.
fn checked_url(policy: UrlPolicy, url: &str) -> Result<String, TenancyError> {
    policy.check(url).map(String::from).map_err(|what| TenancyError::invalid("url", what))
}

fn check_description(text: &str) -> Result<(), TenancyError> {
    if text.chars().count() > MAX_DESCRIPTION {
        return Err(TenancyError::invalid("description", format!("must be at most {MAX_DESCRIPTION} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(TenancyError::invalid("description", "must not contain control characters"));
    }
    Ok(())
}

/// Stored names, each once, in the order of the list of kinds.
fn names(kinds: &[Kind]) -> Vec<&'static str> {
    Kind::ALL.iter().filter(|kind| kinds.contains(kind)).map(|kind| kind.as_str()).collect()
}

fn new_secret(env: &Env) -> SecretString {
    format!("whsec_{}", STANDARD.encode(env.ids.bytes::<SECRET_BYTES>())).into()
}
