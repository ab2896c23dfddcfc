//! What is said of a spend cap that refuses something.

use serde::Serialize;
use serde_json::json;
use tenantry_domain::money::Money;
use utoipa::ToSchema;

use super::Figures;
use crate::http::problem::{Code, Problem};
use crate::usage::outcome::{Answer, SpendCap};

/// A spend cap that an event would pass, in minor units of the currency.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpendFigures {
    /// The metric that the cap is about; null: all metrics together.
    #[schema(example = "tokens")]
    pub metric: Option<String>,
    /// The cap.
    #[schema(example = 10_000)]
    pub cap_cents: i64,
    /// Accrued so far in the period.
    #[schema(example = 9_850)]
    pub accrued_cents: i64,
    /// What open holds would add to that.
    #[schema(example = 0)]
    pub held_cents: i64,
    /// What the event would have added.
    #[schema(example = 225)]
    pub event_cents: i64,
    /// ISO 4217, lower case.
    #[schema(example = "usd")]
    pub currency: String,
}

impl SpendFigures {
    /// The figures of a cap that refused use of a metric.
    pub fn of(metric: &str, cap: &SpendCap) -> Self {
        Self {
            metric: cap.of_metric.then(|| metric.to_owned()),
            cap_cents: cap.cap_minor,
            accrued_cents: cap.accrued_minor,
            held_cents: cap.held_minor,
            event_cents: cap.event_minor,
            currency: cap.currency.to_string(),
        }
    }
}

/// What happened, and what to do about it; without amounts where the caller may not see them.
pub fn told(metric: &str, cap: Option<&SpendCap>) -> String {
    let Some(cap) = cap else { return Code::SpendCapExceeded.meaning().to_owned() };
    let money = |minor| Money { minor, currency: cap.currency };
    let of = if cap.of_metric { format!("of {metric}") } else { "of all metrics".to_owned() };
    let held = if cap.held_minor == 0 { String::new() } else { format!(" and {} held", money(cap.held_minor)) };
    format!(
        "The event would cost {} more. The spend cap {of} is {}, of which {} are accrued{held} in this period. Nothing \
         was recorded; a smaller event may still fit. Whoever manages billing raises the cap with `PUT \
         /api/billing/spend/cap`, or removes it with `DELETE`.",
        money(cap.event_minor),
        money(cap.cap_minor),
        money(cap.accrued_minor),
    )
}

/// The refusal of a single event.
pub(super) fn refused(answer: &Answer, cap: Option<&SpendCap>) -> Problem {
    let problem = Problem::new(Code::SpendCapExceeded).detail(told(&answer.metric, cap)).figure("outcome", "rejected");
    let problem = Figures::of(&answer.metric, &answer.standing).on(problem);
    match cap {
        Some(cap) => problem.figure("spend", json!(SpendFigures::of(&answer.metric, cap))),
        None => problem,
    }
}
