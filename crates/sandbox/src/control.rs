//! What a test, or the product's own commands, can do to a running sandbox.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::api::{CardInput, card_of};
use crate::delivery;
use crate::engine::{Buyer, RequestInfo, complete_session, next_due};
use crate::model::DeliveryState;
use crate::server::shared::Shared;
use crate::settings::WebhookTarget;
use crate::switches::{DunningEnd, FaultRule, Switches};

/// Controls a running sandbox. Clones control the same one. The same is under `/_sandbox` over HTTP.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

/// The sandbox's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// Sandbox time.
    pub now: Timestamp,
    /// Seconds that it is ahead of real time.
    pub offset_seconds: i64,
    /// When the next thing falls due; none where nothing will by itself.
    pub next_due: Option<Timestamp>,
}

/// What was asked for cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Time moves forward only.
    #[error("the sandbox's clock is at {now} and cannot go back to {to}")]
    Backwards {
        /// Sandbox time.
        now: Timestamp,
        /// What was asked for.
        to: Timestamp,
    },
    /// Further than the calendar, or than ten years at once.
    #[error("the sandbox's clock can be advanced by at most ten years at once")]
    TooFar,
    /// Stripe would refuse it, with this text.
    #[error("{0}")]
    Refused(String),
}

/// What became of an event on its way to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryReport {
    /// `evt_…`
    pub event: String,
    /// `invoice.paid`, for example.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where to.
    pub url: String,
    /// `pending`, `delivered`, `failed` or `dropped`.
    pub state: String,
    /// Status or error of each attempt.
    pub attempts: Vec<String>,
}

