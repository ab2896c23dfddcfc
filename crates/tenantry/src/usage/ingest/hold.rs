//! Taking a hold: decided as an event of the same amount would be, under the counter's lock, and written beside the
//! total instead of into it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::super::event::{Content, NewEvent, truncate_to_micros};
use super::super::holds::{self, Held, HoldError, NewHold};
use super::super::opening::Wanted;
use super::super::outcome::{Outcome, Refusal};
use super::facts::{self, Facts, Need};
use super::group::{ATTEMPTS, Missing, Recorder, is_lock_timeout, is_missing_month};
use super::prepare::{Preparation, prepare};
use super::spend::{self, Spend};
use super::{Sources, answer, locked};
use crate::storage::usage::holds::{self as rows, HoldRow};
use crate::storage::{MaybeRetryable as _, StoreError, Tx};
use crate::tenancy::idempotency::{self, Answer, Claim, Idempotent};
use crate::tenancy::{Actor, TenancyError};

/// What came of a hold's transaction.
pub(super) enum Tried<T> {
    /// Committed, also where it is a refusal.
    Done(Result<T, HoldError>),
    /// Nothing was written; the same again, once this was made.
    Again(Missing),
}

impl NewHold {
    /// The event that it would be if it were used now; without a key, since none is claimed.
    fn as_event(&self, now: Timestamp) -> NewEvent {
        NewEvent {
            tenant_id: self.tenant_id,
            team_id: self.team_id,
            key: String::new(),
            content: Content::Usage { metric: self.metric.clone(), amount: self.amount },
            timestamp: None,
            received_at: now,
            user_id: self.user_id,
            metadata: self.metadata.clone(),
        }
    }
}

impl Recorder {
    /// Reserves quota. Who may is who may record usage; a hold that the limit refuses is refused as an event is.
    pub async fn hold(
        &self,
        actor: Actor,
        new: &NewHold,
        idempotent: Option<&Idempotent<'_, Held>>,
    ) -> Result<Answer<Held>, HoldError> {
        for attempt in 0..ATTEMPTS {
            let tried = self.try_hold(actor, new, idempotent).await;
            if let Some(done) = self.settled(attempt, tried).await? {
                return done;
            }
        }
        Err(no_calm_moment())
    }

    async fn try_hold(
        &self,
        actor: Actor,
        new: &NewHold,
        idempotent: Option<&Idempotent<'_, Held>>,
    ) -> Result<Tried<Answer<Held>>, HoldError> {
        let tx = self.db.begin("take_hold", &[new.tenant_id]).await?;
        let tried = self.take(&tx, actor, new, idempotent).await;
        end(tx, tried).await
    }

    async fn take(
        &self,
        tx: &Tx,
        actor: Actor,
        new: &NewHold,
        idempotent: Option<&Idempotent<'_, Held>>,
    ) -> Result<Tried<Answer<Held>>, HoldError> {
        let now = self.env.clock.now();
        let claim = idempotency::claim(tx, idempotent, now).await?;
        let event = new.as_event(now);
        let mut facts = facts::read(tx, &[Need::of(&actor, &event)], now).await?;
        let preparation = prepare((0, event.content_hash()), &actor, &event, &facts, self.settings.late_window);
        if let Preparation::Done(outcome) = preparation {
            return Err(HoldError::declined(outcome));
        }
        let ticket = match claim {
            Claim::Replay(kept) => return Ok(Tried::Done(Ok(Answer::Replayed(kept)))),
            Claim::Go(ticket) => ticket,
        };
        supported(new, &facts, now)?;
        let prepared = match preparation {
            Preparation::Ready(prepared) => prepared,
            Preparation::NeedsCounter(metric, at) => {
                let wanted = Wanted { tenant_id: new.tenant_id, metric, at };
                return Ok(Tried::Again(Missing { counters: vec![wanted], ..Missing::default() }));
            }
            Preparation::RepeatOnly(invalid) => return Err(HoldError::declined(Outcome::Invalid(invalid))),
            Preparation::Done(_) | Preparation::NeedsOriginal(_) => {
                return Err(StoreError::corrupt("hold", "it was prepared as a correction").into());
            }
        };
        let mut ready = [prepared];
        let beside = spend::counters_beside(tx, &spend::periods_of(&ready, &facts)).await?;
        if !locked::lock(tx, &mut ready, &[&event], &mut facts, (beside, now)).await? {
            return Ok(Tried::Again(Missing::default()));
        }
        let Some(mut spend) = Spend::read(tx, &spend::periods_of(&ready, &facts), &facts, now).await? else {
            return Ok(Tried::Again(Missing::default()));
        };
        let [prepared] = ready;
        let index = prepared.counter;
        supported(new, &facts, now)?;
        if let Some(refused) = locked::judge(&prepared, &facts.counters[index], facts.counters[index].total) {
            self.count_refusal(tx, &refused, index, &facts, now).await?;
            return Ok(Tried::Done(Err(HoldError::declined(refused))));
        }
        if let Err(cap) = spend.weigh(&prepared, &facts.counters[index], None) {
            let standing = answer(&facts.counters[index], facts.counters[index].total, None);
            let mut refused = Outcome::Refused(Refusal::SpendCapExceeded(Some(cap)), standing);
            spend.tell(tx, &Sources { env: &self.env, now }).await?;
            spend::hide_money(&mut refused, (&actor, &event), &facts);
            return Ok(Tried::Done(Err(HoldError::declined(refused))));
        }
        let counter = &mut facts.counters[index];
        let hold = HoldRow {
            tenant_id: new.tenant_id,
            id: self.env.ids.uuid_v7(now),
            metric: counter.metric.clone(),
            period_start: counter.period_start,
            amount: prepared.amount,
            state: "open".to_owned(),
            user_id: prepared.user_id,
            metadata: prepared.metadata,
            created_at: truncate_to_micros(now),
            expires_at: holds::expiry(now, new.lasts),
            settled_at: None,
            committed: None,
        };
        rows::insert(tx, &hold).await?;
        rows::add_held(tx, &[(key(&hold), hold.amount)]).await?;
        holds::arm(tx, &self.env, &hold, now).await?;
        counter.held += hold.amount;
        let standing = answer(counter, counter.total, None).standing;
        Ok(Tried::Done(Ok(ticket.done(tx, Held { hold, standing }).await?)))
    }

