//! `tenantry tenant`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::output::table;
use super::{Failure, Session};
use crate::deployment::Deployment;
use crate::http::routes::tenants::Tenant as TenantView;
use crate::storage::tenants::{self as rows, TenantRow};
use crate::storage::usage::books;
use crate::storage::{members, subscriptions};
use crate::tenancy::idempotency::Answer;
use crate::tenancy::organizations::{self, NewOrganization};
use crate::tenancy::{Actor, users};

/// Tenants that are read at once.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Make an organization and print its id; an owner who is not known yet is made
    Create(Create),
    /// List all tenants
    List,
    /// Show a tenant with its plan and members
    Show {
        /// The tenant's id
        #[arg(value_name = "TENANT-ID")]
        id: Uuid,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// For people
    #[arg(long)]
    name: String,
    /// The user who owns it
    #[arg(long, value_name = "UUID")]
    owner: Uuid,
    /// For URLs [default: made from the name]
    #[arg(long)]
    slug: Option<String>,
    /// Where bills go [default: to the owner]
    #[arg(long, value_name = "ADDRESS")]
    billing_email: Option<String>,
}

pub(super) async fn run(session: &Session, tenant: Tenant) -> Result<ExitCode, Failure> {
    session
        .on_loaded_database(async |opened| match &tenant {
            Tenant::Create(create) => made(session, opened, create).await,
            Tenant::List => listed(session, opened).await,
            Tenant::Show { id } => shown(session, opened, *id).await,
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn made(session: &Session, opened: &Deployment, create: &Create) -> Result<(), Failure> {
    let (db, env) = (&opened.db, &session.env);
    users::ensure(db, env, Actor::System, create.owner, None).await?;
    let new = NewOrganization {
        name: create.name.clone(),
        slug: create.slug.clone(),
        billing_email: create.billing_email.clone(),
        owner_id: Some(create.owner),
    };
    match organizations::create(db, env, Actor::System, &new, None).await? {
        Answer::Done(row) => {
            let id = row.id;
            session.out.print(&json!({ "tenant": TenantView::from(row) }), || id.to_string())
        }
        // Only a request with an idempotency key is ever replayed, and this one has none.
        Answer::Replayed(_) => Err(Failure::wrong("the tenant was made before")),
    }
}

async fn listed(session: &Session, opened: &Deployment) -> Result<(), Failure> {
    let mut found: Vec<TenantRow> = Vec::new();
    let mut after = None;
    while let Some((last, page)) = page(opened, after).await? {
        found.extend(page);
        after = Some(last);
    }
    let text = table(
        ["id", "type", "slug", "name"],
        found.iter().map(|row| [row.id.to_string(), row.kind.clone(), row.slug.clone(), row.name.clone()]),
    );
    let views: Vec<TenantView> = found.into_iter().map(TenantView::from).collect();
    session.out.print(&json!({ "data": views }), || text)
}

/// The tenants after this id, with the id to go on from; none where there are no more.
async fn page(opened: &Deployment, after: Option<Uuid>) -> Result<Option<(Uuid, Vec<TenantRow>)>, Failure> {
    let tx = opened.db.read_as_service("list_tenant_ids", &[]).await?;
    let ids = books::all_tenants(&tx, after, PAGE).await?;
    tx.rollback().await?;
    let Some(last) = ids.last().copied() else { return Ok(None) };
    let tx = opened.db.read_as_service("list_tenants", &ids).await?;
    let page = rows::all(&tx).await?;
    tx.rollback().await?;
    Ok(Some((last, page)))
}

async fn shown(session: &Session, opened: &Deployment, id: Uuid) -> Result<(), Failure> {
    let tx = opened.db.read_as_service("show_tenant", &[id]).await?;
    let row = rows::get(&tx, id).await?;
    let subscription = subscriptions::current(&tx, id).await?;
    let people = members::list(&tx, id, None, PAGE).await?;
    tx.rollback().await?;
    let row = row.ok_or_else(|| Failure::wrong(format!("there is no tenant {id}")))?;
    let mut text = format!("{}  {} \"{}\" ({})\n", row.id, row.kind, row.name, row.slug);
    if let Some(current) = &subscription {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "plan {} (version {}), {}, period from {:.0} to {:.0}",
            current.plan_id,
            current.plan_version,
            current.status,
            current.current_period_start,
            current.current_period_end
        );
    }
    let lines = people
        .iter()
        .map(|member| [member.user_id.to_string(), member.role.clone(), member.email.clone().unwrap_or_default()]);
    text.push_str(&table(["member", "role", "e-mail"], lines));
    let value = json!({
        "tenant": TenantView::from(row),
        "subscription": subscription.map_or(Value::Null, |current| json!({
            "planId": current.plan_id, "planVersion": current.plan_version, "status": current.status,
            "currentPeriodStart": current.current_period_start, "currentPeriodEnd": current.current_period_end,
        })),
        "members": people.iter().map(|member| json!({
            "userId": member.user_id, "role": member.role, "email": member.email, "permissions": member.permissions,
        })).collect::<Vec<_>>(),
    });
    session.out.print(&value, || text)
}
