//! API keys of a tenant.

pub mod create;
pub mod list;
pub mod revoke;
pub mod rotate;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::storage::keys::KeyRow;

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Its id.
    pub id: Uuid,
    /// For people.
    #[schema(example = "metering")]
    pub name: String,
    /// First characters of the secret, to recognize it by.
    #[schema(example = "tk_AZ3p")]
    pub prefix: String,
    /// What it may do.
    #[schema(example = json!(["recordUsage", "viewUsage"]))]
    pub scopes: Vec<String>,
    /// The user who made it.
    pub created_by: Option<Uuid>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// First instant at which it no longer works; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<jiff::Timestamp>,
    /// Requests that each replica answers in a minute; null: as many as come.
    pub requests_per_minute: Option<u32>,
    /// The key that it was rotated to; it works until `expiresAt`.
    pub replaced_by: Option<Uuid>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<jiff::Timestamp>,
    /// When it was last used, to about a minute; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<jiff::Timestamp>,
}

impl From<KeyRow> for Key {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            scopes: row.scopes,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            requests_per_minute: row.requests_per_minute.map(std::num::NonZeroU32::get),
            replaced_by: row.replaced_by,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}
