//! Subscription schedules: what a subscription will be later.

use jiff::Timestamp;
use serde::Serialize;

use super::shared::{AutomaticTaxParameters, CollectionMethod, Metadata, Moment, Period, ProrationBehavior};
use crate::customers::Customer;
use crate::open_enum::open_enum;
use crate::prices::Price;
use crate::read::{FromJson, ReadError, has_id, object};
use crate::request::request;
use crate::subscriptions::Subscription;
use crate::{Expandable, List as Page};

open_enum! {
    /// How a schedule stands.
    ScheduleStatus {
        /// It will begin.
        NotStarted = "not_started",
        /// It governs a subscription.
        Active = "active",
        /// All phases are over.
        Completed = "completed",
        /// It let the subscription go.
        Released = "released",
        /// It was cancelled, with its subscription.
        Canceled = "canceled",
    }
}

open_enum! {
    /// What becomes of the subscription behind the last phase.
    EndBehavior {
        /// It goes on by itself.
        Release = "release",
        /// It ends.
        Cancel = "cancel",
    }
}

open_enum! {
    /// When the periods of a phase begin.
    PhaseAnchor {
        /// As before, unless that is impossible.
        Automatic = "automatic",
        /// With the phase.
        PhaseStart = "phase_start",
    }
}

object! {
    /// A schedule.
    Schedule {
        /// Its id, `sub_sched_…`.
        id: String,
        /// How it stands.
        status: ScheduleStatus,
        /// Who pays.
        customer: Option<Expandable<Customer>>,
        /// What it governs.
        subscription: Option<Expandable<Subscription>>,
        /// What it let go.
        released_subscription: Option<String>,
        /// What becomes of the subscription at the end.
        end_behavior: Option<EndBehavior>,
        /// The phase of now.
        current_phase: Option<CurrentPhase>,
        /// All phases in order, past ones too.
        phases: Vec<Phase>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
        /// When it let the subscription go.
        released_at: Option<Timestamp>,
        /// When it was cancelled.
        canceled_at: Option<Timestamp>,
        /// When all phases were over.
        completed_at: Option<Timestamp>,
    }
}

/// The phase of now.
#[derive(Debug, Clone, PartialEq)]
pub struct CurrentPhase(
    /// From when until when.
    pub Period,
);

impl FromJson for CurrentPhase {
    /// Times are called `start_date` and `end_date` here.
    fn from_json(value: &serde_json::Value) -> Result<Self, ReadError> {
        let members = value.as_object().ok_or(ReadError::new("an object"))?;
        let start = crate::read::member(members, "start_date")?;
        let end = crate::read::member(members, "end_date")?;
        Ok(Self(Period { start, end, raw: value.clone() }))
    }
}

object! {
    /// One phase.
    Phase {
        /// From when.
        start_date: Timestamp,
        /// Until when.
        end_date: Timestamp,
        /// What is paid for.
        items: Vec<PhaseItem>,
        /// When its trial ends.
        trial_end: Option<Timestamp>,
        /// What becomes of the time that was paid for when it begins.
        proration_behavior: Option<ProrationBehavior>,
        /// The notes that the subscription gets when it begins.
        metadata: Metadata,
    }
}

object! {
    /// One thing that is paid for in a phase.
    PhaseItem {
        /// Its price.
        price: Expandable<Price>,
        /// How many; None of metered ones.
        quantity: Option<i64>,
        /// The notes that the item gets.
        metadata: Metadata,
    }
}

has_id!(Schedule);

/// Makes a schedule whose first phase is what a subscription is now. It takes no other parameters.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateFromSubscription<'a> {
    /// The subscription. Required.
    pub from_subscription: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(CreateFromSubscription<'_>: Post "/v1/subscription_schedules" [] -> Schedule);

/// Gets a schedule.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The schedule.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/subscription_schedules/{schedule}" [id] -> Schedule);

/// Lists schedules.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those of this customer.
    pub customer: Option<&'a str>,
    /// Only those that have not begun.
    pub scheduled: Option<bool>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/subscription_schedules" [] -> Page<Schedule>);

/// One thing that is paid for in a phase.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PhaseItemParameters<'a> {
    /// Its price.
    pub price: Option<&'a str>,
    /// How many; none of metered ones.
    pub quantity: Option<u64>,
    /// The notes that the item gets.
    pub metadata: Metadata,
}

/// One phase as it is to be. Its length is given by its end, which every version of the API takes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PhaseParameters<'a> {
    /// What is paid for. Required.
    pub items: Vec<PhaseItemParameters<'a>>,
    /// From when; of the first phase it must be what it is.
    pub start_date: Option<Moment>,
    /// Until when; the last phase may leave it out: it then lasts one period.
    pub end_date: Option<Moment>,
    /// When its trial ends.
    pub trial_end: Option<Moment>,
    /// All of it is a trial.
    pub trial: Option<bool>,
    /// When its periods begin.
    pub billing_cycle_anchor: Option<PhaseAnchor>,
    /// What becomes of the time that was paid for when it begins.
    pub proration_behavior: Option<ProrationBehavior>,
    /// How invoices are paid.
    pub collection_method: Option<CollectionMethod>,
    /// What it is paid with.
    pub default_payment_method: Option<&'a str>,
    /// Words for the customer; empty unsets.
    pub description: Option<&'a str>,
    /// Taxes.
    pub automatic_tax: Option<AutomaticTaxParameters>,
    /// The notes that the subscription gets when it begins.
    pub metadata: Metadata,
}

/// Changes a schedule. Phases that are given replace all; the current one has to be among them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Update<'a> {
    /// The schedule.
    #[serde(skip)]
    pub id: &'a str,
    /// All phases from now on.
    pub phases: Vec<PhaseParameters<'a>>,
    /// What becomes of the subscription at the end.
    pub end_behavior: Option<EndBehavior>,
    /// What becomes of the time that was paid for where the current phase changes.
    pub proration_behavior: Option<ProrationBehavior>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Update<'_>: Post "/v1/subscription_schedules/{schedule}" [id] -> Schedule);

/// Lets the subscription go: it stays as it is, and the schedule is over.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Release<'a> {
    /// The schedule.
    #[serde(skip)]
    pub id: &'a str,
    /// Keeps a cancellation that the schedule has set.
    pub preserve_cancel_date: Option<bool>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Release<'_>: Post "/v1/subscription_schedules/{schedule}/release" [id] -> Schedule);
