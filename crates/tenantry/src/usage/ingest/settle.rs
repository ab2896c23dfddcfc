//! Settling a hold: at most once, with what was used or with nothing.
//!
//! What was used becomes an event of the hold's period, recorded by the careful way in the transaction that ends the
//! hold: at the instant of the commit, or at the last one of the period where that has ended meanwhile. Up to what was
//! held it is accepted whatever the limit, for which it was reserved; only what goes beyond must fit.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tenantry_domain::permission::Permission;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::super::event::{Content, NewEvent};
use super::super::holds::{self, Held, HoldError, Settlement};
use super::super::outcome::Outcome;
use super::facts::{self, Facts, Need, Reach, Subject};
use super::group::{ATTEMPTS, Missing, Recorder};
use super::hold::{Tried, end, key, no_calm_moment};
use super::prepare::{Claim, Prepared, too_late};
use super::spend::{self, CounterKey};
use super::{Sources, answer, locked};
use crate::storage::usage::commit;
use crate::storage::usage::facts::CounterRow;
use crate::storage::usage::holds::{self as rows, End, HoldRow};
use crate::storage::{StoreError, Tx};
use crate::tenancy::Actor;
use crate::tenancy::idempotency::{self, Answer, Claim as Turn, Idempotent};

/// Who settles which hold.
#[derive(Debug, Clone, Copy)]
pub struct Settling {
    /// Who asks; a user settles what is held for that user alone.
    pub actor: Actor,
    /// The tenant.
    pub tenant_id: Uuid,
    /// The team in whose name a user asks; the tenant is its owner's.
    pub team_id: Option<Uuid>,
    /// The hold.
    pub hold_id: Uuid,
}

impl Recorder {
    /// Ends a hold. Told again it answers again, also after the answer to the first was lost.
    pub async fn settle(
        &self,
        settling: Settling,
        settlement: &Settlement,
        idempotent: Option<&Idempotent<'_, Held>>,
    ) -> Result<Answer<Held>, HoldError> {
        for attempt in 0..ATTEMPTS {
            let tx = self.db.begin("settle_hold", &[settling.tenant_id]).await?;
            let tried = self.try_settle(&tx, settling, settlement, idempotent).await;
            let tried = end(tx, tried).await;
            if let Some(done) = self.settled(attempt, tried).await? {
                return done;
            }
        }
        Err(no_calm_moment())
    }

    async fn try_settle(
        &self,
        tx: &Tx,
        settling: Settling,
        settlement: &Settlement,
        idempotent: Option<&Idempotent<'_, Held>>,
    ) -> Result<Tried<Answer<Held>>, HoldError> {
        let now = self.env.clock.now();
        let turn = idempotency::claim(tx, idempotent, now).await?;
        let found = rows::find(tx, settling.tenant_id, settling.hold_id, None).await?;
        let mut facts = permitted(tx, settling, found.as_ref(), now).await?;
        let ticket = match turn {
            Turn::Replay(kept) => return Ok(Tried::Done(Ok(Answer::Replayed(kept)))),
            Turn::Go(ticket) => ticket,
        };
        let is_own = |hold: &HoldRow| !matches!(settling.actor, Actor::User(user) if hold.user_id != Some(user));
        let found = found.filter(is_own).ok_or(HoldError::NotFound)?;
        let Some(hold) = lock(tx, &found, &mut facts, now).await? else {
            return Ok(Tried::Again(Missing::default()));
        };
        let settled = match (hold.state.as_str(), settlement) {
            ("open", Settlement::Commit(amount, metadata)) => {
                let event = used(&hold, settling, *amount, (&facts, now));
                match self.commit(tx, &hold, (event, metadata), settling.actor, &mut facts, now).await? {
                    Tried::Done(committed) => committed?,
                    Tried::Again(missing) => return Ok(Tried::Again(missing)),
                }
            }
            ("open", Settlement::Release) => {
                rows::settle(tx, &hold, End::Released, now).await?;
                rows::add_held(tx, &[(key(&hold), -hold.amount)]).await?;
                facts.counters[0].held -= hold.amount;
                present(HoldRow { state: "released".to_owned(), settled_at: Some(now), ..hold }, &facts)
            }
            // What is asked for is so already.
            ("committed", Settlement::Commit(amount, _)) if hold.committed == Some(amount.as_decimal()) => {
                present(hold, &facts)
            }
            ("released" | "expired", Settlement::Release) => present(hold, &facts),
            // Committed all the same: that it has expired is written by now.
            _ => return Ok(Tried::Done(Err(HoldError::NotOpen(Box::new(hold))))),
        };
        Ok(Tried::Done(Ok(ticket.done(tx, settled).await?)))
    }

