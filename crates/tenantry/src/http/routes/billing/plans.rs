//! `GET /api/billing/plans`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_domain::metric::Aggregation;
use tenantry_domain::plan::{Allowance, Plan};
use utoipa::ToSchema;

use crate::http::caller::{Permitted, ViewBilling};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;

/// All plans of the catalog.
#[derive(Debug, Serialize, ToSchema)]
pub struct Plans {
    /// The plans, the lowest rank first.
    pub data: Vec<PlanView>,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// Its stable id.
    #[schema(example = "pro")]
    pub id: String,
    /// For people.
    #[schema(example = "Pro")]
    pub name: String,
    /// An upgrade goes to a higher rank.
    pub rank: u32,
    /// New tenants get it.
    pub default: bool,
    /// Days of trial when it is first bought.
    pub trial_days: u32,
    /// Whether its price is for each member.
    pub per_seat: bool,
    /// Members that a tenant may have; null: no end.
    #[schema(example = 10)]
    pub max_members: Option<u32>,
    /// What it costs; null for a free plan.
    pub prices: Option<PricesView>,
    /// What it says of each metric.
    pub metrics: BTreeMap<String, MetricView>,
}

/// What a plan costs, in minor units (cents).
#[derive(Debug, Serialize, ToSchema)]
pub struct PricesView {
    /// ISO 4217, lower case.
    #[schema(example = "usd")]
    pub currency: String,
    /// Minor units a month.
    #[schema(example = 2900)]
    pub month: Option<i64>,
    /// Minor units a year.
    #[schema(example = 29000)]
    pub year: Option<i64>,
}

/// What a plan says of a metric.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricView {
    /// What events of a period make: `sum`, `max`, `last`, `unique`, `peak` or `percentile`.
    #[schema(example = "sum")]
    pub aggregation: &'static str,
    /// Of `unique` the metadata field whose values are counted.
    #[schema(example = json!(null))]
    pub field: Option<String>,
    /// Of `percentile` which one.
    #[schema(example = json!(null))]
    pub percentile: Option<u8>,
    /// Of `percentile` the length of a slot.
    #[schema(example = json!(null))]
    pub slot_minutes: Option<u8>,
    /// Quantity that comes with the plan in a period; null: unlimited.
    #[schema(example = "1000")]
    pub included: Option<String>,
    /// Whether there is no limit.
    pub unlimited: bool,
    /// Whether use above the included quantity is priced; else it is refused.
    pub allow_overages: bool,
    /// How it is priced.
    pub overage: Option<OverageView>,
}

/// How use above the included quantity is priced.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverageView {
    /// `flat`, `graduated`, `volume` or `package`.
    #[schema(value_type = String, example = "graduated")]
    pub mode: tenantry_domain::plan::Mode,
    /// Units that one price buys.
    pub per: u64,
    /// Tiers in order.
    pub tiers: Vec<TierView>,
}

/// A span of units above included.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TierView {
    /// Last unit above included that it covers; null: no end.
    pub up_to: Option<String>,
    /// Minor units for `per` units, an exact decimal.
    #[schema(example = "2.5")]
    pub unit_price: String,
}

/// List plans
///
/// The plans that this server offers. Quantities and rates are exact decimals in strings, prices are integers in
/// minor units of the currency. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/billing/plans", tag = "billing", operation_id = "listPlans",
    responses((status = 200, body = Plans), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn plans(State(state): State<AppState>, _permitted: Permitted<ViewBilling>) -> Result<Json<Plans>, Problem> {
    Ok(Json(Plans { data: state.catalog.plans().iter().map(PlanView::from).collect() }))
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> Self {
        let metrics = plan.metrics.iter().map(|(name, terms)| {
            let overage = terms.overage.as_ref().map(|overage| OverageView {
                mode: overage.mode,
                per: overage.per,
                tiers: overage
                    .tiers
                    .iter()
                    .map(|tier| TierView {
                        up_to: tier.up_to.map(|quantity| quantity.to_string()),
                        unit_price: tier.unit_price.to_string(),
                    })
                    .collect(),
            });
            let (field, percentile, slot_minutes) = match &terms.definition.aggregation {
                Aggregation::Unique { field } => (Some(field.clone()), None, None),
                Aggregation::Percentile { percent, slot_minutes } => (None, Some(*percent), Some(*slot_minutes)),
                Aggregation::Sum | Aggregation::Max | Aggregation::Last | Aggregation::Peak => (None, None, None),
            };
            let view = MetricView {
                aggregation: terms.definition.aggregation.name(),
                field,
                percentile,
                slot_minutes,
                included: terms.included().map(|quantity| quantity.to_string()),
                unlimited: matches!(terms.allowance, Allowance::Unlimited),
                allow_overages: overage.is_some(),
                overage,
            };
            (name.to_string(), view)
        });
        Self {
            id: plan.id.to_string(),
            name: plan.name.clone(),
            rank: plan.rank,
            default: plan.default,
            trial_days: plan.trial_days,
            per_seat: plan.per_seat,
            max_members: plan.max_members,
            prices: plan.prices.map(|prices| PricesView {
                currency: prices.currency.to_string(),
                month: prices.month,
                year: prices.year,
            }),
            metrics: metrics.collect(),
        }
    }
}
