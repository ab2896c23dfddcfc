//! What can go wrong between us and Stripe, told apart by what the caller can do about it.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::form::FormError;
use crate::read::ReadError;
use crate::retry::Advice;

/// A refusal that Stripe put into words.
#[derive(Clone, PartialEq)]
pub struct Refusal {
    /// The status of HTTP.
    pub status: u16,
    /// Stripe's id of the request, for its support and its dashboard.
    pub request_id: Option<String>,
    /// Stripe's kind of error, such as `card_error`.
    pub kind: Option<String>,
    /// Stripe's code, such as `resource_missing` or `card_declined`.
    pub code: Option<String>,
    /// Why the bank declined, such as `insufficient_funds`.
    pub decline_code: Option<String>,
    /// The parameter that was refused, such as `items[0][price]`.
    pub param: Option<String>,
    /// Stripe's sentence. Of a card error it may be shown to the user.
    pub message: String,
    /// The payment that failed.
    pub payment_intent: Option<String>,
    /// The invoice that was to be paid, where Stripe names it.
    pub invoice: Option<String>,
    /// After what time Stripe wants to be asked again.
    pub retry_after: Option<Duration>,
    /// `Stripe-Should-Retry`, where it came along.
    pub should_retry: Option<bool>,
    /// The error object as it came.
    pub raw: Value,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("request_id", &self.request_id)
            .field("kind", &self.kind)
            .field("code", &self.code)
            .field("decline_code", &self.decline_code)
            .field("param", &self.param)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let known = [("code", &self.code), ("decline code", &self.decline_code), ("parameter", &self.param)];
        let mut details: Vec<String> =
            known.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}"))).collect();
        details.push(format!("status {}", self.status));
        details.extend(self.request_id.as_ref().map(|id| format!("request {id}")));
        write!(f, " ({})", details.join(", "))
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StripeError {
    /// A payment was declined or needs the customer (402). For the user to mend.
    #[error("the payment failed: {0}")]
    Card(Box<Refusal>),
    /// The request was wrong, or names what does not exist (400, 404 and the like). Trying again does not help.
    #[error("Stripe refuses the request: {0}")]
    InvalidRequest(Box<Refusal>),
    /// The idempotency key was used before with other parameters.
    #[error("the idempotency key was used for another request: {0}")]
    Idempotency(Box<Refusal>),
    /// The key is wrong or revoked (401).
    #[error("Stripe does not accept the secret key: {0}")]
    Authentication(Box<Refusal>),
    /// The key may not do this (403).
    #[error("the secret key may not do this: {0}")]
    Permission(Box<Refusal>),
    /// Another request holds the object or is under way with the same idempotency key (409).
    #[error("Stripe is busy with the same object: {0}")]
    Conflict(Box<Refusal>),
    /// Too many requests (429).
    #[error("too many requests to Stripe: {0}")]
    RateLimited(Box<Refusal>),
    /// Stripe failed (5xx). Whether something was done is not known.
    #[error("Stripe failed: {0}")]
    Server(Box<Refusal>),
    /// No complete answer came: no connection, a timeout, a body cut short. Whether something was done is not known.
    #[error("Stripe cannot be reached: {reason}")]
    Unreachable {
        /// What happened, without the address.
        reason: String,
        /// It took too long.
        is_timeout: bool,
        /// The id of the request, where an answer had begun.
        request_id: Option<String>,
        /// The status, where an answer had begun.
        status: Option<u16>,
    },
    /// An answer came that is not what Stripe's API answers.
    #[error("Stripe's answer cannot be read: {reason} (status {status}{})", request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default())]
    Unreadable {
        /// What is wrong with it.
        reason: String,
        /// The status of HTTP.
        status: u16,
        /// Stripe's id of the request.
        request_id: Option<String>,
    },
    /// The request could not be put into words; nothing was sent.
    #[error("the request to {path} cannot be sent: {reason}")]
    Unsendable {
        /// The call's path.
        path: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The request has no idempotency key that Stripe takes; nothing was sent.
    #[error(transparent)]
    Key(#[from] crate::InvalidIdempotencyKey),
}

impl StripeError {
    /// The refusal in Stripe's words, where there is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Card(refusal)
            | Self::InvalidRequest(refusal)
            | Self::Idempotency(refusal)
            | Self::Authentication(refusal)
            | Self::Permission(refusal)
            | Self::Conflict(refusal)
            | Self::RateLimited(refusal)
            | Self::Server(refusal) => Some(refusal),
            Self::Unreachable { .. } | Self::Unreadable { .. } | Self::Unsendable { .. } | Self::Key(_) => None,
        }
    }

    /// The status of HTTP, where an answer came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Unreachable { status, .. } => *status,
            Self::Unreadable { status, .. } => Some(*status),
            _ => self.refusal().map(|refusal| refusal.status),
        }
    }

    /// Stripe's id of the request, where an answer came.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Unreachable { request_id, .. } | Self::Unreadable { request_id, .. } => request_id.as_deref(),
            _ => self.refusal()?.request_id.as_deref(),
        }
    }

    /// Stripe's code, such as `resource_missing`.
    pub fn code(&self) -> Option<&str> {
        self.refusal()?.code.as_deref()
    }

    /// After what time Stripe wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }

    /// What was asked for does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::InvalidRequest(_))
            && (self.code() == Some("resource_missing") || self.status() == Some(404))
    }

    /// The same request, under the same idempotency key, may succeed later. The client has made its own attempts
    /// already. Stripe replays a failure of its own (5xx) under the same key for at least 24 hours: where such a
    /// failure stays, look whether the object exists, and take another key only if it does not.
    pub fn is_retryable_later(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unreadable { .. } => true,
            Self::Conflict(refusal) | Self::RateLimited(refusal) | Self::Server(refusal) => {
                refusal.should_retry != Some(false)
            }
            _ => self.refusal().is_some_and(|refusal| refusal.should_retry == Some(true)),
        }
    }

    /// The change may have been made although no answer says so.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unreadable { .. } | Self::Server(_))
    }

    pub(crate) fn unsendable(path: &'static str, error: &FormError) -> Self {
        Self::Unsendable { path, reason: error.to_string() }
    }

    pub(crate) fn unreadable(status: StatusCode, request_id: Option<String>, error: &ReadError) -> Self {
        Self::Unreadable { reason: error.to_string(), status: status.as_u16(), request_id }
    }

    /// A failure of the connection, told without the address: its query holds parameters.
    pub(crate) fn unreachable(error: reqwest::Error, status: Option<StatusCode>, request_id: Option<String>) -> Self {
        let is_timeout = error.is_timeout();
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(deeper) = cause {
            reason = format!("{reason}: {deeper}");
            cause = deeper.source();
        }
        Self::Unreachable { reason, is_timeout, request_id, status: status.map(|status| status.as_u16()) }
    }

    /// The error that an answer without success tells. `mask` takes secrets out of Stripe's sentence.
    pub(crate) fn refused(
        status: StatusCode,
        request_id: Option<String>,
        advice: Advice,
        body: &[u8],
        mask: impl Fn(&str) -> String,
    ) -> Self {
        let raw =
            serde_json::from_slice::<Value>(body).ok().and_then(|mut body| body.get_mut("error").map(Value::take));
        let raw = raw.unwrap_or_default();
        let text = |name: &str| raw.get(name).and_then(Value::as_str).map(str::to_owned);
        let intent = raw.get("payment_intent");
        let refusal = Box::new(Refusal {
            status: status.as_u16(),
            request_id,
            kind: text("type"),
            code: text("code"),
            decline_code: text("decline_code"),
            param: text("param"),
            message: text("message").map_or_else(|| "Stripe gave no reason".to_owned(), |text| mask(&text)),
            payment_intent: intent.and_then(id),
            invoice: raw.get("invoice").or_else(|| intent?.get("invoice")).and_then(id),
            retry_after: advice.retry_after,
            should_retry: advice.should_retry,
            raw,
        });
        match (status.as_u16(), refusal.kind.as_deref()) {
            (402, _) | (_, Some("card_error")) => Self::Card(refusal),
            (401, _) => Self::Authentication(refusal),
            (403, _) => Self::Permission(refusal),
            (409, _) => Self::Conflict(refusal),
            (429, _) => Self::RateLimited(refusal),
            (_, Some("idempotency_error")) => Self::Idempotency(refusal),
            (400..=499, _) => Self::InvalidRequest(refusal),
            (500..=599, _) => Self::Server(refusal),
            (status, _) => Self::Unreadable {
                reason: "Stripe's API does not answer with this status".to_owned(),
                status,
                request_id: refusal.request_id.clone(),
            },
        }
    }
}

/// The id of what is given by id or whole.
fn id(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("id")?.as_str()).map(str::to_owned)
}
