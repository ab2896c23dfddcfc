//! What is known when a group is decided: read in the group's own transaction, indexed for its events.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use tenantry_domain::permission::{Overrides, Permission, PermissionSet, Role, effective};
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::holds;
use crate::storage::teams::{self as rows, TeamStanding};
use crate::storage::usage::facts::{self, CounterRow, KeyRow, OriginalRow};
use crate::storage::{StoreError, Tx};
use crate::tenancy::{Actor, teams};

/// What one event or check must know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need<'a> {
    /// Who asks.
    pub(super) actor: Actor,
    /// The tenant.
    pub(super) tenant_id: Uuid,
    /// The team in whose name the actor asks.
    pub(super) team_id: Option<Uuid>,
    /// A user whose membership matters beside the actor's.
    pub(super) user_id: Option<Uuid>,
    /// What it is about.
    pub(super) subject: Subject<'a>,
}

/// What an event or check is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// A metric at an instant.
    Metric(&'a str, Timestamp),
    /// The event behind an idempotency key.
    Key(&'a str),
}

impl<'a> Need<'a> {
    /// What recording an event needs.
    pub(super) fn of(actor: &Actor, event: &'a NewEvent) -> Self {
        let subject = match &event.content {
            Content::Usage { metric, .. } => Subject::Metric(metric, event.occurred_at()),
            Content::Reversal { reverses } => Subject::Key(reverses),
        };
        Self { actor: *actor, tenant_id: event.tenant_id, team_id: event.team_id, user_id: event.user_id, subject }
    }
}

/// A member's role and what it may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) permissions: PermissionSet,
}

/// What an actor may do where it acts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach {
    /// It has nothing to do with the tenant or the team, or there is none.
    Nothing,
    /// It belongs to the team, whose owner has no plan to share.
    TeamInactive,
    /// These.
    Permissions(PermissionSet),
}

impl Reach {
    pub(super) fn has(self, permission: Permission) -> bool {
        matches!(self, Self::Permissions(has) if has.contains(permission))
    }
}

/// An API key that works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) tenant_id: Option<Uuid>,
    pub(super) permissions: PermissionSet,
}

/// Everything that was read for a group.
#[derive(Debug, Default)]
pub(super) struct Facts {
    members: HashMap<(Uuid, Uuid), Member>,
    /// By team and user.
    teams: HashMap<(Uuid, Uuid), TeamStanding>,
    /// Users whom somebody names, and who are in a team of the tenant's.
    sharers: HashSet<(Uuid, Uuid)>,
    keys: HashMap<Uuid, Key>,
    organizations: HashMap<Uuid, bool>,
    originals: HashMap<Uuid, HashMap<String, OriginalRow>>,
    pub(super) counters: Vec<CounterRow>,
    by_metric: HashMap<Uuid, HashMap<String, Vec<usize>>>,
}

impl Facts {
    pub(super) fn member(&self, tenant: Uuid, user: Uuid) -> Option<Member> {
        self.members.get(&(tenant, user)).copied()
    }

    /// Whether the tenant is an organization; none where there is no such tenant.
    pub(super) fn is_organization(&self, tenant: Uuid) -> Option<bool> {
        self.organizations.get(&tenant).copied()
    }

    /// What the actor may do in a tenant, or by a team with what its owner's tenant has.
    pub(super) fn reach(&self, actor: Actor, tenant: Uuid, team: Option<Uuid>) -> Reach {
        let Some(team) = team else {
            return self.permissions(actor, tenant).map_or(Reach::Nothing, Reach::Permissions);
        };
        let Actor::User(user) = actor else { return Reach::Nothing };
        match self.teams.get(&(team, user)) {
            // The event was addressed when the request came; a team never changes its tenant.
            Some(standing) if standing.tenant_id == tenant && self.is_organization(tenant).is_some() => {
                if standing.shares_plan { Reach::Permissions(teams::permissions()) } else { Reach::TeamInactive }
            }
            _ => Reach::Nothing,
        }
    }