    /// Counts a refusal by the limit as that of an event.
    async fn count_refusal(
        &self,
        tx: &Tx,
        refused: &Outcome,
        counter: usize,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if !matches!(refused, Outcome::Refused(..)) {
            return Ok(());
        }
        let sources = Sources { env: &self.env, now };
        locked::write_counters(tx, &BTreeMap::new(), &BTreeMap::from([(counter, 1)]), facts, &sources).await
    }

    /// The result of a try; none where it is to be tried again, after what it needs was made or others were let past.
    pub(super) async fn settled<T>(
        &self,
        attempt: u32,
        tried: Result<Tried<T>, HoldError>,
    ) -> Result<Option<Result<T, HoldError>>, HoldError> {
        match tried {
            Ok(Tried::Done(done)) => return Ok(Some(done)),
            Ok(Tried::Again(missing)) => self.make(&missing).await?,
            Err(HoldError::Tenancy(TenancyError::Store(error))) if is_missing_month(&error) => self.forget_months(),
            Err(error) if error.is_retryable() || stepped_back(&error) => {
                // As groups do: different callers by different times.
                let [jitter] = self.env.ids.bytes::<1>();
                let wait = u64::from(attempt) * 3 + u64::from(jitter) / 16;
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

/// Refuses a metric that is counted in another way than as a sum, whatever an event of it would lack.
fn supported(new: &NewHold, facts: &Facts, now: Timestamp) -> Result<(), HoldError> {
    let counter = facts.counter_at(new.tenant_id, &new.metric, now).map(|index| &facts.counters[index]);
    match counter.filter(|counter| counter.aggregation != "sum") {
        Some(counter) => Err(HoldError::NotSupported(counter.aggregation.clone())),
        None => Ok(()),
    }
}

fn stepped_back(error: &HoldError) -> bool {
    matches!(error, HoldError::Tenancy(TenancyError::Store(error)) if is_lock_timeout(error))
}

/// Where nothing could be decided.
pub(super) fn no_calm_moment() -> HoldError {
    StoreError::Unavailable(format!("a hold found no calm moment in {ATTEMPTS} tries")).into()
}

/// Commits what was decided, undoes what was not.
pub(super) async fn end<T>(tx: Tx, tried: Result<Tried<T>, HoldError>) -> Result<Tried<T>, HoldError> {
    match tried {
        Ok(Tried::Done(done)) => {
            tx.commit().await?;
            Ok(Tried::Done(done))
        }
        other => {
            tx.rollback().await?;
            other
        }
    }
}

/// The counter of a hold.
pub(super) fn key(hold: &HoldRow) -> (Uuid, String, Timestamp) {
    (hold.tenant_id, hold.metric.clone(), hold.period_start)
}
