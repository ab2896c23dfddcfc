//! `tenantry notifications`

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::output::table;
use super::{Failure, Session};
use crate::deployment::Deployment;
use crate::notices::mail::{Letter, invitation, letter_of};
use crate::storage::invitation_mails::{self, InvitationMailRow};
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

/// What somebody was told, with the mails that carry it: a notice, or an invitation.
struct Told {
    id: Uuid,
    tenant_id: Uuid,
    created_at: Timestamp,
    kind: String,
    data: Value,
    /// None where a newer version raised it.
    letter: Option<Letter>,
    mails: Vec<Mail>,
    /// Where an invitation is accepted whose mail is kept.
    link: Option<String>,
}

struct Mail {
    address: String,
    state: String,
    sent_at: Option<Timestamp>,
    last_error: Option<String>,
}

pub(super) async fn run(session: &Session, wanted: &Notifications) -> Result<ExitCode, Failure> {
    session
        .on_database(async |opened| {
            let mut told = match wanted.tenant {
                Some(tenant) => of(session, opened, tenant, wanted.limit).await?,
                None => of_all(session, opened, wanted.limit).await?,
            };
            told.sort_by_key(|told| std::cmp::Reverse((told.created_at, told.id)));
            print(session, &told)
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn of_all(session: &Session, opened: &Deployment, limit: u16) -> Result<Vec<Told>, Failure> {
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let tx = opened.db.read_as_service("list_tenant_ids", &[]).await?;
        let ids = books::all_tenants(&tx, after, PAGE).await?;
        tx.rollback().await?;
        let Some(last) = ids.last() else { return Ok(told) };
        after = Some(*last);
        for tenant in &ids {
            told.extend(of(session, opened, *tenant, limit).await?);
        }
    }
}

async fn of(session: &Session, opened: &Deployment, tenant: Uuid, limit: u16) -> Result<Vec<Told>, Failure> {
    let tx = opened.db.read_as_service("list_notifications", &[tenant]).await?;
    let row = tenants::get(&tx, tenant).await?;
    let rows = notices::list(&tx, tenant, None, i64::from(limit)).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mails = mails::of_notices(&tx, tenant, &ids).await?;
    let invitations = invitation_mails::list(&tx, tenant, i64::from(limit)).await?;
    tx.rollback().await?;
    let name = row.map_or_else(String::new, |row| row.name);
    let mut told: Vec<Told> = rows.into_iter().map(|row| notice(row, &name, &mails)).collect();
    told.extend(invitations.into_iter().map(|mail| invited(mail, tenant, session.config.app_url())));
    told.sort_by_key(|told| std::cmp::Reverse((told.created_at, told.id)));
    told.truncate(usize::from(limit));
    Ok(told)
}

fn notice(notice: NoticeRow, tenant_name: &str, mails: &[MailRow]) -> Told {
    let carries = mails.iter().filter(|mail| mail.notification_id == notice.id).map(|mail| Mail {
        address: mail.address.clone(),
        state: mail.state.clone(),
        sent_at: mail.sent_at,
        last_error: mail.last_error.clone(),
    });
    Told {
        mails: carries.collect(),
        letter: letter_of(&notice, tenant_name).ok(),
        id: notice.id,
        tenant_id: notice.tenant_id,
        created_at: notice.created_at,
        kind: notice.kind,
        data: notice.data,
        link: None,
    }
}

fn invited(mail: InvitationMailRow, tenant_id: Uuid, app_url: &str) -> Told {
    let kept = mail.token.as_ref().filter(|_| mail.state == "kept");
    Told {
        link: kept.map(|token| invitation::link(app_url, token)),
        letter: invitation::letter_of(&mail, app_url).ok(),
        id: mail.id,
        tenant_id,
        created_at: mail.created_at,
        kind: "invitation".to_owned(),
        data: json!({ "invitationId": mail.invitation_id, "role": mail.role, "expiresAt": mail.expires_at }),
        mails: vec![Mail {
            address: mail.address,
            state: mail.state,
            sent_at: mail.sent_at,
            last_error: mail.last_error,
        }],
    }
}

fn print(session: &Session, told: &[Told]) -> Result<(), Failure> {
    let views: Vec<Value> = told.iter().map(view).collect();
    session.out.print(&json!({ "data": views }), || {
        let mut text = table(["time", "tenant", "subject", "mails"], told.iter().map(line));
        // Nobody got these: whoever runs the server hands them on.
        for told in told {
            if let (Some(link), Some(mail)) = (&told.link, told.mails.first()) {
                text = format!("{text}\n{} is invited: {link}", clean(&mail.address));
            }
        }
        text
    })
}

fn line(told: &Told) -> [String; 4] {
    let subject = told.letter.as_ref().map_or_else(|| told.kind.clone(), |letter| letter.subject.clone());
    let mails: Vec<String> = told.mails.iter().map(|mail| format!("{} {}", clean(&mail.address), mail.state)).collect();
    [format!("{:.0}", told.created_at), told.tenant_id.to_string(), subject, mails.join(", ")]
}

fn view(told: &Told) -> Value {
    let mails = told.mails.iter().map(|mail| {
        json!({ "address": mail.address, "state": mail.state, "sentAt": mail.sent_at, "lastError": mail.last_error })
    });
    json!({
        "id": told.id,
        "tenantId": told.tenant_id,
        "kind": told.kind,
        "data": told.data,
        "createdAt": told.created_at,
        "subject": told.letter.as_ref().map(|letter| &letter.subject),
        "text": told.letter.as_ref().map(|letter| &letter.text),
        "mails": mails.collect::<Vec<Value>>(),
    })
}
