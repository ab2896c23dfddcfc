//! A delivery through its attempts: leased, posted with no transaction open, marked.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::sender::Sender;
use crate::env::Env;
use crate::notices::data::WebhookEndpointDisabled;
use crate::notices::kind::Kind;
use crate::notices::{Notice, Then, raise};
use crate::storage::notices::deliveries::{self as rows, Attempted, ClaimedDelivery};
use crate::storage::notices::endpoints;
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::{Database, StoreError, Tx};
use crate::tenancy::Actor;
use crate::tenancy::audit::{self, Deed};
use crate::write_tx;

/// From one attempt to the next; the first one is made at once, after the last one it is given up.
pub const LADDER: [SignedDuration; 9] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
    SignedDuration::from_hours(14),
    SignedDuration::from_hours(20),
    SignedDuration::from_hours(24),
];
/// An endpoint that fails for this long without a success in between is disabled.
pub const DISABLED_AFTER: SignedDuration = SignedDuration::from_hours(5 * 24);
/// How long a delivery is held; longer than a request can take.
const LEASE: SignedDuration = SignedDuration::from_mins(1);
/// The status by which an endpoint says that it is gone for good.
const GONE: i32 = 410;

/// Attempts a delivery that is due.
pub async fn deliver(
    db: &Database,
    env: &Env,
    sender: &Sender,
    (tenant, id): (Uuid, Uuid),
) -> Result<Then, StoreError> {
    let now = env.clock.now();
    let lease = env.ids.uuid_v7(now);
    let until = now.saturating_add(LEASE).unwrap_or(now);
    let claimed = write_tx!(db, "claim_delivery", &[tenant], |tx| {
        match rows::claim(tx, (tenant, id), lease, (now, until)).await? {
            Some(delivery) => Ok::<_, StoreError>(Ok(delivery)),
            // Finished or gone; or not due yet, or held by somebody who may die.
            None => Ok(Err(rows::due(tx, (tenant, id)).await?)),
        }
    })?;
    let delivery = match claimed {
        Ok(delivery) => delivery,
        Err(due) => return Ok(due.map_or(Then::Finished, Then::Later)),
    };
    let attempted = if delivery.is_enabled {
        sender.send(&delivery, now).await?
    } else {
        Attempted { error: Some("the endpoint is disabled".to_owned()), ..Attempted::default() }
    };
    let now = env.clock.now();
    let is_ours = write_tx!(db, "settle_delivery", &[tenant], |tx| {
        match &attempted.error {
            None => succeeded(tx, (tenant, id, lease), &delivery, &attempted, now).await,
            Some(_) => failed(tx, env, (tenant, id, lease), &delivery, &attempted, now).await,
        }
    })?;
    Ok(match is_ours {
        Some(then) => then,
        // The lease ran out meanwhile; whoever took it over knows what is next.
        None => Then::Later(until),
    })
}

/// Tenant, delivery, lease.
type Held = (Uuid, Uuid, Uuid);

async fn succeeded(
    tx: &Tx,
    (tenant, id, lease): Held,
    delivery: &ClaimedDelivery,
    attempted: &Attempted,
    now: Timestamp,
) -> Result<Option<Then>, StoreError> {
    let is_ours = rows::settle(tx, (tenant, id), lease, ("succeeded", None, Some(now)), attempted).await?;
    if is_ours {
        endpoints::works(tx, tenant, delivery.endpoint_id).await?;
        count("succeeded");
    }
    Ok(is_ours.then_some(Then::Finished))
}

async fn failed(
    tx: &Tx,
    env: &Env,
    (tenant, id, lease): Held,
    delivery: &ClaimedDelivery,
    attempted: &Attempted,
    now: Timestamp,
) -> Result<Option<Then>, StoreError> {
    // The tenant first, as everybody does who changes an endpoint.
    let held = tenants::lock(tx, tenant).await?;
    if !rows::hold_lease(tx, (tenant, id), lease).await? {
        return Ok(None);
    }
    // A test is tried once, and says nothing of the endpoint's health.
    let is_test = delivery.notice.kind == Kind::Test.as_str();
    let goes_on = match &held {
        Some(held) if delivery.is_enabled && !is_test => {
            !disable_if_dead(tx, env, held, delivery, attempted.status, now).await?
        }
        _ => false,
    };
    let next = usize::try_from(delivery.attempts - 1)
        .ok()
        .and_then(|index| LADDER.get(index))
        .filter(|_| goes_on)
        .map(|wait| now.saturating_add(*wait).unwrap_or(now));
    let (state, finished) = if next.is_some() { ("failed", None) } else { ("dead", Some(now)) };
    count(state);
    let is_ours = rows::settle(tx, (tenant, id), lease, (state, next, finished), attempted).await?;
    Ok(is_ours.then_some(next.map_or(Then::Finished, Then::Later)))
}

fn count(state: &'static str) {
    metrics::counter!("tenantry_webhook_attempts_total", "state" => state).increment(1);
}

/// Notes a failure; disables the endpoint where it says that it is gone, or has failed for too long. True where it
/// gets nothing more.
async fn disable_if_dead(
    tx: &Tx,
    env: &Env,
    held: &LockedTenant,
    delivery: &ClaimedDelivery,
    status: Option<i32>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (endpoint, is_first) = (delivery.endpoint_id, delivery.attempts == 1);
    let Some((url, failing_since)) = endpoints::fails(tx, held, endpoint, now).await? else {
        return Ok(true);
    };
    let is_gone = status == Some(GONE);
    // The last failure may be long ago, and nothing was sent since: a first attempt alone is no proof.
    if !is_gone && (is_first || now.duration_since(failing_since) < DISABLED_AFTER) {
        return Ok(false);
    }
    let reason = if is_gone { "gone" } else { "failing" };
    endpoints::disable(tx, held, endpoint, reason, now).await?;
    let payload = json!({ "reason": reason, "failingSince": failing_since.to_string() });
    let deed = Deed { kind: "webhook_endpoint.disabled", actor: Actor::System, subject_id: Some(endpoint), payload };
    audit::append(tx, held, env, now, deed).await?;
    let data = WebhookEndpointDisabled { endpoint_id: endpoint, url: without_query(&url), is_gone, failing_since };
    raise(tx, env, now, held.id(), &Notice::new(format!("{endpoint}:{now}"), data)).await?;
    Ok(true)
}

/// A query may hold a secret, and mails are read by many.
fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}
