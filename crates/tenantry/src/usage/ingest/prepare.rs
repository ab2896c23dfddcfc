//! From an event and the facts to what would be written: pure, no database.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use tenantry_domain::metric::NoValue;
use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::holds;
use super::super::outcome::{Invalid, Outcome};
use super::facts::{Facts, Reach};
use super::tallies;
use crate::storage::usage::facts::CounterRow;
use crate::tenancy::Actor;

/// How far ahead of the server's clock a timestamp may be.
const FUTURE_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// No period is longer than this; an event older than it and the late window is too old for sure.
const LONGEST_PERIOD: SignedDuration = SignedDuration::from_hours(31 * 24);
/// 2000-01-01T00:00:00Z; months of usage are kept from here.
const EARLIEST: Timestamp = Timestamp::constant(946_684_800, 0);

/// An event that can be decided: its counter is known.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    /// Position in the group.
    pub(super) index: usize,
    pub(super) content_hash: Uuid,
    pub(super) occurred_at: Timestamp,
    /// Index into the facts' counters.
    pub(super) counter: usize,
    /// Negative for a correction.
    pub(super) amount: Decimal,
    pub(super) user_id: Option<Uuid>,
    pub(super) metadata: serde_json::Value,
    /// Of a correction: what the event that it takes back said of itself.
    pub(super) of_original: Option<serde_json::Value>,
    /// The part of a figure that is no sum in which it counts; empty where there are none.
    pub(super) part: String,
    /// Of a correction the id of what it takes back, where that was recorded before its group.
    pub(super) original: Option<Uuid>,
    pub(super) claim: Claim,
}

/// What an event can become, beside what its counter and its key say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Claim {
    /// It counts.
    Any,
    /// It may not count; it can only repeat one that does. The counter is that one's, found at this instant.
    RepeatOnly(Timestamp, Invalid),
    /// It takes back an event of its own group: what that is shows when that one was decided.
    InGroup,
    /// It is what a hold is settled with, which reserved so much for it.
    Settles(Decimal),
}

impl Prepared {
    /// The instant whose counter it is decided by.
    pub(super) fn place(&self) -> Timestamp {
        match self.claim {
            Claim::RepeatOnly(place, _) => place,
            Claim::Any | Claim::InGroup | Claim::Settles(_) => self.occurred_at,
        }
    }
}

