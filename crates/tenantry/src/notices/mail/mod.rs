//! Mails: one for each notice and address, through the deployment's mail server.
//!
//! A mail is leased, sent with no transaction open, then marked. SMTP has no way to take a mail exactly once: a worker
//! that dies between sending and marking has it sent again, under the same Message-ID, by which it can be recognized.

pub mod invitation;
mod letter;

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::data::Data;
use super::kind::Kind;
use super::{OutboundError, Then};
use crate::env::Env;
use crate::storage::notices::NoticeRow;
use crate::storage::notices::mails as rows;
use crate::storage::{Database, StoreError};
use crate::tenancy::security::clean;
use crate::write_tx;

pub use letter::{InvitationText, Letter};

/// How long the mail server may take for one mail.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How long a mail is held; longer than sending it can take.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
/// From one attempt to the next; after the last one it is given up.
const WAITS: [SignedDuration; 7] = [
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(6),
    SignedDuration::from_hours(12),
    SignedDuration::from_hours(24),
];

/// The way to the deployment's mail server.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl fmt::Debug for Mailer {
    /// Says nothing of the server, whose URL has a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from.to_string()).finish_non_exhaustive()
    }
}

/// Why a mail was not taken.
struct Refused {
    /// For the operator; may quote what the mail says.
    reason: String,
    /// The same without a word of the mail.
    brief: String,
    /// Trying again is no use.
    is_final: bool,
}

impl Refused {
    fn for_good(reason: String) -> Self {
        Self { brief: reason.clone(), reason, is_final: true }
    }
}

impl Mailer {
    /// Reads the URL of the mail server and the address that mails come from; connects when there is something to
    /// send. `tls_only` refuses to send a password in the clear.
    pub fn new(url: &SecretString, from: Option<&str>, tls_only: bool) -> Result<Self, OutboundError> {
        let wrong = |what: &str| Err(OutboundError(what.to_owned()));
        let Some(from) = from else {
            return wrong("mail_from is missing: SMTP_URL is set, so set the address that mails come from");
        };
        let Ok(from) = from.parse::<Mailbox>() else {
            return wrong("mail_from is no address: write billing@example.com or Example <billing@example.com>");
        };
        // What the library says of a URL may show it, and it has a password in it.
        let text = url.expose_secret();
        let Ok(builder) = AsyncSmtpTransport::<Tokio1Executor>::from_url(text) else {
            return wrong(
                "SMTP_URL cannot be read: write smtps://user:password@host, or smtp://user:password@host?tls=required for STARTTLS",
            );
        };
        let is_clear = text.starts_with("smtp://") && !text.contains("tls=required");
        if tls_only && is_clear && text.contains('@') {
            return wrong("SMTP_URL would send its password in the clear: use smtps:// or add ?tls=required");
        }
        Ok(Self { transport: builder.timeout(Some(TIMEOUT / 2)).build(), from })
    }

    /// Sends one mail.
    async fn send(
        &self,
        id: Uuid,
        (address, letter): (&str, Result<Letter, StoreError>),
        now: Timestamp,
    ) -> Result<(), Refused> {
        let letter = letter.map_err(|error| Refused::for_good(error.to_string()))?;
        let message = self.message(id, (address, letter), now).map_err(Refused::for_good)?;
        match tokio::time::timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Refused {
                is_final: error.is_permanent() && !is_about_us(&error),
                reason: clean(&error.to_string()),
                brief: match error.status() {
                    Some(code) => format!("the mail server answered {code}"),
                    None => "the mail server could not be talked to".to_owned(),
                },
            }),
            Err(_) => {
                let reason = "the mail server took too long".to_owned();
                Err(Refused { is_final: false, brief: reason.clone(), reason })
            }
        }
    }

    /// The mail; its Message-ID is the same whenever it is made.
    fn message(&self, id: Uuid, (address, letter): (&str, Letter), now: Timestamp) -> Result<Message, String> {
        let to: Address = address.parse().map_err(|_| "the address cannot be written to".to_owned())?;
        let message_id = format!("<{}@{}>", id.simple(), self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(to.into())
            .subject(letter.subject)
            .date(now.into())
            .message_id(Some(message_id))
            .multipart(MultiPart::alternative_plain_html(letter.text, letter.html))
            .map_err(|error| error.to_string())
    }
}

