//! Tenants: organizations and personal ones.

pub mod create;
pub mod delete;
pub mod export;
pub mod get;
pub mod leave;
pub mod list;
pub mod patch;
pub mod transfer_ownership;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::storage::tenants::TenantRow;

/// A tenant: who is billed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Its id; of a personal tenant the user's id.
    pub id: Uuid,
    /// `user` or `organization`.
    #[schema(example = "organization")]
    pub r#type: String,
    /// For people.
    #[schema(example = "Acme")]
    pub name: String,
    /// For URLs.
    #[schema(example = "acme")]
    pub slug: String,
    /// Who created it.
    pub owner_id: Uuid,
    /// Where bills go; null: the creator's address.
    #[schema(example = "billing@acme.example")]
    pub billing_email: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

/// One tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantBody {
    /// The tenant.
    pub tenant: Tenant,
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        let billing_email = row.settings.get("billing_email").and_then(|value| value.as_str()).map(str::to_owned);
        Self {
            id: row.id,
            r#type: row.kind,
            name: row.name,
            slug: row.slug,
            owner_id: row.owner_id,
            billing_email,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<TenantRow> for TenantBody {
    fn from(row: TenantRow) -> Self {
        Self { tenant: row.into() }
    }
}
