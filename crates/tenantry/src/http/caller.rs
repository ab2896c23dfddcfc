//! Who asks, and what they may do: extractors that a handler must name to reach a tenant's data.
//!
//! [`Caller`] is authenticated, no more. [`Context`] adds the tenant that the headers name; what the caller may do
//! there is judged by whoever uses it (the ingest transaction). [`Permitted`] and [`OnTenant`] have looked the
//! permission up in the database for this request.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, Path};
use axum::http::header;
use axum::http::request::Parts;
use tenantry_domain::permission::{Permission, PermissionSet, Role, effective};
use uuid::Uuid;

use super::auth::{self, Claims, ContextHeader};
use super::key_limiter::Slot;
use super::problem::{Code, Problem, RequestIdentity};
use super::security::{self, Foreign};
use super::state::AppState;
use super::team;
use crate::storage::teams::TeamRow;
use crate::storage::{ReadScope, Tx, keys, members, tenants};
use crate::tenancy::{Actor, authority, users};

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub actor: Actor,
    /// A user's address, where the token, or the deployment for its issuer, says that it is verified.
    pub verified_email: Option<String>,
    /// Id of this request.
    pub request_id: Option<Uuid>,
    /// Network address of the client.
    pub address: Option<String>,
}

impl Caller {
    /// The user's id; none for keys.
    pub fn user_id(&self) -> Option<Uuid> {
        if let Actor::User(id) = self.actor { Some(id) } else { None }
    }

    /// What the database is told about who reads. Service keys read as the service role instead.
    pub fn scope(&self, tenant_id: Option<Uuid>) -> ReadScope {
        match self.actor {
            Actor::User(id) => ReadScope { user_id: Some(id), key_id: None, tenant_id },
            Actor::Key { id, .. } => ReadScope { user_id: None, key_id: Some(id), tenant_id },
            Actor::ServiceKey(_) | Actor::System => ReadScope::default(),
        }
    }

    /// Opens a read of one tenant: under the caller's own rights, or for a service key under the service role.
    pub async fn read(&self, state: &AppState, name: &'static str, tenant: Uuid) -> Result<Tx, Problem> {
        Ok(match self.actor {
            Actor::ServiceKey(_) => state.db.read_as_service(name, &[tenant]).await?,
            _ => state.db.read(name, self.scope(Some(tenant))).await?,
        })
    }

    /// Makes sure that a user with a good token exists, with what the token says of it.
    async fn see(&self, state: &AppState, claims: Claims) -> Result<(), Problem> {
        let (email, is_verified) = (claims.email.as_deref(), claims.email_verified);
        if state.known.has_user(claims.id, email, is_verified) {
            return Ok(());
        }
        match users::ensure_signed_in(&state.db, &state.env, claims.id, email, is_verified).await {
            Ok(_) => {
                state.known.put_user(claims.id, claims.email, is_verified);
                Ok(())
            }
            Err(error) => Err(security::refused(state, self, claims.id, error).await),
        }
    }

    /// Name in scopes of idempotency keys.
    pub fn scope_name(&self) -> String {
        let id = self.actor.id().unwrap_or(Uuid::nil());
        format!("{}:{id}", self.actor.kind())
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let (actor, claims) = authenticate(parts, state).await?;
        let verified_email =
            claims.as_ref().filter(|claims| claims.email_verified).and_then(|claims| claims.email.clone());
        let caller = Self {
            actor,
            verified_email,
            request_id: parts.extensions.get::<RequestIdentity>().map(|id| id.0),
            address: parts
                .extensions
                .get::<axum::extract::ConnectInfo<std::net::SocketAddr>>()
                .map(|address| address.0.ip().to_string()),
        };
        if let Some(claims) = claims {
            caller.see(state, claims).await?;
        }
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

/// Who asks; of a user also what the token says.
async fn authenticate(parts: &Parts, state: &AppState) -> Result<(Actor, Option<Claims>), Problem> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    };
    let token = value
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty())
        .ok_or_else(|| Problem::new(Code::Unauthenticated))?;
    if token.starts_with(auth::KEY_PREFIX) {
        return Ok((key(token, parts, state).await?, None));
    }
    let claims = state.verifier.verify(token).await?;
    Ok((Actor::User(claims.id), Some(claims)))
}