/// What became of preparing an event.
#[derive(Debug)]
pub(super) enum Preparation {
    /// Answered already.
    Done(Outcome),
    /// The counter of (metric, instant) does not exist yet.
    NeedsCounter(String, Timestamp),
    /// Too old to count, takes back what is, lacks what is counted, or comes under a key that no event of a caller's may
    /// have; unless its key counted before, this is what is wrong with it.
    RepeatOnly(Invalid),
    /// It takes an event back that was not there when the facts were read.
    NeedsOriginal(Option<&'static str>),
    /// Ready to be decided.
    Ready(Prepared),
}

/// Checks one event against the facts.
///
/// `index` is its position in the group, `content_hash` its digest.
pub(super) fn prepare(
    (index, content_hash): (usize, Uuid),
    actor: &Actor,
    event: &NewEvent,
    facts: &Facts,
    late_window: SignedDuration,
) -> Preparation {
    let role = match permitted(actor, event, facts) {
        Ok(role) => role,
        Err(outcome) => return Preparation::Done(*outcome),
    };
    if holds::is_key(&event.key) {
        return Preparation::RepeatOnly(key_of_a_hold());
    }
    let (metric, amount, occurred_at, user_id) = match &event.content {
        Content::Usage { metric, amount } => {
            (metric.as_str(), amount.as_decimal(), event.occurred_at(), attributed_user(actor, event))
        }
        Content::Reversal { reverses } => match facts.original(event.tenant_id, reverses) {
            // A correction counts where the event counted.
            Some(original) if original.kind == "usage" => {
                (original.metric.as_str(), -original.amount, original.occurred_at, original.user_id)
            }
            // What it counted is not known any more. Sent again, a correction of then is still a duplicate.
            Some(original) if original.kind == "archived" => return Preparation::RepeatOnly(event_archived()),
            Some(_) => return Preparation::Done(reversal_of_reversal()),
            None => return Preparation::NeedsOriginal(role),
        },
    };
    let may_go_back =
        matches!(actor, Actor::ServiceKey(_) | Actor::System) || matches!(event.content, Content::Reversal { .. });
    if let Some(refused) = outside_time(event, occurred_at, may_go_back, late_window) {
        return refused;
    }
    let Some(counter) = facts.counter_at(event.tenant_id, metric, occurred_at) else {
        return Preparation::NeedsCounter(metric.to_owned(), occurred_at);
    };
    if let Some(invalid) = too_late(&facts.counters[counter], event.received_at, may_go_back, late_window) {
        return Preparation::RepeatOnly(invalid);
    }
    let metadata = stored_metadata(event, facts, role);
    let original = match &event.content {
        Content::Reversal { reverses } => facts.original(event.tenant_id, reverses),
        Content::Usage { .. } => None,
    };
    let valued = original.map_or(&metadata, |original| &original.metadata);
    let part = match tallies::part_of(&facts.counters[counter], occurred_at, valued) {
        Ok(part) => part,
        // It may have counted all the same: before its metric counted in this way, or with other metadata.
        Err(missing) => return Preparation::RepeatOnly(metadata_field_required(&missing)),
    };
    Preparation::Ready(Prepared {
        index,
        content_hash,
        occurred_at,
        counter,
        amount,
        user_id,
        metadata,
        of_original: original.map(|original| original.metadata.clone()),
        part,
        original: original.map(|original| original.id),
        claim: Claim::Any,
    })
}

/// A correction of an event that comes before it in its group.
pub(super) fn prepare_in_group(
    index: usize,
    event: &NewEvent,
    original: &Prepared,
    facts: &Facts,
    role: Option<&'static str>,
) -> Prepared {
    Prepared {
        index,
        content_hash: event.content_hash(),
        metadata: stored_metadata(event, facts, role),
        of_original: Some(original.metadata.clone()),
        claim: Claim::InGroup,
        ..original.taken_back()
    }
}

impl Prepared {
    /// Whether it settles a hold with no more than that held: it was judged when it was held.
    pub(super) fn is_reserved(&self) -> bool {
        matches!(self.claim, Claim::Settles(reserved) if self.amount <= reserved)
    }

    /// What a correction of this event counts, and where: where the event counted.
    pub(super) fn taken_back(&self) -> Self {
        Self { amount: -self.amount, ..self.clone() }
    }
}

/// A correction names a key that no event has.
pub(super) fn unknown_key() -> Outcome {
    Outcome::Invalid(Invalid::new("unknown_key", "reverses", "no event of this tenant has that idempotency key"))
}

/// A correction names an event that has left.
fn event_archived() -> Invalid {
    Invalid::new(
        "event_archived",
        "reverses",
        "that event is so old that it was archived, and cannot be taken back: give a credit instead",
    )
}

/// A correction names a correction.
pub(super) fn reversal_of_reversal() -> Outcome {
    Outcome::Invalid(Invalid::new(
        "reversal_of_reversal",
        "reverses",
        "a correction cannot be taken back: record the usage again under a new key",
    ))
}

/// Whether the caller may record this event; the role of the user it is attributed to.
fn permitted(actor: &Actor, event: &NewEvent, facts: &Facts) -> Result<Option<&'static str>, Box<Outcome>> {
    let needed = match event.content {
        Content::Usage { .. } => Permission::RecordUsage,
        Content::Reversal { .. } => Permission::ManageBilling,
    };
    match facts.reach(*actor, event.tenant_id, event.team_id) {
        Reach::Nothing => return Err(Box::new(Outcome::Foreign)),
        Reach::TeamInactive => return Err(Box::new(Outcome::TeamInactive)),
        Reach::Permissions(has) if !has.contains(needed) => return Err(Box::new(Outcome::Forbidden(needed))),
        Reach::Permissions(_) => {}
    }
    if let Actor::User(user) = actor {
        if event.user_id.is_some_and(|named| named != *user) {
            return Err(Box::new(Outcome::Invalid(Invalid::new(
                "user_not_allowed",
                "userId",
                "a user's token records its own usage; leave userId out or use an API key",
            ))));
        }
        return Ok(match event.team_id {
            Some(team) => facts.team_role(team, *user),
            None => facts.member(event.tenant_id, *user).map(|member| member.role.as_str()),
        });
    }
    match event.user_id {
        None => Ok(None),
        Some(user) => match facts.named_role(event.tenant_id, user) {
            Some(role) => Ok(Some(role)),
            None => Err(Box::new(Outcome::Invalid(Invalid::new(
                "unknown_user",
                "userId",
                "no member of this tenant, or of a team of its, has that id; add the member first or leave userId out",
            )))),
        },
    }
}

