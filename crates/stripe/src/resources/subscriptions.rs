//! Subscriptions: what a customer pays for again and again.

use jiff::Timestamp;
use jiff::fmt::serde::timestamp::second;
use serde::{Serialize, Serializer};

use super::shared::{
    AutomaticTax, AutomaticTaxParameters, BillingMode, CollectionMethod, Discount, Metadata, Moment, PaymentBehavior,
    ProrationBehavior, TimeRange,
};
use crate::checkout_sessions::TrialSettings;
use crate::customers::Customer;
use crate::invoices::Invoice;
use crate::open_enum::open_enum;
use crate::payment_methods::PaymentMethod;
use crate::prices::Price;
use crate::read::{has_id, object};
use crate::request::request;
use crate::schedules::Schedule;
use crate::{AnyObject, Expandable, List as Page};

open_enum! {
    /// How a subscription stands.
    SubscriptionStatus {
        /// The first payment is open, for 23 hours.
        Incomplete = "incomplete",
        /// It stayed open; over for good.
        IncompleteExpired = "incomplete_expired",
        /// Free for now.
        Trialing = "trialing",
        /// Paid.
        Active = "active",
        /// A payment failed; Stripe tries again.
        PastDue = "past_due",
        /// Payments failed; Stripe stopped trying.
        Unpaid = "unpaid",
        /// A trial ended without a payment method.
        Paused = "paused",
        /// Over for good.
        Canceled = "canceled",
    }
}

impl SubscriptionStatus {
    /// Nothing comes after it.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::IncompleteExpired | Self::Canceled)
    }
}

open_enum! {
    /// Which subscriptions a list has.
    StatusFilter {
        /// All.
        All = "all",
        /// Those that are over.
        Ended = "ended",
        /// Active ones.
        Active = "active",
        /// Cancelled ones.
        Canceled = "canceled",
        /// Incomplete ones.
        Incomplete = "incomplete",
        /// Past due ones.
        PastDue = "past_due",
        /// Those in trial.
        Trialing = "trialing",
        /// Unpaid ones.
        Unpaid = "unpaid",
        /// Paused ones.
        Paused = "paused",
    }
}

open_enum! {
    /// When periods begin, of a change.
    BillingCycleAnchor {
        /// Anew, now.
        Now = "now",
        /// As before.
        Unchanged = "unchanged",
    }
}

object! {
    /// A subscription.
    Subscription {
        /// Its id, `sub_…`.
        id: String,
        /// Live, not test.
        livemode: bool,
        /// How it stands.
        status: SubscriptionStatus,
        /// Who pays.
        customer: Expandable<Customer>,
        /// What is paid for.
        items: Page<SubscriptionItem>,
        /// Three letters, lower case.
        currency: Option<String>,
        /// Where its periods are counted from.
        billing_cycle_anchor: Option<Timestamp>,
        /// The rules of billing.
        billing_mode: Option<BillingMode>,
        /// It ends with the period. In flexible mode that may show in `cancel_at` only.
        cancel_at_period_end: bool,
        /// It ends then.
        cancel_at: Option<Timestamp>,
        /// When it was cancelled, or told to end.
        canceled_at: Option<Timestamp>,
        /// When it ended.
        ended_at: Option<Timestamp>,
        /// When it began.
        start_date: Option<Timestamp>,
        /// When its trial began.
        trial_start: Option<Timestamp>,
        /// When its trial ends, or ended.
        trial_end: Option<Timestamp>,
        /// How invoices are paid.
        collection_method: Option<CollectionMethod>,
        /// Days to pay, where invoices are sent.
        days_until_due: Option<i64>,
        /// What it is paid with; None is the customer's default.
        default_payment_method: Option<Expandable<PaymentMethod>>,
        /// A payment source of the older kind.
        default_source: Option<Expandable<AnyObject>>,
        /// Discounts on it.
        discounts: Vec<Expandable<Discount>>,
        /// The newest invoice.
        latest_invoice: Option<Expandable<Invoice>>,
        /// A change that waits for its payment.
        pending_update: Option<PendingUpdate>,
        /// What asks the customer for a payment method.
        pending_setup_intent: Option<Expandable<AnyObject>>,
        /// What will change it later.
        schedule: Option<Expandable<Schedule>>,
        /// Collection is on hold.
        pause_collection: Option<PauseCollection>,
        /// Taxes.
        automatic_tax: Option<AutomaticTax>,
        /// The period, where an older version has it; see [`Subscription::period_of`].
        current_period_start: Option<Timestamp>,
        /// The period's end, likewise.
        current_period_end: Option<Timestamp>,
        /// The caller's notes.
        metadata: Metadata,
        /// The test clock that it lives by.
        test_clock: Option<Expandable<AnyObject>>,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// One thing that is paid for.
    SubscriptionItem {
        /// Its id, `si_…`.
        id: String,
        /// Its price.
        price: Price,
        /// How many; None of metered ones.
        quantity: Option<i64>,
        /// When its period began.
        current_period_start: Option<Timestamp>,
        /// When its period ends.
        current_period_end: Option<Timestamp>,
        /// Its subscription.
        subscription: Option<String>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// A change that waits for its payment.
    PendingUpdate {
        /// When it is dropped.
        expires_at: Option<Timestamp>,
        /// What the items will be.
        subscription_items: Vec<SubscriptionItem>,
        /// Where periods will be counted from.
        billing_cycle_anchor: Option<Timestamp>,
        /// When the trial will end.
        trial_end: Option<Timestamp>,
    }
}

object! {
    /// Collection on hold.
    PauseCollection {
        /// What becomes of invoices meanwhile, such as `keep_as_draft` or `void`.
        behavior: Option<String>,
        /// Until when; None is until it is taken back.
        resumes_at: Option<Timestamp>,
    }
}

has_id!(Subscription, SubscriptionItem);

impl Subscription {
    /// It is told to end, in whichever way.
    pub fn is_cancel_pending(&self) -> bool {
        !self.status.is_terminal() && (self.cancel_at_period_end || self.cancel_at.is_some())
    }

    /// The period of an item: its own, or, in older versions, the subscription's.
    pub fn period_of(&self, item: &SubscriptionItem) -> Option<(Timestamp, Timestamp)> {
        let own = item.current_period_start.zip(item.current_period_end);
        own.or(self.current_period_start.zip(self.current_period_end))
    }
}

/// Gets a subscription.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The subscription.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/subscriptions/{subscription_exposed_id}" [id] -> Subscription);

/// Lists subscriptions. Without a status those that are cancelled are left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those of this customer.
    pub customer: Option<&'a str>,
    /// Only those that stand so.
    pub status: Option<StatusFilter>,
    /// Only those with this price.
    pub price: Option<&'a str>,
    /// Only those made then.
    pub created: Option<TimeRange>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/subscriptions" [] -> Page<Subscription>);

/// An item as it is to be. Without its id a second item is added.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ItemParameters<'a> {
    /// The item.
    pub id: Option<&'a str>,
    /// Its price. Another price sets the quantity to 1 unless it is given too.
    pub price: Option<&'a str>,
    /// How many.
    pub quantity: Option<u64>,
    /// It goes.
    pub deleted: Option<bool>,
    /// The caller's notes.
    pub metadata: Metadata,
}

/// When a subscription is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAt {
    /// Then, to the second.
    At(Timestamp),
    /// With the first of the items' periods.
    MinPeriodEnd,
    /// With the last of the items' periods.
    MaxPeriodEnd,
    /// Not at all: takes back what was set.
    Never,
}

