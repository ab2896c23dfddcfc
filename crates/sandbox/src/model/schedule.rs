//! Subscription schedules.

use serde::{Deserialize, Serialize};

use super::{BillingMode, Metadata, Time};

/// `sub_sched_…`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) customer: String,
    pub(crate) subscription: Option<String>,
    pub(crate) released_subscription: Option<String>,
    pub(crate) status: ScheduleStatus,
    pub(crate) billing_mode: BillingMode,
    pub(crate) phases: Vec<Phase>,
    /// `release` or `cancel`.
    pub(crate) end_behavior: String,
    pub(crate) metadata: Metadata,
    pub(crate) canceled_at: Option<Time>,
    pub(crate) completed_at: Option<Time>,
    pub(crate) released_at: Option<Time>,
    /// Phases up to this one have begun.
    pub(crate) begun: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) start: Time,
    pub(crate) end: Time,
    pub(crate) items: Vec<PhaseItem>,
    pub(crate) currency: String,
    pub(crate) proration_behavior: String,
    pub(crate) metadata: Metadata,
    pub(crate) trial_end: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhaseItem {
    pub(crate) price: String,
    pub(crate) quantity: Option<i64>,
    pub(crate) metadata: Metadata,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScheduleStatus {
    NotStarted,
    Active,
    Completed,
    Released,
    Canceled,
}

impl ScheduleStatus {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Released => "released",
            Self::Canceled => "canceled",
        }
    }
}
