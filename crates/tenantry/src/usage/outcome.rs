//! What became of an event.

use tenantry_domain::limit::Standing;
use tenantry_domain::money::Currency;
use tenantry_domain::permission::Permission;

/// The answer for one event. All but `Accepted` recorded nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It counts, durably.
    Accepted(Answer),
    /// It was counted before, with the same content.
    Duplicate(Answer),
    /// The key was used before with other content.
    Conflict(Answer),
    /// It would have taken the total above the limit.
    Refused(Refusal, Answer),
    /// There is something wrong with the event itself.
    Invalid(Invalid),
    /// The caller lacks this permission in the tenant.
    Forbidden(Permission),
    /// The caller has nothing to do with the tenant, or there is none.
    Foreign,
    /// The owner of the caller's team has no plan to share.
    TeamInactive,
}

/// Where a metric stands after the event was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The metric.
    pub metric: String,
    /// Total, included and limit of the event's period.
    pub standing: Standing,
}

/// Why an event was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The hard limit of the period.
    UsageLimitExceeded,
    /// The plan does not name the metric, so its limit is 0.
    MetricNotInPlan,
    /// A spend cap of the tenant; none where the sender may not see what use costs.
    SpendCapExceeded(Option<SpendCap>),
}

/// A spend cap that an event would pass, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendCap {
    /// It is the cap of the event's metric, rather than of all metrics together.
    pub of_metric: bool,
    /// The cap.
    pub cap_minor: i64,
    /// Accrued so far of what the cap is about.
    pub accrued_minor: i64,
    /// What open holds would add to that.
    pub held_minor: i64,
    /// What the event would have added.
    pub event_minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// What is wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Stable code.
    pub code: &'static str,
    /// The field.
    pub field: &'static str,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl Invalid {
    /// An invalid event.
    pub fn new(code: &'static str, field: &'static str, message: impl Into<String>) -> Self {
        Self { code, field, message: message.into() }
    }
}

/// Why a submission has no outcomes at all. Nothing of it is known to have counted; sending it again is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; nothing was recorded.
    #[error("too much usage is waiting to be recorded")]
    Overloaded,
    /// The database went away; each event was recorded whole or not at all.
    #[error("the database cannot be reached")]
    Unavailable,
    /// The server is shutting down; nothing was recorded.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The database refused this one event for a reason that is ours; it is in the log.
    #[error("the event could not be recorded")]
    Internal,
}