impl Serialize for CancelAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(at) => serializer.serialize_i64(at.as_second()),
            Self::MinPeriodEnd => serializer.serialize_str("min_period_end"),
            Self::MaxPeriodEnd => serializer.serialize_str("max_period_end"),
            Self::Never => serializer.serialize_str(""),
        }
    }
}

/// Why a customer leaves.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CancellationDetails<'a> {
    /// In words.
    pub comment: Option<&'a str>,
    /// One of Stripe's words, such as `too_expensive`.
    pub feedback: Option<&'a str>,
}

/// Changes a subscription.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Update<'a> {
    /// The subscription.
    #[serde(skip)]
    pub id: &'a str,
    /// Items to change, add or remove; the others stay.
    pub items: Vec<ItemParameters<'a>>,
    /// What becomes of the time that was paid for.
    pub proration_behavior: Option<ProrationBehavior>,
    /// The instant that prorations are counted from: a preview's, so that the charge is what it showed.
    #[serde(with = "second::optional")]
    pub proration_date: Option<Timestamp>,
    /// What becomes of the change where its payment fails.
    pub payment_behavior: Option<PaymentBehavior>,
    /// Whether periods begin anew.
    pub billing_cycle_anchor: Option<BillingCycleAnchor>,
    /// It ends with the period.
    pub cancel_at_period_end: Option<bool>,
    /// When it ends.
    pub cancel_at: Option<CancelAt>,
    /// Why.
    pub cancellation_details: Option<CancellationDetails<'a>>,
    /// How invoices are paid.
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, where invoices are sent.
    pub days_until_due: Option<u32>,
    /// What it is paid with.
    pub default_payment_method: Option<&'a str>,
    /// Words for the customer; empty unsets.
    pub description: Option<&'a str>,
    /// When the trial ends; now ends it.
    pub trial_end: Option<Moment>,
    /// What becomes of the trial at its end.
    pub trial_settings: Option<TrialSettings>,
    /// Taxes.
    pub automatic_tax: Option<AutomaticTaxParameters>,
    /// The customer is not there to confirm a payment.
    pub off_session: Option<bool>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Update<'_>: Post "/v1/subscriptions/{subscription_exposed_id}" [id] -> Subscription);

/// Ends a subscription at once.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cancel<'a> {
    /// The subscription.
    #[serde(skip)]
    pub id: &'a str,
    /// Charges what is still open on a last invoice.
    pub invoice_now: Option<bool>,
    /// Credits the rest of the period.
    pub prorate: Option<bool>,
    /// Why.
    pub cancellation_details: Option<CancellationDetails<'a>>,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Cancel<'_>: Delete "/v1/subscriptions/{subscription_exposed_id}" [id] -> Subscription);