async fn key(token: &str, parts: &Parts, state: &AppState) -> Result<Actor, Problem> {
    let unknown = || Problem::new(Code::Unauthenticated);
    let presented = auth::parse_key(token).ok_or_else(unknown)?;
    let key = if let Some(key) = state.known.key(presented.id) {
        key
    } else {
        let key = crate::tenancy::keys::find(&state.db, presented.id).await?.ok_or_else(unknown)?;
        state.known.put_key(key.clone());
        key
    };
    if !presented.matches(&key.secret_hash) {
        return Err(unknown());
    }
    if let Some(per_minute) = key.requests_per_minute {
        let (standing, answered) = state.key_limiter.count(key.id, per_minute);
        if let Some(slot) = parts.extensions.get::<Slot>() {
            slot.put(standing);
        }
        answered?;
    }
    state.key_uses.note(key.id);
    Ok(match key.tenant_id {
        Some(tenant_id) => Actor::Key { id: key.id, tenant_id },
        None => Actor::ServiceKey(key.id),
    })
}

/// A caller and the tenant that it acts in, as the headers say. Nothing was looked up yet but whose team a team is.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who asks.
    pub caller: Caller,
    /// The tenant; none only for a service key that names none, where a batch names tenants itself.
    pub tenant_id: Option<Uuid>,
    /// The team in whose name it acts; the tenant is its owner's.
    pub team: Option<TeamRow>,
}

impl Context {
    /// Id of the team in whose name the caller acts.
    pub fn team_id(&self) -> Option<Uuid> {
        self.team.as_ref().map(|team| team.id)
    }

    /// The tenant, or the refusal that says how to name one.
    pub fn tenant(&self) -> Result<Uuid, Problem> {
        self.tenant_id.ok_or_else(|| {
            Problem::new(Code::InvalidContextHeader)
                .detail("a service key names the tenant: send X-Tenant-Id with the tenant's UUID")
        })
    }
}

impl FromRequestParts<AppState> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let named = auth::context_header(&parts.headers)?;
        let wrong = |detail: &str| Err(Problem::new(Code::InvalidContextHeader).detail(detail));
        let tenant_id = match (named, caller.actor) {
            (ContextHeader::None, actor) => actor.home(),
            (ContextHeader::Organization(id), Actor::Key { tenant_id, .. }) if id != tenant_id => {
                return Err(forbidden_tenant(state, &caller, id).await);
            }
            (ContextHeader::Tenant(_), Actor::User(_) | Actor::Key { .. }) => {
                return wrong("X-Tenant-Id is for service keys; send X-Organization-Id");
            }
            (ContextHeader::Team(id), _) => {
                let team = team::of_header(state, &caller, id).await?;
                return Ok(Self { caller, tenant_id: Some(team.tenant_id), team: Some(team) });
            }
            (ContextHeader::Organization(id) | ContextHeader::Tenant(id), _) => Some(id),
        };
        Ok(Self { caller, tenant_id, team: None })
    }
}

/// A permission that a route needs, as a type.
pub trait Needs: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! needs {
    ($($name:ident = $permission:ident: $doc:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy)]
        pub struct $name;
        impl Needs for $name {
            const PERMISSION: Permission = Permission::$permission;
        }
    )*};
}

needs! {
    ManageBilling = ManageBilling: "Needs `manageBilling`.";
    ViewBilling = ViewBilling: "Needs `viewBilling`.";
    ManageMembers = ManageMembers: "Needs `manageMembers`.";
    ViewUsage = ViewUsage: "Needs `viewUsage`.";
    RecordUsage = RecordUsage: "Needs `recordUsage`.";
}

/// A caller who has the permission `P` in the tenant of the headers, looked up for this request.
#[derive(Debug, Clone)]
pub struct Permitted<P> {
    /// Who asks.
    pub caller: Caller,
    /// The tenant.
    pub tenant_id: Uuid,
    needs: PhantomData<P>,
}

impl<P: Needs> FromRequestParts<AppState> for Permitted<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Self::of(Context::from_request_parts(parts, state).await?, state).await
    }
}