    /// Ends an open hold with an event. What is refused leaves the hold open: nothing of it is committed.
    async fn commit(
        &self,
        tx: &Tx,
        hold: &HoldRow,
        (event, metadata): (NewEvent, &serde_json::Map<String, serde_json::Value>),
        actor: Actor,
        facts: &mut Facts,
        now: Timestamp,
    ) -> Result<Tried<Held>, HoldError> {
        let Content::Usage { amount, .. } = event.content else {
            return Err(StoreError::corrupt("hold", "it was settled by a correction").into());
        };
        let may_go_back = matches!(actor, Actor::ServiceKey(_) | Actor::System);
        if let Some(invalid) = too_late(&facts.counters[0], now, may_go_back, self.settings.late_window) {
            return Err(HoldError::declined(Outcome::Invalid(invalid)));
        }
        let prepared = Prepared {
            index: 0,
            content_hash: event.content_hash(),
            occurred_at: event.occurred_at(),
            counter: 0,
            amount: amount.as_decimal(),
            user_id: hold.user_id,
            metadata: both(metadata, &hold.metadata),
            of_original: None,
            // Holds are of sums, which have no parts.
            part: String::new(),
            original: None,
            claim: Claim::Settles(hold.amount),
        };
        let months = self.unknown_months(std::slice::from_ref(&prepared));
        if !months.is_empty() {
            return Ok(Tried::Again(Missing { months, ..Missing::default() }));
        }
        let end = End::Committed(prepared.amount);
        rows::settle(tx, hold, end, now).await?;
        rows::add_held(tx, &[(key(hold), -hold.amount)]).await?;
        let (ids, sources) = ([self.env.ids.uuid_v7(now)], Sources { env: &self.env, now });
        let written = locked::write(tx, vec![prepared], &[&event], &ids, facts, &sources).await?;
        let locked::Tried::Done(mut outcomes) = written else {
            return Ok(Tried::Again(Missing::default()));
        };
        match outcomes.pop().map(|(_, outcome)| outcome) {
            Some(Outcome::Accepted(answer)) => {
                let committed = Some(amount.as_decimal());
                let hold = HoldRow { state: "committed".to_owned(), settled_at: Some(now), committed, ..hold.clone() };
                Ok(Tried::Done(Ok(Held { hold, standing: answer.standing })))
            }
            // Somebody recorded an event under the hold's key, before such keys were kept for holds.
            Some(Outcome::Duplicate(answer)) => Err(HoldError::declined(Outcome::Conflict(answer))),
            Some(mut refused) => {
                spend::hide_money(&mut refused, (&actor, &event), facts);
                Err(HoldError::declined(refused))
            }
            None => Err(StoreError::corrupt("hold", "its event was left without an outcome").into()),
        }
    }
}

/// What is known of the caller, who must be one that may record usage there.
async fn permitted(tx: &Tx, settling: Settling, found: Option<&HoldRow>, now: Timestamp) -> Result<Facts, HoldError> {
    // Of a hold that does not exist no counter is needed; that its metric is nothing finds none.
    let subject = found.map_or(Subject::Metric("", now), |hold| Subject::Metric(&hold.metric, hold.created_at));
    let need = Need {
        actor: settling.actor,
        tenant_id: settling.tenant_id,
        team_id: settling.team_id,
        user_id: None,
        subject,
    };
    let facts = facts::read(tx, &[need], now).await?;
    let needed = Permission::RecordUsage;
    match facts.reach(settling.actor, settling.tenant_id, settling.team_id) {
        Reach::Nothing => Err(HoldError::declined(Outcome::Foreign)),
        Reach::TeamInactive => Err(HoldError::declined(Outcome::TeamInactive)),
        Reach::Permissions(has) if !has.contains(needed) => Err(HoldError::declined(Outcome::Forbidden(needed))),
        Reach::Permissions(_) => Ok(facts),
    }
}

/// Locks the hold's counter, which becomes the first one of the facts, with those that a spend cap over all metrics is
/// judged by, and then the hold; none where it was moved to another period meanwhile.
async fn lock(tx: &Tx, found: &HoldRow, facts: &mut Facts, now: Timestamp) -> Result<Option<HoldRow>, HoldError> {
    let own = (found.tenant_id, found.metric.clone(), found.period_start);
    let beside = spend::counters_beside(tx, &BTreeSet::from([(own.0, own.2)])).await?;
    // All at once and in key order: whoever locks several of them does the same.
    let wanted: BTreeSet<CounterKey> = std::iter::once(own).chain(beside).collect();
    let tenants: Vec<Uuid> = wanted.iter().map(|key| key.0).collect();
    let metrics: Vec<&str> = wanted.iter().map(|key| key.1.as_str()).collect();
    let starts: Vec<Timestamp> = wanted.iter().map(|key| key.2).collect();
    let mut counters = commit::lock_counters(tx, &tenants, &metrics, &starts).await?;
    holds::expire(tx, &mut counters, now).await?;
    let is_own = |counter: &CounterRow| counter.metric == found.metric && counter.period_start == found.period_start;
    match counters.iter().position(is_own) {
        Some(position) => counters.swap(0, position),
        None => return Err(StoreError::corrupt("hold", "its counter does not exist").into()),
    }
    facts.put_counters(counters);
    let hold = rows::lock(tx, found.tenant_id, found.id).await?;
    Ok(hold.filter(|hold| hold.period_start == found.period_start))
}

/// The event that a hold becomes.
fn used(hold: &HoldRow, settling: Settling, amount: Quantity, (facts, now): (&Facts, Timestamp)) -> NewEvent {
    NewEvent {
        tenant_id: hold.tenant_id,
        team_id: settling.team_id,
        key: holds::key_of(hold.id),
        content: Content::Usage { metric: hold.metric.clone(), amount },
        timestamp: Some(holds::settles_at(now, &facts.counters[0])),
        received_at: now,
        user_id: hold.user_id,
        // Stored is what was prepared.
        metadata: serde_json::Map::new(),
    }
}

fn present(hold: HoldRow, facts: &Facts) -> Held {
    let counter = &facts.counters[0];
    Held { hold, standing: answer(counter, counter.total, None).standing }
}

/// What was said when the hold was taken, and what was said when it was committed where the two differ; but not where
/// and as what the user used it.
fn both(said_now: &serde_json::Map<String, serde_json::Value>, stored: &serde_json::Value) -> serde_json::Value {
    let mut metadata = stored.as_object().cloned().unwrap_or_default();
    for (name, value) in said_now {
        if name != "organizationId" && name != "userRole" {
            metadata.insert(name.clone(), value.clone());
        }
    }
    serde_json::Value::Object(metadata)
}
