//! Setting and removing caps and alerts: each locks the tenant, checks who asks, locks the subscription and the
//! counters, changes, brings the counters along, writes its audit entry.
//!
//! No event is decided while the counters are held, so that whatever is decided later is decided by the new word.

use serde_json::json;
use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::{tell, watch};
use crate::env::Env;
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::open;
use crate::storage::usage::spend::{self as rows, AlertRow, CapRow};
use crate::storage::{Database, StoreError, Tx};
use crate::tenancy::audit::{self, Deed};
use crate::tenancy::authority::Authority;
use crate::tenancy::idempotency::{self, Answer, Claim, Idempotent};
use crate::tenancy::{Actor, TenancyError};
use crate::write_tx;

/// The largest amount of a cap or an alert, in minor units: exact in every JSON reader.
pub const MOST_MINOR: i64 = 999_999_999_999_999;
/// Alerts that a tenant may have.
pub const MAX_ALERTS: usize = 20;

/// Whose spend, and who asks.
#[derive(Debug, Clone, Copy)]
pub struct On {
    /// Who asks; needs `manageBilling`.
    pub actor: Actor,
    /// The tenant.
    pub tenant_id: Uuid,
}

/// Sets the cap of a metric, or that of all metrics together, in place of the one that is there. It holds from the
/// commit on, in the running period too; a spend that is above it already stays, and nothing more that costs something
/// is accepted.
pub async fn set_cap(
    db: &Database,
    env: &Env,
    on: On,
    metric: Option<&str>,
    amount_minor: i64,
) -> Result<CapRow, TenancyError> {
    check_amount(amount_minor, 0)?;
    let now = env.clock.now();
    write_tx!(db, "set_spend_cap", &[on.tenant_id], |tx| {
        let held = Held::of(tx, on).await?;
        let before = cap_of(tx, on.tenant_id, metric).await?;
        if let Some(same) = before.clone().filter(|cap| cap.amount_minor == amount_minor) {
            return Ok(same);
        }
        let id = env.ids.uuid_v7(now);
        let row = rows::set_cap(tx, &held.tenant, (id, metric), amount_minor, now).await?;
        held.follow(tx).await?;
        tell::tell_standing(tx, env, on.tenant_id).await?;
        let from = before.map(|cap| cap.amount_minor);
        let payload = json!({ "metric": metric, "amountCents": { "from": from, "to": amount_minor } });
        held.note(tx, env, on, ("spend_cap.set", row.id), payload).await?;
        Ok(row)
    })
}

/// Removes the cap of a metric, or that of all metrics together.
pub async fn remove_cap(db: &Database, env: &Env, on: On, metric: Option<&str>) -> Result<(), TenancyError> {
    write_tx!(db, "remove_spend_cap", &[on.tenant_id], |tx| {
        let held = Held::of(tx, on).await?;
        let cap = cap_of(tx, on.tenant_id, metric).await?.ok_or(TenancyError::NotFound)?;
        rows::remove_cap(tx, &held.tenant, metric).await?;
        held.follow(tx).await?;
        let payload = json!({ "metric": metric, "amountCents": cap.amount_minor });
        held.note(tx, env, on, ("spend_cap.removed", cap.id), payload).await
    })
}

