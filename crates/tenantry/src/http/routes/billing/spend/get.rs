//! `GET /api/billing/spend`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{SpendAlert, SpendCap};
use crate::http::caller::{Permitted, ViewBilling};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::usage::report::{self, MetricLimit};
use crate::usage::spend::watch;

/// What usage costs in the running period, and how far it may.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpendBody {
    /// The running usage period.
    pub period: SpendPeriod,
    /// What all amounts are in; ISO 4217, lower case.
    #[schema(example = "usd")]
    pub currency: String,
    /// Accrued overage of all metrics together, in minor units. The price of the plan is not in it.
    #[schema(example = 1_250)]
    pub accrued_cents: i64,
    /// Accrued overage by metric: every metric that has a price, or has cost something in this period.
    #[schema(example = json!({ "compute_minutes": 1250 }))]
    pub by_metric: BTreeMap<String, i64>,
    /// Amounts at which the tenant is told; those over all metrics first.
    pub alerts: Vec<SpendAlert>,
    /// What no accepted event passes; the one over all metrics first.
    pub caps: Vec<SpendCap>,
}

/// A half-open span of time.
#[derive(Debug, Serialize, ToSchema)]
pub struct SpendPeriod {
    /// First instant.
    #[schema(value_type = String, format = DateTime)]
    pub start: jiff::Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub end: jiff::Timestamp,
}

/// Get the spend
///
/// What use above the included quantities costs so far in the running period, as it would be charged now, with the
/// tenant's spend caps and alerts. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/billing/spend", tag = "billing", operation_id = "getSpend",
    responses((status = 200, body = SpendBody), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn get(State(state): State<AppState>, permitted: Permitted<ViewBilling>) -> Result<Json<SpendBody>, Problem> {
    let tenant = permitted.tenant_id;
    let tx = permitted.caller.read(&state, "get_spend", tenant).await?;
    let current = report::current(&tx, tenant, state.env.clock.now()).await?;
    let watched = watch::of_tenant(&tx, tenant).await?;
    tx.rollback().await?;
    let current = current.ok_or_else(Problem::not_found)?;
    let costs = |limit: &MetricLimit| limit.allow_overages || limit.accrued_minor != 0;
    let by_metric: BTreeMap<String, i64> = current
        .limits
        .iter()
        .filter(|(_, limit)| costs(limit))
        .map(|(metric, limit)| (metric.clone(), limit.accrued_minor))
        .collect();
    Ok(Json(SpendBody {
        period: SpendPeriod { start: current.start, end: current.end },
        currency: super::currency(&state),
        accrued_cents: by_metric.values().sum(),
        by_metric,
        alerts: watched.alerts.into_iter().map(Into::into).collect(),
        caps: watched.caps.into_iter().map(Into::into).collect(),
    }))
}
