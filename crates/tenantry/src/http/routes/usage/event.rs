//! A usage event as it is sent, and reading it strictly.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tenantry_domain::quantity::Quantity;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::extract::{parse_timestamp, parse_uuid};
use crate::http::words::AmountValue;
use crate::usage::event::{Content, NewEvent, check_key};
use crate::usage::outcome::Invalid;

/// Bytes that an event's metadata may have.
const MOST_METADATA_BYTES: usize = 4096;

/// One event. A correction names the key that it `reverses` instead of metric and amount.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = UsageEvent)]
pub struct EventBody<'a> {
    /// What is counted; declared by the plan catalog.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, example = "api_calls")]
    pub metric: Option<Cow<'a, str>>,
    /// More than 0; at most 15 digits before and 9 after the point. A number or a string; its digits are what counts.
    #[serde(borrow)]
    #[schema(value_type = Option<AmountValue>, example = "1")]
    pub amount: Option<&'a RawValue>,
    /// Counts once for the tenant's life; 1 to 255 bytes.
    #[serde(borrow)]
    #[schema(value_type = String, example = "req-7f3a", min_length = 1, max_length = 255)]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// When it happened, RFC 3339; default: now.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub timestamp: Option<Cow<'a, str>>,
    /// Who used it; keys may name any member, and whoever is in a team of the tenant's.
    #[serde(borrow)]
    #[schema(value_type = Option<Uuid>)]
    pub user_id: Option<Cow<'a, str>>,
    /// Anything to keep with it; `organizationId` and `userRole` are added.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>, example = json!({ "endpoint": "/v1/search" }))]
    pub metadata: Option<&'a RawValue>,
    /// The tenant; for service keys in batches.
    #[serde(borrow)]
    #[schema(value_type = Option<Uuid>)]
    pub tenant_id: Option<Cow<'a, str>>,
    /// Idempotency key of the event that this correction takes back.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    pub reverses: Option<Cow<'a, str>>,
}

/// What the events of a request share.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The tenant of the headers.
    pub tenant_id: Option<Uuid>,
    /// The team of the headers.
    pub team_id: Option<Uuid>,
    /// Whether an event may name its tenant.
    pub may_name_tenant: bool,
    /// When the request arrived.
    pub received_at: Timestamp,
    /// Metrics that exist.
    pub catalog: &'a tenantry_domain::plan::Catalog,
}

impl EventBody<'_> {
    /// The event, or what is wrong with it.
    pub fn read(&self, frame: &Frame<'_>) -> Result<NewEvent, Invalid> {
        let key = required("idempotencyKey", self.idempotency_key.as_deref())?;
        check_key(key).map_err(|reason| invalid("idempotencyKey", reason))?;
        Ok(NewEvent {
            tenant_id: self.tenant(frame)?,
            team_id: frame.team_id,
            key: key.to_owned(),
            content: self.content(frame)?,
            timestamp: self.timestamp.as_deref().map(read_timestamp).transpose()?,
            received_at: frame.received_at,
            user_id: self.user_id.as_deref().map(|text| read_uuid("userId", text)).transpose()?,
            metadata: self.metadata.map_or_else(|| Ok(serde_json::Map::new()), |raw| read_metadata(raw.get()))?,
        })
    }

    fn tenant(&self, frame: &Frame<'_>) -> Result<Uuid, Invalid> {
        let named = self.tenant_id.as_deref().map(|text| read_uuid("tenantId", text)).transpose()?;
        match (named, frame.tenant_id) {
            (Some(_), _) if !frame.may_name_tenant => {
                Err(invalid("tenantId", "is for service keys in batches; name the tenant in the context header"))
            }
            (Some(named), Some(header)) if named != header => {
                Err(Invalid::new("context_mismatch", "tenantId", "names another tenant than the context header"))
            }
            (Some(tenant), _) | (None, Some(tenant)) => Ok(tenant),
            (None, None) => Err(invalid("tenantId", "is missing: name the tenant here or in X-Tenant-Id")),
        }
    }

    fn content(&self, frame: &Frame<'_>) -> Result<Content, Invalid> {
        if let Some(reverses) = &self.reverses {
            if self.metric.is_some() || self.amount.is_some() || self.timestamp.is_some() {
                return Err(invalid(
                    "reverses",
                    "a correction takes an event back whole: leave metric, amount and timestamp out",
                ));
            }
            check_key(reverses).map_err(|reason| invalid("reverses", reason))?;
            return Ok(Content::Reversal { reverses: reverses.clone().into_owned() });
        }
        let metric = required("metric", self.metric.as_deref())?;
        if !frame.catalog.declares_metric(metric) {
            return Err(Invalid::new("unknown_metric", "metric", "is declared by no plan; see GET /api/billing/plans"));
        }
        let raw = self.amount.ok_or_else(|| invalid("amount", "is missing"))?.get();
        Ok(Content::Usage { metric: metric.to_owned(), amount: read_amount(raw)? })
    }
}

fn invalid(field: &'static str, message: &str) -> Invalid {
    Invalid::new("validation_failed", field, message)
}

fn required<'a>(field: &'static str, value: Option<&'a str>) -> Result<&'a str, Invalid> {
    value.ok_or_else(|| invalid(field, "is missing"))
}

/// Reads a JSON number or a string from its digits: a float would change them.
pub(super) fn read_amount(raw: &str) -> Result<Quantity, Invalid> {
    Quantity::parse_amount(&digits(raw)?).map_err(|error| invalid("amount", &error.to_string()))
}

/// The same, where nothing is an amount, too.
pub(super) fn read_amount_or_zero(raw: &str) -> Result<Quantity, Invalid> {
    Quantity::parse_amount_or_zero(&digits(raw)?).map_err(|error| invalid("amount", &error.to_string()))
}

fn digits(raw: &str) -> Result<Cow<'_, str>, Invalid> {
    if !raw.starts_with('"') {
        return Ok(raw.into());
    }
    let text: Result<String, _> = serde_json::from_str(raw);
    text.map(Cow::Owned).map_err(|_| invalid("amount", "must be a number or a string of digits"))
}

fn read_timestamp(text: &str) -> Result<Timestamp, Invalid> {
    parse_timestamp(text)
        .ok_or_else(|| invalid("timestamp", "must be a time as RFC 3339 writes it, such as 2026-11-01T12:00:00Z"))
}

pub(super) fn read_uuid(field: &'static str, text: &str) -> Result<Uuid, Invalid> {
    parse_uuid(text).ok_or_else(|| invalid(field, "must be a UUID, 36 characters with hyphens"))
}

pub(super) fn read_metadata(raw: &str) -> Result<serde_json::Map<String, serde_json::Value>, Invalid> {
    if raw.len() > MOST_METADATA_BYTES {
        return Err(invalid("metadata", "must have at most 4096 bytes"));
    }
    // The database keeps no U+0000 in text.
    if raw.contains("\\u0000") {
        return Err(invalid("metadata", "must not contain the character U+0000"));
    }
    match serde_json::from_str(raw) {
        Ok(serde_json::Value::Object(metadata)) => Ok(metadata),
        Ok(serde_json::Value::Null) => Ok(serde_json::Map::new()),
        _ => Err(invalid("metadata", "must be an object")),
    }
}
