//! `GET /api/usage`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::caller::ViewUsage;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::http::refusals::UsageReadRefusals;
use crate::http::state::AppState;
use crate::http::team::Shared;
use crate::usage::report;

/// What is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TotalQuery {
    /// The metric.
    #[param(example = "api_calls")]
    pub metric: String,
    /// A whole UTC hour or a bound of a period; default: the start of the current period.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<String>,
    /// The same, not included; default: the end of the current period.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<String>,
}

/// What was used.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotalBody {
    /// The metric.
    #[schema(example = "api_calls")]
    pub metric: String,
    /// First instant.
    #[schema(value_type = String, format = DateTime)]
    pub from: jiff::Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub to: jiff::Timestamp,
    /// What events make: `sum`, `max`, `last`, `unique`, `peak` or `percentile`.
    #[schema(example = "sum")]
    pub aggregation: &'static str,
    /// What that is: the sum of amounts, or another figure.
    #[schema(example = "250")]
    pub total: String,
    /// Number of events, corrections included.
    #[schema(example = 250)]
    pub count: i64,
}

/// Get a total
///
/// What the tenant used of one metric between two instants, with every event that was answered before. Needs
/// `viewUsage`; with `X-Team-Id` only what the caller used is counted.
#[utoipa::path(
    get, path = "/api/usage", tag = "usage", operation_id = "getUsageTotal",
    params(TotalQuery),
    responses((status = 200, body = TotalBody), UsageReadRefusals),
    security(("bearer" = [])),
)]
pub async fn total(
    State(state): State<AppState>,
    shared: Shared<ViewUsage>,
    Query(query): Query<TotalQuery>,
) -> Result<Json<TotalBody>, Problem> {
    super::declared(&state, &query.metric)?;
    let span = (super::bound("from", query.from.as_deref())?, super::bound("to", query.to.as_deref())?);
    let tx = shared.read(&state, "get_usage_total").await?;
    let now = state.env.clock.now();
    let found = report::total(&tx, (shared.tenant_id, shared.only_user()), &query.metric, span, now).await;
    tx.rollback().await?;
    let found = found?;
    Ok(Json(TotalBody {
        metric: query.metric,
        from: found.from,
        to: found.to,
        aggregation: found.aggregation.name(),
        total: found.total.to_string(),
        count: found.count,
    }))
}
