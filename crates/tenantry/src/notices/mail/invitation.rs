//! The mail of an invitation. It says a token, so its row is no notice: no tenant reads it, and the token leaves it as
//! soon as it is not needed there any more.

use jiff::Timestamp;
use uuid::Uuid;

use super::super::{Outbound, Then};
use super::{InvitationText, LEASE, Letter, Refused, after_refusal};
use crate::env::Env;
use crate::storage::invitation_mails::{self as rows, ClaimedInvitationMail, InvitationMailRow};
use crate::storage::{Database, StoreError};
use crate::write_tx;

/// Where an invitation is accepted: a page of the host application, which posts the token once its user is signed in.
pub fn link(app_url: &str, token: &str) -> String {
    format!("{app_url}/invitations/accept?token={token}")
}

/// The letter of a mail; without its link once the token is gone.
pub fn letter_of(mail: &InvitationMailRow, app_url: &str) -> Result<Letter, StoreError> {
    let url = mail.token.as_ref().map(|token| link(app_url, token));
    let text = InvitationText { role: &mail.role, expires_at: mail.expires_at, url: url.as_deref() };
    Letter::invitation(text, &mail.tenant_name).map_err(|error| StoreError::corrupt("letter", error))
}

/// Sends the mail of an invitation. Without a mail server it is kept for the operator, until the invitation is over.
pub async fn send(
    db: &Database,
    env: &Env,
    outbound: &Outbound,
    (tenant, id): (Uuid, Uuid),
) -> Result<Then, StoreError> {
    let now = env.clock.now();
    let lease = env.ids.uuid_v7(now);
    let until = now.saturating_add(LEASE).unwrap_or(now);
    let claimed = write_tx!(db, "claim_invitation_mail", &[tenant], |tx| {
        if let Some(claimed) = rows::claim(tx, (tenant, id), lease, (now, until)).await? {
            return Ok::<_, StoreError>(Ok(claimed));
        }
        let held_until = rows::leased_until(tx, (tenant, id), now).await?;
        if held_until.is_none() {
            // Kept, and its time is over; of any other there is nothing left to forget.
            rows::forget(tx, (tenant, id)).await?;
        }
        Ok(Err(held_until.map_or(Then::Finished, Then::Later)))
    })?;
    let claimed = match claimed {
        Ok(claimed) => claimed,
        Err(then) => return Ok(then),
    };
    let became = match &outbound.mailer {
        _ if !claimed.is_of_use => Became { state: "canceled", error: None, then: Then::Finished },
        None => Became { state: "kept", error: None, then: Then::Later(claimed.mail.expires_at) },
        Some(mailer) => {
            let letter = letter_of(&claimed.mail, &outbound.app_url);
            let sent = mailer.send(id, (&claimed.mail.address, letter), now).await;
            Became::of(sent, &claimed, env.clock.now())
        }
    };
    settle(db, env, (tenant, id), lease, became).await
}

/// What became of a mail.
struct Became {
    state: &'static str,
    error: Option<String>,
    then: Then,
}

impl Became {
    fn of(sent: Result<(), Refused>, claimed: &ClaimedInvitationMail, now: Timestamp) -> Self {
        match sent {
            Ok(()) => Self { state: "sent", error: None, then: Then::Finished },
            Err(refused) => {
                let (state, then) = after_refusal(&refused, claimed.attempts, now);
                // What a mail server says may quote the link.
                Self { state, error: Some(refused.brief), then }
            }
        }
    }
}

async fn settle(
    db: &Database,
    env: &Env,
    mail: (Uuid, Uuid),
    lease: Uuid,
    Became { state, error, then }: Became,
) -> Result<Then, StoreError> {
    if let Some(reason) = &error {
        tracing::warn!(tenant = %mail.0, mail = %mail.1, reason, "the mail of an invitation was not taken");
    }
    metrics::counter!("tenantry_mails_total", "state" => state).increment(1);
    let sent_at = (state == "sent").then(|| env.clock.now());
    write_tx!(db, "settle_invitation_mail", &[mail.0], |tx| {
        rows::settle(tx, mail, lease, (state, error.as_deref(), sent_at)).await
    })?;
    Ok(then)
}
