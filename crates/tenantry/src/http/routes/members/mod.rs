//! Members of a tenant.

pub mod add;
pub mod change;
pub mod list;
pub mod remove;

use serde::Serialize;
use tenantry_domain::permission::Role;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::problem::Problem;
use crate::http::words::RoleName;
use crate::storage::members::MemberRow;

/// A member of a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The user.
    pub user_id: Uuid,
    /// The user's address as last seen.
    #[schema(example = "ada@example.com")]
    pub email: Option<String>,
    /// `owner`, `admin`, `billing_admin` or `member`.
    #[schema(value_type = RoleName, example = "billing_admin")]
    pub role: String,
    /// What overrides the role's permissions: permission name to boolean.
    #[schema(value_type = Object, example = json!({ "manageMembers": true }))]
    pub permissions: serde_json::Value,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When role or permissions were last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

/// One member.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberBody {
    /// The member.
    pub member: Member,
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        Self {
            user_id: row.user_id,
            email: row.email,
            role: row.role,
            permissions: row.permissions,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<MemberRow> for MemberBody {
    fn from(row: MemberRow) -> Self {
        Self { member: row.into() }
    }
}

/// A role as it was sent.
pub(super) fn role(text: &str) -> Result<Role, Problem> {
    text.parse().map_err(|error: tenantry_domain::permission::UnknownWord| Problem::invalid("role", error.to_string()))
}