fn attributed_user(actor: &Actor, event: &NewEvent) -> Option<Uuid> {
    match actor {
        Actor::User(user) => Some(*user),
        _ => event.user_id,
    }
}

fn outside_time(
    event: &NewEvent,
    occurred_at: Timestamp,
    may_go_back: bool,
    late_window: SignedDuration,
) -> Option<Preparation> {
    let ahead = occurred_at.duration_since(event.received_at);
    if ahead > FUTURE_TOLERANCE {
        return Some(invalid(
            "timestamp_in_future",
            "timestamp",
            "the timestamp is more than 5 minutes ahead of the server's clock",
        ));
    }
    if occurred_at < EARLIEST {
        return Some(invalid("timestamp_too_old", "timestamp", "usage is kept from the year 2000 on"));
    }
    // Without this an unprivileged caller could make periods of the past by events that are refused anyway.
    let surely_too_old = LONGEST_PERIOD.saturating_add(late_window).saturating_add(FUTURE_TOLERANCE);
    if !may_go_back && -ahead > surely_too_old {
        return Some(Preparation::RepeatOnly(too_old(late_window)));
    }
    None
}

/// What is wrong with an event of a counter whose period takes none any more, at least from callers who may not go back.
pub(super) fn too_late(
    counter: &CounterRow,
    received_at: Timestamp,
    may_go_back: bool,
    late_window: SignedDuration,
) -> Option<Invalid> {
    if may_go_back {
        return None;
    }
    if counter.historic {
        return Some(before_the_tenant());
    }
    let accepted_until = counter.period_end.saturating_add(late_window);
    accepted_until.is_ok_and(|until| received_at > until).then(|| too_old(late_window))
}

fn key_of_a_hold() -> Invalid {
    Invalid::new(
        "reserved_key",
        "idempotencyKey",
        "`hold:` with a UUID is the key of the event that a hold becomes: commit the hold, or use another key",
    )
}

fn too_old(late_window: SignedDuration) -> Invalid {
    Invalid::new(
        "timestamp_too_old",
        "timestamp",
        format!(
            "usage is accepted until {} hours after its period ended; a service key may go further back",
            late_window.as_hours()
        ),
    )
}

fn metadata_field_required(missing: &NoValue) -> Invalid {
    Invalid::new("metadata_field_required", "metadata", missing.to_string())
}

fn before_the_tenant() -> Invalid {
    Invalid::new(
        "timestamp_too_old",
        "timestamp",
        "the timestamp lies before the tenant was here; only a service key or an import may record such usage",
    )
}

fn invalid(code: &'static str, field: &'static str, message: &str) -> Preparation {
    Preparation::Done(Outcome::Invalid(Invalid::new(code, field, message)))
}

/// The caller's metadata with `organizationId` and `userRole` added; what the caller put there is replaced.
fn stored_metadata(event: &NewEvent, facts: &Facts, role: Option<&'static str>) -> serde_json::Value {
    let mut metadata = event.metadata.clone();
    if facts.is_organization(event.tenant_id) == Some(true) {
        metadata.insert("organizationId".to_owned(), event.tenant_id.to_string().into());
    } else {
        metadata.remove("organizationId");
    }
    match role {
        Some(role) => _ = metadata.insert("userRole".to_owned(), role.into()),
        None => _ = metadata.remove("userRole"),
    }
    serde_json::Value::Object(metadata)
}
