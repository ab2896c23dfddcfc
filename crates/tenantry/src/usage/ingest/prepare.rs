//! From an event and the facts to what would be written: pure, no database.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use tenantry_domain::permission::Permission;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::outcome::{Invalid, Outcome};
use super::facts::Facts;
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
}

/// What became of preparing an event.
#[derive(Debug)]
pub(super) enum Preparation {
    /// Answered already.
    Done(Outcome),
    /// The counter of (metric, instant) does not exist yet.
    NeedsCounter(String, Timestamp),
    /// Ready to be decided.
    Ready(Prepared),
}

/// Checks one event against the facts.
pub(super) fn prepare(
    index: usize,
    actor: &Actor,
    event: &NewEvent,
    facts: &Facts,
    late_window: SignedDuration,
) -> Preparation {
    let role = match permitted(actor, event, facts) {
        Ok(role) => role,
        Err(outcome) => return Preparation::Done(outcome),
    };
    let (metric, amount, occurred_at, user_id) = match &event.content {
        Content::Usage { metric, amount } => {
            (metric.as_str(), amount.as_decimal(), event.occurred_at(), attributed_user(actor, event))
        }
        Content::Reversal { reverses } => match facts.original(event.tenant_id, reverses) {
            // A correction counts where the event counted.
            Some(original) if original.kind == "usage" => {
                (original.metric.as_str(), -original.amount, original.occurred_at, original.user_id)
            }
            Some(_) => {
                return invalid(
                    "reversal_of_reversal",
                    "reverses",
                    "a correction cannot be taken back: record the usage again under a new key",
                );
            }
            None => {
                return invalid("unknown_key", "reverses", "no event of this tenant has that idempotency key");
            }
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
    let accepted_until = facts.counters[counter].period_end.saturating_add(late_window);
    if !may_go_back && accepted_until.is_ok_and(|until| event.received_at > until) {
        return too_old(late_window);
    }
    Preparation::Ready(Prepared {
        index,
        content_hash: event.content_hash(),
        occurred_at,
        counter,
        amount,
        user_id,
        metadata: stored_metadata(event, facts, role),
    })
}

/// Whether the caller may record this event; the role of the user it is attributed to.
fn permitted(actor: &Actor, event: &NewEvent, facts: &Facts) -> Result<Option<&'static str>, Outcome> {
    let needed = match event.content {
        Content::Usage { .. } => Permission::RecordUsage,
        Content::Reversal { .. } => Permission::ManageBilling,
    };
    match facts.permissions(*actor, event.tenant_id) {
        None => return Err(Outcome::Foreign),
        Some(has) if !has.contains(needed) => return Err(Outcome::Forbidden(needed)),
        Some(_) => {}
    }
    if let Actor::User(user) = actor {
        if event.user_id.is_some_and(|named| named != *user) {
            return Err(Outcome::Invalid(Invalid::new(
                "user_not_allowed",
                "userId",
                "a user's token records its own usage; leave userId out or use an API key",
            )));
        }
        return Ok(facts.member(event.tenant_id, *user).map(|member| member.role.as_str()));
    }
    match event.user_id {
        None => Ok(None),
        Some(user) => match facts.member(event.tenant_id, user) {
            Some(member) => Ok(Some(member.role.as_str())),
            None => Err(Outcome::Invalid(Invalid::new(
                "unknown_user",
                "userId",
                "no member of this tenant has that id; add the member first or leave userId out",
            ))),
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
        return Some(too_old(late_window));
    }
    None
}

fn too_old(late_window: SignedDuration) -> Preparation {
    invalid(
        "timestamp_too_old",
        "timestamp",
        &format!(
            "usage is accepted until {} hours after its period ended; a service key may go further back",
            late_window.as_hours()
        ),
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
