//! `tenantry key`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::output::table;
use super::{Failure, Session};
use crate::deployment::Deployment;
use crate::http::auth::mint_key;
use crate::storage::StoreError;
use crate::storage::keys::{self as rows, KeyRow};
use crate::tenancy::Actor;
use crate::tenancy::keys::{self, NewKey};

/// Keys of a tenant that are listed.
const LISTED: i64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key and print it; this is the only time that it is shown
    Create(Create),
    /// List keys: of a tenant, or service keys
    List {
        /// The tenant; without it service keys are listed
        #[arg(long, value_name = "UUID")]
        tenant: Option<Uuid>,
    },
    /// Revoke a key; it is refused from the next request on
    Revoke {
        /// The key's id
        #[arg(value_name = "KEY-ID")]
        id: Uuid,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// A service key: for the host application, valid for all tenants
    #[arg(long, conflicts_with = "tenant", required_unless_present = "tenant")]
    service: bool,
    /// A key of one tenant
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
    /// What it may do: manageBilling, viewBilling, manageMembers, viewUsage, recordUsage [default: all of them for a
    /// service key, recordUsage and viewUsage for a tenant's]
    #[arg(long, value_delimiter = ',', value_name = "SCOPES")]
    scopes: Vec<String>,
    /// For people
    #[arg(long, default_value = "command line")]
    name: String,
    /// Requests that each replica answers in a minute [default: as many as come]
    #[arg(long, value_name = "NUMBER")]
    requests_per_minute: Option<u32>,
}

pub(super) async fn run(session: &Session, key: Key) -> Result<ExitCode, Failure> {
    session
        .on_database(async |opened| match &key {
            Key::Create(create) => made(session, opened, create).await,
            Key::List { tenant } => listed(session, opened, *tenant).await,
            Key::Revoke { id } => revoked(session, opened, *id).await,
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn made(session: &Session, opened: &Deployment, create: &Create) -> Result<(), Failure> {
    let scopes: Vec<Permission> = match (create.scopes.as_slice(), create.tenant) {
        ([], None) => Permission::ALL.to_vec(),
        ([], Some(_)) => vec![Permission::RecordUsage, Permission::ViewUsage],
        (given, _) => given
            .iter()
            .map(|scope| scope.parse().map_err(|error| Failure::usage(format!("--scopes: {error}"))))
            .collect::<Result<_, _>>()?,
    };
    let minted = mint_key(&session.env);
    let key = NewKey {
        id: minted.id,
        prefix: minted.prefix.clone(),
        secret_hash: minted.hash,
        name: create.name.clone(),
        scopes,
        expires_at: None,
        requests_per_minute: create.requests_per_minute,
    };
    let (db, env) = (&opened.db, &session.env);
    match create.tenant {
        Some(tenant) => {
            keys::create(db, env, Actor::System, tenant, &key, None).await?;
        }
        None => {
            keys::create_service(db, env, &key).await?;
        }
    }
    session.out.print(&json!({ "id": minted.id, "secret": minted.expose() }), || minted.expose().to_owned())
}

async fn listed(session: &Session, opened: &Deployment, tenant: Option<Uuid>) -> Result<(), Failure> {
    let tx = opened.db.read_as_service("list_keys", tenant.as_slice()).await?;
    let found: Result<Vec<KeyRow>, StoreError> = match tenant {
        Some(tenant) => rows::list(&tx, tenant, None, LISTED).await,
        None => rows::list_service(&tx).await,
    };
    tx.rollback().await?;
    let found = found?;
    let values: Vec<_> = found
        .iter()
        .map(|key| {
            json!({
                "id": key.id, "tenantId": key.tenant_id, "name": key.name, "prefix": key.prefix, "scopes": key.scopes,
                "createdAt": key.created_at, "expiresAt": key.expires_at, "revokedAt": key.revoked_at,
                "lastUsedAt": key.last_used_at, "replacedBy": key.replaced_by,
                "requestsPerMinute": key.requests_per_minute,
            })
        })
        .collect();
    session.out.print(&json!({ "data": values }), || {
        let state = |key: &KeyRow| match (key.revoked_at, key.last_used_at) {
            (Some(at), _) => format!("revoked {at:.0}"),
            (None, Some(at)) => format!("last used {at:.0}"),
            (None, None) => "never used".to_owned(),
        };
        let lines = found.iter().map(|key| {
            [key.id.to_string(), format!("{}...", key.prefix), key.name.clone(), key.scopes.join(","), state(key)]
        });
        table(["id", "key", "name", "scopes", "state"], lines)
    })
}

async fn revoked(session: &Session, opened: &Deployment, id: Uuid) -> Result<(), Failure> {
    let (db, env) = (&opened.db, &session.env);
    let found = keys::find(db, id).await?.ok_or_else(|| Failure::wrong(format!("there is no key {id}")))?;
    match found.tenant_id {
        Some(tenant) => keys::revoke(db, env, Actor::System, tenant, id).await?,
        None => {
            keys::revoke_service(db, env, id).await?;
        }
    }
    session.out.print(&json!({ "id": id, "revoked": true }), || format!("{id} is revoked"))
}