    /// What a user is in a team, for the metadata of its events.
    pub(super) fn team_role(&self, team: Uuid, user: Uuid) -> Option<&'static str> {
        self.teams.get(&(team, user)).map(|standing| if standing.is_owner { "owner" } else { TEAM_MEMBER })
    }

    /// What somebody whom a key names is in the tenant: a member, or in a team of its.
    pub(super) fn named_role(&self, tenant: Uuid, user: Uuid) -> Option<&'static str> {
        let member = self.member(tenant, user).map(|member| member.role.as_str());
        member.or_else(|| self.sharers.contains(&(tenant, user)).then_some(TEAM_MEMBER))
    }

    /// What the actor may do in a tenant; none where it has nothing to do with it, or it does not exist.
    fn permissions(&self, actor: Actor, tenant: Uuid) -> Option<PermissionSet> {
        self.is_organization(tenant)?;
        match actor {
            Actor::User(user) => self.member(tenant, user).map(|member| member.permissions),
            Actor::Key { id, .. } | Actor::ServiceKey(id) => {
                let key = self.keys.get(&id)?;
                key.tenant_id.is_none_or(|own| own == tenant).then_some(key.permissions)
            }
            Actor::System => Some(PermissionSet::ALL),
        }
    }

    pub(super) fn original(&self, tenant: Uuid, key: &str) -> Option<&OriginalRow> {
        self.originals.get(&tenant)?.get(key)
    }

    /// The counter of this metric whose period contains the instant, as an index into `counters`.
    pub(super) fn counter_at(&self, tenant: Uuid, metric: &str, at: Timestamp) -> Option<usize> {
        self.by_metric.get(&tenant)?.get(metric)?.iter().copied().find(|&index| {
            let counter = &self.counters[index];
            counter.period_start <= at && at < counter.period_end
        })
    }

    /// Replaces the counters, as when they were read again under their locks.
    pub(super) fn put_counters(&mut self, counters: Vec<CounterRow>) {
        self.by_metric.clear();
        for (index, counter) in counters.iter().enumerate() {
            let metrics = self.by_metric.entry(counter.tenant_id).or_default();
            match metrics.get_mut(&counter.metric) {
                Some(indexes) => indexes.push(index),
                None => _ = metrics.insert(counter.metric.clone(), vec![index]),
            }
        }
        self.counters = counters;
    }
}

/// The role of a member of a team in its events' metadata.
const TEAM_MEMBER: &str = "team_member";

/// The spans of time that a group asks about, by tenant and metric.
type Spans = BTreeMap<(Uuid, String), (Timestamp, Timestamp)>;

