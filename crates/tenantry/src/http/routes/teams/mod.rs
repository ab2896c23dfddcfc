//! Teams: users who share the subscription of a team's owner.

pub mod add_member;
pub mod create;
pub mod delete;
pub mod get;
pub mod leave;
pub mod list;
pub mod members;
pub mod patch;
pub mod remove_member;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::Caller;
use crate::http::problem::Problem;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::teams::{TeamMemberRow, TeamRow};
use crate::tenancy::TenancyError;

/// A team.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Team {
    /// Its id, for `X-Team-Id`.
    pub id: Uuid,
    /// For people.
    #[schema(example = "Research")]
    pub name: String,
    /// The user whose subscription it shares.
    pub owner_id: Uuid,
    /// Whether that is the caller.
    pub owned: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

/// One team.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeamBody {
    /// The team.
    pub team: Team,
}

impl Team {
    /// A team as this user sees it.
    pub(super) fn seen_by(user: Uuid, row: TeamRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            owner_id: row.tenant_id,
            owned: row.tenant_id == user,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl TeamBody {
    fn seen_by(user: Uuid, row: TeamRow) -> Self {
        Self { team: Team::seen_by(user, row) }
    }
}

/// A member of a team.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamMember {
    /// The user.
    pub user_id: Uuid,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
}

/// One member of a team.
#[derive(Debug, Serialize, ToSchema)]
pub struct TeamMemberBody {
    /// The member.
    pub member: TeamMember,
}

impl From<TeamMemberRow> for TeamMember {
    fn from(row: TeamMemberRow) -> Self {
        Self { user_id: row.user_id, created_at: row.created_at }
    }
}

impl From<TeamMemberRow> for TeamMemberBody {
    fn from(row: TeamMemberRow) -> Self {
        Self { member: row.into() }
    }
}

/// The refusal of an operation on a team, with a security event where it was about rights.
async fn refused(state: &AppState, caller: &Caller, team: &TeamRow, error: TenancyError) -> Problem {
    security::refused(state, caller, team.tenant_id, error).await
}
