//! `GET /api/me`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_domain::permission::effective;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::SignedInUser;
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::routes::teams::Team;
use crate::http::state::AppState;
use crate::storage::{members, teams, users};
use crate::tenancy::authority;

/// The most tenants, and the most teams, that one answer lists.
const MOST: i64 = 1000;

/// The signed-in user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The user's id: the subject of the token.
    pub id: Uuid,
    /// The address as last seen in a token.
    #[schema(example = "ada@example.com")]
    pub email: Option<String>,
    /// The user's tenants, the oldest first; the personal one among them.
    pub tenants: Vec<MyTenant>,
    /// The teams that the user owns or is in, the oldest first.
    pub teams: Vec<Team>,
}

/// A tenant of the signed-in user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyTenant {
    /// Its id, for `X-Organization-Id`.
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
    /// The user's role.
    #[schema(example = "owner")]
    pub role: String,
    /// What the user may do there: the role's permissions with the overrides.
    #[schema(example = json!(["viewBilling", "viewUsage", "recordUsage"]))]
    pub permissions: Vec<String>,
}

/// Who am I
///
/// The signed-in user with every tenant it belongs to, its role and its effective permissions there, and its teams. The first
/// request of a user makes its personal tenant.
#[utoipa::path(
    get, path = "/api/me", tag = "users", operation_id = "getMe",
    responses((status = 200, body = Me), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn me(State(state): State<AppState>, user: SignedInUser) -> Result<Json<Me>, Problem> {
    let tx = state.db.read("get_me", user.caller.scope(None)).await?;
    let email = users::email(&tx, user.user_id).await?;
    let rows = members::memberships(&tx, user.user_id, None, MOST).await?;
    let teams = teams::of_user(&tx, user.user_id, None, MOST).await?;
    tx.rollback().await?;
    let mut tenants = Vec::with_capacity(rows.len());
    for row in rows {
        let permissions = effective(authority::role(&row.role)?, &authority::overrides(&row.permissions)?);
        tenants.push(MyTenant {
            id: row.tenant.id,
            r#type: row.tenant.kind,
            name: row.tenant.name,
            slug: row.tenant.slug,
            role: row.role,
            permissions: permissions.iter().map(|permission| permission.to_string()).collect(),
        });
    }
    let teams = teams.into_iter().map(|row| Team::seen_by(user.user_id, row)).collect();
    Ok(Json(Me { id: user.user_id, email, tenants, teams }))
}