/// A login or a connection that the mail server does not take: for the operator to mend, and no word on the mail.
/// RFC 4954, section 6.
fn is_about_us(error: &lettre::transport::smtp::Error) -> bool {
    error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538))
}

/// The letter about a stored notice.
pub fn letter_of(notice: &NoticeRow, tenant_name: &str) -> Result<Letter, StoreError> {
    let kind = Kind::parse(&notice.kind).ok_or_else(|| StoreError::corrupt("kind of a notice", &notice.kind))?;
    let data = Data::read(kind, &notice.data)?;
    Letter::about(&data, tenant_name).map_err(|error| StoreError::corrupt("letter", error))
}

/// Sends a mail that waits. Without a mail server it is kept, to be read by the operator.
pub async fn send(
    db: &Database,
    env: &Env,
    mailer: Option<&Mailer>,
    (tenant, id): (Uuid, Uuid),
) -> Result<Then, StoreError> {
    let now = env.clock.now();
    let lease = env.ids.uuid_v7(now);
    let until = now.saturating_add(LEASE).unwrap_or(now);
    let claimed = write_tx!(db, "claim_mail", &[tenant], |tx| {
        match rows::claim(tx, (tenant, id), lease, (now, until)).await? {
            Some(mail) => Ok::<_, StoreError>(Ok(mail)),
            // Sent or given up; or held by somebody who may die.
            None => Ok(Err(rows::leased_until(tx, (tenant, id), now).await?)),
        }
    })?;
    let mail = match claimed {
        Ok(mail) => mail,
        Err(held_until) => return Ok(held_until.map_or(Then::Finished, Then::Later)),
    };
    let sent = match mailer {
        Some(mailer) => {
            let letter = letter_of(&mail.notice, &mail.tenant_name);
            Some(mailer.send(id, (&mail.address, letter), now).await)
        }
        None => None,
    };
    settle(db, env, (tenant, id), (lease, mail.attempts), sent).await
}

async fn settle(
    db: &Database,
    env: &Env,
    mail: (Uuid, Uuid),
    (lease, attempts): (Uuid, i32),
    sent: Option<Result<(), Refused>>,
) -> Result<Then, StoreError> {
    let now = env.clock.now();
    let (state, error, then) = match sent {
        None => ("kept", None, Then::Finished),
        Some(Ok(())) => ("sent", None, Then::Finished),
        Some(Err(refused)) => {
            let (state, then) = after_refusal(&refused, attempts, now);
            (state, Some(refused.reason), then)
        }
    };
    let sent_at = (state == "sent").then_some(now);
    if let Some(reason) = &error {
        tracing::warn!(tenant = %mail.0, mail = %mail.1, attempts, reason, "a mail was not taken");
    }
    metrics::counter!("tenantry_mails_total", "state" => state).increment(1);
    write_tx!(db, "settle_mail", &[mail.0], |tx| {
        rows::settle(tx, mail, lease, (state, error.as_deref(), sent_at)).await
    })?;
    Ok(then)
}

/// State of a mail that was not taken, and when it is tried again.
fn after_refusal(refused: &Refused, attempts: i32, now: Timestamp) -> (&'static str, Then) {
    let wait = usize::try_from(attempts - 1).ok().and_then(|index| WAITS.get(index));
    match wait.filter(|_| !refused.is_final) {
        Some(wait) => ("pending", Then::Later(now.saturating_add(*wait).unwrap_or(now))),
        None => ("failed", Then::Finished),
    }
}
