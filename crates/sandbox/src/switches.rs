//! What the sandbox can be told to do wrong, so that its clients can be tested.

use serde::{Deserialize, Serialize};

/// How webhooks are sent.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as in Stripe's parameters")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Nothing is sent until it is switched off, except on demand.
    pub paused: bool,
    /// Each event is sent once more after it arrived.
    pub duplicate: bool,
    /// Of those that wait, the newest is sent first.
    pub reorder: bool,
    /// Milliseconds of real time that each event waits before it is sent.
    pub delay_ms: u64,
    /// So many events are lost, then it goes on: they are never sent, and count as not delivered.
    pub drop_next: u32,
    /// Events get the `created` of the moment in which this was switched on.
    pub same_second: bool,
    /// Payloads are of a later API version: more members, other types, unknown values.
    pub later_version: bool,
}

/// A fault of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What happens.
    pub action: FaultAction,
    /// The request is executed first; else it leaves no trace.
    #[serde(default)]
    pub executed: bool,
    /// The `Stripe-Should-Retry` of the answer.
    #[serde(default)]
    pub should_retry: Option<bool>,
    /// How many requests it happens to.
    #[serde(default = "once")]
    pub times: u32,
    /// Only to requests of this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only to requests whose path begins like this.
    #[serde(default)]
    pub path: Option<String>,
}

fn once() -> u32 {
    1
}

/// See [`FaultRule::action`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultAction {
    /// An answer with this status: 429, or 500 and above.
    Status(u16),
    /// No answer for so many milliseconds, then the connection is closed.
    HangMs(u64),
    /// The connection is closed without an answer.
    Drop,
}

/// What becomes of a subscription whose payment failed for the last time.
pub use crate::engine::DunningEnd;

impl FaultRule {
    /// So many requests fail without being executed.
    pub fn status(status: u16, times: u32) -> Self {
        Self::new(FaultAction::Status(status), false, times)
    }

    /// The next request is executed, and its connection is closed without an answer.
    pub fn lost_answer() -> Self {
        Self::new(FaultAction::Drop, true, 1)
    }

    /// A fault of any request.
    pub fn new(action: FaultAction, executed: bool, times: u32) -> Self {
        Self { action, executed, should_retry: None, times, method: None, path: None }
    }

    /// Only requests of this method whose path begins like this.
    #[must_use]
    pub fn only(mut self, method: &str, path: &str) -> Self {
        self.method = Some(method.to_owned());
        self.path = Some(path.to_owned());
        self
    }

    /// Whether it happens to a request.
    pub(crate) fn hits(&self, method: &str, path: &str) -> bool {
        let fits = |wanted: &Option<String>, test: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(test);
        fits(&self.method, &|wanted| wanted.eq_ignore_ascii_case(method))
            && fits(&self.path, &|wanted| path.starts_with(wanted))
    }
}