/// Reads what these events need, all statements in one round trip.
pub(super) async fn read(tx: &Tx, needs: &[Need<'_>], now: Timestamp) -> Result<Facts, StoreError> {
    let mut pairs = BTreeSet::new();
    let mut in_teams = BTreeSet::new();
    let mut named = BTreeSet::new();
    let mut key_ids = BTreeSet::new();
    let mut reversed = BTreeSet::new();
    let mut spans = Spans::new();
    for need in needs {
        match need.actor {
            Actor::User(user) if need.team_id.is_some() => in_teams.extend(need.team_id.map(|team| (team, user))),
            Actor::User(user) => _ = pairs.insert((need.tenant_id, user)),
            Actor::Key { id, .. } | Actor::ServiceKey(id) => _ = key_ids.insert(id),
            Actor::System => {}
        }
        if let Some(user) = need.user_id {
            pairs.insert((need.tenant_id, user));
            // A user's token names nobody else.
            if !matches!(need.actor, Actor::User(_)) {
                named.insert((need.tenant_id, user));
            }
        }
        match need.subject {
            Subject::Metric(metric, at) => widen(&mut spans, need.tenant_id, metric, at),
            Subject::Key(key) => _ = reversed.insert((need.tenant_id, key)),
        }
    }
    let mut read = Facts::default();
    if !reversed.is_empty() {
        // What is taken back says which counter it belongs to, so it must be known first.
        let (tenants, keys): (Vec<Uuid>, Vec<&str>) = reversed.into_iter().unzip();
        for original in facts::originals(tx, &tenants, &keys).await? {
            widen(&mut spans, original.tenant_id, &original.metric, original.occurred_at);
            read.originals.entry(original.tenant_id).or_default().insert(original.key.clone(), original);
        }
    }
    let tenants: Vec<Uuid> = needs.iter().map(|need| need.tenant_id).collect::<BTreeSet<_>>().into_iter().collect();
    let (pair_tenants, pair_users): (Vec<Uuid>, Vec<Uuid>) = pairs.into_iter().unzip();
    let key_ids: Vec<Uuid> = key_ids.into_iter().collect();
    let (team_ids, team_users): (Vec<Uuid>, Vec<Uuid>) = in_teams.into_iter().unzip();
    let (named_tenants, named_users): (Vec<Uuid>, Vec<Uuid>) = named.into_iter().unzip();
    let (members, standings, sharers, keys, tenants, mut counters) = tokio::try_join!(
        biased;
        read_members(tx, &pair_tenants, &pair_users),
        read_standings(tx, &team_ids, &team_users, now),
        read_sharers(tx, &named_tenants, &named_users),
        read_keys(tx, &key_ids),
        facts::tenants(tx, &tenants),
        read_counters(tx, &spans),
    )?;
    for member in members {
        read.members.insert((member.tenant_id, member.user_id), member_of(&member)?);
    }
    read.teams = standings.into_iter().map(|standing| ((standing.team_id, standing.user_id), standing)).collect();
    read.sharers = sharers.into_iter().collect();
    read.keys = keys.into_iter().map(|key| (key.id, key_of(&key))).collect();
    read.organizations = tenants.into_iter().map(|(id, kind)| (id, kind == "organization")).collect();
    holds::leave_out_expired(tx, &mut counters, now).await?;
    read.put_counters(counters);
    Ok(read)
}

/// Reads the counters of these instants too, where they are not among the facts yet.
pub(super) async fn read_more_counters<'a>(
    tx: &Tx,
    facts: &mut Facts,
    wanted: impl Iterator<Item = (Uuid, &'a str, Timestamp)>,
) -> Result<(), StoreError> {
    let mut spans = Spans::new();
    for (tenant, metric, at) in wanted {
        if facts.counter_at(tenant, metric, at).is_none() {
            widen(&mut spans, tenant, metric, at);
        }
    }
    if spans.is_empty() {
        return Ok(());
    }
    let mut counters = std::mem::take(&mut facts.counters);
    for counter in read_counters(tx, &spans).await? {
        let key = (counter.tenant_id, counter.metric.as_str(), counter.period_start);
        if counters.iter().all(|known| (known.tenant_id, known.metric.as_str(), known.period_start) != key) {
            counters.push(counter);
        }
    }
    facts.put_counters(counters);
    Ok(())
}

fn widen(spans: &mut Spans, tenant: Uuid, metric: &str, at: Timestamp) {
    spans
        .entry((tenant, metric.to_owned()))
        .and_modify(|(earliest, latest)| {
            *earliest = (*earliest).min(at);
            *latest = (*latest).max(at);
        })
        .or_insert((at, at));
}

async fn read_members(tx: &Tx, tenants: &[Uuid], users: &[Uuid]) -> Result<Vec<facts::MemberRow>, StoreError> {
    if users.is_empty() { Ok(Vec::new()) } else { facts::members(tx, tenants, users).await }
}

async fn read_standings(
    tx: &Tx,
    teams: &[Uuid],
    users: &[Uuid],
    now: Timestamp,
) -> Result<Vec<TeamStanding>, StoreError> {
    if teams.is_empty() { Ok(Vec::new()) } else { rows::standings(tx, teams, users, now).await }
}

async fn read_sharers(tx: &Tx, tenants: &[Uuid], users: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    if users.is_empty() { Ok(Vec::new()) } else { rows::sharers(tx, tenants, users).await }
}

async fn read_keys(tx: &Tx, ids: &[Uuid]) -> Result<Vec<KeyRow>, StoreError> {
    if ids.is_empty() { Ok(Vec::new()) } else { facts::keys(tx, ids).await }
}

async fn read_counters(tx: &Tx, spans: &Spans) -> Result<Vec<CounterRow>, StoreError> {
    let tenants: Vec<Uuid> = spans.keys().map(|(tenant, _)| *tenant).collect();
    let metrics: Vec<&str> = spans.keys().map(|(_, metric)| metric.as_str()).collect();
    let earliest: Vec<Timestamp> = spans.values().map(|(earliest, _)| *earliest).collect();
    let latest: Vec<Timestamp> = spans.values().map(|(_, latest)| *latest).collect();
    facts::counters(tx, &tenants, &metrics, &earliest, &latest).await
}

fn member_of(row: &facts::MemberRow) -> Result<Member, StoreError> {
    let role: Role = row.role.parse().map_err(|error| StoreError::corrupt("role", error))?;
    let overrides: Overrides =
        serde_json::from_value(row.permissions.clone()).map_err(|error| StoreError::corrupt("permissions", error))?;
    Ok(Member { role, permissions: effective(role, &overrides) })
}

/// A service key is the operator's: it may do what its scopes say for every tenant.
fn key_of(row: &KeyRow) -> Key {
    let permissions = row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
    Key { tenant_id: row.tenant_id, permissions }
}
