//! Acting in a team: who may use the plan of a team's owner, and the team that a path names.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::auth::{self, ContextHeader};
use super::caller::{Caller, Context, Needs, Permitted};
use super::problem::{Code, Problem};
use super::security::{self, Foreign};
use super::state::AppState;
use crate::storage::teams::TeamRow;
use crate::storage::{Tx, teams as rows};
use crate::tenancy::teams;

/// The team that `X-Team-Id` names, if the caller is a user who owns it or is in it now. Unknown and foreign teams are
/// answered alike.
pub(super) async fn of_header(state: &AppState, caller: &Caller, team: Uuid) -> Result<TeamRow, Problem> {
    let Some(user) = caller.user_id() else {
        return Err(Problem::new(Code::InvalidContextHeader).detail("X-Team-Id is for tokens of users"));
    };
    match teams::find(&state.db, user, team).await? {
        Some(row) => Ok(row),
        None => Err(foreign(state, caller, team).await),
    }
}

/// The refusal of a route that is not for teams, whatever the caller is in this one.
pub(super) async fn refuse_context(state: &AppState, caller: &Caller, team: Uuid, needed: &'static str) -> Problem {
    match of_header(state, caller, team).await {
        Ok(team) => not_in_a_team(state, caller, &team, needed).await,
        Err(problem) => problem,
    }
}

/// The refusal of what nobody may do in the name of a team.
pub(super) async fn not_in_a_team(state: &AppState, caller: &Caller, team: &TeamRow, needed: &'static str) -> Problem {
    security::insufficient(state, caller, team.tenant_id, needed, None)
        .await
        .detail(format!("{needed} is needed for this, which nobody has in the name of a team: leave X-Team-Id out"))
}

async fn foreign(state: &AppState, caller: &Caller, team: Uuid) -> Problem {
    security::foreign(state, caller, team, Foreign::Team).await
}

/// The refusal of a caller whom the ingest transaction or a check did not let in by this team.
pub(super) async fn refused(state: &AppState, caller: &Caller, team: Uuid, needed: Permission) -> Problem {
    refuse_context(state, caller, team, needed.as_str()).await
}

/// A caller who has the permission `P` in the tenant of the headers, or uses the plan of the team that they name.
#[derive(Debug, Clone)]
pub struct Shared<P> {
    /// Who asks.
    pub caller: Caller,
    /// The tenant; of a team its owner's.
    pub tenant_id: Uuid,
    /// The team, and the user who acts in its name.
    team: Option<(Uuid, Uuid)>,
    needs: PhantomData<P>,
}

impl<P: Needs> FromRequestParts<AppState> for Shared<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let context = Context::from_request_parts(parts, state).await?;
        let Some(team) = &context.team else {
            let Permitted { caller, tenant_id, .. } = Permitted::<P>::of(context, state).await?;
            return Ok(Self { caller, tenant_id, team: None, needs: PhantomData });
        };
        let caller = context.caller;
        if !teams::permissions().contains(P::PERMISSION) {
            return Err(not_in_a_team(state, &caller, team, P::PERMISSION.as_str()).await);
        }
        let acting = caller.user_id().map(|user| (team.id, user));
        Ok(Self { caller, tenant_id: team.tenant_id, team: acting, needs: PhantomData })
    }
}

impl<P> Shared<P> {
    /// Opens a read of the tenant: under the caller's own rights, or by a team under the service role, which looks the
    /// membership and the plan up in the same snapshot.
    pub async fn read(&self, state: &AppState, name: &'static str) -> Result<Tx, Problem> {
        let Some((team, user)) = self.team else {
            return self.caller.read(state, name, self.tenant_id).await;
        };
        let tx = state.db.read_as_service(name, &[self.tenant_id]).await?;
        let standing = rows::standings(&tx, &[team], &[user], state.env.clock.now()).await?;
        match standing.first() {
            Some(standing) if standing.shares_plan => Ok(tx),
            found => {
                let is_member = found.is_some();
                tx.rollback().await?;
                if is_member {
                    return Err(Problem::new(Code::TeamPlanInactive));
                }
                Err(foreign(state, &self.caller, team).await)
            }
        }
    }

    /// The user whose use alone is shown; none where all of the tenant's is.
    pub fn only_user(&self) -> Option<Uuid> {
        self.team.map(|(_, user)| user)
    }

    /// Whether what it costs is shown: not in the name of a team.
    pub fn sees_money(&self) -> bool {
        self.team.is_none()
    }
}

/// A user and the team of the path, which the user owns or is in. A team that the caller has nothing to do with is
/// answered like one that does not exist.
#[derive(Debug, Clone)]
pub struct OnTeam {
    /// Who asks.
    pub caller: Caller,
    /// The user.
    pub user_id: Uuid,
    /// The team, as it was when the request came.
    pub team: TeamRow,
}

impl FromRequestParts<AppState> for OnTeam {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let PathTeam { caller, user_id, team_id } = PathTeam::from_request_parts(parts, state).await?;
        match teams::find(&state.db, user_id, team_id).await? {
            Some(team) => Ok(Self { caller, user_id, team }),
            None => Err(unknown(state, &caller, team_id).await),
        }
    }
}

/// A user and the team of the path, whether or not the one is in the other: for leaving, which may be over when the
/// request is repeated.
#[derive(Debug, Clone)]
pub struct PathTeam {
    /// Who asks.
    pub caller: Caller,
    /// The user.
    pub user_id: Uuid,
    /// The team, as named.
    pub team_id: Uuid,
}

impl PathTeam {
    /// The refusal of a team that the user is not in.
    pub async fn unknown(&self, state: &AppState) -> Problem {
        unknown(state, &self.caller, self.team_id).await
    }
}

impl FromRequestParts<AppState> for PathTeam {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Path(segments) = Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::not_found())?;
        let team_id =
            segments.get("id").and_then(|text| super::extract::parse_uuid(text)).ok_or_else(Problem::not_found)?;
        match auth::context_header(&parts.headers)? {
            ContextHeader::None => {}
            ContextHeader::Team(id) if id == team_id => {}
            _ => return Err(Problem::new(Code::ContextMismatch)),
        }
        if let Some(dead) = security::dead(state, &caller).await {
            return Err(dead);
        }
        if let Some(user_id) = caller.user_id() {
            return Ok(Self { caller, user_id, team_id });
        }
        // A key of the owner sees the team and learns that it is not for keys; one of another tenant learns nothing.
        let tx = state.db.read("find_team", caller.scope(None)).await?;
        let seen = rows::get(&tx, team_id).await?;
        tx.rollback().await?;
        match (seen, caller.actor.home()) {
            (None, Some(_)) => Err(unknown(state, &caller, team_id).await),
            (_, home) => Err(security::insufficient(state, &caller, home.unwrap_or(Uuid::nil()), "user", None).await),
        }
    }
}

async fn unknown(state: &AppState, caller: &Caller, team: Uuid) -> Problem {
    security::foreign(state, caller, team, Foreign::PathTeam).await
}
