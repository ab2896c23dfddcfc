//! One webhook: made from a notice, signed, posted, and what came back.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::address::{PrivateAddress, UrlPolicy};
use crate::notices::OutboundError;
use crate::notices::data::Data;
use crate::notices::kind::Kind;
use crate::storage::StoreError;
use crate::storage::notices::NoticeRow;
use crate::storage::notices::deliveries::{Attempted, ClaimedDelivery};

/// How long an endpoint may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an endpoint may take in all.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read.
const MAX_READ: usize = 4096;
/// Characters of an answer that are kept.
const MAX_SNIPPET: usize = 1024;

/// The way to webhook endpoints.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    policy: UrlPolicy,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Sender {
    /// A client that reaches what the policy allows: no redirects, no proxy in between.
    pub fn new(policy: UrlPolicy) -> Result<Self, OutboundError> {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .https_only(policy.https_only)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("Tenantry/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(policy.resolver())
            .build()
            .map_err(|error| OutboundError(format!("webhooks cannot be sent: {error}")))?;
        Ok(Self { client, policy })
    }

    /// Posts a delivery; what came of it.
    pub(super) async fn send(&self, delivery: &ClaimedDelivery, now: Timestamp) -> Result<Attempted, StoreError> {
        let failed = |error: &str| Ok(Attempted { error: Some(error.to_owned()), ..Attempted::default() });
        // Looked at again: the deployment may have become stricter since the endpoint was made.
        let Ok(url) = self.policy.check(&delivery.url) else {
            return failed("the URL is not allowed any more");
        };
        let id = message_id(&delivery.notice);
        let body = payload(&delivery.notice)?.to_string();
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header(standardwebhooks::HEADER_WEBHOOK_ID, &id)
            .header(standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, now.as_second().to_string())
            .header(standardwebhooks::HEADER_WEBHOOK_SIGNATURE, signature(&delivery.secrets, &id, now, &body)?)
            .body(body);
        match request.send().await {
            Ok(response) => Ok(answered(response).await),
            Err(error) => failed(why(&error)),
        }
    }
}

/// The same for every attempt, so that a receiver recognizes what it has seen.
fn message_id(notice: &NoticeRow) -> String {
    format!("msg_{}", notice.id.simple())
}

/// `{type, timestamp, data}`; the data names the tenant, since one receiver may serve many.
fn payload(notice: &NoticeRow) -> Result<Value, StoreError> {
    let kind = Kind::parse(&notice.kind).ok_or_else(|| StoreError::corrupt("kind of a notice", &notice.kind))?;
    let mut data = Data::read(kind, &notice.data)?.to_json()?;
    if let Some(members) = data.as_object_mut() {
        members.insert("tenantId".to_owned(), json!(notice.tenant_id));
    }
    Ok(json!({ "type": kind.event_type(), "timestamp": notice.created_at, "data": data }))
}

/// A signature by each secret, with spaces between.
fn signature(secrets: &[SecretString], id: &str, now: Timestamp, body: &str) -> Result<String, StoreError> {
    let wrong = |_| StoreError::corrupt("secret of a webhook endpoint", "it does not sign");
    let signed: Result<Vec<String>, StoreError> = secrets
        .iter()
        .map(|secret| {
            let webhook = Webhook::new(secret.expose_secret()).map_err(wrong)?;
            webhook.sign(id, now.as_second(), body.as_bytes()).map_err(wrong)
        })
        .collect();
    Ok(signed?.join(" "))
}

async fn answered(response: Response) -> Attempted {
    let status = response.status();
    let error = match status {
        status if status.is_success() => None,
        status if status.is_redirection() => Some(format!("answered {}; redirects are not followed", status.as_u16())),
        StatusCode::GONE => Some("answered 410: the endpoint is gone".to_owned()),
        status => Some(format!("answered {}", status.as_u16())),
    };
    Attempted { status: Some(i32::from(status.as_u16())), error, snippet: snippet(response).await }
}

/// The beginning of an answer's body, as far as it can be shown. What does not arrive is left out.
async fn snippet(mut response: Response) -> Option<String> {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        read.extend_from_slice(&chunk);
        if read.len() >= MAX_READ {
            break;
        }
    }
    let text: String = String::from_utf8_lossy(&read)
        .chars()
        .map(|character| if character.is_control() && character != '\n' { ' ' } else { character })
        .take(MAX_SNIPPET)
        .collect();
    (!text.is_empty()).then_some(text)
}

/// Why there was no answer, without what the inside of the network looks like.
fn why(error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<PrivateAddress>() {
            return "the host is not on the public network";
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        "no answer within 15 seconds"
    } else if error.is_connect() {
        "the host cannot be reached"
    } else {
        "the connection broke off"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own tests.
    #[test]
    fn every_secret_signs() {
        let secret = SecretString::from("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned());
        let other = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let (id, now) = ("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", Timestamp::from_second(1_649_367_553).unwrap());
        let body = r#"{"email":"test@example.com","username":"test_user"}"#;
        let due = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!(signature(std::slice::from_ref(&secret), id, now, body).unwrap(), due);
        let both = signature(&[other, secret], id, now, body).unwrap();
        assert!(both.starts_with("v1,") && both.ends_with(&format!(" {due}")), "{both}");
    }

    /// A name is judged by what it means when it is connected to.
    #[tokio::test]
    async fn a_name_that_means_a_private_address_is_not_reached() {
        // Set once for the process; whoever comes later finds it set.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let sender = |allow_private| Sender::new(UrlPolicy { https_only: false, allow_private }).unwrap();
        let error = sender(false).client.get(&url).send().await.unwrap_err();
        assert_eq!(why(&error), "the host is not on the public network");
        let reached = tokio::select! {
            accepted = listener.accept() => accepted.is_ok(),
            _ = sender(true).client.get(&url).send() => false,
        };
        assert!(reached, "the policy alone keeps it from being reached");
    }
}