impl<P: Needs> Permitted<P> {
    /// The caller of a context, who acts in no team: what is for teams, too, asks for [`Shared`](super::team::Shared).
    pub(super) async fn of(context: Context, state: &AppState) -> Result<Self, Problem> {
        let tenant_id = context.tenant()?;
        let caller = context.caller;
        if let Some(team) = &context.team {
            return Err(team::not_in_a_team(state, &caller, team, P::PERMISSION.as_str()).await);
        }
        let Some(standing) = standing(state, &caller, tenant_id).await? else {
            return Err(forbidden_tenant(state, &caller, tenant_id).await);
        };
        require(state, &caller, tenant_id, standing, P::PERMISSION).await?;
        Ok(Self { caller, tenant_id, needs: PhantomData })
    }
}

/// A caller who has the permission `P` in the tenant of the path. A tenant that the caller does not belong to is
/// answered like one that does not exist.
#[derive(Debug, Clone)]
pub struct OnTenant<P> {
    /// Who asks.
    pub caller: Caller,
    /// The tenant.
    pub tenant_id: Uuid,
    needs: PhantomData<P>,
}

impl<P: Needs> FromRequestParts<AppState> for OnTenant<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let (caller, tenant_id) = tenant_of_path(parts, state).await?;
        let Some(standing) = standing(state, &caller, tenant_id).await? else {
            return Err(security::foreign(state, &caller, tenant_id, Foreign::PathTenant).await);
        };
        require(state, &caller, tenant_id, standing, P::PERMISSION).await?;
        Ok(Self { caller, tenant_id, needs: PhantomData })
    }
}

/// A caller who belongs to the tenant of the path, whatever it may do there; the operation judges the rest.
#[derive(Debug, Clone)]
pub struct Member {
    /// Who asks.
    pub caller: Caller,
    /// The tenant.
    pub tenant_id: Uuid,
}

impl FromRequestParts<AppState> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        // That looks the caller up itself, which is enough.
        let (caller, tenant_id) = tenant_of_path(parts, state).await?;
        PathTenant { caller, tenant_id }.member(state).await
    }
}

/// A caller and the tenant of the path, whether or not the one belongs to the other: for what a user does to its own
/// membership, which may be over when the request is repeated.
#[derive(Debug, Clone)]
pub struct PathTenant {
    /// Who asks.
    pub caller: Caller,
    /// The tenant, as named.
    pub tenant_id: Uuid,
}

impl PathTenant {
    /// The caller as one who belongs to the tenant.
    pub async fn member(self, state: &AppState) -> Result<Member, Problem> {
        let Self { caller, tenant_id } = self;
        if standing(state, &caller, tenant_id).await?.is_none() {
            return Err(Self { caller, tenant_id }.unknown(state).await);
        }
        Ok(Member { caller, tenant_id })
    }

    /// The refusal of a tenant that the caller does not belong to.
    pub async fn unknown(&self, state: &AppState) -> Problem {
        security::foreign(state, &self.caller, self.tenant_id, Foreign::PathTenant).await
    }
}

impl FromRequestParts<AppState> for PathTenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let (caller, tenant_id) = tenant_of_path(parts, state).await?;
        match security::dead(state, &caller).await {
            Some(dead) => Err(dead),
            None => Ok(Self { caller, tenant_id }),
        }
    }
}

/// The tenant that the path names as `{id}`; a context header must name the same one.
async fn tenant_of_path(parts: &mut Parts, state: &AppState) -> Result<(Caller, Uuid), Problem> {
    let caller = Caller::from_request_parts(parts, state).await?;
    let Path(segments) = Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state)
        .await
        .map_err(|_| Problem::not_found())?;
    let tenant_id =
        segments.get("id").and_then(|text| super::extract::parse_uuid(text)).ok_or_else(Problem::not_found)?;
    match auth::context_header(&parts.headers)? {
        ContextHeader::Organization(id) | ContextHeader::Tenant(id) if id != tenant_id => {
            Err(Problem::new(Code::ContextMismatch))
        }
        ContextHeader::Team(id) => Err(team::refuse_context(state, &caller, id, "tenantContext").await),
        _ => Ok((caller, tenant_id)),
    }
}

/// What a caller is in a tenant.
#[derive(Debug, Clone, Copy)]
struct Standing {
    role: Option<Role>,
    permissions: PermissionSet,
}

