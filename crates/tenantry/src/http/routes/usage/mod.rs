//! Usage: recording, checking, totals, reports.

pub mod batch;
pub mod check;
pub mod event;
pub mod holds;
pub mod preview;
pub mod record;
pub mod report;
pub mod spend;
pub mod total;

use serde::Serialize;
use tenantry_domain::limit::Standing;
use utoipa::ToSchema;

use crate::http::extract::parse_timestamp;
use crate::http::problem::{Code, Problem};
use crate::http::state::AppState;
use crate::usage::report::MetricLimit;

/// Where a metric stands in the current period. Quantities are exact decimals in strings.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitView {
    /// What events make: `sum`, `max`, `last`, `unique`, `peak` or `percentile`; see `GET /api/billing/plans`.
    #[schema(example = "sum")]
    pub aggregation: &'static str,
    /// Used in the period.
    #[schema(example = "250")]
    pub total: String,
    /// Included in the plan; null: unlimited.
    #[schema(example = "1000")]
    pub included: Option<String>,
    /// What is left of it, neither used nor held, never below 0; null: unlimited.
    #[schema(example = "750")]
    pub remaining: Option<String>,
    /// Reserved by holds that are open.
    #[schema(example = "0")]
    pub held: String,
    /// Whether use above included is priced; else it is refused.
    pub allow_overages: bool,
    /// What was used above included.
    #[schema(example = "0")]
    pub overage: String,
    /// What that costs so far, in minor units of the currency; left out for members of a team.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0, nullable = false)]
    pub accrued_overage_cents: Option<i64>,
    /// ISO 4217, lower case.
    #[schema(example = "usd")]
    pub currency: String,
}

impl From<&MetricLimit> for LimitView {
    fn from(limit: &MetricLimit) -> Self {
        let standing = limit.standing;
        Self {
            aggregation: limit.aggregation.name(),
            total: standing.total.to_string(),
            included: standing.included.map(|quantity| quantity.to_string()),
            remaining: standing.remaining().map(|quantity| quantity.to_string()),
            held: standing.held.to_string(),
            allow_overages: limit.allow_overages,
            overage: standing.overage().to_string(),
            accrued_overage_cents: Some(limit.accrued_minor),
            currency: limit.currency.clone(),
        }
    }
}

impl LimitView {
    /// Takes out what it costs, which is not for members of a team.
    pub fn hide_money(&mut self) {
        self.accrued_overage_cents = None;
    }
}

/// The figures of a metric, as answers and refusals carry them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Figures {
    /// The metric.
    #[schema(example = "api_calls")]
    pub metric: String,
    /// Used in the period.
    #[schema(example = "250")]
    pub total: String,
    /// Included in the plan; null: unlimited.
    #[schema(example = "1000")]
    pub included: Option<String>,
    /// What is left of it, neither used nor held, never below 0; null: unlimited.
    #[schema(example = "750")]
    pub remaining: Option<String>,
    /// Reserved by holds that are open.
    #[schema(example = "0")]
    pub held: String,
    /// What was used above included.
    #[schema(example = "0")]
    pub overage: String,
}

impl Figures {
    fn of(metric: &str, standing: &Standing) -> Self {
        Self {
            metric: metric.to_owned(),
            total: standing.total.to_string(),
            included: standing.included.map(|quantity| quantity.to_string()),
            remaining: standing.remaining().map(|quantity| quantity.to_string()),
            held: standing.held.to_string(),
            overage: standing.overage().to_string(),
        }
    }

    /// The figures beside a refusal.
    fn on(self, problem: Problem) -> Problem {
        problem
            .figure("metric", self.metric)
            .figure("total", self.total)
            .figure("included", self.included)
            .figure("remaining", self.remaining)
            .figure("held", self.held)
            .figure("overage", self.overage)
    }
}

/// Refuses a metric that no plan of the catalog names.
pub(in crate::http::routes) fn declared(state: &AppState, metric: &str) -> Result<(), Problem> {
    if state.catalog.declares_metric(metric) {
        return Ok(());
    }
    Err(Problem::new(Code::UnknownMetric)
        .detail("the plan catalog declares no such metric")
        .field("metric", "is declared by no plan; see GET /api/billing/plans"))
}

/// A bound of a span as it was sent.
fn bound(field: &'static str, text: Option<&str>) -> Result<Option<jiff::Timestamp>, Problem> {
    text.map(|text| {
        parse_timestamp(text).ok_or_else(|| {
            Problem::invalid(field, "must be a time as RFC 3339 writes it, such as 2026-11-01T00:00:00Z")
        })
    })
    .transpose()
}
