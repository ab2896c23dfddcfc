//! From a notice to those who are told: mails to billing contacts, deliveries to webhook endpoints.

use std::collections::HashSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::kind::Kind;
use super::{DELIVER_WEBHOOK, SEND_MAIL};
use crate::env::Env;
use crate::storage::jobs::{self, NewJob};
use crate::storage::notices::{self as rows, deliveries, endpoints, mails};
use crate::storage::tenants::{self, LockedTenant};
use crate::storage::{Database, StoreError, Tx};
use crate::write_tx;

/// Decides who is told of a notice and asks for each mail and each delivery by a job of its own. Done twice, it adds
/// nothing. A tenant that was deleted meanwhile is told nothing.
pub async fn fan_out(db: &Database, env: &Env, tenant: Uuid, notice: Uuid) -> Result<(), StoreError> {
    let now = env.clock.now();
    write_tx!(db, "fan_out_notice", &[tenant], |tx| {
        // Under the tenant's lock no endpoint goes away between being chosen and being referred to.
        let Some(held) = tenants::lock(tx, tenant).await? else { return Ok(()) };
        let Some(row) = rows::get(tx, tenant, notice).await? else { return Ok(()) };
        let kind = Kind::parse(&row.kind).ok_or_else(|| StoreError::corrupt("kind of a notice", &row.kind))?;

        let addresses = addresses(tx, &held).await?;
        let ids: Vec<Uuid> = addresses.iter().map(|_| env.ids.uuid_v7(now)).collect();
        let new = mails::insert(tx, (tenant, notice), (&ids, &addresses), now).await?;
        ask(tx, env, tenant, SEND_MAIL, "mailId", &new).await?;

        let chosen = endpoints::subscribed(tx, &held, kind.as_str()).await?;
        let ids: Vec<Uuid> = chosen.iter().map(|_| env.ids.uuid_v7(now)).collect();
        let new = deliveries::insert(tx, (tenant, notice), (&ids, &chosen), now).await?;
        ask(tx, env, tenant, DELIVER_WEBHOOK, "deliveryId", &new).await
    })
}

/// Asks for a job for each of these ids.
async fn ask(
    tx: &Tx,
    env: &Env,
    tenant: Uuid,
    kind: &'static str,
    member: &str,
    ids: &[Uuid],
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let now = env.clock.now();
    let payloads: Vec<Value> = ids.iter().map(|id| json!({ member: id })).collect();
    let new: Vec<NewJob<'_>> = ids
        .iter()
        .zip(&payloads)
        .map(|(id, payload)| NewJob { id: env.ids.uuid_v7(now), dedupe_key: id.to_string(), payload })
        .collect();
    jobs::insert(tx, tenant, kind, &new, now).await
}

/// Billing contacts: owners, admins and billing admins with an address, and the tenant's billing address. Each once,
/// whatever its capital letters.
async fn addresses(tx: &Tx, tenant: &LockedTenant) -> Result<Vec<String>, StoreError> {
    let billing = tenant.row().settings.get("billing_email").and_then(Value::as_str).map(str::to_owned);
    let mut seen = HashSet::new();
    let mut addresses: Vec<String> = mails::contacts(tx, tenant.id()).await?.into_iter().chain(billing).collect();
    addresses.retain(|address| seen.insert(address.to_lowercase()));
    Ok(addresses)
}
