//! The ways out: the mail server and the client for webhooks, as the deployment configures them.

use std::sync::Arc;

use secrecy::SecretString;

use super::mail::Mailer;
use super::webhooks::{Sender, UrlPolicy};

/// What the deployment says of mails and webhooks.
#[derive(Debug, Clone)]
pub struct OutboundSettings {
    /// The mail server; none: mails are kept.
    pub smtp_url: Option<SecretString>,
    /// Where mails come from.
    pub mail_from: Option<String>,
    /// Address of the host application, without a slash at its end; links of mails lead there.
    pub app_url: String,
    /// What webhooks may reach. `https_only` also refuses to send a mail server's password in the clear.
    pub webhooks: UrlPolicy,
}

/// A setting that cannot be used, and what to do about it. Never shows a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct OutboundError(pub String);

/// The ways out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// The mail server, if there is one.
    pub mailer: Option<Mailer>,
    /// Address of the host application, without a slash at its end.
    pub app_url: Arc<str>,
    /// The client for webhooks.
    pub sender: Sender,
}

impl Outbound {
    /// Builds both; connects to nothing yet.
    pub fn new(settings: &OutboundSettings) -> Result<Self, OutboundError> {
        let mailer = settings
            .smtp_url
            .as_ref()
            .map(|url| Mailer::new(url, settings.mail_from.as_deref(), settings.webhooks.https_only))
            .transpose()?;
        Ok(Self { mailer, app_url: settings.app_url.as_str().into(), sender: Sender::new(settings.webhooks)? })
    }
}
