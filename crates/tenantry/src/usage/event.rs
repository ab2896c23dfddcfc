//! One usage event, as a caller gave it and before anything is known about the tenant.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

/// Bytes that an idempotency key may have.
const MOST_KEY_BYTES: usize = 255;

/// What an event counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Usage of a metric.
    Usage {
        /// The metric, as the caller spelled it.
        metric: String,
        /// More than 0, at most 15 digits before and 9 after the point.
        amount: Quantity,
    },
    /// Takes an earlier event back, whole.
    Reversal {
        /// Idempotency key of the event that is taken back.
        reverses: String,
    },
}

/// One event to be recorded.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The tenant it counts for.
    pub tenant_id: Uuid,
    /// The team in whose name a user records; the tenant is its owner's. None outside a team.
    pub team_id: Option<Uuid>,
    /// Counts once for the tenant's life; 1 to 255 bytes.
    pub key: String,
    /// What it counts.
    pub content: Content,
    /// When it happened; `received_at` where the caller did not say.
    pub timestamp: Option<Timestamp>,
    /// When the request arrived, by the injected clock.
    pub received_at: Timestamp,
    /// Who used it.
    pub user_id: Option<Uuid>,
    /// The caller's metadata; `organizationId` and `userRole` are added when it is stored.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl NewEvent {
    /// When it happened, in whole microseconds as the database keeps it.
    pub fn occurred_at(&self) -> Timestamp {
        truncate_to_micros(self.timestamp.unwrap_or(self.received_at))
    }

    /// Digest of what is compared when the key comes again: kind, metric and numeric value, or the reversed
    /// key. The timestamp is compared beside it, user and metadata are not.
    pub fn content_hash(&self) -> Uuid {
        let mut digest = Sha256::new();
        match &self.content {
            Content::Usage { metric, amount } => {
                digest.update(b"usage\0");
                digest.update(metric.as_bytes());
                digest.update(b"\0");
                // Display has no trailing zeros: 1, 1.0 and 1e0 are the same amount.
                digest.update(amount.to_string().as_bytes());
            }
            Content::Reversal { reverses } => {
                digest.update(b"reversal\0");
                digest.update(reverses.as_bytes());
            }
        }
        let mut first = [0; 16];
        first.copy_from_slice(&digest.finalize()[..16]);
        Uuid::from_bytes(first)
    }
}

/// What is wrong with an idempotency key, if something is.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() || key.len() > MOST_KEY_BYTES {
        return Err("must have 1 to 255 bytes");
    }
    // The database keeps no U+0000 in text.
    if key.contains('\0') {
        return Err("must not contain the character U+0000");
    }
    Ok(())
}

/// The database keeps microseconds; what is compared must not be finer.
pub fn truncate_to_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