const TEN_YEARS: i64 = 3_653 * 86_400;

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What time it is in the sandbox.
    pub fn clock(&self) -> Clock {
        let core = self.shared.core();
        let offset = core.state.offset;
        let next_due = next_due(&self.shared.work(&core, RequestInfo::default()));
        drop(core);
        let now = self.shared.source.now();
        Clock {
            now: now.checked_add(SignedDuration::from_secs(offset)).unwrap_or(now),
            offset_seconds: offset,
            next_due: next_due.and_then(|at| Timestamp::from_second(at).ok()),
        }
    }

    /// Advances the clock by seconds. See [`Control::advance_to`].
    ///
    /// # Errors
    /// Less than nothing, or more than ten years.
    pub async fn advance(&self, seconds: i64) -> Result<Clock, ControlError> {
        let now = self.clock().now;
        if seconds > TEN_YEARS {
            return Err(ControlError::TooFar);
        }
        let to = now.checked_add(SignedDuration::from_secs(seconds)).map_err(|_| ControlError::TooFar)?;
        self.advance_to(to).await
    }

    /// Advances the clock to a time: the hook is told the new offset and awaited, then everything that falls due in
    /// between is done in the order of time. Requests wait meanwhile.
    ///
    /// # Errors
    /// A time before now, or more than ten years ahead.
    pub async fn advance_to(&self, to: Timestamp) -> Result<Clock, ControlError> {
        self.check(to)?;
        Ok(self.reach(to).await)
    }

    /// As [`Control::advance_to`], but stops at each thing that falls due and delivers the events of it before going
    /// on, so that a receiver can act at that time: put an item on a draft before it is finalized, for example.
    ///
    /// # Errors
    /// As [`Control::advance_to`].
    pub async fn advance_delivering(&self, to: Timestamp) -> Result<Clock, ControlError> {
        self.check(to)?;
        while let Some(due) = self.clock().next_due.filter(|at| *at < to) {
            self.reach(due).await;
            self.deliver().await;
        }
        let clock = self.reach(to).await;
        self.deliver().await;
        Ok(clock)
    }

    fn check(&self, to: Timestamp) -> Result<(), ControlError> {
        let now = self.clock().now;
        match to.duration_since(now).as_secs() {
            _ if to < now => Err(ControlError::Backwards { now, to }),
            seconds if seconds > TEN_YEARS => Err(ControlError::TooFar),
            _ => Ok(()),
        }
    }

    /// Advances to a time that the clock, which runs, may have reached meanwhile.
    async fn reach(&self, to: Timestamp) -> Clock {
        let _closed = self.shared.gate.write().await;
        let before = self.shared.core().state.offset;
        let offset = before.max(to.as_second() - self.shared.real_now());
        if let Some(hook) = &self.shared.on_clock {
            hook.call(offset).await;
        }
        {
            let mut core = self.shared.core();
            core.state.offset = offset;
            self.shared.catch_up_locked(&mut core);
        }
        self.shared.changed().await;
        self.clock()
    }

    /// Where events go from now on, in the place of the target of the settings. None sends nothing more.
    pub async fn set_webhook(&self, target: Option<WebhookTarget>) {
        self.shared.set_webhook(target.as_ref());
        self.shared.changed().await;
    }

    /// How webhooks are sent.
    pub fn switches(&self) -> Switches {
        self.shared.core().switches.clone()
    }

    /// Changes how webhooks are sent from now on.
    pub fn set_switches(&self, switches: Switches) {
        {
            let mut core = self.shared.core();
            let now = self.shared.real_now() + core.state.offset;
            core.pinned = switches.same_second.then(|| core.pinned.unwrap_or(now));
            core.switches = switches;
        }
        self.shared.wake.notify_one();
    }

    /// Sends everything that is pending once, also while paused, and waits for it. What is answered with success
    /// is done; what is not stays pending.
    pub async fn deliver(&self) -> Vec<DeliveryReport> {
        delivery::deliver_now(&self.shared).await;
        self.deliveries()
    }

    /// What became of events, oldest first.
    pub fn deliveries(&self) -> Vec<DeliveryReport> {
        let core = self.shared.core();
        let report = |delivery: &crate::model::Delivery| {
            let event = core.state.events.get(&delivery.event)?;
            let attempts = delivery.attempts.iter().map(|attempt| match (attempt.status, &attempt.error) {
                (Some(status), _) => status.to_string(),
                (None, error) => error.clone().unwrap_or_default(),
            });
            let state = match delivery.state {
                DeliveryState::Pending => "pending",
                DeliveryState::Delivered => "delivered",
                DeliveryState::Failed => "failed",
                DeliveryState::Dropped => "dropped",
            };
            Some(DeliveryReport {
                event: event.id.clone(),
                kind: event.kind.clone(),
                url: core.state.endpoints.get(&delivery.endpoint).map(|row| row.url.clone()).unwrap_or_default(),
                state: state.to_owned(),
                attempts: attempts.collect(),
            })
        };
        core.state.deliveries.iter().filter_map(report).collect()
    }

    /// Adds a fault: it happens to the next requests that it fits.
    pub fn add_fault(&self, fault: FaultRule) {
        self.shared.core().faults.push(fault);
    }

    /// Faults that have not happened yet.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.shared.core().faults.clone()
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.shared.core().faults.clear();
    }

    /// What becomes of a subscription whose payment failed for the last time.
    pub async fn set_dunning_end(&self, end: DunningEnd) {
        self.shared.core().state.dunning_end = end;
        self.shared.changed().await;
    }

    /// Emits an event of any type with any object.
    pub async fn emit(&self, kind: &str, object: Value) {
        {
            let mut core = self.shared.core();
            let mut work = self.shared.work(&core, RequestInfo::default());
            work.emit(kind, object);
            core.state = work.state;
        }
        self.shared.changed().await;
    }

    /// Pays a checkout session with a card, as its page does.
    ///
    /// # Errors
    /// The card is declined, or the session is not open.
    pub async fn pay_session(&self, session: &str, card_number: &str) -> Result<(), ControlError> {
        let _open = self.shared.gate.read().await;
        {
            let mut core = self.shared.core();
            self.shared.catch_up_locked(&mut core);
            let mut work = self.shared.work(&core, RequestInfo::default());
            let input =
                CardInput { number: card_number.to_owned(), exp_month: 12, exp_year: 2034, ..CardInput::default() };
            let refused = |fault: crate::fault::Fault| ControlError::Refused(fault.message().to_owned());
            let card = card_of(&mut work, input).map_err(refused)?;
            let buyer = Buyer { card: Some(card), confirmed: true, ..Buyer::default() };
            complete_session(&mut work, session, buyer).map_err(refused)?;
            core.state = work.state;
        }
        self.shared.changed().await;
        Ok(())
    }

    /// Everything that the sandbox holds but signing secrets, for people to read. Its shape may change.
    pub fn dump(&self) -> Value {
        let mut state = self.shared.core().state.clone();
        let endpoints: Vec<String> = state.endpoints.iter().map(|endpoint| endpoint.id.clone()).collect();
        for endpoint in endpoints {
            state.endpoints.edit(&endpoint, |endpoint| endpoint.secrets.clear());
        }
        serde_json::to_value(&state).unwrap_or(Value::Null)
    }
}