/// Adds an alert. Where the running period has reached it already, it is told at once.
pub async fn add_alert(
    db: &Database,
    env: &Env,
    on: On,
    (metric, amount_minor): (Option<&str>, i64),
    idempotent: Option<&Idempotent<'_, AlertRow>>,
) -> Result<Answer<AlertRow>, TenancyError> {
    check_amount(amount_minor, 1)?;
    let now = env.clock.now();
    write_tx!(db, "add_spend_alert", &[on.tenant_id], |tx| {
        let ticket = match idempotency::claim(tx, idempotent, now).await? {
            Claim::Replay(kept) => return Ok(Answer::Replayed(kept)),
            Claim::Go(ticket) => ticket,
        };
        let held = Held::of(tx, on).await?;
        let alerts = rows::alerts(tx, &[on.tenant_id]).await?;
        if alerts.iter().any(|alert| alert.metric.as_deref() == metric && alert.amount_minor == amount_minor) {
            return Err(TenancyError::Conflict("there is an alert at this amount already".to_owned()));
        }
        if alerts.len() >= MAX_ALERTS {
            let full = format!("a tenant has at most {MAX_ALERTS} spend alerts: delete one first");
            return Err(TenancyError::Conflict(full));
        }
        let row = AlertRow {
            tenant_id: on.tenant_id,
            id: env.ids.uuid_v7(now),
            metric: metric.map(str::to_owned),
            amount_minor,
            created_at: now,
        };
        rows::insert_alert(tx, &held.tenant, &row).await?;
        held.follow(tx).await?;
        tell::tell_standing(tx, env, on.tenant_id).await?;
        let payload = json!({ "metric": metric, "amountCents": amount_minor });
        held.note(tx, env, on, ("spend_alert.created", row.id), payload).await?;
        ticket.done(tx, row).await
    })
}

/// Removes an alert. What it told stays told.
pub async fn remove_alert(db: &Database, env: &Env, on: On, id: Uuid) -> Result<(), TenancyError> {
    write_tx!(db, "remove_spend_alert", &[on.tenant_id], |tx| {
        let held = Held::of(tx, on).await?;
        let alerts = rows::alerts(tx, &[on.tenant_id]).await?;
        let alert = alerts.into_iter().find(|alert| alert.id == id).ok_or(TenancyError::NotFound)?;
        rows::remove_alert(tx, &held.tenant, id).await?;
        held.follow(tx).await?;
        let payload = json!({ "metric": alert.metric, "amountCents": alert.amount_minor });
        held.note(tx, env, on, ("spend_alert.removed", id), payload).await
    })
}

/// A tenant whose row, subscription and counters this transaction holds, for somebody who manages its billing.
struct Held {
    tenant: LockedTenant,
    counters: Vec<CounterRow>,
}

impl Held {
    async fn of(tx: &Tx, on: On) -> Result<Self, TenancyError> {
        let tenant = tenants::lock(tx, on.tenant_id).await?.ok_or(TenancyError::NotFound)?;
        Authority::of(tx, &tenant, on.actor).await?.require(Permission::ManageBilling)?;
        // No counter is opened and no segment begins meanwhile.
        open::lock_subscriptions(tx, &[on.tenant_id]).await?;
        let counters = rows::lock_counters(tx, &tenant).await?;
        Ok(Self { tenant, counters })
    }

    /// Brings the bounds of the open counters to what is watched now.
    async fn follow(&self, tx: &Tx) -> Result<(), StoreError> {
        let watches = watch::of_tenants(tx, &[self.tenant.id()]).await?;
        let open: Vec<CounterRow> = self.counters.iter().filter(|counter| !counter.closed).cloned().collect();
        rows::set_sure_limits(tx, &watch::misbounded(tx, &watches, &open).await?).await
    }

    async fn note(
        &self,
        tx: &Tx,
        env: &Env,
        on: On,
        (kind, id): (&'static str, Uuid),
        payload: serde_json::Value,
    ) -> Result<(), TenancyError> {
        let deed = Deed { kind, actor: on.actor, subject_id: Some(id), payload };
        Ok(audit::append(tx, &self.tenant, env, env.clock.now(), deed).await?)
    }
}

async fn cap_of(tx: &Tx, tenant: Uuid, metric: Option<&str>) -> Result<Option<CapRow>, StoreError> {
    Ok(rows::caps(tx, &[tenant]).await?.into_iter().find(|cap| cap.metric.as_deref() == metric))
}

fn check_amount(amount_minor: i64, least: i64) -> Result<(), TenancyError> {
    if (least..=MOST_MINOR).contains(&amount_minor) {
        return Ok(());
    }
    let message = format!("must be {least} to {MOST_MINOR}, in minor units of the catalog's currency");
    Err(TenancyError::invalid("amountCents", message))
}
