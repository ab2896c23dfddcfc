//! What each kind of notice says of itself. Mails and webhooks are made from these types, never from loose JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_domain::money::Money;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::kind::Kind;
use crate::storage::StoreError;

/// A plan by its stable id and its name for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanName {
    /// Stable id.
    pub id: String,
    /// For people.
    pub name: String,
}

/// A half-open span of time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
}

/// Of [`Kind::PaymentSucceeded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentSucceeded {
    /// What was paid.
    pub amount: Money,
    /// The period that the invoice bills.
    pub period: Span,
    /// Number of the invoice as the customer knows it.
    pub invoice_number: Option<String>,
    /// Where the invoice can be seen.
    pub invoice_url: Option<String>,
}

/// Of [`Kind::PaymentFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentFailed {
    /// What is due.
    pub amount: Money,
    /// The period that the invoice bills.
    pub period: Span,
    /// Number of the invoice as the customer knows it.
    pub invoice_number: Option<String>,
    /// Where it can be paid by hand.
    pub invoice_url: Option<String>,
    /// When payment is tried again; none: it is not.
    pub next_attempt_at: Option<Timestamp>,
    /// Until when the plan is kept all the same; none: it is not, or not yet known.
    pub access_until: Option<Timestamp>,
}

/// Of [`Kind::TrialEnding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrialEnding {
    /// The plan on trial.
    pub plan: PlanName,
    /// First instant after the trial.
    pub trial_end: Timestamp,
    /// What is charged then; none where there is no payment method and the plan just ends.
    pub amount: Option<Money>,
}

/// Of [`Kind::PlanChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanChanged {
    /// The plan before.
    pub from: PlanName,
    /// The plan from now on.
    pub to: PlanName,
    /// Since when.
    pub effective_at: Timestamp,
    /// What was charged for the change; none where nothing was.
    pub charged: Option<Money>,
    /// The period that the charge is for.
    pub period: Option<Span>,
}

/// Of [`Kind::SubscriptionCanceled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionCanceled {
    /// The plan that ended.
    pub plan: PlanName,
    /// The plan in force since.
    pub now_on: PlanName,
    /// Since when.
    pub ended_at: Timestamp,
}

/// Of [`Kind::CancellationScheduled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancellationScheduled {
    /// The plan that will end.
    pub plan: PlanName,
    /// When.
    pub ends_at: Timestamp,
}

/// Of [`Kind::AccessChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessChanged {
    /// Status of the subscription, as Stripe names it.
    pub status: String,
    /// The plan that is subscribed to.
    pub plan: PlanName,
    /// The plan whose limits are in force; another one while access is narrowed.
    pub limits: PlanName,
    /// Since when.
    pub since: Timestamp,
}

impl AccessChanged {
    /// Whether less can be used than the plan gives.
    pub fn is_narrowed(&self) -> bool {
        self.plan.id != self.limits.id
    }
}

/// Of [`Kind::LimitThreshold`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitThreshold {
    /// The metric.
    pub metric: String,
    /// 80 or 100.
    pub percent: u8,
    /// Used in the period when it was passed.
    pub total: Quantity,
    /// What the percentage is of: the hard limit, or what is included where more is priced.
    pub limit: Quantity,
    /// Whether more is priced, rather than refused.
    pub allow_overages: bool,
    /// The usage period.
    pub period: Span,
}

/// Of [`Kind::LimitRefused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitRefused {
    /// The metric.
    pub metric: String,
    /// Used in the period when it was refused.
    pub total: Quantity,
    /// The hard limit; 0 where the plan does not name the metric.
    pub limit: Quantity,
    /// The usage period.
    pub period: Span,
}

/// Of [`Kind::UsageSpendAlert`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageSpendAlert {
    /// The alert.
    pub alert_id: Uuid,
    /// The metric that it is about; none is all metrics together.
    pub metric: Option<String>,
    /// The amount that the tenant wants to be told of.
    pub amount: Money,
    /// What was accrued when it was reached.
    pub accrued: Money,
    /// The usage period.
    pub period: Span,
}

/// Of [`Kind::UsageSpendCapped`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageSpendCapped {
    /// The metric that the cap is about; none is all metrics together.
    pub metric: Option<String>,
    /// The cap.
    pub cap: Money,
    /// What was accrued when it was reached, or refused something.
    pub accrued: Money,
    /// The usage period.
    pub period: Span,
}

/// Of [`Kind::OverageCarried`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverageCarried {
    /// What is owed.
    pub amount: Money,
    /// The usage period that it is for.
    pub period: Span,
}

/// Of [`Kind::TaxLocationMissing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaxLocationMissing {
    /// What the invoice asks for, without tax.
    pub amount: Money,
    /// The period that it bills.
    pub period: Span,
    /// Number of the invoice as the customer knows it.
    pub invoice_number: Option<String>,
}

/// Of [`Kind::WebhookEndpointDisabled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEndpointDisabled {
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Where it is, without its query, which may hold a secret.
    pub url: String,
    /// It answered 410: it is gone for good, as it says itself.
    pub is_gone: bool,
    /// First failure after the last success.
    pub failing_since: Timestamp,
}

/// Of [`Kind::Test`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Test {
    /// The endpoint that is tried out.
    pub endpoint_id: Uuid,
}

macro_rules! data {
    ($($kind:ident),*) => {
        /// What a notice says, by its kind.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Data {
            $(
                #[doc = concat!("Of [`Kind::", stringify!($kind), "`].")]
                $kind($kind),
            )*
        }

        impl Data {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }

            /// Reads what was stored under a kind.
            pub fn read(kind: Kind, stored: &Value) -> Result<Self, StoreError> {
                let wrong = |error| StoreError::corrupt("data of a notice", error);
                match kind { $(Kind::$kind => $kind::deserialize(stored).map(Self::$kind).map_err(wrong),)* }
            }
        }

        $(impl From<$kind> for Data {
            fn from(data: $kind) -> Self {
                Self::$kind(data)
            }
        })*
    };
}

data!(
    PaymentSucceeded,
    PaymentFailed,
    TrialEnding,
    PlanChanged,
    SubscriptionCanceled,
    CancellationScheduled,
    AccessChanged,
    LimitThreshold,
    LimitRefused,
    UsageSpendAlert,
    UsageSpendCapped,
    OverageCarried,
    TaxLocationMissing,
    WebhookEndpointDisabled,
    Test
);

impl Data {
    /// As stored and sent.
    pub fn to_json(&self) -> Result<Value, StoreError> {
        serde_json::to_value(self).map_err(|error| StoreError::corrupt("data of a notice", error))
    }
}