/// Looks up what a caller is in a tenant; none where it has nothing to do with it.
async fn standing(state: &AppState, caller: &Caller, tenant_id: Uuid) -> Result<Option<Standing>, Problem> {
    let tx = caller.read(state, "authorize", tenant_id).await?;
    let standing = match caller.actor {
        Actor::User(user) => match members::membership(&tx, tenant_id, user).await? {
            Some(member) => {
                let role = authority::role(&member.role)?;
                let permissions = effective(role, &authority::overrides(&member.permissions)?);
                Some(Standing { role: Some(role), permissions })
            }
            None => None,
        },
        // Under a tenant key's own rights its row is visible only while it works.
        Actor::Key { id, tenant_id: own } if own == tenant_id => {
            let key = keys::get(&tx, own, id).await?;
            let key = key.ok_or_else(|| Problem::new(Code::Unauthenticated))?;
            Some(Standing { role: None, permissions: authority::scopes(&key.scopes)? })
        }
        Actor::Key { .. } | Actor::System => None,
        Actor::ServiceKey(id) => {
            let key = keys::find(&tx, id).await?.filter(|key| key.works);
            let key = key.ok_or_else(|| Problem::new(Code::Unauthenticated))?;
            let permissions = authority::scopes(&key.scopes)?;
            tenants::get(&tx, tenant_id).await?.map(|_| Standing { role: None, permissions })
        }
    };
    tx.rollback().await?;
    Ok(standing)
}

/// Role and permissions of a caller in a tenant; none where it has nothing to do with it.
pub async fn permissions_of(
    state: &AppState,
    caller: &Caller,
    tenant_id: Uuid,
) -> Result<Option<(Option<Role>, PermissionSet)>, Problem> {
    Ok(standing(state, caller, tenant_id).await?.map(|standing| (standing.role, standing.permissions)))
}

async fn require(
    state: &AppState,
    caller: &Caller,
    tenant_id: Uuid,
    standing: Standing,
    needed: Permission,
) -> Result<(), Problem> {
    if standing.permissions.contains(needed) {
        return Ok(());
    }
    Err(security::insufficient(state, caller, tenant_id, needed.as_str(), standing.role).await)
}

async fn forbidden_tenant(state: &AppState, caller: &Caller, tenant_id: Uuid) -> Problem {
    security::foreign(state, caller, tenant_id, Foreign::Tenant).await
}

/// A service key that works, for routes of the host application itself.
#[derive(Debug, Clone)]
pub struct ServiceKey {
    /// Who asks.
    pub caller: Caller,
    permissions: PermissionSet,
}

impl ServiceKey {
    /// Refuses a key that was narrowed and lacks a permission.
    pub async fn require(&self, state: &AppState, needed: Permission) -> Result<(), Problem> {
        if self.permissions.contains(needed) {
            return Ok(());
        }
        Err(security::insufficient(state, &self.caller, Uuid::nil(), needed.as_str(), None).await)
    }
}

impl FromRequestParts<AppState> for ServiceKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Actor::ServiceKey(id) = caller.actor else {
            let home = caller.actor.home().unwrap_or(Uuid::nil());
            return Err(security::insufficient(state, &caller, home, "serviceKey", None).await);
        };
        let found = crate::tenancy::keys::find(&state.db, id).await?;
        let found = found.filter(|key| key.works).ok_or_else(|| Problem::new(Code::Unauthenticated))?;
        Ok(Self { caller, permissions: authority::scopes(&found.scopes)? })
    }
}

/// A user with a token, for routes about the user itself.
#[derive(Debug, Clone)]
pub struct SignedInUser {
    /// Who asks.
    pub caller: Caller,
    /// The user's id.
    pub user_id: Uuid,
}

impl FromRequestParts<AppState> for SignedInUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        // What these routes are about is the user, whatever tenant a header names; a header that cannot be read is
        // refused here as everywhere.
        auth::context_header(&parts.headers)?;
        if let Some(user_id) = caller.user_id() {
            // No membership is looked up on these routes, which a deleted user would lack.
            return match security::deleted(state, &caller).await {
                Some(problem) => Err(problem),
                None => Ok(Self { caller, user_id }),
            };
        }
        let home = caller.actor.home().unwrap_or(Uuid::nil());
        Err(security::insufficient(state, &caller, home, "user", None).await)
    }
}
