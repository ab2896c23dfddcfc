//! Invitations into an organization, by e-mail address.

pub mod accept;
pub mod create;
pub mod list;
pub mod resend;
pub mod revoke;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::storage::invitations::InvitationRow;

/// A role that somebody can be invited to.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum InvitedRole {
    /// May do everything but transfer or delete the tenant.
    Admin,
    /// Manages billing, not members.
    BillingAdmin,
    /// Sees billing and usage, records usage.
    Member,
}

/// What an invitation can be.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum InvitationState {
    /// It can be accepted.
    Pending,
    /// The invitee is a member, or was.
    Accepted,
    /// It was taken back, or another one of the same address followed.
    Revoked,
    /// Its time is over.
    Expired,
}

/// What became of a mail.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum InvitationMail {
    /// It is to be sent.
    Pending,
    /// The mail server took it.
    Sent,
    /// No mail server is configured; the operator can read it.
    Kept,
    /// It was given up.
    Failed,
    /// The invitation was over before it was sent.
    Canceled,
}

/// An invitation, without its token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// The address that is invited.
    #[schema(example = "bea@example.com")]
    pub email: String,
    /// The role that waits.
    #[schema(value_type = InvitedRole, example = "member")]
    pub role: String,
    /// What overrides the role's permissions: permission name to boolean.
    #[schema(value_type = Object, example = json!({ "manageMembers": true }))]
    pub permissions: serde_json::Value,
    /// `pending`, `accepted`, `revoked` or `expired`.
    #[schema(value_type = InvitationState, example = "pending")]
    pub state: String,
    /// The user who invited, or sent it again last; null where that was a key.
    pub invited_by: Option<Uuid>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// First instant at which it can no longer be accepted.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: jiff::Timestamp,
    /// When it was accepted.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub accepted_at: Option<jiff::Timestamp>,
    /// The user who accepted it.
    pub accepted_by: Option<Uuid>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<jiff::Timestamp>,
    /// What became of its newest mail.
    #[schema(value_type = Option<InvitationMail>, example = "sent")]
    pub mail: Option<String>,
}

/// An invitation with its token, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationWithToken {
    /// The invitation.
    pub invitation: Invitation,
    /// What it is accepted with; the mail says it too. Not there when the request is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ti_...")]
    pub token: Option<String>,
    /// On a replay: the token was shown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_shown: Option<bool>,
}

impl From<InvitationRow> for Invitation {
    fn from(row: InvitationRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            role: row.role,
            permissions: row.permissions,
            state: row.state,
            invited_by: row.inviter_id.filter(|_| row.inviter == "user"),
            created_at: row.created_at,
            expires_at: row.expires_at,
            accepted_at: row.accepted_at,
            accepted_by: row.accepted_by,
            revoked_at: row.revoked_at,
            mail: row.mail,
        }
    }
}

impl InvitationWithToken {
    /// As it is answered the first time.
    fn shown(row: InvitationRow, token: &str) -> Self {
        Self { invitation: row.into(), token: Some(token.to_owned()), secret_shown: None }
    }

    /// As it is kept.
    fn kept(row: &InvitationRow) -> Self {
        Self { invitation: row.clone().into(), token: None, secret_shown: Some(true) }
    }
}
