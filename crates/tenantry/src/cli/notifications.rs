//! `tenantry notifications`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::output::table;
use super::{Failure, Session};
use crate::deployment::Deployment;
use crate::notices::mail::{Letter, letter_of};
use crate::storage::notices::mails::{self, MailRow};
use crate::storage::notices::{self, NoticeRow};
use crate::storage::tenants;
use crate::storage::usage::books;
use crate::tenancy::security::clean;

/// Tenants that are read at once.
const PAGE: i64 = 500;

#[derive(Debug, Args)]
pub(super) struct Notifications {
    /// Only of this tenant [default: of all]
    #[arg(long, value_name = "ID")]
    tenant: Option<Uuid>,
    /// Notices of each tenant, the newest first
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
}

/// A notice with its letter and the mails that carry it.
struct Told {
    notice: NoticeRow,
    /// None where a newer version raised it.
    letter: Option<Letter>,
    mails: Vec<MailRow>,
}

pub(super) async fn run(session: &Session, wanted: &Notifications) -> Result<ExitCode, Failure> {
    session
        .on_database(async |opened| {
            let mut told = match wanted.tenant {
                Some(tenant) => of(opened, tenant, wanted.limit).await?,
                None => of_all(opened, wanted.limit).await?,
            };
            told.sort_by_key(|told| std::cmp::Reverse((told.notice.created_at, told.notice.id)));
            print(session, &told)
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn of_all(opened: &Deployment, limit: u16) -> Result<Vec<Told>, Failure> {
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let tx = opened.db.read_as_service("list_tenant_ids", &[]).await?;
        let ids = books::all_tenants(&tx, after, PAGE).await?;
        tx.rollback().await?;
        let Some(last) = ids.last() else { return Ok(told) };
        after = Some(*last);
        for tenant in &ids {
            told.extend(of(opened, *tenant, limit).await?);
        }
    }
}

async fn of(opened: &Deployment, tenant: Uuid, limit: u16) -> Result<Vec<Told>, Failure> {
    let tx = opened.db.read_as_service("list_notifications", &[tenant]).await?;
    let row = tenants::get(&tx, tenant).await?;
    let rows = notices::list(&tx, tenant, None, i64::from(limit)).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mails = mails::of_notices(&tx, tenant, &ids).await?;
    tx.rollback().await?;
    let name = row.map_or_else(String::new, |row| row.name);
    let told = rows.into_iter().map(|notice| Told {
        letter: letter_of(&notice, &name).ok(),
        mails: mails.iter().filter(|mail| mail.notification_id == notice.id).cloned().collect(),
        notice,
    });
    Ok(told.collect())
}

fn print(session: &Session, told: &[Told]) -> Result<(), Failure> {
    let views: Vec<Value> = told.iter().map(view).collect();
    session
        .out
        .print(&json!({ "data": views }), || table(["time", "tenant", "subject", "mails"], told.iter().map(line)))
}

fn line(told: &Told) -> [String; 4] {
    let subject = told.letter.as_ref().map_or_else(|| told.notice.kind.clone(), |letter| letter.subject.clone());
    let mails: Vec<String> = told.mails.iter().map(|mail| format!("{} {}", clean(&mail.address), mail.state)).collect();
    [format!("{:.0}", told.notice.created_at), told.notice.tenant_id.to_string(), subject, mails.join(", ")]
}

fn view(told: &Told) -> Value {
    let mails = told.mails.iter().map(|mail| {
        json!({ "address": mail.address, "state": mail.state, "sentAt": mail.sent_at, "lastError": mail.last_error })
    });
    json!({
        "id": told.notice.id,
        "tenantId": told.notice.tenant_id,
        "kind": told.notice.kind,
        "data": told.notice.data,
        "createdAt": told.notice.created_at,
        "subject": told.letter.as_ref().map(|letter| &letter.subject),
        "text": told.letter.as_ref().map(|letter| &letter.text),
        "mails": mails.collect::<Vec<Value>>(),
    })
}
